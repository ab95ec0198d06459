//! `Fallback`: a read that one implementation cannot answer goes to the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use btc_iface::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinImplementationType, BitcoinInterface,
    BitcoinResult, BitcoinTransaction, ErrorKind, Operation,
};

use crate::clock::now_ms;
use crate::record::{self, Event};
use crate::rollout::Journal;

/// The decorator that asks another implementation when the first one cannot answer.
///
/// # Behavior
/// - A read that fails with `Unavailable`, `Timeout` or `Internal`, or panics, is asked of the
///   other implementation, once. Every other error is an answer and is returned.
/// - When the other one fails too, whatever the kind, the primary's error is returned, with the
///   other's in its context: to say that something does not exist takes one that works.
/// - `generate_address`, `create_transaction` and `broadcast_transaction` never fail over: what
///   has no clear outcome must not be done twice.
/// - A call that the primary answers costs nothing more.
pub struct Fallback {
    primary: Arc<dyn BitcoinInterface>,
    other: Arc<dyn BitcoinInterface>,
    counts: Arc<FallbackCounts>,
    journal: Option<Arc<Journal>>,
}

/// How often reads failed over, by operation.
#[derive(Debug, Default)]
pub struct FallbackCounts {
    answered: [AtomicU64; READS.len()],
    unanswered: [AtomicU64; READS.len()],
}

const READS: [Operation; 5] = [
    Operation::GetTransaction,
    Operation::GetBlock,
    Operation::GetBlockHeight,
    Operation::GetBalance,
    Operation::EstimateFee,
];

impl Fallback {
    /// Asks `other` what `primary` cannot answer.
    pub fn new(primary: Arc<dyn BitcoinInterface>, other: Arc<dyn BitcoinInterface>) -> Self {
        Self {
            primary,
            other,
            counts: Arc::default(),
            journal: None,
        }
    }

    /// Writes a line to the comparison log for each read that fails over.
    #[must_use]
    pub fn noted_in(mut self, journal: Arc<Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// The counts, which stay readable after the decorator is gone.
    pub fn counts(&self) -> Arc<FallbackCounts> {
        Arc::clone(&self.counts)
    }

    fn read<T>(
        &self,
        operation: Operation,
        ask: impl Fn(&dyn BitcoinInterface) -> BitcoinResult<T>,
    ) -> BitcoinResult<T> {
        match guarded(operation, || ask(&*self.primary)) {
            Err(error) if is_no_answer(error.kind()) => self.fail_over(operation, error, ask),
            answer => answer,
        }
    }

    #[cold]
    fn fail_over<T>(
        &self,
        operation: Operation,
        error: BitcoinError,
        ask: impl Fn(&dyn BitcoinInterface) -> BitcoinResult<T>,
    ) -> BitcoinResult<T> {
        let answer = guarded(operation, || ask(&*self.other));
        self.counts.add(operation, answer.is_ok());
        let failed = self.primary.implementation_type();
        if let Some(journal) = &self.journal {
            journal.note(Event::Fallback(record::Fallback {
                time_ms: now_ms(),
                operation,
                failed,
                error: error.kind(),
                is_answered: answer.is_ok(),
            }));
        }
        let other = self.other.implementation_type();
        tracing::warn!(
            %operation,
            %error,
            is_answered = answer.is_ok(),
            "{failed} could not answer; {other} was asked"
        );
        answer.map_err(|second| {
            error.with_context(other.as_str(), format!("{}: {second}", second.kind()))
        })
    }
}

impl FallbackCounts {
    /// How often the other implementation answered for the primary.
    pub fn answered(&self, operation: Operation) -> u64 {
        count(&self.answered, operation)
    }

    /// How often neither answered.
    pub fn unanswered(&self, operation: Operation) -> u64 {
        count(&self.unanswered, operation)
    }

    /// All reads that the primary could not answer.
    pub fn total(&self) -> u64 {
        let counts = self.answered.iter().chain(&self.unanswered);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn add(&self, operation: Operation, is_answered: bool) {
        let counts = if is_answered {
            &self.answered
        } else {
            &self.unanswered
        };
        if let Some(index) = index(operation) {
            counts[index].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl BitcoinInterface for Fallback {
    fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.read(Operation::GetTransaction, |side| side.get_transaction(txid))
    }

    fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.read(Operation::GetBlock, |side| side.get_block(hash))
    }

    fn get_block_height(&self) -> BitcoinResult<u32> {
        self.read(Operation::GetBlockHeight, |side| side.get_block_height())
    }

    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.primary.generate_address(address_type)
    }

    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        self.primary.create_transaction(outputs, fee_rate)
    }

    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        self.primary.broadcast_transaction(transaction)
    }

    fn get_balance(&self) -> BitcoinResult<u64> {
        self.read(Operation::GetBalance, |side| side.get_balance())
    }

    fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        self.read(Operation::EstimateFee, |side| {
            side.estimate_fee(target_blocks)
        })
    }

    fn implementation_type(&self) -> BitcoinImplementationType {
        self.primary.implementation_type()
    }
}

/// Whether nothing was learned, so that somebody else may be asked.
fn is_no_answer(kind: ErrorKind) -> bool {
    kind.is_transport() || kind == ErrorKind::Internal
}

/// A panic becomes an error; the panic hook has said more.
fn guarded<T>(operation: Operation, ask: impl FnOnce() -> BitcoinResult<T>) -> BitcoinResult<T> {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| {
        Err(BitcoinError::new(
            ErrorKind::Internal,
            operation,
            "the implementation panicked",
        ))
    })
}

fn index(operation: Operation) -> Option<usize> {
    READS.iter().position(|read| *read == operation)
}

fn count(counts: &[AtomicU64; READS.len()], operation: Operation) -> u64 {
    index(operation).map_or(0, |index| counts[index].load(Ordering::Relaxed))
}
