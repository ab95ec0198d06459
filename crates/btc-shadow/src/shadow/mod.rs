//! `Shadow`: asks both implementations, returns the primary's answer, records the comparison.

mod breaker;
pub(crate) mod case;
pub(crate) mod finding;
mod heft;
pub(crate) mod observation;
mod off_path;
mod read;
mod reader;
mod recorder;
mod sampling;
pub(crate) mod sides;
pub(crate) mod tips;

use std::any::Any;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use btc_iface::{
    AddressType, BitcoinAddress, BitcoinImplementationType, BitcoinInterface, BitcoinResult,
    BitcoinTransaction, BlockRef, ErrorKind, Operation, SnapshotWallet, WalletSnapshot, WalletTwin,
};

use self::case::{Case, Examination, Step, Unwatched};
use self::heft::Heft;
use self::observation::Observation;
pub use self::off_path::{OffPath, Status};
use self::read::{BlockOf, FeeFor, Question, Read, TipHeight, TransactionOf, WalletBalance};
use self::reader::Reader;
use self::recorder::{About, Recorder};
pub use self::sampling::Sampling;
use self::sides::Sides;
use self::tips::Tips;
use crate::books::Books;
use crate::policy::Policy;
use crate::sink::Sink;
use crate::wallet::{Built, Given, KnownTip, Payment, Reserved, Sent, Twins};
use crate::watch::Watch;

/// The decorator over the interface.
///
/// The primary's answer is returned unchanged, whatever the secondary, the comparison or the log
/// do. The secondary is only ever asked what has no effect.
///
/// - In line, as [`new`](Self::new) makes it, the secondary is asked on the caller's thread after
///   the primary. For tests, and where the caller has time.
/// - Off the caller's path, after [`off_path`](Self::off_path): the caller pays for a copy of the
///   answer and a place in a queue.
pub struct Shadow {
    primary: Arc<dyn BitcoinInterface>,
    snapshots: Option<Arc<dyn SnapshotWallet>>,
    sides: Arc<Sides>,
    policy: Policy,
    recorder: Arc<Recorder>,
    off_path: Option<off_path::Pool>,
    /// What lives as long as the decorator.
    companions: Vec<Box<dyn Any + Send + Sync>>,
}

impl Shadow {
    /// Decorates `primary`, in line. With `log_all`, matches have lines of their own; without,
    /// only counts.
    pub fn new(
        primary: Arc<dyn BitcoinInterface>,
        secondary: Arc<dyn BitcoinInterface>,
        policy: Policy,
        sink: Box<dyn Sink>,
        log_all: bool,
    ) -> Self {
        let implementations = [
            primary.implementation_type(),
            secondary.implementation_type(),
        ];
        Self {
            sides: Arc::new(Sides {
                primary: Reader::new(Arc::clone(&primary)),
                secondary: Reader::new(secondary),
                twins: None,
                given: Given::default(),
                tips: Tips::default(),
            }),
            primary,
            snapshots: None,
            policy,
            recorder: Arc::new(Recorder::new(implementations, sink, log_all)),
            off_path: None,
            companions: Vec::new(),
        }
    }

