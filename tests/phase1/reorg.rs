//! A reorganisation between the two reads, off the caller's path: what it explains is no mismatch,
//! and what it does not explain is one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use btc::python::{PythonBitcoin, PythonMode};
use btc::shadow::compare::Verdict;
use btc::shadow::record::{Comparison, Event};
use btc::shadow::sink::MemorySink;
use btc::shadow::{OffPath, Policy, Shadow};
use btc::{
    AddressType, BitcoinAddress, BitcoinImplementationType, BitcoinInterface, BitcoinResult,
    BitcoinTransaction, NodeConfig, Operation,
};
use btc_regtest::{Chain, NodeError};
use btc_tests::{Backend, Change, Outcome, Suite, node_config, python_config};

use crate::Phase;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Far more than any of these takes.
const LIMIT: Duration = Duration::from_mins(2);
const HONEST: &str = "btc_legacy.backend:LegacyBackend";

const CASES: &[(&str, Change)] = &[
    ("back_in_the_mempool", |chain, _| {
        honest(chain, |chain, _| chain.reorg_empty(1).map(drop))
    }),
    ("mined_elsewhere", |chain, _| {
        honest(chain, |chain, _| chain.reorg(2).map(drop))
    }),
    ("taken_back_without_another_block", |chain, _| {
        honest(chain, |chain, _| chain.disconnect(1).map(drop))
    }),
    ("replaced_at_the_same_height", |chain, _| {
        honest(chain, |chain, read| {
            let rival = chain.double_spend(&read.spent)?;
            chain.disconnect(1)?;
            chain.mine_transactions(&[rival])?;
            Ok(())
        })
    }),
    ("again_and_again", |chain, _| again_and_again(chain)),
    ("faults_are_found_all_the_same", |chain, _| faulty(chain)),
];

pub(crate) fn add(suite: &mut Suite, phase: &Arc<Phase>) {
    for (name, case) in CASES {
        let phase = Arc::clone(phase);
        suite.add(format!("between_the_reads::{name}"), move || {
            phase.indexed(|lab| lab.run(Backend::Rust, *case))
        });
    }
}

/// A side that arrives at each of its reads, and waits there until it may go on.
struct Held {
    side: Arc<dyn BitcoinInterface>,
    arrivals: SyncSender<SyncSender<()>>,
}

impl Held {
    fn arrive(&self) {
        let (go, may_go) = mpsc::sync_channel(1);
        // Nobody holds it any more once the test has ended.
        if self.arrivals.send(go).is_ok() {
            let _ = may_go.recv();
        }
    }
}

impl BitcoinInterface for Held {
    fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.arrive();
        self.side.get_transaction(txid)
    }
    fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.arrive();
        self.side.get_block(hash)
    }
    fn get_block_height(&self) -> BitcoinResult<u32> {
        self.arrive();
        self.side.get_block_height()
    }
    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.side.generate_address(address_type)
    }
    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        self.side.create_transaction(outputs, fee_rate)
    }
    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        self.side.broadcast_transaction(transaction)
    }
    fn get_balance(&self) -> BitcoinResult<u64> {
        self.side.get_balance()
    }
    fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        self.arrive();
        self.side.estimate_fee(target_blocks)
    }
    fn implementation_type(&self) -> BitcoinImplementationType {
        self.side.implementation_type()
    }
}

/// Shadow mode whose secondary waits to be let go.
struct Scene {
    shadow: Shadow,
    sink: Arc<MemorySink>,
    arrivals: Receiver<SyncSender<()>>,
}

/// What both sides are, in each role in turn: Rust, and this Python class.
fn scenes(node: &NodeConfig, class: &str) -> Result<[Scene; 2], Failure> {
    let mut config = python_config(node, PythonMode::Embedded);
    class.clone_into(&mut config.backend);
    let python: Arc<dyn BitcoinInterface> = Arc::new(PythonBitcoin::connect(&config)?);
    let rust = Backend::Rust.connect(node)?;
    Ok([
        Scene::new(Arc::clone(&python), Arc::clone(&rust))?,
        Scene::new(rust, python)?,
    ])
}

impl Scene {
    fn new(
        primary: Arc<dyn BitcoinInterface>,
        side: Arc<dyn BitcoinInterface>,
    ) -> BitcoinResult<Self> {
        let (arrive, arrivals) = mpsc::sync_channel(64);
        let secondary = Arc::new(Held {
            side,
            arrivals: arrive,
        });
        let sink = Arc::new(MemorySink::default());
        let policy = Policy {
            recheck_after_ms: vec![50, 200],
        };
        let log = Box::new(Arc::clone(&sink));
        let settings = OffPath {
            timeout: LIMIT,
            look_every: Duration::ZERO,
            report_every: Duration::ZERO,
            ..OffPath::default()
        };
        let shadow = Shadow::new(primary, secondary, policy, log, true).off_path(settings)?;
        Ok(Self {
            shadow,
            sink,
            arrivals,
        })
    }

    /// Lets the secondary go on whenever it arrives, each time after this, until every call has
    /// its verdict: what was found.
    fn judge(
        self,
        mut before: impl FnMut() -> Result<(), NodeError>,
    ) -> Result<BTreeMap<Operation, Vec<Comparison>>, Failure> {
        let books = self.shadow.books();
        let started = Instant::now();
        loop {
            let counts = books.counts();
            if counts.close() {
                break;
            }
            if started.elapsed() > LIMIT {
                return Err(format!("calls without a verdict: {counts:?}").into());
            }
            if let Ok(go) = self.arrivals.recv_timeout(Duration::from_millis(5)) {
                before()?;
                // It waits for nothing else.
                let _ = go.send(());
            }
        }
        let offered = books.counts().total_offered();
        assert!(self.shadow.finish(LIMIT));
        drop(self.shadow);
        let counts = books.counts();
        assert!(counts.close(), "{counts:?}");
        assert_eq!(counts.total_offered(), offered);
        let mut found = BTreeMap::<_, Vec<_>>::new();
        for line in self.sink.lines() {
            if let Event::Comparison(comparison) = line.event {
                found
                    .entry(comparison.operation)
                    .or_default()
                    .push(comparison);
            }
        }
        Ok(found)
    }
}

