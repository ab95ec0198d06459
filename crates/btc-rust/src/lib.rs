//! The Rust implementation of `BitcoinInterface`: rust-bitcoin over Bitcoin Core's RPC and REST.
//!
//! # Capabilities
//! - get_transaction, get_block, get_block_height, estimate_fee, broadcast_transaction
//! - explain_fee
//! - with a wallet (feature `wallet`): generate_address, create_transaction, get_balance and the effect-free twins;
//!   without one these answer `Unsupported`
//! - the module `wallet`: `WalletInterface`, over Bitcoin Core, the peer-to-peer network or Electrum
//!
//! # Configuration
//! [`btc_iface::NodeConfig`]: network, URL, credentials, timeout.

mod amount;
mod backend;
mod connection;
mod convert;
mod core;
mod error;
mod fees;
mod http;
#[cfg(not(feature = "wallet"))]
mod no_wallet;
#[cfg(feature = "planted")]
pub mod planted;
mod twin;
#[cfg(feature = "wallet")]
pub mod wallet;

pub use crate::backend::RustBitcoin;
pub use crate::connection::read_http_answer;
pub use crate::convert::{DecodeError, decode_block, decode_transaction, encode_transaction};
