//! What a refusal says.

use btc::{BitcoinError, ErrorKind};

/// A refusal of this field.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, BitcoinError>, field: &str) {
    let error = result.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let named = error.context().iter().find(|(name, _)| name == "field");
    assert_eq!(
        named.map(|(_, value)| value.as_str()),
        Some(field),
        "{error}"
    );
}
