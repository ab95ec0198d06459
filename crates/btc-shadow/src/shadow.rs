//! `Shadow`: asks both implementations, returns the primary's answer, records the comparison.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{process, thread};

use btc_iface::rust_bitcoin::hashes::{Hash, HashEngine, sha256};
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinImplementationType, BitcoinInterface, BitcoinResult,
    BitcoinTransaction, Operation,
};

use crate::books::{Books, Entry};
use crate::compare::{Balance, Compare, Difference, FeeRate, Height, Verdict, judge};
use crate::observation::Observation;
use crate::policy::Policy;
use crate::record::{Build, Comparison, Event, Line, Side, Start, Totals, VERSION};
use crate::sink::Sink;

/// A `totals` line is written after this many calls, and at the end.
const CALLS_BETWEEN_TOTALS: u64 = 1000;

/// The in-line decorator: the secondary is asked on the caller's thread, after the primary.
///
/// The primary's answer is returned unchanged, whatever the secondary, the comparison or the log
/// do. The secondary is only ever asked to read.
pub struct Shadow {
    primary: Arc<dyn BitcoinInterface>,
    secondary: Reader,
    policy: Policy,
    sink: Box<dyn Sink>,
    log_all: bool,
    run: String,
    sequence: AtomicU64,
    books: Arc<Books>,
}

/// The secondary as shadow mode sees it: what it can be asked has no effect, by type.
struct Reader(Arc<dyn BitcoinInterface>);

impl Reader {
    fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.0.get_transaction(txid)
    }
    fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.0.get_block(hash)
    }
    fn get_block_height(&self) -> BitcoinResult<u32> {
        self.0.get_block_height()
    }
    fn get_balance(&self) -> BitcoinResult<u64> {
        self.0.get_balance()
    }
    fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        self.0.estimate_fee(target_blocks)
    }
    fn implementation_type(&self) -> BitcoinImplementationType {
        self.0.implementation_type()
    }
}

/// What became of one call.
struct Judged {
    operation: Operation,
    verdict: Verdict,
    differences: Vec<Difference>,
    reason: Option<String>,
}

impl Shadow {
    /// Decorates `primary`. With `log_all`, matches have lines of their own; without, only counts.
    pub fn new(
        primary: Arc<dyn BitcoinInterface>,
        secondary: Arc<dyn BitcoinInterface>,
        policy: Policy,
        sink: Box<dyn Sink>,
        log_all: bool,
    ) -> Self {
        /// Tells apart the runs of one process that begin in the same millisecond.
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let time_ms = now_ms();
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{time_ms} {} {number}", process::id());
        let digest = sha256::Hash::hash(name.as_bytes());
        let shadow = Self {
            primary,
            secondary: Reader(secondary),
            policy,
            sink,
            log_all,
            run: short_hex(&digest, 4),
            sequence: AtomicU64::new(0),
            books: Arc::default(),
        };
        let build = |implementation| Build {
            implementation,
            build: env!("CARGO_PKG_VERSION").to_owned(),
        };
        shadow.write(Event::Start(Start {
            time_ms,
            primary: build(shadow.primary.implementation_type()),
            secondary: build(shadow.secondary.implementation_type()),
            log_all,
        }));
        shadow
    }

    /// The accounts, which stay readable after the decorator is gone.
    pub fn books(&self) -> Arc<Books> {
        Arc::clone(&self.books)
    }

    /// Asks both sides, judges, records, and returns the primary's answer.
    fn both<T: Compare>(
        &self,
        operation: Operation,
        input: &[u8],
        primary: impl Fn(&dyn BitcoinInterface) -> BitcoinResult<T>,
        secondary: impl Fn(&Reader) -> BitcoinResult<T>,
    ) -> BitcoinResult<T> {
        let entry = self.books.offer(operation);
        let ours = Observation::of(|| primary(&*self.primary));
        let theirs = Observation::guarded(operation, || secondary(&self.secondary));
        let (mut verdict, differences) = judge(&ours.result, &theirs.result);
        if verdict == Verdict::Mismatch && differences.iter().all(|difference| difference.tip) {
            let again = || {
                let ours = Observation::guarded(operation, || primary(&*self.primary));
                let theirs = Observation::guarded(operation, || secondary(&self.secondary));
                judge(&ours.result, &theirs.result).0 == Verdict::Match
            };
            if self.agrees_later(again) {
                verdict = Verdict::Recovered;
            }
        }
        let reason =
            (verdict == Verdict::Skipped).then(|| "unsupported by the secondary".to_owned());
        let sides = (self.side(&ours, false), Some(self.side(&theirs, true)));
        let judged = Judged {
            operation,
            verdict,
            differences,
            reason,
        };
        self.record(entry, judged, input, sides);
        ours.result
    }

