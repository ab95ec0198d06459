//! The Rust wallet: keys, books, chain sources and transactions behind one `RustWallet`.

pub mod build;
pub(crate) mod fault;
pub mod folder;
pub mod keys;
pub mod labels;
pub mod ledger;
pub mod message;
pub mod reservations;
pub mod secret;
pub mod source;
pub mod store;
