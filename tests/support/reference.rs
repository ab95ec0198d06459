//! `Reference`: what a wallet owns, computed from the node's answers by Bitcoin Core and rust-bitcoin alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use bitcoin::consensus::encode;
use bitcoin::{Address, Amount, BlockHash, Network, OutPoint, ScriptBuf, Transaction, Txid};
use btc::rust::wallet::folder::Folder;
use btc::{BlockRef, WalletBalance, WalletState};
use btc_regtest::Node;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::suite::Outcome;
use crate::wallet::WalletFolder;

/// Confirmations from which on a coinbase counts.
const MATURITY: u32 = 100;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A wallet's scripts as Bitcoin Core derives them, up to an index that nobody reaches.
pub struct Reference {
    scripts: HashSet<ScriptBuf>,
    scan: Value,
}

#[derive(Deserialize)]
struct Scan {
    bestblock: BlockHash,
    height: u32,
    unspents: Vec<Unspent>,
}

#[derive(Deserialize)]
struct Unspent {
    txid: Txid,
    vout: u32,
    // A float on the way, which is exact below 2^53.
    #[serde(with = "bitcoin::amount::serde::as_btc")]
    amount: Amount,
    height: u32,
    coinbase: bool,
}

/// A coin and what it counts as.
#[derive(Clone, Copy)]
struct Owned {
    value_sat: u64,
    is_trusted: bool,
    is_confirmed: bool,
    is_immature: bool,
}

impl Reference {
    /// The scripts of this wallet with an index below `range`.
    ///
    /// # Errors
    /// Those of the folder and of the node.
    pub fn new(node: &Node, wallet: &WalletFolder, range: u32) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Described {
            descriptor: String,
        }
        let (file, _) = Folder::peek(wallet.path())?;
        let accounts = serde_json::to_value(&file)?;
        let accounts = accounts["accounts"].as_array().ok_or("no accounts")?;
        let mut scripts = HashSet::new();
        for account in accounts {
            for chain in ["receive", "change"] {
                let bare = account[chain].as_str().ok_or("no descriptor")?;
                let bare = bare.split('#').next().unwrap_or_default();
                let Described { descriptor } = node.call("getdescriptorinfo", &[json!(bare)])?;
                let addresses: Vec<Address<_>> = node.call(
                    "deriveaddresses",
                    &[json!(descriptor), json!([0, range - 1])],
                )?;
                for address in addresses {
                    scripts.insert(address.require_network(Network::Regtest)?.script_pubkey());
                }
            }
        }
        let scan = scripts
            .iter()
            .map(|script| format!("raw({})", script.to_hex_string()))
            .collect();
        Ok(Self { scripts, scan })
    }

    /// What the wallet owns now: confirmed from `scantxoutset`, the rest from the mempool's
    /// transactions, by the rules of `docs/wallet.md`.
    ///
    /// # Errors
    /// Those of the node.
    pub fn state(&self, node: &Node) -> Result<WalletState, Failure> {
        let scan: Scan = node.call("scantxoutset", &[json!("start"), self.scan.clone()])?;
        let mut coins = BTreeMap::new();
        for unspent in &scan.unspents {
            let confirmations = scan.height - unspent.height + 1;
            let owned = Owned {
                value_sat: unspent.amount.to_sat(),
                is_trusted: true,
                is_confirmed: true,
                is_immature: unspent.coinbase && confirmations < MATURITY,
            };
            coins.insert(OutPoint::new(unspent.txid, unspent.vout), owned);
        }
        self.add_mempool(&mempool(node)?, &mut coins);
        let mut balance = WalletBalance::default();
        for coin in coins.values() {
            *match coin {
                coin if coin.is_immature => &mut balance.immature_sat,
                coin if coin.is_confirmed => &mut balance.confirmed_sat,
                coin if coin.is_trusted => &mut balance.trusted_pending_sat,
                _ => &mut balance.untrusted_pending_sat,
            } += coin.value_sat;
        }
        Ok(WalletState {
            tip: BlockRef {
                height: scan.height,
                hash: scan.bestblock,
            },
            balance,
            coins: coins
                .into_iter()
                .map(|(outpoint, coin)| (outpoint, coin.value_sat))
                .collect(),
        })
    }

    /// Whether this script is one of the wallet's.
    pub fn owns(&self, script: &ScriptBuf) -> bool {
        self.scripts.contains(script)
    }

    /// Transactions in any order: whether one is trusted depends on its parents.
    fn add_mempool(&self, all: &[Transaction], coins: &mut BTreeMap<OutPoint, Owned>) {
        let by_txid: HashMap<Txid, &Transaction> =
            all.iter().map(|it| (it.compute_txid(), it)).collect();
        let mut outputs = coins.clone();
        let mut waiting: Vec<Txid> = by_txid.keys().copied().collect();
        while let Some(txid) = waiting.pop() {
            let inputs = &by_txid[&txid].input;
            let spent = inputs.iter().map(|input| input.previous_output);
            let is_ready = |parent: &Txid| !waiting.contains(parent);
            if !spent.clone().all(|it| is_ready(&it.txid)) {
                waiting.insert(0, txid);
                continue;
            }
            let is_trusted = spent
                .clone()
                .all(|it| outputs.get(&it).is_some_and(|coin| coin.is_trusted));
            for (vout, output) in (0..).zip(&by_txid[&txid].output) {
                if self.owns(&output.script_pubkey) {
                    let owned = Owned {
                        value_sat: output.value.to_sat(),
                        is_trusted,
                        is_confirmed: false,
                        is_immature: false,
                    };
                    outputs.insert(OutPoint::new(txid, vout), owned);
                }
            }
        }
        *coins = outputs;
        for input in all.iter().flat_map(|it| &it.input) {
            coins.remove(&input.previous_output);
        }
    }
}

/// That a wallet says the same as the node, to the satoshi and the coin.
///
/// # Errors
/// Where the two differ.
pub fn compare(who: &str, state: &WalletState, expected: &WalletState) -> Outcome {
    let mut state = state.clone();
    // The node does not know which payments are the wallet's own.
    state.balance.held_by_missing_sat = expected.balance.held_by_missing_sat;
    if state == *expected {
        return Ok(());
    }
    let known: HashSet<_> = state.coins.iter().collect();
    let there: HashSet<_> = expected.coins.iter().collect();
    let missing: Vec<_> = there.difference(&known).collect();
    let surplus: Vec<_> = known.difference(&there).collect();
    Err(format!(
        "{who} does not say what the node says\n  {who}: {:?} {:?}\n  node: {:?} {:?}\n  \
         missing {missing:?}, surplus {surplus:?}",
        state.tip, state.balance, expected.tip, expected.balance
    )
    .into())
}

/// The transactions of the mempool.
fn mempool(node: &Node) -> Result<Vec<Transaction>, Failure> {
    let txids: Vec<Txid> = node.call("getrawmempool", &[])?;
    let raw = txids.iter().map(|txid| {
        let hex: String = node.call("getrawtransaction", &[json!(txid)])?;
        Ok(encode::deserialize_hex(&hex)?)
    });
    raw.collect()
}
