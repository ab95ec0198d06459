//! `Plan`, `Progress` and `Summary`: what to build, how far it is, and what was built.

use std::collections::BTreeMap;

use bitcoin::{BlockHash, Txid};
use serde::Serialize;

use super::kind::Kind;

/// What a chain is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Empty blocks at the start; their subsidies pay for everything. At least 101.
    pub base_blocks: u32,
    /// Blocks of varied transactions: one of each everyday kind per block.
    pub rounds: u32,
    /// Inputs of the transaction with many.
    pub many_inputs: u32,
    /// Outputs of the transaction with many.
    pub many_outputs: u32,
    /// Payload of the big witness in bytes, each one weight unit. At most 390,000, so that the
    /// whole stays standard (400,000 WU).
    pub envelope_bytes: u32,
    /// Length of the chain of unconfirmed descendants. Core allows 64.
    pub descendants: u32,
    /// Transactions of the full block.
    pub full_block: Option<u32>,
    /// Transactions left in the mempool.
    pub mempool: u32,
}

impl Plan {
    /// For tests: every kind but the full block, in some 45 transactions and 110 blocks.
    pub fn small() -> Self {
        Self {
            base_blocks: 105,
            rounds: 1,
            many_inputs: 11,
            many_outputs: 20,
            envelope_bytes: 20_000,
            descendants: 3,
            full_block: None,
            mempool: 4,
        }
    }

    /// For demonstrations and benchmarks: hundreds of varied transactions, a full block, a mempool
    /// with something in it, and enough history for fee estimates.
    pub fn full() -> Self {
        Self {
            base_blocks: 110,
            rounds: 16,
            many_inputs: 50,
            many_outputs: 200,
            envelope_bytes: 387_000,
            descendants: 20,
            full_block: Some(2_100),
            mempool: 25,
        }
    }

    /// The blocks that this plan adds.
    pub fn blocks(&self) -> u32 {
        // Funding, the rounds, the block mined directly, and fan-out with full block.
        self.base_blocks + 1 + self.rounds + 1 + if self.full_block.is_some() { 2 } else { 0 }
    }
}

/// How far a step of the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, for a person to read.
    pub step: &'static str,
    /// How much of it is done.
    pub done: u32,
    /// How much of it there is.
    pub total: u32,
}

/// Told of progress, a few times per second.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress);

/// What a build has made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The blocks with their heights, in order.
    pub blocks: Vec<(u32, BlockHash)>,
    /// The transactions by kind, confirmed and not, without coinbases. Each is listed once.
    pub kinds: BTreeMap<Kind, Vec<Txid>>,
    /// Transactions that were replaced: valid, but in no block and no mempool.
    pub replaced: Vec<Txid>,
    /// The transactions left in the mempool, parents first. Their kinds are above.
    pub mempool: Vec<Txid>,
    /// The full block, when the plan has one.
    pub full_block: Option<BlockHash>,
    /// The block that was mined directly, with everything non-standard.
    pub odd_block: Option<BlockHash>,
}

impl Summary {
    /// The height of the last block.
    pub fn tip_height(&self) -> Option<u32> {
        self.blocks.last().map(|(height, _)| *height)
    }

    /// How many transactions there are, without coinbases.
    pub fn transactions(&self) -> usize {
        self.kinds.values().map(Vec::len).sum()
    }

    /// All transactions of a kind.
    pub fn of(&self, kind: Kind) -> &[Txid] {
        self.kinds.get(&kind).map_or(&[], Vec::as_slice)
    }
}
