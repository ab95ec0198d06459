//! The crate's errors: what is refused names its field.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

/// An error of this crate.
pub(crate) fn error(kind: ErrorKind, message: impl Into<String>) -> BitcoinError {
    BitcoinError::new(kind, Operation::Contract, message)
}

/// A message, terms or an attestation that is refused because of this field.
pub(crate) fn refuse(field: &str, message: impl Into<String>) -> BitcoinError {
    error(ErrorKind::InvalidInput, message).with_context("field", field)
}

/// A call that does not fit where the contract stands.
pub(crate) fn invalid(message: impl Into<String>) -> BitcoinError {
    error(ErrorKind::InvalidInput, message)
}

/// Something of the store that cannot be read or written.
pub(crate) fn store(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BitcoinError {
    let message = "the store of contracts cannot be read or written; see the cause";
    error(ErrorKind::Internal, message).with_source(cause)
}

/// A defect.
pub(crate) fn internal(message: impl Into<String>) -> BitcoinError {
    error(ErrorKind::Internal, message)
}

/// Turns an error of ddk's into a refusal of this field.
pub(crate) fn refused<E: Display>(field: &str) -> impl FnOnce(E) -> BitcoinError + '_ {
    move |cause| refuse(field, cause.to_string())
}

/// Runs what reads hostile data. ddk's conversions panic on some of it: such a panic is a refusal.
pub(crate) fn guard<T>(field: &str, run: impl FnOnce() -> BitcoinResult<T>) -> BitcoinResult<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let message = "cannot be read: it is outside of what a contract can have";
        Err(refuse(field, message))
    })
}
