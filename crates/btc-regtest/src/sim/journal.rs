//! `Deed`: what happened to a simulated node, so that it can happen to Bitcoin Core as well.

use bitcoin::{Block, BlockHash, Transaction, Txid};

/// One thing that changed, or was refused. In the order of the list, a Bitcoin Core node with the
/// same base gives the same answers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Deed {
    /// The clock, in seconds of Unix time.
    Clock(u64),
    /// A block arrived.
    Block(Box<Block>),
    /// A transaction was handed over; what Core's `sendrawtransaction` says: nothing, or the code
    /// and the message.
    Sent(Box<Transaction>, Option<(i32, String)>),
    /// A package was handed over; whether all of it was taken.
    Package(Vec<Transaction>, bool),
    /// A block was declared invalid, or valid again.
    Invalidated(BlockHash),
    /// A block was declared valid again.
    Reconsidered(BlockHash),
    /// The node was started again, and has these transactions still.
    Restarted(Vec<Txid>),
}
