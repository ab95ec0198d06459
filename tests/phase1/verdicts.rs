//! Shadow mode over implementations made for it: every verdict, and a secondary that misbehaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use btc::BitcoinImplementationType::{Python, Rust};
use btc::shadow::compare::Verdict;
use btc::shadow::record::{Comparison, Event};
use btc::shadow::sink::MemorySink;
use btc::shadow::{Counts, Policy, Shadow};
use btc::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinImplementationType, BitcoinInterface,
    BitcoinResult, BitcoinTransaction, ErrorKind, Operation,
};
use btc_tests::{Outcome, Suite, Test, failure};

const TRIALS: &[(&str, Test)] = &[
    ("panicking_secondary_does_not_reach_the_caller", panicking),
    ("late_secondary_is_recovered", late),
    ("other_height_is_a_mismatch", other_height),
    ("unreachable_side_is_inconclusive", unreachable_side),
    ("unsupported_secondary_is_skipped", unsupported),
    ("errors_are_compared_by_kind", by_kind),
    ("secondary_is_never_asked_to_act", never_acts),
    ("eight_threads_and_the_books_close", eight_threads),
];

pub(crate) fn add(suite: &mut Suite) {
    for (name, trial) in TRIALS {
        suite.add(format!("verdict::{name}"), trial);
    }
}

/// An implementation that knows one number, asked for how often.
struct Stub {
    implementation: BitcoinImplementationType,
    height: Box<dyn Fn(u32) -> BitcoinResult<u32> + Send + Sync>,
    asked: AtomicU32,
    acted: AtomicU32,
}

impl Stub {
    /// `height` is told how often it was asked before.
    fn new(
        implementation: BitcoinImplementationType,
        height: impl Fn(u32) -> BitcoinResult<u32> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            implementation,
            height: Box::new(height),
            asked: AtomicU32::new(0),
            acted: AtomicU32::new(0),
        })
    }

    fn act<T>(&self, operation: Operation) -> BitcoinResult<T> {
        self.acted.fetch_add(1, Ordering::Relaxed);
        Err(error(ErrorKind::Rejected, operation))
    }
}

fn error(kind: ErrorKind, operation: Operation) -> BitcoinError {
    BitcoinError::new(kind, operation, "planted")
}

fn failing(kind: ErrorKind) -> impl Fn(u32) -> BitcoinResult<u32> {
    move |_| Err(error(kind, Operation::GetBlockHeight))
}

impl BitcoinInterface for Stub {
    fn get_transaction(&self, _: &str) -> BitcoinResult<BitcoinTransaction> {
        Err(error(ErrorKind::NotFound, Operation::GetTransaction))
    }
    fn get_block(&self, _: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        Ok(Vec::new())
    }
    fn get_block_height(&self) -> BitcoinResult<u32> {
        (self.height)(self.asked.fetch_add(1, Ordering::Relaxed))
    }
    fn generate_address(&self, _: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.act(Operation::GenerateAddress)
    }
    fn create_transaction(
        &self,
        _: Vec<(String, u64)>,
        _: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        self.act(Operation::CreateTransaction)
    }
    fn broadcast_transaction(&self, _: &BitcoinTransaction) -> BitcoinResult<String> {
        self.act(Operation::BroadcastTransaction)
    }
    fn get_balance(&self) -> BitcoinResult<u64> {
        Ok(0)
    }
    fn estimate_fee(&self, _: u8) -> BitcoinResult<u64> {
        Ok(1)
    }
    fn implementation_type(&self) -> BitcoinImplementationType {
        self.implementation
    }
}

/// Runs calls through shadow mode; what they returned, the comparisons and the books.
fn shadowed<T>(
    primary: &Arc<Stub>,
    secondary: &Arc<Stub>,
    calls: impl FnOnce(&Shadow) -> T,
) -> (T, Vec<Comparison>, Counts) {
    let sink = Arc::new(MemorySink::default());
    let policy = Policy {
        recheck_after_ms: vec![1, 1],
    };
    let shadow = Shadow::new(
        Arc::clone(primary) as _,
        Arc::clone(secondary) as _,
        policy,
        Box::new(Arc::clone(&sink)),
        true,
    );
    let answer = calls(&shadow);
    let counts = shadow.books().counts();
    assert!(counts.close(), "{counts:?}");
    let comparisons = sink
        .lines()
        .into_iter()
        .filter_map(|line| match line.event {
            Event::Comparison(comparison) => Some(comparison),
            _ => None,
        });
    (answer, comparisons.collect(), counts)
}

/// One question for the height.
fn asked(
    primary: impl Fn(u32) -> BitcoinResult<u32> + Send + Sync + 'static,
    secondary: impl Fn(u32) -> BitcoinResult<u32> + Send + Sync + 'static,
) -> (BitcoinResult<u32>, Comparison) {
    let (primary, secondary) = (Stub::new(Rust, primary), Stub::new(Python, secondary));
    let (answer, mut comparisons, counts) =
        shadowed(&primary, &secondary, BitcoinInterface::get_block_height);
    assert_eq!((comparisons.len(), counts.total_offered()), (1, 1));
    (answer, comparisons.remove(0))
}

