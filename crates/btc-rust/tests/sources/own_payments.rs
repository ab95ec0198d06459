//! Own payments over the peer-to-peer network, whose mempools are not seen: they count until the
//! chain says otherwise.

use std::path::PathBuf;
use std::sync::Arc;

use bitcoin::{Amount, ScriptBuf};
use btc_iface::{
    AddressType, BitcoinResult, BitcoinTransaction, Credentials, ErrorKind, FeeRate, Network,
    NodeConfig, PaymentState, WalletInterface as _,
};
use btc_regtest::{Chain, Node};
use btc_rust::wallet::RustWallet;
use btc_rust::wallet::folder::{NewWallet, Origin, create};
use btc_rust::wallet::secret::Protection;
use btc_rust::wallet::source::ChainSource;
use btc_rust::wallet::source::core::CoreSource;
use btc_rust::wallet::source::p2p::P2pSource;
use serde_json::json;
use tempfile::TempDir;

use crate::setup::{config, connect, node, peer, source};
use crate::wallet::Pocket;

const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const PAID_SAT: u64 = 70_000;

/// A wallet's folder, paid three times on the node's chain.
pub(crate) struct Home {
    dir: PathBuf,
    _parent: TempDir,
}

impl Home {
    /// The wallet's folder alone.
    pub(crate) fn empty() -> Self {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = parent.path().join("wallet");
        let new = NewWallet {
            network: Network::Regtest,
            birthday: 0,
            gap_limit: 20,
            change_type: AddressType::P2wpkh,
            origin: Origin::Words {
                words: btc_iface::Secret::new(WORDS.to_owned()),
                bip39_passphrase: btc_iface::Secret::new(String::new()),
                protection: Protection::PlainRegtestOnly,
            },
        };
        create(&dir, &new).expect("a new wallet");
        Self {
            dir,
            _parent: parent,
        }
    }

    pub(crate) fn new(node: &Node, chain: &mut Chain<'_>) -> Self {
        let home = Self::empty();
        chain.mine(103).expect("blocks");
        let wallet = home.over_p2p(node);
        for value_sat in [100_000, 200_000, 300_000] {
            let address = wallet.generate_address(AddressType::P2wpkh);
            let script = address.expect("an address").script_pubkey;
            let outputs = [(script, Amount::from_sat(value_sat))];
            chain.pay(&outputs, 2).expect("the node takes it");
        }
        chain.mine(1).expect("a block");
        home
    }

    pub(crate) fn over(&self, source: Arc<dyn ChainSource>) -> RustWallet {
        let selection = btc_iface::CoinSelection::LargestFirst;
        RustWallet::open(&self.dir, None, selection, source).expect("the wallet")
    }

    fn over_p2p(&self, node: &Node) -> RustWallet {
        self.over(Arc::new(source(node)))
    }

    pub(crate) fn over_core(&self, node: &Node) -> RustWallet {
        let config = NodeConfig {
            url: node.rpc_url(),
            credentials: Credentials::CookieFile(node.cookie_file().expect("a cookie")),
            ..NodeConfig::new(Network::Regtest)
        };
        self.over(Arc::new(CoreSource::connect(&config).expect("a node")))
    }
}

pub(crate) fn pay(wallet: &RustWallet, fee_rate: u64) -> BitcoinTransaction {
    let to = Pocket::new("payee").script(0);
    let to = bitcoin::Address::from_script(&to, Network::Regtest).expect("an address");
    let built = wallet.create_transaction(vec![(to.to_string(), PAID_SAT)], fee_rate);
    let built = built.expect("enough coins");
    wallet
        .broadcast_transaction(&built)
        .expect("the node takes it");
    built
}

/// A replacement at this rate, handed over.
fn bump(wallet: &RustWallet, txid: bitcoin::Txid, fee_rate: u64) -> BitcoinResult<bitcoin::Txid> {
    let mut psbt = wallet.bump_fee(txid, FeeRate::from_sat_per_vb(fee_rate), &[])?;
    wallet.sign_psbt(&mut psbt)?;
    wallet.finalize_psbt(&mut psbt)?;
    let bumped = wallet.extract_psbt(&psbt, false)?;
    wallet.broadcast_transaction(&bumped)
}

pub(crate) fn state(wallet: &RustWallet, txid: bitcoin::Txid) -> Option<PaymentState> {
    let history = wallet.history().expect("a history");
    history
        .into_iter()
        .find(|entry| entry.txid == txid)
        .map(|entry| entry.state)
}

/// Everything that a wallet says about itself.
fn account(wallet: &RustWallet) -> String {
    wallet.sync().expect("it follows");
    let coins = wallet.unspent().expect("coins").into_iter();
    let coins: Vec<_> = coins
        .map(|coin| (coin.outpoint, coin.value_sat, coin.state))
        .collect();
    let history = wallet.history().expect("a history").into_iter();
    let history: Vec<_> = history
        .map(|entry| (entry.txid, entry.state, entry.block))
        .collect();
    let balance = wallet.balance().expect("a balance");
    format!("{balance:?} {coins:?} {history:?}")
}

