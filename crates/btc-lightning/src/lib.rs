//! A Lightning node that implements `LightningInterface`, built on ldk-node.
//!
//! ldk-node brings the protocol, the on-chain wallet and the watching of channels. This crate adds what an
//! application needs before it can leave money to it: a store that keeps its promise with few waits
//! for the disk, intents that make a payment happen once over crashes and repetitions, a numbered
//! journal of events, checks of invoices before any money moves, a watchdog that stops the node
//! loudly, and a directory that one process owns.

mod check;
mod config;
mod convert;
mod convert_event;
mod error;
mod folder;
mod intents;
mod journal;
mod keys;
mod node;
mod preflight;
mod store;
mod watch;

pub use crate::config::LightningConfig;
pub use crate::keys::{DEFAULT_WORK_FACTOR, NodeSeed, SEED_FILE, SealedSeed};
pub use crate::node::LightningNode;
pub use crate::store::Store;
