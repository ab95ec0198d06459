//! `Shadow`: asks both implementations, returns the primary's answer, records the comparison.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use btc_iface::rust_bitcoin::hashes::{Hash, HashEngine, sha256};
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinImplementationType, BitcoinInterface, BitcoinResult,
    BitcoinTransaction, Operation, SnapshotWallet, WalletTwin,
};

use crate::books::{Books, Entry};
use crate::compare::{
    Balance, Compare, Difference, FeeRate, Height, RULES, Verdict, judge, judge_again,
};
use crate::finding::{Asked, Finding};
use crate::observation::Observation;
use crate::policy::Policy;
use crate::reader::Reader;
use crate::record::{Build, Comparison, Digest, Event, Line, RunId, Side, Start, Totals, VERSION};
use crate::sink::Sink;
use crate::wallet::{Payment, Twins};

/// A `totals` line is written after this many calls, and at the end.
const CALLS_BETWEEN_TOTALS: u64 = 1000;

/// The in-line decorator: the secondary is asked on the caller's thread, after the primary.
///
/// The primary's answer is returned unchanged, whatever the secondary, the comparison or the log
/// do. The secondary is only ever asked to read.
pub struct Shadow {
    primary: Arc<dyn BitcoinInterface>,
    secondary: Reader,
    wallet: Option<Wallet>,
    policy: Policy,
    sink: Box<dyn Sink>,
    log_all: bool,
    run: RunId,
    sequence: AtomicU64,
    books: Arc<Books>,
}