#[test]
fn a_payment_whose_block_is_undone_is_pending_and_its_coin_spent() {
    let node = node();
    let mut chain = Chain::new(&node, 1).expect("a chain");
    let home = Home::new(&node, &mut chain);
    let wallet = home.over_p2p(&node);
    let payment = pay(&wallet, 2);
    assert_eq!(state(&wallet, payment.txid), Some(PaymentState::InMempool));
    chain.mine(1).expect("a block");
    wallet.sync().expect("it follows");
    assert_eq!(state(&wallet, payment.txid), Some(PaymentState::Confirmed));
    chain.reorg_empty(1).expect("invalidated, and two others");
    let mempool: Vec<String> = node.call("getrawmempool", &[]).expect("it answers");
    assert_eq!(mempool, [payment.txid.to_string()]);
    let told = account(&wallet);
    assert_eq!(state(&wallet, payment.txid), Some(PaymentState::InMempool));
    // The largest coin is spent: the next payment takes another.
    let next = wallet.create_transaction(vec![(bcrt(), PAID_SAT)], 2);
    let next = next.expect("enough coins");
    let spent: Vec<_> = payment.inputs.iter().map(|it| it.previous_output).collect();
    assert!(
        next.inputs
            .iter()
            .all(|it| !spent.contains(&it.previous_output))
    );
    drop(wallet);
    assert_eq!(told, account(&home.over_core(&node)));
    // And after a restart over peers.
    assert_eq!(told, account(&home.over_p2p(&node)));
    chain.mine(1).expect("a block");
    let wallet = home.over_p2p(&node);
    wallet.sync().expect("it follows");
    assert_eq!(state(&wallet, payment.txid), Some(PaymentState::Confirmed));
}

pub(crate) fn bcrt() -> String {
    let to: ScriptBuf = Pocket::new("payee").script(1);
    let to = bitcoin::Address::from_script(&to, Network::Regtest);
    to.expect("an address").to_string()
}

#[test]
fn a_bump_that_is_refused_leaves_the_original() {
    let (node, second) = (node(), node());
    let mut chain = Chain::new(&node, 2).expect("a chain");
    let home = Home::new(&node, &mut chain);
    connect(&node, &second);
    // One peer alone would not be believed.
    let both = config(vec![peer(&node), peer(&second)]);
    let both = P2pSource::start(both).expect("a right configuration");
    let wallet = home.over(Arc::new(both));
    let payment = pay(&wallet, 2);
    wallet.sync().expect("it follows");
    // The payee spends it at a high fee, which a replacement would have to pay for as well: only
    // the node can know.
    let mut payee = Pocket::new("payee");
    let hex: String = node
        .call("getrawtransaction", &[json!(payment.txid)])
        .expect("it is in the mempool");
    let transaction = bitcoin::consensus::encode::deserialize_hex(&hex).expect("its own");
    payee.remember(&transaction);
    let coin = payee.coins().into_keys().next().expect("a coin");
    let onward = payee.spend(coin, payee.script(5), 30_000);
    let hex = bitcoin::consensus::encode::serialize_hex(&onward);
    for node in [&node, &second] {
        // One may have it from the other.
        let sent = node.call::<String>("sendrawtransaction", &[json!(hex)]);
        sent.expect("the node takes it");
    }
    let before = account(&wallet);
    let error = bump(&wallet, payment.txid, 5).expect_err("it pays too little");
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert_eq!(before, account(&wallet));
    assert_eq!(state(&wallet, payment.txid), Some(PaymentState::InMempool));
    let next = wallet.create_transaction(vec![(bcrt(), PAID_SAT)], 2);
    let next = next.expect("enough coins");
    let spent: Vec<_> = payment.inputs.iter().map(|it| it.previous_output).collect();
    assert!(
        next.inputs
            .iter()
            .all(|it| !spent.contains(&it.previous_output))
    );
    chain.mine(1).expect("a block");
    wallet.sync().expect("it follows");
    assert_eq!(state(&wallet, payment.txid), Some(PaymentState::Confirmed));
}

#[test]
fn what_the_peers_have_forgotten_is_sent_again() {
    let builder = Node::builder().listen(true).block_filters(true);
    let node = builder.arg("-persistmempool=0").start().expect("a node");
    let mut chain = Chain::new(&node, 3).expect("a chain");
    let home = Home::new(&node, &mut chain);
    let wallet = home.over_p2p(&node);
    let payment = pay(&wallet, 2);
    wallet.sync().expect("it follows");
    node.stop().expect("it stops");
    bump(&wallet, payment.txid, 9).expect_err("no peer is there");
    node.restart().expect("it starts again");
    let mempool = || -> Vec<String> { node.call("getrawmempool", &[]).expect("it answers") };
    assert!(mempool().is_empty());
    // The bump was handed over to no one, so that it is not known to have displaced the payment.
    wallet.sync().expect("it follows");
    assert_eq!(state(&wallet, payment.txid), Some(PaymentState::InMempool));
    let sent = wallet.rebroadcast(None).expect("the node is there");
    assert!(sent.iter().all(|(_, error)| error.is_none()), "{sent:?}");
    assert_eq!(mempool().len(), 1, "one of the two");
    let error = wallet.abandon(payment.txid);
    let error = error.expect_err("whether a node has it is not known");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    chain.mine(1).expect("a block");
    wallet.sync().expect("it follows");
    let history = wallet.history().expect("a history");
    let confirmed = history
        .iter()
        .filter(|it| it.sent_sat > 0 && it.block.is_some());
    assert_eq!(confirmed.count(), 1, "{history:?}");
}