    /// Asks the primary only, because the operation has an effect, and records that.
    fn primary_only<T>(
        &self,
        operation: Operation,
        input: &[u8],
        primary: impl FnOnce() -> BitcoinResult<T>,
    ) -> BitcoinResult<T> {
        let entry = self.books.offer(operation);
        let ours = Observation::of(primary);
        let sides = (self.side(&ours, false), None);
        let judged = Judged {
            operation,
            verdict: Verdict::Skipped,
            differences: Vec::new(),
            reason: Some("only the primary may act".to_owned()),
        };
        self.record(entry, judged, input, sides);
        ours.result
    }

    fn agrees_later(&self, again: impl Fn() -> bool) -> bool {
        self.policy.recheck_after_ms.iter().any(|wait_ms| {
            thread::sleep(Duration::from_millis(*wait_ms));
            again()
        })
    }

    fn side<T>(&self, observation: &Observation<T>, is_secondary: bool) -> Side {
        let implementation = if is_secondary {
            self.secondary.implementation_type()
        } else {
            self.primary.implementation_type()
        };
        Side {
            implementation,
            duration_ns: u64::try_from(observation.duration.as_nanos()).unwrap_or(u64::MAX),
            error: observation
                .result
                .as_ref()
                .err()
                .map(btc_iface::BitcoinError::kind),
        }
    }

    fn record(
        &self,
        entry: Entry<'_>,
        judged: Judged,
        input: &[u8],
        (primary, secondary): (Side, Option<Side>),
    ) {
        let Judged {
            operation,
            verdict,
            differences,
            reason,
        } = judged;
        entry.close(verdict);
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        if self.log_all || verdict != Verdict::Match {
            let mut engine = sha256::Hash::engine();
            engine.input(input);
            self.write(Event::Comparison(Comparison {
                sequence,
                time_ms: now_ms(),
                operation,
                verdict,
                input: short_hex(&sha256::Hash::from_engine(engine), 8),
                primary,
                secondary,
                differences,
                reason,
            }));
        }
        if sequence.is_multiple_of(CALLS_BETWEEN_TOTALS) {
            self.write_totals(false);
        }
    }

    fn write_totals(&self, is_final: bool) {
        let counts = self.books.counts();
        self.write(Event::Totals(Totals {
            time_ms: now_ms(),
            is_final,
            counts,
        }));
    }

    fn write(&self, event: Event) {
        let line = Line {
            version: VERSION,
            run: self.run.clone(),
            event,
        };
        // Unguarded, a sink that panics would take the primary's answer with it.
        let written = catch_unwind(AssertUnwindSafe(|| self.sink.write(&line)));
        if !matches!(written, Ok(Ok(()))) {
            self.books.lose_line();
        }
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.write_totals(true);
    }
}

impl BitcoinInterface for Shadow {
    fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.both(
            Operation::GetTransaction,
            txid.as_bytes(),
            |primary| primary.get_transaction(txid),
            |secondary| secondary.get_transaction(txid),
        )
    }

    fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.both(
            Operation::GetBlock,
            hash.as_bytes(),
            |primary| primary.get_block(hash),
            |secondary| secondary.get_block(hash),
        )
    }

    fn get_block_height(&self) -> BitcoinResult<u32> {
        let height = self.both(
            Operation::GetBlockHeight,
            &[],
            |primary| primary.get_block_height().map(Height),
            |secondary| secondary.get_block_height().map(Height),
        );
        height.map(|height| height.0)
    }

    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        let operation = Operation::GenerateAddress;
        self.primary_only(operation, address_type.as_str().as_bytes(), || {
            self.primary.generate_address(address_type)
        })
    }

    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        let input = format!("{outputs:?} {fee_rate}");
        self.primary_only(Operation::CreateTransaction, input.as_bytes(), || {
            self.primary.create_transaction(outputs, fee_rate)
        })
    }

    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        let input = transaction.wtxid.to_byte_array();
        self.primary_only(Operation::BroadcastTransaction, &input, || {
            self.primary.broadcast_transaction(transaction)
        })
    }

    fn get_balance(&self) -> BitcoinResult<u64> {
        let balance = self.both(
            Operation::GetBalance,
            &[],
            |primary| primary.get_balance().map(Balance),
            |secondary| secondary.get_balance().map(Balance),
        );
        balance.map(|balance| balance.0)
    }

    fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        let rate = self.both(
            Operation::EstimateFee,
            &[target_blocks],
            |primary| primary.estimate_fee(target_blocks).map(FeeRate),
            |secondary| secondary.estimate_fee(target_blocks).map(FeeRate),
        );
        rate.map(|rate| rate.0)
    }

    fn implementation_type(&self) -> BitcoinImplementationType {
        self.primary.implementation_type()
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn short_hex(digest: &sha256::Hash, bytes: usize) -> String {
    btc_iface::rust_bitcoin::hex::DisplayHex::to_lower_hex_string(&digest.as_byte_array()[..bytes])
}
