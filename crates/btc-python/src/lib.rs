//! The Python implementation of `BitcoinInterface`: a class in Python, embedded or in a worker.
//!
//! The class is `btc_legacy.backend:LegacyBackend` (python-bitcoinlib, in `python/` beside this
//! crate) or one of your own that follows the protocol in `python/README.md`.
//!
//! # Capabilities
//! - all operations of the interface that the class has, and explain_fee; a method it lacks is
//!   `Unsupported`
//! - the wallet operations and their effect-free twins, where a wallet is configured
//!
//! # Configuration
//! [`PythonConfig`].

mod backend;
mod config;
mod convert;
mod environment;
mod interpreter;
mod lanes;
mod packages;
mod paths;
mod places;
mod pools;
mod worker;

pub use crate::backend::PythonBitcoin;
pub use crate::config::{PythonConfig, PythonMode, PythonWallet};
pub use crate::convert::{PythonException, Traceback, decode_response};
pub use crate::packages::installed_packages;
