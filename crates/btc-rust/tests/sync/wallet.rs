//! A wallet's books on a node, with payments to it and from it.

use std::path::PathBuf;
use std::sync::LazyLock;

use bitcoin::secp256k1::{Message, Secp256k1};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, absolute,
    transaction,
};
use btc_iface::{AddressType, Chain as KeyChain, Credentials, Network, NodeConfig};
use btc_regtest::{Chain, Node};
use btc_rust::wallet::keys::{Keychain, Keyring, Signer};
use btc_rust::wallet::ledger::{Ledger, Unspent, View};
use btc_rust::wallet::source::ChainSource;
use btc_rust::wallet::source::core::CoreSource;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::reference::{self, State};

pub(crate) const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon \
                                abandon abandon abandon about";
pub(crate) const GAP: u32 = 10;
pub(crate) const RECEIVE: Keychain = (AddressType::P2wpkh, KeyChain::Receive);
pub(crate) const CHANGE: Keychain = (AddressType::P2wpkh, KeyChain::Change);
/// Enough of a fee for anything here, in satoshi.
const FEE_SAT: u64 = 2_000;

pub(crate) static SIGNER: LazyLock<Signer> =
    LazyLock::new(|| Signer::from_words(Network::Regtest, WORDS, "").expect("right words"));
static KEYRING: LazyLock<Keyring> =
    LazyLock::new(|| Keyring::new(Network::Regtest, &SIGNER.accounts()).expect("own output"));

pub(crate) fn keyring() -> &'static Keyring {
    &KEYRING
}

pub(crate) fn config(node: &Node) -> NodeConfig {
    NodeConfig {
        url: node.rpc_url(),
        credentials: Credentials::CookieFile(node.cookie_file().expect("a cookie")),
        ..NodeConfig::new(Network::Regtest)
    }
}

pub(crate) fn script(keychain: Keychain, index: u32) -> ScriptBuf {
    keyring().script(keychain, index).expect("a small index")
}

pub(crate) fn receive(index: u32) -> ScriptBuf {
    script(RECEIVE, index)
}

/// A script of nobody's.
pub(crate) fn stranger() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&bitcoin::hashes::Hash::from_byte_array([7; 20]))
}

/// Pays one amount and mines nothing.
pub(crate) fn pay(chain: &mut Chain<'_>, script: ScriptBuf, sat: u64) -> Txid {
    let outputs = [(script, Amount::from_sat(sat))];
    // A deep reorganisation takes coins away that the factory still believes in.
    (0..500)
        .find_map(|_| chain.pay(&outputs, 5).ok())
        .expect("the factory has coins")
}

/// Books in a folder of their own, and their source.
pub(crate) struct Wallet {
    pub(crate) ledger: Ledger,
    pub(crate) source: CoreSource,
    pub(crate) birthday: u32,
    folder: TempDir,
}

impl Wallet {
    pub(crate) fn new(node: &Node, birthday: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rust.sqlite");
        Self {
            ledger: Ledger::open(&path, keyring(), birthday, GAP).expect("new books"),
            source: CoreSource::connect(&config(node)).expect("a node"),
            birthday,
            folder,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("rust.sqlite")
    }

    /// Follows the chain and tells what is there.
    pub(crate) fn sync(&mut self) -> View {
        self.source.follow(&mut self.ledger).expect("a sync");
        (*self.ledger.view()).clone()
    }

    /// What the file says, in books opened anew.
    pub(crate) fn reopen(&mut self) -> View {
        self.ledger = Ledger::open(&self.path(), keyring(), self.birthday, GAP).expect("books");
        (*self.ledger.view()).clone()
    }

    /// Follows the chain, and compares the books, the file and the node's own word.
    #[track_caller]
    pub(crate) fn sync_right(&mut self, node: &Node) -> View {
        let view = self.sync();
        assert_eq!(State::from(&view), reference::state(node, self.birthday));
        assert_eq!(self.reopen(), view, "the file says something else");
        view
    }

    /// Spends coins to these outputs, signed; what is left but for `extra_fee_sat` goes to the
    /// change address with this index.
    pub(crate) fn spend(
        coins: &[Unspent],
        outputs: &[(ScriptBuf, u64)],
        change: u32,
        extra_fee_sat: u64,
    ) -> Transaction {
        let inputs_sat: u64 = coins.iter().map(|coin| coin.value_sat).sum();
        let paid_sat: u64 = outputs.iter().map(|(_, sat)| sat).sum();
        let left_sat = inputs_sat - paid_sat - FEE_SAT - extra_fee_sat;
        let mut outputs = outputs.to_vec();
        outputs.push((script(CHANGE, change), left_sat));
        Self::spend_as(&SIGNER, coins, &outputs)
    }

    /// Spends coins of whoever has these keys to these outputs and nothing else.
    pub(crate) fn spend_as(
        signer: &Signer,
        coins: &[Unspent],
        outputs: &[(ScriptBuf, u64)],
    ) -> Transaction {
        let input = |outpoint: OutPoint| TxIn {
            previous_output: outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        };
        let mut transaction = Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: coins.iter().map(|coin| input(coin.outpoint)).collect(),
            output: outputs
                .iter()
                .map(|(script_pubkey, sat)| TxOut {
                    value: Amount::from_sat(*sat),
                    script_pubkey: script_pubkey.clone(),
                })
                .collect(),
        };
        let secp = Secp256k1::new();
        let mut cache = SighashCache::new(&mut transaction);
        for (i, coin) in coins.iter().enumerate() {
            let value = Amount::from_sat(coin.value_sat);
            let all = EcdsaSighashType::All;
            let hash = cache
                .p2wpkh_signature_hash(i, &coin.script_pubkey, value, all)
                .expect("a P2WPKH coin");
            let key = signer.key(coin.keychain, coin.index).expect("own coin");
            let signature = bitcoin::ecdsa::Signature {
                signature: secp.sign_ecdsa(&Message::from(hash), &key),
                sighash_type: all,
            };
            *cache.witness_mut(i).expect("an input") =
                Witness::p2wpkh(&signature, &key.public_key(&secp));
        }
        transaction
    }

    /// Mines a block whose reward goes to the receiving address with this index.
    pub(crate) fn mine_own(node: &Node, index: u32) {
        let address = keyring().address(RECEIVE, index).expect("a small index");
        let params = [json!(1), json!(address.address)];
        let _: Value = node.call("generatetoaddress", &params).expect("a block");
    }

    pub(crate) fn send(&self, transaction: &Transaction) -> Txid {
        self.source
            .broadcast(transaction)
            .expect("a good transaction")
    }
}

/// Nodes of each kind that a wallet may meet.
pub(crate) fn nodes() -> [(&'static str, Node); 4] {
    [
        ("filters", Node::builder().block_filters(true)),
        ("no filters", Node::builder()),
        ("no REST", Node::builder().rest(false)),
        (
            "filters, no REST",
            Node::builder().rest(false).block_filters(true),
        ),
    ]
    .map(|(name, builder)| (name, builder.start().expect("a node")))
}
