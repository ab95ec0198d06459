//! The same state computed from scratch: every block and the mempool as the node's JSON, every
//! script up to a high index, one map of coins.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use bitcoin::{OutPoint, Txid};
use btc_iface::{CoinState, WalletBalance};
use btc_regtest::Node;
use btc_rust::wallet::ledger::View;
use serde_json::{Value, json};

use crate::wallet::keyring;

/// More indices than any test uses.
const INDICES: u32 = 150;

static SCRIPTS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let keychains = keyring().keychains();
    let scripts = keychains.flat_map(|(keychain, _)| {
        let script = move |index| keyring().script(keychain, index).expect("a small index");
        (0..INDICES).map(move |index| script(index).to_hex_string())
    });
    scripts.collect()
});

/// Coins with amount, state and height, and their sums.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) tip: (u32, String),
    pub(crate) coins: BTreeMap<OutPoint, (u64, CoinState, Option<u32>)>,
    pub(crate) balance: WalletBalance,
}

impl From<&View> for State {
    fn from(view: &View) -> Self {
        let coin = |coin: &btc_rust::wallet::ledger::Unspent| {
            let height = coin.block.map(|block| block.height);
            (coin.outpoint, (coin.value_sat, coin.state, height))
        };
        Self {
            tip: (view.tip.height, view.tip.hash.to_string()),
            coins: view.coins.iter().map(coin).collect(),
            balance: view.balance,
        }
    }
}

/// What a wallet with this birthday owns by the node's word.
pub(crate) fn state(node: &Node, birthday: u32) -> State {
    let mut books = Books {
        scripts: SCRIPTS.clone(),
        ..Books::default()
    };
    let tip: u32 = call(node, "getblockcount", &[]);
    let tip_hash: String = call(node, "getblockhash", &[json!(tip)]);
    for height in birthday..=tip {
        let hash: String = call(node, "getblockhash", &[json!(height)]);
        let block: Value = call(node, "getblock", &[json!(hash), json!(2)]);
        for transaction in block["tx"].as_array().expect("transactions") {
            books.add(transaction, Some(height));
        }
    }
    // Parents first.
    let listing: Vec<String> = call(node, "getrawmempool", &[]);
    let mut waiting: Vec<Value> = listing
        .iter()
        .map(|txid| call(node, "getrawtransaction", &[json!(txid), json!(1)]))
        .collect();
    while !waiting.is_empty() {
        let open: BTreeSet<String> = waiting.iter().map(txid_text).collect();
        let is_ready = |transaction: &Value| {
            let mut inputs = inputs(transaction).into_iter();
            inputs.all(|outpoint| !open.contains(&outpoint.txid.to_string()))
        };
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_ready);
        assert!(!ready.is_empty(), "a circle");
        for transaction in &ready {
            books.add(transaction, None);
        }
        waiting = rest;
    }
    books.state(tip, tip_hash)
}

#[derive(Default)]
struct Books {
    scripts: BTreeSet<String>,
    /// Every output of ours: amount, height, whether of a coinbase.
    outputs: HashMap<OutPoint, (u64, Option<u32>, bool)>,
    spent: BTreeSet<OutPoint>,
    trusted: BTreeSet<Txid>,
}

impl Books {
    fn add(&mut self, transaction: &Value, height: Option<u32>) {
        let txid: Txid = txid_text(transaction).parse().expect("a txid");
        let inputs = inputs(transaction);
        let is_coinbase = inputs.is_empty();
        let is_trusted = height.is_none()
            && inputs.iter().all(|spent| {
                let known = self.outputs.get(spent);
                known.is_some_and(|(_, height, _)| {
                    height.is_some() || self.trusted.contains(&spent.txid)
                })
            });
        if is_trusted {
            self.trusted.insert(txid);
        }
        self.spent.extend(inputs);
        for output in transaction["vout"].as_array().expect("outputs") {
            let script = output["scriptPubKey"]["hex"].as_str().expect("a script");
            if self.scripts.contains(script) {
                let vout = u32::try_from(output["n"].as_u64().expect("a number"));
                let outpoint = OutPoint {
                    txid,
                    vout: vout.expect("a small number"),
                };
                let sat = sat(&output["value"]);
                self.outputs.insert(outpoint, (sat, height, is_coinbase));
            }
        }
    }

    fn state(self, tip: u32, tip_hash: String) -> State {
        let mut state = State {
            tip: (tip, tip_hash),
            ..State::default()
        };
        for (outpoint, (sat, height, is_coinbase)) in self.outputs {
            if self.spent.contains(&outpoint) {
                continue;
            }
            let balance = &mut state.balance;
            let (bucket, kind) = match height {
                Some(height) if is_coinbase && tip - height < 99 => {
                    (&mut balance.immature_sat, CoinState::Immature)
                }
                Some(_) => (&mut balance.confirmed_sat, CoinState::Confirmed),
                None if self.trusted.contains(&outpoint.txid) => {
                    (&mut balance.trusted_pending_sat, CoinState::TrustedPending)
                }
                None => (
                    &mut balance.untrusted_pending_sat,
                    CoinState::UntrustedPending,
                ),
            };
            *bucket += sat;
            state.coins.insert(outpoint, (sat, kind, height));
        }
        state
    }
}

fn inputs(transaction: &Value) -> Vec<OutPoint> {
    let inputs = transaction["vin"].as_array().expect("inputs").iter();
    inputs
        .filter_map(|input| {
            let vout = u32::try_from(input["vout"].as_u64()?).ok()?;
            let txid = input["txid"].as_str()?.parse().ok()?;
            Some(OutPoint { txid, vout })
        })
        .collect()
}

fn txid_text(transaction: &Value) -> String {
    transaction["txid"].as_str().expect("a txid").to_owned()
}

fn sat(value: &Value) -> u64 {
    let text = value.to_string();
    bitcoin::Amount::from_str_in(&text, bitcoin::Denomination::Bitcoin)
        .unwrap_or_else(|_| {
            // serde_json writes a small float in powers of ten.
            bitcoin::Amount::from_btc(value.as_f64().expect("a number")).expect("an amount")
        })
        .to_sat()
}

fn call<T: serde::de::DeserializeOwned>(node: &Node, method: &str, params: &[Value]) -> T {
    node.call(method, params).expect(method)
}
