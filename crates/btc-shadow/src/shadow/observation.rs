//! One side's answer to one call, with the time it took.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use super::finding::Asked;
use super::tips::Tips;

/// An answer and its cost.
pub(crate) struct Observation<T> {
    pub(crate) result: BitcoinResult<T>,
    asked: Asked,
}

impl<T> Observation<T> {
    /// Asks the primary: a panic goes on to the caller, as it would without shadow mode.
    pub(crate) fn of(tips: &Tips, call: impl FnOnce() -> BitcoinResult<T>) -> Self {
        let before = tips.height();
        let started = Instant::now();
        let result = call();
        let duration = started.elapsed();
        let error = result.as_ref().err().map(BitcoinError::kind);
        Self {
            asked: Asked {
                started,
                duration,
                error,
                tips: before.zip(tips.height()).map(|(a, b)| [a, b]),
            },
            result,
        }
    }

    /// Asks a side off the caller's path: a panic becomes an error.
    pub(crate) fn guarded(
        operation: Operation,
        tips: &Tips,
        call: impl FnOnce() -> BitcoinResult<T>,
    ) -> Self {
        Self::of(tips, || guard(operation, call))
    }

    /// The kind of error, if it failed.
    pub(crate) fn error(&self) -> Option<ErrorKind> {
        self.asked.error
    }

    /// What of it is recorded.
    pub(crate) fn asked(&self) -> Asked {
        self.asked
    }
}

/// Asks, and makes an error of a panic.
pub(crate) fn guard<T>(
    operation: Operation,
    call: impl FnOnce() -> BitcoinResult<T>,
) -> BitcoinResult<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        Err(BitcoinError::new(
            ErrorKind::Internal,
            operation,
            "the side that was asked panicked",
        ))
    })
}