fn panicking() -> Outcome {
    let planted = |_| std::panic::resume_unwind(Box::new("planted"));
    let (answer, comparison) = asked(|_| Ok(7), planted);
    assert_eq!(answer?, 7);
    assert_eq!(comparison.verdict, Verdict::Mismatch);
    assert_eq!(comparison.differences[0].path, "error.kind");
    assert_eq!(comparison.differences[0].secondary, "internal");
    let secondary = comparison.secondary.ok_or("it was asked")?;
    assert_eq!(secondary.error, Some(ErrorKind::Internal));
    Ok(())
}

fn late() -> Outcome {
    let (answer, comparison) = asked(|_| Ok(7), |before| Ok(if before == 0 { 6 } else { 7 }));
    assert_eq!(answer?, 7);
    assert_eq!(comparison.verdict, Verdict::Recovered);
    Ok(())
}

fn other_height() -> Outcome {
    // The first answer is the caller's, whatever is seen while looking again.
    let (answer, comparison) = asked(|before| Ok(7 + before.min(1)), |_| Ok(5));
    assert_eq!(answer?, 7);
    assert_eq!(comparison.verdict, Verdict::Mismatch);
    let [difference] = &comparison.differences[..] else {
        return Err("one difference".into());
    };
    assert_eq!(difference.path, "height");
    assert_eq!((&*difference.primary, &*difference.secondary), ("7", "5"));
    Ok(())
}

fn unreachable_side() -> Outcome {
    for kind in [ErrorKind::Unavailable, ErrorKind::Timeout] {
        let (answer, comparison) = asked(|_| Ok(7), failing(kind));
        assert_eq!(answer?, 7);
        assert_eq!(comparison.verdict, Verdict::Inconclusive);
        let (answer, comparison) = asked(failing(kind), |_| Ok(7));
        failure(answer, kind, "the primary's error is the caller's");
        assert_eq!(comparison.verdict, Verdict::Inconclusive);
    }
    Ok(())
}

fn unsupported() -> Outcome {
    let (answer, comparison) = asked(|_| Ok(7), failing(ErrorKind::Unsupported));
    assert_eq!(answer?, 7);
    assert_eq!(comparison.verdict, Verdict::Skipped);
    let (answer, comparison) = asked(failing(ErrorKind::Unsupported), |_| Ok(7));
    failure(answer, ErrorKind::Unsupported, "the primary's");
    assert_eq!(comparison.verdict, Verdict::Mismatch);
    Ok(())
}

fn by_kind() -> Outcome {
    let other_text = |_| {
        let operation = Operation::GetBlockHeight;
        Err(BitcoinError::new(ErrorKind::Auth, operation, "other words"))
    };
    let (answer, comparison) = asked(failing(ErrorKind::Auth), other_text);
    failure(answer, ErrorKind::Auth, "the primary's");
    assert_eq!(comparison.verdict, Verdict::Match);
    let (_, comparison) = asked(failing(ErrorKind::Auth), failing(ErrorKind::Internal));
    assert_eq!(comparison.verdict, Verdict::Mismatch);
    assert_eq!(comparison.differences[0].path, "error.kind");
    Ok(())
}

fn never_acts() -> Outcome {
    let (primary, secondary) = (Stub::new(Rust, Ok), Stub::new(Python, Ok));
    let genesis = bitcoin::blockdata::constants::genesis_block(bitcoin::Network::Regtest);
    let transaction = btc_tests::to_plain(&genesis.txdata[0], None);
    let ((), comparisons, counts) = shadowed(&primary, &secondary, |shadow| {
        let kind = ErrorKind::Rejected;
        failure(shadow.broadcast_transaction(&transaction), kind, "send");
        failure(shadow.create_transaction(Vec::new(), 1), kind, "create");
        failure(
            shadow.generate_address(AddressType::ALL[0]),
            kind,
            "address",
        );
    });
    assert_eq!(primary.acted.load(Ordering::Relaxed), 3);
    assert_eq!(secondary.acted.load(Ordering::Relaxed), 0);
    assert_eq!(counts.total(Verdict::Skipped), 3);
    assert!(comparisons.iter().all(|c| c.secondary.is_none()));
    Ok(())
}

fn eight_threads() -> Outcome {
    const CALLS: u32 = 400;
    let (primary, secondary) = (Stub::new(Rust, |_| Ok(7)), Stub::new(Python, |_| Ok(7)));
    let ((), comparisons, counts) = shadowed(&primary, &secondary, |shadow| {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..CALLS {
                        assert_eq!(shadow.get_block_height().expect("a number"), 7);
                    }
                });
            }
        });
    });
    let total = u64::from(8 * CALLS);
    assert_eq!(counts.total(Verdict::Match), total);
    let mut sequences: Vec<_> = comparisons.iter().map(|c| c.sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=total).collect::<Vec<_>>());
    Ok(())
}
