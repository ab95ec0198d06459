//! The wallet's view of the chain: few blocks of it, found by height without a walk.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use bdk_chain::local_chain::{CannotConnectError, ChangeSet, CheckPoint, LocalChain};
use bdk_chain::{BlockId, ChainOracle};
use bitcoin::BlockHash;
use btc_iface::BlockRef;

/// A block that is not a relevant one is kept while it is at most this many times its height's
/// largest power of two below the tip: all of the last few, then ever fewer.
const KEPT_DISTANCE: u64 = 8;

/// The blocks that the wallet knows to be in the chain. Small whatever the chain's length: the
/// genesis block, the relevant ones, the tip, and a number of others that grows with the logarithm.
#[derive(Debug)]
pub(super) struct Blocks {
    chain: LocalChain,
    by_height: BTreeMap<u32, BlockHash>,
    /// Those without a transaction of the wallet's.
    markers: BTreeSet<u32>,
}

/// A block at this height is known with another hash.
#[derive(Debug, thiserror::Error)]
#[error("two blocks at height {height} in one chain: {known} and {given}")]
pub(super) struct Conflict {
    height: u32,
    known: BlockHash,
    given: BlockHash,
}

impl Blocks {
    /// `relevant` are the heights of blocks with transactions of the wallet's.
    pub(super) fn new(chain: LocalChain, relevant: &BTreeSet<u32>) -> Self {
        let by_height: BTreeMap<_, _> = chain
            .iter_checkpoints()
            .map(|checkpoint| (checkpoint.height(), checkpoint.hash()))
            .collect();
        let markers = by_height
            .keys()
            .filter(|height| **height != 0 && !relevant.contains(height))
            .copied()
            .collect();
        Self {
            chain,
            by_height,
            markers,
        }
    }

    pub(super) fn tip(&self) -> BlockRef {
        let tip = self.chain.tip();
        BlockRef {
            height: tip.height(),
            hash: tip.hash(),
        }
    }

    /// The block known at this height.
    pub(super) fn at(&self, height: u32) -> Option<BlockHash> {
        self.by_height.get(&height).copied()
    }

    /// All, the highest first.
    pub(super) fn descending(&self) -> impl Iterator<Item = BlockRef> {
        self.by_height
            .iter()
            .rev()
            .map(|(&height, &hash)| BlockRef { height, hash })
    }

    /// Adds a block and forgets markers that are no longer worth keeping.
    pub(super) fn insert(
        &mut self,
        block: BlockRef,
        is_relevant: bool,
    ) -> Result<ChangeSet, Conflict> {
        if is_relevant {
            self.markers.remove(&block.height);
        }
        match self.by_height.get(&block.height) {
            Some(known) if *known == block.hash => return Ok(ChangeSet::default()),
            Some(known) => {
                return Err(Conflict {
                    height: block.height,
                    known: *known,
                    given: block.hash,
                });
            }
            None => {}
        }
        let mut changes = ChangeSet::from_iter([(block.height, block.hash)]);
        if !is_relevant {
            self.markers.insert(block.height);
        }
        let tip = self.tip().height.max(block.height);
        for height in self.superfluous(tip) {
            changes.blocks.insert(height, None);
        }
        self.apply(&changes);
        Ok(changes)
    }

    /// Forgets the blocks above this height.
    pub(super) fn truncate(&mut self, height: u32) -> ChangeSet {
        let above = self.by_height.range(height.saturating_add(1)..);
        let changes: ChangeSet = above
            .map(|(height, _)| (*height, None::<BlockHash>))
            .collect();
        self.apply(&changes);
        changes
    }

