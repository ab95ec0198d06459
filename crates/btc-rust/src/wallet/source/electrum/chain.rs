//! The server's chain, as far as the wallet needs it: where it agrees with the wallet's, and above.

use std::collections::BTreeMap;

use bdk_chain::{BlockId, CheckPoint};
use bitcoin::BlockHash;
use btc_iface::{BitcoinResult, BlockRef};

use super::connection::{Connection, Place};

/// The newest blocks that are always told, so that a short reorganisation is seen at once.
const SUFFIX: u32 = 8;
/// Headers asked for at once.
const BATCH: usize = 50;

/// Blocks of the server's chain by height.
pub(super) struct ServerChain {
    blocks: BTreeMap<u32, BlockHash>,
    /// The wallet's blocks that the server has, too.
    agreed: Vec<BlockRef>,
}

impl ServerChain {
    /// Compares the wallet's blocks, the newest first, with the server's.
    ///
    /// # Errors
    /// `InvalidResponse`: headers that do not connect, or no common block.
    pub(super) fn compare(
        connection: &Connection,
        place: &Place,
        tip: BlockRef,
        known: &[BlockRef],
    ) -> BitcoinResult<Self> {
        let mut blocks = suffix(connection, place, tip)?;
        for some in known.chunks(BATCH) {
            let missing: Vec<u32> = some
                .iter()
                .map(|block| block.height)
                .filter(|height| *height <= tip.height && !blocks.contains_key(height))
                .collect();
            let headers = connection.headers(place, &missing)?;
            let hashes = headers.iter().map(bitcoin::block::Header::block_hash);
            blocks.extend(missing.into_iter().zip(hashes));
            let first = some
                .iter()
                .position(|block| blocks.get(&block.height) == Some(&block.hash));
            if let Some(first) = first {
                let agreed = known
                    .iter()
                    .skip_while(|block| **block != some[first])
                    .copied()
                    .collect();
                return Ok(Self { blocks, agreed });
            }
        }
        Err(connection.lied("no block in common"))
    }

    /// The chain with the blocks of confirmations in it; `None` when one of them is not the
    /// server's block at its height any more.
    pub(super) fn with(mut self, anchors: impl Iterator<Item = BlockId>) -> Option<CheckPoint> {
        // Below the newest common block, the wallet's own blocks hold.
        let newest = self.agreed.first()?.height;
        self.blocks.retain(|height, _| *height > newest);
        for block in self.agreed {
            self.blocks.insert(block.height, block.hash);
        }
        for anchor in anchors {
            let hash = *self.blocks.entry(anchor.height).or_insert(anchor.hash);
            if hash != anchor.hash {
                return None;
            }
        }
        let ids = self
            .blocks
            .into_iter()
            .map(|(height, hash)| BlockId { height, hash });
        CheckPoint::from_block_ids(ids).ok()
    }
}

/// The newest blocks, which must connect.
fn suffix(
    connection: &Connection,
    place: &Place,
    tip: BlockRef,
) -> BitcoinResult<BTreeMap<u32, BlockHash>> {
    let heights: Vec<u32> = (tip.height.saturating_sub(SUFFIX - 1)..=tip.height).collect();
    let headers = connection.headers(place, &heights)?;
    let is_chain = headers
        .windows(2)
        .all(|pair| pair[1].prev_blockhash == pair[0].block_hash());
    let ends_at_tip = headers.last().map(bitcoin::block::Header::block_hash) == Some(tip.hash);
    if !is_chain || !ends_at_tip {
        return Err(connection.lied("headers at the tip"));
    }
    let hashes = headers.iter().map(bitcoin::block::Header::block_hash);
    Ok(heights.into_iter().zip(hashes).collect())
}
