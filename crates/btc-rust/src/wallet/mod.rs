//! The Rust wallet: keys, books, chain sources and transactions behind one `RustWallet`.

pub mod build;
pub(crate) mod fault;
pub mod folder;
mod held;
pub mod keys;
pub mod labels;
pub mod ledger;
pub mod message;
pub mod reservations;
mod rust_wallet;
pub mod secret;
pub mod source;
pub mod store;

pub use self::rust_wallet::{
    BackgroundFollower, RESERVATION_MS, Raise, Replacement, RustWallet, WalletInfo,
};