    /// The accounts, which stay readable after the decorator is gone.
    pub fn books(&self) -> Arc<Books> {
        Arc::clone(&self.recorder.books)
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
    ///
    /// Comes before [`off_path`](Self::off_path).
    #[must_use]
    pub fn with_wallet(
        mut self,
        primary: Arc<dyn SnapshotWallet>,
        secondary: Arc<dyn WalletTwin>,
        primary_twin: Option<Arc<dyn WalletTwin>>,
    ) -> Self {
        self.primary = Arc::clone(&primary) as Arc<dyn BitcoinInterface>;
        self.sides = Arc::new(Sides {
            primary: Reader::new(Arc::clone(&self.primary)),
            secondary: self
                .sides
                .secondary
                .clone()
                .with_wallet(Arc::clone(&secondary)),
            twins: Some(Twins {
                secondary,
                primary: primary_twin,
            }),
            given: Given::default(),
            tips: Tips::default(),
        });
        self.snapshots = Some(primary);
        self
    }

    /// The primary's implementation, and the secondary's.
    pub fn implementations(&self) -> [BitcoinImplementationType; 2] {
        self.recorder.implementations
    }

    /// Names the builds that are compared: evidence counts only as long as neither changes.
    /// Without, it is this crate's version on both sides.
    #[must_use]
    pub fn with_builds(self, primary: impl Into<String>, secondary: impl Into<String>) -> Self {
        self.recorder.name_builds(primary.into(), secondary.into());
        self
    }

    /// Tells each of them of every judged call. Only the first call of this method counts.
    #[must_use]
    pub fn watched_by(self, watchers: Vec<Arc<dyn Watch>>) -> Self {
        self.recorder.set_watchers(watchers);
        self
    }

    /// Moves the comparisons off the caller's path, onto threads of their own.
    ///
    /// # Errors
    /// `Internal`: the system gives no thread.
    pub fn off_path(mut self, settings: OffPath) -> BitcoinResult<Self> {
        self.recorder.begin();
        let pool = off_path::Pool::start(
            Arc::clone(&self.sides),
            Arc::clone(&self.recorder),
            self.policy.clone(),
            settings,
        )?;
        self.off_path = Some(pool);
        Ok(self)
    }

    /// Keeps something for as long as the decorator is there, such as the server of its metrics.
    #[must_use]
    pub fn along_with(mut self, companion: impl Any + Send + Sync) -> Self {
        self.companions.push(Box::new(companion));
        self
    }

    /// What the comparisons off the caller's path are at; none in line.
    pub fn status(&self) -> Option<Status> {
        self.off_path.as_ref().map(off_path::Pool::status)
    }

    /// What [`status`](Self::status) says, to be asked from elsewhere and later.
    pub fn watch_status(&self) -> Arc<dyn Fn() -> Option<Status> + Send + Sync> {
        match &self.off_path {
            Some(pool) => {
                let pool = pool.handle();
                Arc::new(move || Some(pool.status()))
            }
            None => Arc::new(|| None),
        }
    }

    /// Ends the comparisons off the caller's path: takes no more of them, works off what waits
    /// for at most so long, and counts the rest as dropped. Calls go on to the primary. True if
    /// nothing was dropped. What was found is handed to the log; its last totals are written when
    /// the decorator goes. Ends of itself, within [`OffPath::drain`], when the decorator goes.
    pub fn finish(&self, within: Duration) -> bool {
        let pool = self.off_path.as_ref();
        let is_complete = pool.is_none_or(|pool| pool.finish(within));
        self.recorder.flush();
        is_complete
    }

    /// Asks the primary, lets the case be judged, and returns the primary's answer.
    fn observe<T: Heft>(
        &self,
        operation: Operation,
        call: impl FnOnce() -> BitcoinResult<T>,
        case: impl FnOnce(&Observation<T>) -> Box<dyn Case>,
    ) -> BitcoinResult<T> {
        let (entry, number) = self.recorder.books.offer(operation);
        let ours = Observation::of(&self.sides.tips, call);
        entry.hand_over();
        let about = About {
            operation,
            primary: ours.asked(),
        };
        match &self.off_path {
            Some(pool) => {
                let bytes = ours.result.as_ref().map_or(0, Heft::bytes);
                pool.offer(about, number, bytes, || case(&ours));
            }
            None => self.judge_in_line(&about, case(&ours)),
        }
        ours.result
    }

    fn judge_in_line(&self, about: &About, case: Box<dyn Case>) {
        let mut examination = Examination::new(case);
        let finding = loop {
            match examination.step(&self.sides, &self.policy.recheck_after_ms) {
                Step::Done(finding) => break finding,
                Step::Wait(wait_ms) => thread::sleep(Duration::from_millis(wait_ms)),
            }
        };
        let digest = examination.digest();
        self.recorder
            .record(about, digest, examination.rechecks, finding);
    }

    /// The tip, where the caller waits for the comparison anyway.
    fn tip_in_line(&self) -> Option<BlockRef> {
        let twins = self.sides.twins.as_ref();
        let tip = twins.filter(|_| self.off_path.is_none())?.tip()?;
        self.sides.tips.see(tip.height);
        self.sides.tips.see_block(tip);
        Some(tip)
    }

    /// An operation that both sides answer.
    fn read<Q: Question>(
        &self,
        call: impl FnOnce() -> BitcoinResult<Q::Answer>,
        question: impl FnOnce() -> Q,
    ) -> BitcoinResult<Q::Answer>
    where
        Q::Answer: Heft,
    {
        self.observe(Q::OPERATION, call, |ours| {
            let second = self.recorder.second_of(ours.asked().started);
            Box::new(Read::new(question(), second, ours.result.clone()))
        })
    }
}

impl Shadow {
    /// The primary's transaction, and where there is one what it was built on.
    fn build(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<(BitcoinTransaction, Option<WalletSnapshot>)> {
        if let Some(primary) = &self.snapshots {
            match primary.create_transaction_with_snapshot(outputs.clone(), fee_rate) {
                Ok((transaction, snapshot)) => {
                    self.sides.tips.see_block(snapshot.tip);
                    return Ok((transaction, Some(snapshot)));
                }
                // A class with the eight operations and nothing more has done nothing yet.
                Err(error) if error.kind() == ErrorKind::Unsupported => {}
                Err(error) => return Err(error),
            }
        }
        let built = self.primary.create_transaction(outputs, fee_rate)?;
        Ok((built, None))
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        if let Some(pool) = self.off_path.take() {
            pool.end();
        }
        self.recorder.write_totals(true);
    }
}

impl BitcoinInterface for Shadow {
    fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.read(
            || self.primary.get_transaction(txid),
            || TransactionOf(txid.to_owned()),
        )
    }

    fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.read(|| self.primary.get_block(hash), || BlockOf(hash.to_owned()))
    }

    fn get_block_height(&self) -> BitcoinResult<u32> {
        let call = || {
            let height = self.primary.get_block_height()?;
            self.sides.tips.see(height);
            Ok(height.into())
        };
        self.read(call, || TipHeight).map(|height| height.0)
    }

    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.observe(
            Operation::GenerateAddress,
            || self.primary.generate_address(address_type),
            |ours| {
                Box::new(Reserved {
                    address_type,
                    ours: ours.result.clone(),
                    asked: ours.asked().started,
                })
            },
        )
    }

    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        let operation = Operation::CreateTransaction;
        let payment = Payment {
            outputs: outputs.clone(),
            fee_rate,
        };
        self.observe(
            operation,
            || self.build(outputs, fee_rate),
            |ours| match &ours.result {
                Ok((transaction, Some(snapshot))) => {
                    Box::new(Built::new(payment, Ok((transaction, snapshot))))
                }
                Err(error) if self.snapshots.is_some() => {
                    Box::new(Built::new(payment, Err(error.kind())))
                }
                _ => Box::new(Unwatched(payment.digest())),
            },
        )
        .map(|(transaction, _)| transaction)
    }

    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        // The node decides at some moment of the call: on which block is known only if it is the
        // same before and after. In line there is time to ask; after is when the secondary answers.
        let asked = self.tip_in_line();
        let (before, moves) = (self.sides.tips.block(), self.sides.tips.moves());
        self.observe(
            Operation::BroadcastTransaction,
            || self.primary.broadcast_transaction(transaction),
            |ours| {
                let known = asked.map(KnownTip::from).or_else(|| {
                    let [_, height] = ours.asked().tips?;
                    let after = self.sides.tips.block_at(height);
                    let block = after.filter(|block| before == Some(*block));
                    Some(KnownTip { height, block })
                });
                let ours = ours.result.clone();
                Box::new(Sent::new(transaction.clone(), ours, known, moves))
            },
        )
    }

    fn get_balance(&self) -> BitcoinResult<u64> {
        let call = || self.primary.get_balance().map(Into::into);
        self.read(call, || WalletBalance).map(|balance| balance.0)
    }

    fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        let call = || self.primary.estimate_fee(target_blocks).map(Into::into);
        self.read(call, || FeeFor([target_blocks]))
            .map(|rate| rate.0)
    }

    fn implementation_type(&self) -> BitcoinImplementationType {
        self.primary.implementation_type()
    }
}
