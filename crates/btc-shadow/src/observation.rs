//! One side's answer to one call, with the time it took.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use crate::finding::Asked;

/// An answer and its cost.
pub(crate) struct Observation<T> {
    pub(crate) result: BitcoinResult<T>,
    pub(crate) duration: Duration,
}

impl<T> Observation<T> {
    /// Asks the primary: a panic goes on to the caller, as it would without shadow mode.
    pub(crate) fn of(call: impl FnOnce() -> BitcoinResult<T>) -> Self {
        let started = Instant::now();
        let result = call();
        Self {
            result,
            duration: started.elapsed(),
        }
    }

    /// Asks the secondary: a panic becomes an error.
    pub(crate) fn guarded(operation: Operation, call: impl FnOnce() -> BitcoinResult<T>) -> Self {
        Self::of(|| {
            catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
                Err(BitcoinError::new(
                    ErrorKind::Internal,
                    operation,
                    "the secondary panicked",
                ))
            })
        })
    }

    /// The kind of error, if it failed.
    pub(crate) fn error(&self) -> Option<ErrorKind> {
        self.result.as_ref().err().map(BitcoinError::kind)
    }

    /// What of it is recorded.
    pub(crate) fn asked(&self) -> Asked {
        Asked {
            duration: self.duration,
            error: self.error(),
        }
    }
}
