//! Transactions: choosing coins, weighing, building, signing.
//!
//! Pure functions over the coins they are given: no file, no database, no network. The wallet
//! reserves and persists around them. What both implementations must agree on to the byte is in
//! `docs/wallet.md`, "Building".

mod accelerate;
mod bump;
mod cover;
mod deterministic;
mod draft;
mod outputs;
mod pending;
mod permitted;
mod psbt;
mod relay;
mod request;
mod select;
mod sign;
mod weight;

pub use self::accelerate::{Parent, accelerate};
pub use self::bump::{Original, Purpose, Terms, bump};
pub use self::deterministic::{check_plain_rate, deterministic_order, plan};
pub use self::draft::{Change, ChangePlace, Draft};
pub use self::outputs::{dust_limit_sat, parse_address};
pub use self::pending::{deficit_sat, may_spend};
pub use self::psbt::{
    combine_psbts, extract_psbt, finalize_psbt, format_psbt, parse_psbt, sign_psbt, to_psbt,
};
pub use self::relay::{MempoolEntry, RelayRules};
pub use self::request::{
    Candidate, DEFAULT_MAX_FEE_RATE, Funds, Hold, MAX_DATA_BYTES, draft_request,
};
pub use self::sign::{sign, to_bitcoin_transaction};
pub use self::weight::{MAX_STANDARD_WEIGHT_WU, Weigher, input_weight_wu, output_weight_wu};

use btc_iface::{BitcoinError, ErrorKind, Operation};

/// Every satoshi there can be (21,000,000 BTC).
pub const MAX_MONEY_SAT: u64 = 2_100_000_000_000_000;

fn wrong(message: impl Into<String>) -> BitcoinError {
    BitcoinError::new(
        ErrorKind::InvalidInput,
        Operation::CreateTransaction,
        message,
    )
}

fn internal(message: impl Into<String>) -> BitcoinError {
    BitcoinError::new(ErrorKind::Internal, Operation::CreateTransaction, message)
}