/// The wallet's two sides.
struct Wallet {
    primary: Arc<dyn SnapshotWallet>,
    twins: Twins,
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
            secondary: Reader::new(secondary),
            wallet: None,
            policy,
            sink,
            log_all,
            run: RunId(first_word(&digest)),
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
            rules: RULES,
            part: 1,
        }));
        shadow
    }

    /// The accounts, which stay readable after the decorator is gone.
    pub fn books(&self) -> Arc<Books> {
        Arc::clone(&self.books)
    }

    /// Compares the wallet's operations too, through the secondary's effect-free twins. Without,
    /// only the primary is asked to reserve, build and send, and nothing is compared.
    ///
    /// - `primary` is the primary given to [`new`](Self::new), whose place it takes, so that all
    ///   operations have the same one. It builds transactions in the deterministic mode.
    /// - `secondary` is the secondary's wallet.
    /// - `primary_twin` is the primary's wallet once more. With it, a difference that a moving
    ///   chain may explain is judged on what both sides say now, and balances that differ are
    ///   taken apart to the coin.
    #[must_use]
    pub fn with_wallet(
        mut self,
        primary: Arc<dyn SnapshotWallet>,
        secondary: Arc<dyn WalletTwin>,
        primary_twin: Option<Arc<dyn WalletTwin>>,
    ) -> Self {
        self.primary = Arc::clone(&primary) as Arc<dyn BitcoinInterface>;
        self.wallet = Some(Wallet {
            primary,
            twins: Twins::new(secondary, primary_twin, self.policy.clone()),
        });
        self
    }

    /// Asks both sides, judges, records, and returns the primary's answer.
    fn both<T: Compare>(
        &self,
        operation: Operation,
        input: &[u8],
        primary: impl Fn(&dyn BitcoinInterface) -> BitcoinResult<T>,
        secondary: impl Fn(&Reader) -> BitcoinResult<T>,
    ) -> BitcoinResult<T> {
        self.both_explained(operation, input, primary, secondary, Vec::new)
    }

    /// As [`both`](Self::both); `explain` says more about a difference that the tip did not.
    fn both_explained<T: Compare>(
        &self,
        operation: Operation,
        input: &[u8],
        primary: impl Fn(&dyn BitcoinInterface) -> BitcoinResult<T>,
        secondary: impl Fn(&Reader) -> BitcoinResult<T>,
        explain: impl FnOnce() -> Vec<Difference>,
    ) -> BitcoinResult<T> {
        let entry = self.books.offer(operation);
        let ours = Observation::of(|| primary(&*self.primary));
        let theirs = Observation::guarded(operation, || secondary(&self.secondary));
        let judged = judge(&ours.result, &theirs.result);
        let finding = Finding::of(judged, ours.error(), &theirs);
        let ask = || {
            let ours = Observation::guarded(operation, || primary(&*self.primary));
            let theirs = Observation::guarded(operation, || secondary(&self.secondary));
            (ours.result, theirs.result)
        };
        let mut last = None;
        let finding = finding.recheck(&self.policy, || {
            let (ours, theirs) = last.insert(ask());
            judge(ours, theirs).0 == Verdict::Match
        });
        let mut finding = finding
            .if_it_stays(|| last.map_or(Verdict::Mismatch, |last| judge_again(&last, &ask())));
        if finding.differs_with_the_tip() {
            finding.differences.extend(explain());
        }
        self.record(entry, operation, input, ours.asked(), finding);
        ours.result
    }

    /// Asks the primary only, because the operation has an effect, and compares its answer with
    /// what `compare` learns without one.
    fn act<T>(
        &self,
        operation: Operation,
        input: &[u8],
        primary: impl FnOnce() -> BitcoinResult<T>,
        compare: impl FnOnce(&BitcoinResult<T>) -> Finding,
    ) -> BitcoinResult<T> {
        let entry = self.books.offer(operation);
        let ours = Observation::of(primary);
        let finding = Finding::guarded(|| compare(&ours.result));
        self.record(entry, operation, input, ours.asked(), finding);
        ours.result
    }

    /// What the wallet's twins find, if there are any.
    fn ask_twins(&self, ask: impl FnOnce(&Twins) -> Finding) -> Finding {
        let wallet = self.wallet.as_ref();
        wallet.map_or_else(unwatched, |wallet| ask(&wallet.twins))
    }

    fn record(
        &self,
        entry: Entry<'_>,
        operation: Operation,
        input: &[u8],
        primary: Asked,
        finding: Finding,
    ) {
        let Finding {
            verdict,
            differences,
            reason,
            asked: secondary,
        } = finding;
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
                input: Digest(first_words(&sha256::Hash::from_engine(engine))),
                primary: side(self.primary.implementation_type(), primary),
                secondary: secondary.map(|asked| side(self.secondary.implementation_type(), asked)),
                rechecks: 0,
                differences,
                reason: reason.map(Into::into),
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
            run: self.run,
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
        self.act(
            Operation::GenerateAddress,
            address_type.as_str().as_bytes(),
            || self.primary.generate_address(address_type),
            |ours| self.ask_twins(|twins| twins.reserved(address_type, ours)),
        )
    }

    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        let operation = Operation::CreateTransaction;
        let input = format!("{outputs:?} {fee_rate}");
        let Some(Wallet { primary, twins }) = &self.wallet else {
            return self.act(
                operation,
                input.as_bytes(),
                || self.primary.create_transaction(outputs, fee_rate),
                |_| unwatched(),
            );
        };
        let payment = Payment {
            outputs: outputs.clone(),
            fee_rate,
        };
        let built = self.act(
            operation,
            input.as_bytes(),
            || primary.create_transaction_with_snapshot(outputs, fee_rate),
            |ours| twins.built(&payment, ours),
        );
        built.map(|(transaction, _)| transaction)
    }

    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        self.act(
            Operation::BroadcastTransaction,
            &transaction.wtxid.to_byte_array(),
            || self.primary.broadcast_transaction(transaction),
            |ours| self.ask_twins(|twins| twins.sent(transaction, ours)),
        )
    }

    fn get_balance(&self) -> BitcoinResult<u64> {
        let balance = self.both_explained(
            Operation::GetBalance,
            &[],
            |primary| primary.get_balance().map(Balance),
            |secondary| secondary.get_balance().map(Balance),
            || {
                let wallet = self.wallet.as_ref();
                wallet.map_or_else(Vec::new, |wallet| wallet.twins.states())
            },
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

fn unwatched() -> Finding {
    Finding::skipped("only the primary may act")
}

fn side(implementation: BitcoinImplementationType, asked: Asked) -> Side {
    Side {
        implementation,
        duration_ns: u64::try_from(asked.duration.as_nanos()).unwrap_or(u64::MAX),
        error: asked.error,
        tips: None,
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn first_words(digest: &sha256::Hash) -> u64 {
    let first = digest.as_byte_array().first_chunk();
    u64::from_be_bytes(*first.unwrap_or(&[0; 8]))
}

fn first_word(digest: &sha256::Hash) -> u32 {
    let first = digest.as_byte_array().first_chunk();
    u32::from_be_bytes(*first.unwrap_or(&[0; 4]))
}
