//! One interface to Bitcoin, with the backends you pick and a safe way from one to the other.
//!
//! Pick features: `rust-bitcoin` and `wallet` (default), `python-bitcoin`, `shadow`, or `full`. A build with one
//! backend compiles nothing of the other.
//!
//! ```no_run
//! use btc::{BitcoinInterface, Config};
//!
//! # fn main() -> btc::BitcoinResult<()> {
//! let bitcoin = btc::connect(&Config::load()?)?;
//! println!("height {}", bitcoin.get_block_height()?);
//! # Ok(())
//! # }
//! ```
//!
//! This crate has no logic of its own: it reads the configuration, once, and puts the parts
//! together. What the variables mean is in [`config::VARIABLES`].

pub mod config;
mod connect;
#[cfg(feature = "dlc")]
mod contracts;
#[cfg(feature = "shadow")]
mod rollout;
#[cfg(feature = "shadow")]
mod shadow_mode;
#[cfg(feature = "wallet")]
mod wallet;

#[cfg(feature = "dlc")]
pub use btc_dlc as discreet;
#[cfg(feature = "dlc")]
pub use btc_iface::dlc;
/// rust-bitcoin, whose hash and script types the interface uses.
pub use btc_iface::rust_bitcoin as bitcoin;
pub use btc_iface::{
    AddressType, AsyncAdapter, AsyncBitcoinInterface, BadUrl, BitcoinAddress, BitcoinError,
    BitcoinImplementationType, BitcoinInterface, BitcoinResult, BitcoinTransaction, BlockRef,
    BroadcastCheck, BroadcastVerdict, Chain, Coin, CoinSelection, CoinState, Credentials,
    ErrorKind, FeeEstimate, FeeEstimator, FeeRate, FeeSource, HistoryEntry, Label, LabelKind,
    Network, NodeConfig, Operation, PaymentState, PendingTransaction, PlannedTransaction,
    Recipient, Secret, SignedMessage, SnapshotCoin, SnapshotWallet, TransactionInput,
    TransactionOutput, TransactionRequest, WalletBalance, WalletInterface, WalletSnapshot,
    WalletState, WalletTwin, WrongFeeRate, types,
};
#[cfg(feature = "python-bitcoin")]
pub use btc_python as python;
#[cfg(feature = "rust-bitcoin")]
pub use btc_rust as rust;
#[cfg(feature = "shadow")]
pub use btc_shadow as shadow;

pub use crate::config::Config;
#[cfg(feature = "shadow")]
pub use crate::connect::connect_shadow;
pub use crate::connect::{ObservedWallet, connect, connect_fees, connect_observed, connect_to};
#[cfg(feature = "dlc")]
pub use crate::contracts::{connect_dlc, open_oracle};
#[cfg(feature = "shadow")]
pub use crate::rollout::{connect_rollout, rollout_limits};
#[cfg(feature = "shadow")]
pub use crate::shadow_mode::{off_path, open_log};
#[cfg(feature = "wallet")]
pub use crate::wallet::{connect_source, connect_wallet, open_wallet};
