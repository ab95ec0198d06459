//! Reorganisations: blocks taken back and others put in their place.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{BlockHash, Transaction};
use serde_json::json;

use super::Chain;
use crate::NodeError;

/// What a reorganisation changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reorg {
    /// The height of the last block that both branches share.
    pub fork_height: u32,
    /// The blocks taken back, the lowest first.
    pub disconnected: Vec<BlockHash>,
    /// The blocks in their place and one more, the lowest first.
    pub connected: Vec<BlockHash>,
}

impl Chain<'_> {
    /// Replaces the last `depth` blocks by `depth + 1` others. Their transactions return to the
    /// mempool and are mined again; non-standard ones are lost, as are coinbases. Core gives the
    /// transactions of the last ten blocks back and drops those of deeper ones.
    pub fn reorg(&mut self, depth: u32) -> Result<Reorg, NodeError> {
        let disconnected = self.disconnect(depth)?;
        let fork_height = self.height;
        let connected = self.mine(depth + 1)?;
        Ok(Reorg {
            fork_height,
            disconnected,
            connected,
        })
    }

    /// The same with empty blocks: the transactions stay in the mempool, unconfirmed.
    pub fn reorg_empty(&mut self, depth: u32) -> Result<Reorg, NodeError> {
        let disconnected = self.disconnect(depth)?;
        let fork_height = self.height;
        let connected = self.mine_empty(depth + 1)?;
        Ok(Reorg {
            fork_height,
            disconnected,
            connected,
        })
    }

    /// Takes the last `depth` blocks back and mines nothing; returns them, the lowest first. The
    /// node's tip goes down, which a wallet sees only with the blocks that follow.
    ///
    /// # Errors
    ///
    /// [`NodeError::Build`] when there are not that many.
    pub fn disconnect(&mut self, depth: u32) -> Result<Vec<BlockHash>, NodeError> {
        let height: u32 = self.node.call("getblockcount", &[])?;
        let fork_height = height.checked_sub(depth).ok_or_else(|| {
            NodeError::build(
                "reorganisation",
                format!("the chain has {height} blocks only"),
            )
        })?;
        let calls: Vec<_> = (fork_height + 1..=height)
            .map(|h| ("getblockhash", vec![json!(h)]))
            .collect();
        let hashes: Vec<BlockHash> = self.node.batch(&calls)?;
        if let Some(lowest) = hashes.first() {
            self.run("invalidateblock", &[json!(lowest)])?;
        }
        self.height = fork_height;
        self.coinbases
            .retain(|coinbase| coinbase.height <= fork_height);
        Ok(hashes)
    }

    /// Mines a block of exactly these transactions, whether or not the mempool has or would take
    /// them; a conflicting one in the mempool is dropped.
    ///
    /// # Errors
    ///
    /// [`NodeError::Rpc`] with Core's reason when the block would not be valid.
    pub fn mine_transactions(&mut self, all: &[Transaction]) -> Result<BlockHash, NodeError> {
        let hex: Vec<_> = all.iter().map(serialize_hex).collect();
        self.mine_exactly(&hex)
    }
}
