//! The program: the wallet's verbs as people and scripts meet them.

mod birthday;
mod forgotten;
mod giving_up;
mod liars;
mod mainnet;
mod message;
mod modes;
mod money;
mod prompts;
mod psbt;
mod raise;
mod remarks;
mod reported;
mod restoring;
mod sending;
mod setup;
mod wrong;

use std::sync::Arc;

use btc::bitcoin::{Amount, ScriptBuf, TxOut, Txid};
use btc::{AddressType, Credentials, Network, NodeConfig};
use btc_regtest::sim::{SimNode, coins};
use btc_regtest::{Chain, Node};
use btc_tests::{Outcome, Program, Run, Suite, Test, WalletFolder};
use serde_json::{Value, json};

use crate::Phase;

/// A case over a node whose chain it may change.
type Case = fn(&mut Chain<'_>, &NodeConfig) -> Outcome;

/// What fails a step of a case.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Somebody's address on regtest.
const SOMEBODY: &str = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202";

pub(crate) fn add(suite: &mut Suite, phase: &Arc<Phase>) {
    let groups: [&[(&str, Case)]; 13] = [
        birthday::CASES,
        message::CASES,
        remarks::CASES,
        reported::CASES,
        restoring::CASES,
        forgotten::CASES,
        giving_up::CASES,
        sending::CASES,
        setup::CASES,
        money::CASES,
        raise::CASES,
        psbt::CASES,
        wrong::CASES,
    ];
    let more: [&[(&str, Case)]; 4] = [modes::CASES, mainnet::CASES, prompts::CASES, liars::CASES];
    for (name, case) in groups.into_iter().chain(more).flatten() {
        let phase = Arc::clone(phase);
        suite.add(format!("cli::{name}"), move || {
            phase.programs(|lab| lab.with(move |chain, node| case(chain, &node)))
        });
    }
    let alone: [&[(&str, Test)]; 2] = [wrong::ALONE, modes::ALONE];
    for (name, test) in alone.into_iter().flatten() {
        suite.add(format!("cli::{name}"), test);
    }
}

/// A simulated node, and how to reach it.
fn simulated() -> Result<(SimNode, NodeConfig), Failed> {
    let node = SimNode::builder().start()?;
    let config = reached(&node);
    Ok((node, config))
}

/// How a simulated node is reached.
fn reached(node: &SimNode) -> NodeConfig {
    NodeConfig {
        url: node.rpc_url(),
        credentials: Credentials::CookieFile(node.cookie_file()),
        ..NodeConfig::new(Network::Regtest)
    }
}

/// A wallet in the clear, and the program over it.
struct Purse<'a> {
    folder: WalletFolder,
    node: &'a NodeConfig,
}

impl<'a> Purse<'a> {
    /// A new wallet that looks at what comes from now on.
    fn new(chain: &Chain<'_>, node: &'a NodeConfig) -> Result<Self, Failed> {
        Ok(Self {
            folder: WalletFolder::random(chain.height())?,
            node,
        })
    }

    /// The program with these arguments.
    fn program(&self, arguments: &[&str]) -> Program {
        Program::with(arguments)
            .node(self.node)
            .env("WALLET_DIR", self.folder.path())
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.program(arguments).run()
    }

    /// The result of a verb that succeeds.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        self.run(&arguments).code(0).json()
    }

    /// A new address of this type, with its script.
    #[track_caller]
    fn address(&self, address_type: AddressType) -> Result<(String, ScriptBuf), Failed> {
        let address = self.json(&["address", "new", "--type", address_type.as_str()]);
        Ok((
            text(&address["address"]),
            script(&address["script_pubkey"])?,
        ))
    }

    /// Somebody pays the wallet these amounts, which confirms.
    fn receive(
        &self,
        chain: &mut Chain<'_>,
        address_type: AddressType,
        values_sat: &[u64],
    ) -> Result<Txid, Failed> {
        let mut outputs = Vec::new();
        for value_sat in values_sat {
            let (_, script) = self.address(address_type)?;
            outputs.push((script, Amount::from_sat(*value_sat)));
        }
        let txid = chain.pay(&outputs, 2)?;
        chain.mine(1)?;
        Ok(txid)
    }

    /// The same over a simulated node.
    fn receive_from(&self, node: &SimNode, value_sat: u64) -> Result<(), Failed> {
        let (_, script_pubkey) = self.address(AddressType::P2wpkh)?;
        let value = Amount::from_sat(value_sat);
        let paid = vec![TxOut {
            value,
            script_pubkey,
        }];
        node.submit(&coins::spend(&node.open_coins()[..1], paid, 2))?;
        node.mine(coins::script(1))?;
        Ok(())
    }

    /// What the wallet can spend, in satoshi.
    #[track_caller]
    fn spendable_sat(&self) -> Option<u64> {
        self.json(&["balance"])["spendable_sat"].as_u64()
    }

    /// That no coin is reserved or locked.
    #[track_caller]
    fn assert_nothing_reserved(&self) {
        let coins = self.json(&["utxo"]);
        for coin in coins.as_array().expect("a list") {
            assert!(coin["reserved_for"].is_null(), "{coin}");
        }
    }
}

/// The wallet's files aside: what the node has waiting.
fn mempool(node: &Node) -> Result<Vec<String>, Failed> {
    Ok(node.call("getrawmempool", &[json!(false)])?)
}

/// The fee in satoshi that the node says a waiting transaction pays.
fn fee_sat(node: &Node, txid: &str) -> Result<u64, Failed> {
    let entry: Value = node.call("getmempoolentry", &[json!(txid)])?;
    sat(&entry["fees"]["base"])
}

/// An amount of the node's, which comes with at most eight decimals.
fn sat(btc: &Value) -> Result<u64, Failed> {
    let btc = btc.as_f64().ok_or("a number")?;
    Ok(Amount::from_btc(btc)?.to_sat())
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn script(value: &Value) -> Result<ScriptBuf, Failed> {
    Ok(ScriptBuf::from_hex(value.as_str().unwrap_or_default())?)
}

/// What a failed verb with `--json` says.
#[track_caller]
fn error(run: &Run) -> Value {
    let error: Value = serde_json::from_str(&run.stderr).expect("the error as JSON");
    error["error"].clone()
}
