//! `Tips`: the tip that was seen last, to be read at no cost.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use btc_iface::BlockRef;

/// The last known tip. Nobody waits for it, and nobody is asked for it: it comes from the answers
/// that pass by, and off the caller's path from a look now and then.
#[derive(Debug, Default)]
pub(crate) struct Tips {
    /// The height plus one; 0 when none is known.
    next: AtomicU64,
    /// How many times another tip was seen than before.
    moves: AtomicU64,
    /// The block that was last seen as the tip. Two blocks of one height are two chains.
    block: Mutex<Option<BlockRef>>,
}

impl Tips {
    pub(crate) fn see(&self, height: u32) {
        let next = u64::from(height) + 1;
        let before = self.next.swap(next, Ordering::Relaxed);
        if before != next && before != 0 {
            self.moves.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The tip was this block. Does nothing while another thread holds the lock.
    pub(crate) fn see_block(&self, tip: BlockRef) {
        if let Ok(mut block) = self.block.try_lock() {
            let before = block.replace(tip);
            if before.is_some_and(|it| it.height == tip.height && it.hash != tip.hash) {
                self.moves.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// A number that is another one when another tip was seen since. A chain that went up and down
    /// to the same height has moved.
    pub(crate) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    pub(crate) fn height(&self) -> Option<u32> {
        let height = self.next.load(Ordering::Relaxed).checked_sub(1)?;
        u32::try_from(height).ok()
    }

    /// The tip as a block; none if only its height is known, or somebody else is at it.
    pub(crate) fn block(&self) -> Option<BlockRef> {
        let block = self.block.try_lock().ok().and_then(|block| *block)?;
        (self.height()? == block.height).then_some(block)
    }

    /// The block at this height, if that was the tip that was seen last.
    pub(crate) fn block_at(&self, height: u32) -> Option<BlockRef> {
        self.block().filter(|block| block.height == height)
    }
}

#[cfg(test)]
mod tests {
    use btc_iface::rust_bitcoin::BlockHash;
    use btc_iface::rust_bitcoin::hashes::Hash;

    use super::*;

    fn block(height: u32, branch: u8) -> BlockRef {
        BlockRef {
            height,
            hash: BlockHash::from_byte_array([branch; 32]),
        }
    }

    #[test]
    fn a_block_is_the_tip_only_at_the_height_that_was_seen_last() {
        let tips = Tips::default();
        tips.see_block(block(100, 1));
        assert_eq!(tips.block(), None);
        tips.see(100);
        assert_eq!(tips.block(), Some(block(100, 1)));
        tips.see(101);
        assert_eq!((tips.height(), tips.block()), (Some(101), None));
        tips.see_block(block(101, 1));
        assert_eq!(tips.block_at(101), Some(block(101, 1)));
        assert_eq!(tips.block_at(100), None, "it is of another moment");
    }

    #[test]
    fn a_chain_that_comes_back_to_a_height_has_moved() {
        let tips = Tips::default();
        tips.see(100);
        tips.see_block(block(100, 1));
        tips.see(100);
        tips.see_block(block(100, 1));
        assert_eq!(tips.moves(), 0);
        tips.see(99);
        tips.see(100);
        assert_eq!(tips.moves(), 2);
        tips.see_block(block(100, 2));
        assert_eq!(tips.moves(), 3);
    }
}
