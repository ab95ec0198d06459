//! `Stage`: one node and one chain for all mutants, which come on one after another.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::script::ScriptBuf;
use bitcoin::{Amount, BlockHash, Transaction, Txid, WPubkeyHash, hashes::Hash};
use btc::rust::RustBitcoin;
use btc::{NodeConfig, ObservedWallet};
use btc_regtest::{Chain, Node, NodeBuilder, Plan};
use btc_tests::{builder, eventually, node_config};
use serde_json::{Value, json};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// 1.51 sat/vB: not a whole number, so that rounding shows.
const MINIMUM_RATE: &str = "-minrelaytxfee=0.0000151";
/// An amount that a float of BTC does not hold.
const UNEVEN_SAT: u64 = 57_000_000;

/// What a mutant stands on.
pub(crate) struct Ground<'n> {
    pub(crate) chain: Chain<'n>,
    pub(crate) node: NodeConfig,
    /// The Rust implementation, without a wallet.
    pub(crate) rust: Arc<dyn ObservedWallet>,
    /// Transactions of every kind.
    pub(crate) txids: Vec<String>,
    /// The blocks that hold most of them.
    pub(crate) blocks: Vec<String>,
    /// Where a node that starts reads blocks from, before its mempool; mostly there is nothing.
    gate: PathBuf,
}

impl Ground<'_> {
    /// A transaction that waits in the mempool.
    pub(crate) fn waiting(&mut self) -> Result<String, Failure> {
        let waiting: Vec<String> = self.chain.node().call("getrawmempool", &[])?;
        if let Some(first) = waiting.into_iter().next() {
            return Ok(first);
        }
        let transaction = self.chain.spend_one()?;
        send(self.chain.node(), &transaction)?;
        Ok(transaction.compute_txid().to_string())
    }
}

impl Ground<'_> {
    /// Runs something while the node, which is started again, has not read its mempool: it waits
    /// for blocks from a pipe.
    pub(crate) fn with_unloaded_mempool(
        &self,
        run: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let is_loaded = |node: &Node| -> Result<bool, Failure> {
            let info: Value = node.call("getmempoolinfo", &[])?;
            Ok(info["loaded"] == true)
        };
        let made = Command::new("mkfifo").arg(&self.gate).status()?;
        assert!(made.success(), "a pipe cannot be made");
        let node = self.chain.node();
        node.restart()?;
        let outcome = match is_loaded(node) {
            Ok(false) => run(),
            Ok(true) => Err("the mempool is loaded".into()),
            Err(error) => Err(error),
        };
        // The end of the pipe.
        drop(File::options().write(true).open(&self.gate)?);
        fs::remove_file(&self.gate)?;
        eventually("the mempool is loaded", || {
            is_loaded(node).is_ok_and(|is_loaded| is_loaded)
        });
        outcome
    }
}

type Job = Box<dyn FnOnce(&mut Ground<'_>) + Send>;

/// The ground, on a thread of its own that takes one job after another.
pub(crate) struct Stage {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Stage {
    /// Starts the node and fills its chain with everything on which a fault may show.
    pub(crate) fn start() -> Result<Self, Failure> {
        Self::on(|options| options.block_filters(true), prepare)
    }

    /// Starts a node without a history, whose fee rates are its minimum.
    pub(crate) fn bare() -> Result<Self, Failure> {
        Self::on(
            |options| options.arg(MINIMUM_RATE),
            |node, gate| ground(Chain::new(node, 1)?, gate, &[], &[]),
        )
    }

    fn on(
        options: impl FnOnce(NodeBuilder) -> NodeBuilder,
        prepare: impl FnOnce(&Node, PathBuf) -> Result<Ground<'_>, Failure> + Send + 'static,
    ) -> Result<Self, Failure> {
        let home = tempfile::tempdir()?;
        let gate = home.path().join("blocks");
        let options = options(builder().arg(format!("-loadblock={}", gate.display())));
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, is_ready) = mpsc::sync_channel(1);
        let thread = thread::spawn(move || {
            let _home = home;
            let node = match options.start() {
                Ok(node) => node,
                Err(error) => return ready.send(Err(error.into())).unwrap_or_default(),
            };
            match prepare(&node, gate) {
                Ok(mut ground) => {
                    if ready.send(Ok(())).is_ok() {
                        for job in queue {
                            job(&mut ground);
                        }
                    }
                }
                Err(error) => ready.send(Err(error)).unwrap_or_default(),
            }
        });
        is_ready.recv()??;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Runs something on the ground, alone.
    pub(crate) fn with<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Ground<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (reply, answer) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |ground| {
            let outcome = catch_unwind(AssertUnwindSafe(|| run(ground)));
            // The receiver waits below.
            let _ = reply.send(outcome);
        });
        let jobs = self.jobs.as_ref().expect("taken on drop only");
        jobs.send(job).map_err(|_| "the stage's thread has ended")?;
        match answer.recv()? {
            Ok(outcome) => outcome,
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was shown when it happened.
            let _ = thread.join();
        }
    }
}

fn prepare(node: &Node, gate: PathBuf) -> Result<Ground<'_>, Failure> {
    let mut chain = Chain::new(node, 1)?;
    let summary = chain.build(&Plan::small(), &mut |_| {})?;
    let uneven = chain.pay(&[(somebody(), Amount::from_sat(UNEVEN_SAT))], 3)?;
    let last = chain.mine(1)?;
    eventually("the transaction index is complete", || {
        node.call::<Value>("getindexinfo", &[])
            .is_ok_and(|info| info["txindex"]["synced"] == true)
    });
    let odd = summary.odd_block.ok_or("the plan has an odd block")?;
    let full = summary.blocks.iter().rev().nth(1);
    let (_, full) = full.ok_or("the plan has blocks")?;
    let coinbase: Value = node.call("getblock", &[json!(full)])?;
    let coinbase = coinbase["tx"][0].as_str().ok_or("a block has a coinbase")?;
    let mut txids: Vec<Txid> = summary
        .kinds
        .values()
        .filter_map(|all| all.first().copied())
        .collect();
    txids.extend(summary.mempool);
    txids.extend([uneven, coinbase.parse()?]);
    let blocks: Vec<_> = [*full, odd].into_iter().chain(last).collect();
    ground(chain, gate, &txids, &blocks)
}

fn ground<'n>(
    chain: Chain<'n>,
    gate: PathBuf,
    txids: &[Txid],
    blocks: &[BlockHash],
) -> Result<Ground<'n>, Failure> {
    let node = node_config(chain.node());
    Ok(Ground {
        rust: Arc::new(RustBitcoin::connect(&node)?),
        node,
        chain,
        txids: txids.iter().map(ToString::to_string).collect(),
        blocks: blocks.iter().map(ToString::to_string).collect(),
        gate,
    })
}

/// Hands a transaction to the node.
pub(crate) fn send(node: &Node, transaction: &Transaction) -> Result<(), Failure> {
    let hex = serialize_hex(transaction);
    let _: Txid = node.call("sendrawtransaction", &[json!(hex)])?;
    Ok(())
}

/// A script of nobody here.
pub(crate) fn somebody() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([7; 20]))
}
