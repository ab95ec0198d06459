//! The one interface that every Bitcoin backend implements, with its domain types and errors.
//!
//! This crate does no I/O. A backend depends on it and implements [`BitcoinInterface`]; a program
//! depends on the `btc` facade and sees only what is named here.

mod asynchronous;
mod bitcoin;
pub mod dlc;
mod error;
mod fees;
pub mod lightning;
mod twin;
pub mod types;
mod wallet;

pub use crate::asynchronous::{AsyncAdapter, AsyncBitcoinInterface};
pub use crate::bitcoin::BitcoinInterface;
pub use crate::error::{BitcoinError, BitcoinResult, ErrorKind};
pub use crate::fees::FeeEstimator;
pub use crate::twin::{SnapshotWallet, WalletTwin};
pub use crate::types::{
    AddressType, BadUrl, BitcoinAddress, BitcoinImplementationType, BitcoinTransaction, BlockRef,
    BroadcastCheck, BroadcastVerdict, Chain, Coin, CoinSelection, CoinState, Credentials,
    FeeEstimate, FeeRate, FeeSource, HistoryEntry, Label, LabelKind, Network, NodeConfig,
    Operation, PaymentState, PendingTransaction, PlannedTransaction, Recipient, Secret,
    SignedMessage, SnapshotCoin, TransactionInput, TransactionOutput, TransactionRequest,
    WalletBalance, WalletSnapshot, WalletState, WrongFeeRate,
};
pub use crate::wallet::WalletInterface;

/// rust-bitcoin, whose hash and script types the domain types are made of.
pub use ::bitcoin as rust_bitcoin;
