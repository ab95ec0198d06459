//! What the suites of all phases share: nodes, backends, hostile servers, cases and checks.

#![allow(
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a test fails by panicking, and the message says why"
)]

mod backend;
mod check;
mod expected;
mod fake;
mod fixture;
mod lab;
mod node;
mod program;
mod reference;
mod suite;
mod wallet;

pub use crate::backend::{Backend, Backends, Connected};
pub use crate::check::{bounded, eventually, failure, is_alive, until_stopped};
pub use crate::expected::{assert_same, to_plain};
pub use crate::fake::{FakeNode, Reply, Request, healthy, only};
pub use crate::fixture::{Fixture, Shared};
pub use crate::lab::{Change, Lab};
pub use crate::node::{builder, node_config, python_config};
pub use crate::program::{Program, Run};
pub use crate::reference::{Reference, compare};
pub use crate::suite::{Fault, Outcome, Skipped, Suite, Test};
pub use crate::wallet::{GAP_LIMIT, WalletFolder, wallet_config};