    /// Takes over what a source that knows histories has found out about the chain, with the
    /// heights of blocks in which it has found transactions; returns the lowest height whose block
    /// was replaced or dropped, too.
    pub(super) fn update(
        &mut self,
        update: CheckPoint,
        relevant: &BTreeSet<u32>,
    ) -> Result<(ChangeSet, Option<u32>), CannotConnectError> {
        let mut changes = self.chain.apply_update(update)?;
        let lowest = changes
            .blocks
            .iter()
            .find(|(height, hash)| {
                let known = self.by_height.get(height);
                known.is_some_and(|known| Some(known) != hash.as_ref())
            })
            .map(|(height, _)| *height);
        self.mirror(&changes);
        let added = changes.blocks.iter().filter(|(_, hash)| hash.is_some());
        let added = added.map(|(height, _)| *height);
        self.markers.extend(added.filter(|height| *height != 0));
        // Also those that were there before a transaction was found in them.
        self.markers.retain(|height| !relevant.contains(height));
        let superfluous = self.superfluous(self.tip().height);
        let superfluous = superfluous
            .into_iter()
            .map(|height| (height, None::<BlockHash>));
        let superfluous: ChangeSet = superfluous.collect();
        self.apply(&superfluous);
        changes.blocks.extend(superfluous.blocks);
        Ok((changes, lowest))
    }

    fn apply(&mut self, changes: &ChangeSet) {
        self.chain
            .apply_changeset(changes)
            .expect("no change of ours touches the genesis block");
        self.mirror(changes);
    }

    fn mirror(&mut self, changes: &ChangeSet) {
        for (height, hash) in &changes.blocks {
            if let Some(hash) = hash {
                self.by_height.insert(*height, *hash);
            } else {
                self.by_height.remove(height);
                self.markers.remove(height);
            }
        }
    }

    fn superfluous(&self, tip: u32) -> Vec<u32> {
        self.markers
            .iter()
            .filter(|height| {
                let distance = u64::from(tip.saturating_sub(**height));
                distance > KEPT_DISTANCE << height.trailing_zeros()
            })
            .copied()
            .collect()
    }
}

impl ChainOracle for Blocks {
    type Error = Infallible;

    fn is_block_in_chain(
        &self,
        block: BlockId,
        _chain_tip: BlockId,
    ) -> Result<Option<bool>, Infallible> {
        let known = self.by_height.get(&block.height);
        Ok(known.map(|hash| *hash == block.hash))
    }

    fn get_chain_tip(&self) -> Result<BlockId, Infallible> {
        Ok(self.chain.tip().block_id())
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;

    use super::*;

    fn block(height: u32) -> BlockRef {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&height.to_le_bytes());
        BlockRef {
            height,
            hash: BlockHash::from_byte_array(bytes),
        }
    }

    fn blocks() -> Blocks {
        let (chain, _) = LocalChain::from_genesis_hash(block(0).hash);
        Blocks::new(chain, &BTreeSet::new())
    }

    #[test]
    fn few_blocks_are_kept_and_the_nearest_are_dense() {
        let mut blocks = blocks();
        let mut stored = BTreeMap::from([(0, Some(block(0).hash))]);
        for height in 1..=20_000 {
            let is_relevant = height == 777;
            let changes = blocks
                .insert(block(height), is_relevant)
                .expect("one chain");
            stored.extend(changes.blocks);
        }
        let heights: Vec<_> = blocks.descending().map(|block| block.height).collect();
        assert!(heights.len() < 160, "{}", heights.len());
        assert_eq!(
            heights[..8],
            [
                20_000, 19_999, 19_998, 19_997, 19_996, 19_995, 19_994, 19_993
            ]
        );
        assert!(heights.contains(&777) && heights.ends_with(&[0]));
        // A reorganisation never costs more than twice its depth and a little.
        for pair in heights.windows(2) {
            let (upper, lower) = (20_000 - pair[0], 20_000 - pair[1]);
            assert!(lower <= 3 * upper + 16 || pair[1] == 0, "{pair:?}");
        }
        let of_store: Vec<_> = stored
            .iter()
            .rev()
            .filter_map(|(height, hash)| hash.map(|_| *height))
            .collect();
        assert_eq!(of_store, heights);
    }

    #[test]
    fn a_second_block_at_a_height_is_a_conflict_until_the_first_is_gone() {
        let mut blocks = blocks();
        blocks.insert(block(5), true).expect("one chain");
        let other = BlockRef {
            height: 5,
            ..block(6)
        };
        assert!(blocks.insert(other, true).is_err());
        blocks.truncate(4);
        assert_eq!(blocks.tip(), block(0));
        blocks.insert(other, false).expect("the first is gone");
        assert_eq!(blocks.tip(), other);
    }
}
