//! A private regtest Bitcoin Core, chains to fill it with, a simulated node, an Electrum server, a small disk.
//!
//! The node serves the command line's embedded default, the demonstration, the tests and the
//! benchmarks. It is a child process with its own directory and ports; it ends with its owner, also
//! one that is killed. The chains' keys follow from a seed that anyone may know: they are for
//! regtest only and guard nothing. Unix only: cleaning up is the work of `sh`.
//!
//! ```no_run
//! # fn main() -> Result<(), btc_regtest::NodeError> {
//! use btc_regtest::{Chain, Node, Plan, Progress};
//!
//! let node = Node::builder().start()?;
//! println!("a private node at {}", node.rpc_url());
//!
//! let mut chain = Chain::new(&node, 1)?;
//! let summary = chain.build(&Plan::small(), &mut |at: Progress| {
//!     println!("{}: {} of {}", at.step, at.done, at.total);
//! })?;
//! println!("{} transactions in {} blocks", summary.transactions(), summary.blocks.len());
//! # Ok(())
//! # }
//! ```

pub mod chain;
pub mod disk;
pub mod electrum;
mod error;
pub mod exe;
mod guard;
mod node;
mod options;
mod rpc;
pub mod sim;

pub use chain::{Chain, Kind, Plan, Progress, Summary};
pub use disk::Disk;
pub use electrum::ElectrumServer;
pub use error::NodeError;
pub use node::Node;
pub use options::{NodeBuilder, RpcAuth};
pub use sim::SimNode;