/// What is read before the chain is another one.
struct Reading {
    spent: bitcoin::Transaction,
    txid: String,
    block: BlockHash,
    height: u32,
}

impl Reading {
    /// Mines a transaction into the last block.
    fn mine(chain: &mut Chain<'_>) -> Result<Self, NodeError> {
        let spent = chain.spend_one()?;
        let block = chain.mine_transactions(std::slice::from_ref(&spent))?;
        Ok(Self {
            txid: spent.compute_txid().to_string(),
            spent,
            block,
            height: chain.height(),
        })
    }

    /// Reads through the primary, which is answered while the secondary waits.
    fn read(&self, bitcoin: &dyn BitcoinInterface) -> Outcome {
        let found = bitcoin.get_transaction(&self.txid)?;
        assert_eq!(found.block_hash, Some(self.block));
        let block = bitcoin.get_block(&self.block.to_string())?;
        assert_eq!(block.len(), 2);
        let coinbase = bitcoin.get_transaction(&block[0].txid.to_string())?;
        assert_eq!(coinbase.block_hash, Some(self.block));
        assert_eq!(bitcoin.get_block_height()?, self.height);
        Ok(())
    }
}

/// Both sides are right, and read on two chains.
fn honest(
    chain: &mut Chain<'_>,
    reorganise: impl Fn(&mut Chain<'_>, &Reading) -> Result<(), NodeError>,
) -> Outcome {
    for scene in scenes(&node_config(chain.node()), HONEST)? {
        let reading = Reading::mine(chain)?;
        reading.read(&scene.shadow)?;
        reorganise(chain, &reading)?;
        let found = scene.judge(|| Ok(()))?;
        assert_eq!(found.values().map(Vec::len).sum::<usize>(), 4);
        for comparison in found.values().flatten() {
            let is_explained = matches!(
                comparison.verdict,
                Verdict::Match | Verdict::Recovered | Verdict::Inconclusive
            );
            assert!(is_explained, "{comparison:#?}");
        }
        // The transaction and the coinbase have another place, or none, and the two reads saw that.
        let transactions = &found[&Operation::GetTransaction];
        for comparison in transactions {
            assert_eq!(comparison.verdict, Verdict::Recovered, "{comparison:#?}");
        }
        let height = &found[&Operation::GetBlockHeight][0];
        let is_same = chain.height() == reading.height;
        let expected = if is_same {
            Verdict::Match
        } else {
            Verdict::Recovered
        };
        assert_eq!(height.verdict, expected, "{height:#?}");
        // A block that was taken back is served still, by both.
        assert_eq!(found[&Operation::GetBlock][0].verdict, Verdict::Match);
        chain.mine(1)?;
    }
    Ok(())
}

/// The chain is another one each time the secondary is asked, to the end: nothing can be said.
fn again_and_again(chain: &mut Chain<'_>) -> Outcome {
    for scene in scenes(&node_config(chain.node()), HONEST)? {
        chain.mine(2)?;
        let height = chain.height();
        assert_eq!(scene.shadow.get_block_height()?, height);
        let found = scene.judge(|| chain.reorg_empty(1).map(drop))?;
        let found = &found[&Operation::GetBlockHeight][0];
        assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
        let reason = "an answer changed while both sides were asked";
        assert_eq!(found.reason.as_deref(), Some(reason));
        assert_eq!(found.rechecks, 2);
        // The first look, two rechecks, and once more to see whether both stay with it.
        assert_eq!(chain.height(), height + 4);
    }
    Ok(())
}

/// A Python class that is wrong, the operation, and where it must be found.
const FAULTS: [(&str, Operation, &str); 4] = [
    ("blocks:StaleTip", Operation::GetBlockHeight, "height"),
    (
        "blocks:BlockBefore",
        Operation::GetTransaction,
        "block_hash",
    ),
    (
        "blocks:ReversedBlockHash",
        Operation::GetTransaction,
        "block_hash",
    ),
    ("reads:OffByOneSat", Operation::GetTransaction, "outputs["),
];

/// The reorganisation explains a difference at first; what stays when the chain stands still is
/// found, in either role.
fn faulty(chain: &mut Chain<'_>) -> Outcome {
    for (class, operation, path) in FAULTS {
        let class = format!("btc_legacy.mutants.{class}");
        for scene in scenes(&node_config(chain.node()), &class)? {
            let reading = Reading::mine(chain)?;
            scene.shadow.get_transaction(&reading.txid)?;
            scene.shadow.get_block_height()?;
            // Two blocks more: one that lags by one is not right by chance.
            chain.reorg(2)?;
            chain.mine(1)?;
            let found = scene.judge(|| Ok(()))?;
            for (other, comparisons) in &found {
                let found = &comparisons[0];
                if *other != operation {
                    assert_eq!(found.verdict, Verdict::Recovered, "{class}: {found:#?}");
                    continue;
                }
                assert_eq!(found.verdict, Verdict::Mismatch, "{class}: {found:#?}");
                let mut paths = found.differences.iter().map(|it| it.path.as_str());
                assert!(paths.any(|it| it.starts_with(path)), "{class}: {found:#?}");
            }
            chain.mine(1)?;
        }
    }
    Ok(())
}
