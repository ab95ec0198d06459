//! The wallet's domain types: coins, balances, history, plans.

mod balance;
mod coin;
mod history;
mod rate;
mod request;
mod twin;

pub use self::balance::WalletBalance;
pub use self::coin::{BlockRef, Chain, Coin, CoinState};
pub use self::history::{HistoryEntry, Label, LabelKind, PaymentState};
pub use self::rate::{FeeRate, WrongFeeRate};
pub use self::request::{CoinSelection, Recipient, SignedMessage, TransactionRequest};
pub use self::twin::{
    BroadcastCheck, BroadcastVerdict, PendingTransaction, PlannedTransaction, SnapshotCoin,
    WalletSnapshot, WalletState,
};
