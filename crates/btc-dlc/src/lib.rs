//! Discreet log contracts: offered, funded, settled and refunded from the application's own wallet.
//!
//! The cryptography and the transactions are ddk's stateless part; nothing of ddk is visible here.
//! The store, the checks, the funding and the watching are this crate's.
//!
//! # Capabilities
//! - [`Dlc`]: `DlcInterface` over a wallet, a node and a store of its own
//! - [`Oracle`]: `OracleInterface` over a store of its own
//! - [`text`]: messages as hexadecimal digits and as JSON
//! - [`draw`]: payout curves for the terminal and as SVG

mod check;
mod deal;
#[cfg(test)]
mod deal_tests;
pub mod draw;
mod engine;
mod explain;
#[cfg(test)]
mod explain_tests;
mod fault;
mod funding;
mod keys;
#[cfg(test)]
mod nonce_tests;
mod oracle;
mod store;
mod terms;
pub mod text;
mod wire;

pub use crate::engine::{Dlc, DlcConfig, Parts, explain_offer};
pub use crate::funding::{Enough, Funding, FundingCoin, StagedFunding, WalletFunding};
pub use crate::keys::Seed;
pub use crate::oracle::Oracle;
pub use crate::terms::{AnnouncementSummary, announcement_summary};
