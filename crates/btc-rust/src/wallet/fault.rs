//! How failures of the wallet's files and databases become errors.

use std::io;
use std::path::Path;

use btc_iface::{BitcoinError, ErrorKind, Operation};
use rusqlite::ErrorCode;

/// A wallet error without a cause.
pub(crate) fn error(kind: ErrorKind, message: impl Into<String>) -> BitcoinError {
    BitcoinError::new(kind, Operation::Wallet, message)
}

/// What a caller gave is wrong.
pub(crate) fn invalid(message: impl Into<String>) -> BitcoinError {
    error(ErrorKind::InvalidInput, message)
}

/// A file of the wallet is not what it should be; `advice` says what to do.
pub(crate) fn damaged(path: &Path, what: &str, advice: &str) -> BitcoinError {
    let message = format!("{} {what}; {advice}", path.display());
    error(ErrorKind::Configuration, message)
}

/// A failed file operation; `doing` is a verb such as "read".
pub(crate) fn file(path: &Path, doing: &str, cause: io::Error) -> BitcoinError {
    let place = path.display();
    let (kind, message) = match cause.kind() {
        io::ErrorKind::NotFound => (
            ErrorKind::Configuration,
            format!("cannot {doing} {place}: it does not exist"),
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            ErrorKind::Configuration,
            format!("cannot {doing} {place}; check its owner and permissions"),
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            ErrorKind::Internal,
            format!("cannot {doing} {place}: the disk is full; free some space and try again"),
        ),
        _ => (ErrorKind::Internal, format!("cannot {doing} {place}")),
    };
    error(kind, message).with_source(cause)
}

/// A failed database operation, of which nothing was kept. `advice` says what to do when the
/// file itself is damaged.
pub(crate) fn database(path: &Path, advice: &str, cause: rusqlite::Error) -> BitcoinError {
    let place = path.display();
    let code = match &cause {
        rusqlite::Error::SqliteFailure(failure, _) => failure.code,
        rusqlite::Error::SqlInputError { error, .. } => error.code,
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => ErrorCode::DatabaseCorrupt,
        _ => ErrorCode::InternalMalfunction,
    };
    let made = match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => error(
            ErrorKind::Unavailable,
            format!("{place} is being written by another process; try again"),
        ),
        ErrorCode::DiskFull => error(
            ErrorKind::Internal,
            format!("cannot write {place}: the disk is full; free some space and try again"),
        ),
        ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::AuthorizationForStatementDenied => error(
            ErrorKind::Configuration,
            format!("cannot write {place}; check the owner and permissions of file and folder"),
        ),
        ErrorCode::CannotOpen => error(
            ErrorKind::Configuration,
            format!("cannot open {place}; check that it exists and who may read it"),
        ),
        // A table or a column that is missing counts as an unknown error at SQLite.
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::TypeMismatch
        | ErrorCode::ConstraintViolation
        | ErrorCode::Unknown => damaged(path, "is damaged", advice),
        _ => error(ErrorKind::Internal, format!("cannot read or write {place}")),
    };
    made.with_source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_from_a_missing_file() {
        let path = Path::new("/wallet/wallet.json");
        let full = file(path, "write", io::ErrorKind::StorageFull.into());
        assert_eq!(full.kind(), ErrorKind::Internal);
        assert!(full.message().contains("disk is full"), "{full}");
        let missing = file(path, "read", io::ErrorKind::NotFound.into());
        assert_eq!(missing.kind(), ErrorKind::Configuration);
        assert!(missing.message().contains("does not exist"), "{missing}");
    }
}
