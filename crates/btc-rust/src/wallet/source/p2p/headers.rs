//! `Headers`: the chain that a session tells, checked by its work header by header.
//!
//! The library checks connection and proof of work; the `bits` it compares only once it has seen a
//! whole period, and on testnets never. Here each header is held to the network's difficulty from
//! the base on.

use std::collections::HashMap;

use bip157::chain::IndexedHeader;
use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::pow::Work;
use btc_iface::{BlockRef, Network};

use crate::wallet::source::work::{Branch, Flaw, PERIOD, total_work};

/// How many headers are kept that are no longer in a chain, to know the work of what is undone.
const MAX_UNDONE: usize = 2 * PERIOD as usize;

/// The headers above a block that is taken for granted.
#[derive(Debug, Clone)]
pub(super) struct Headers {
    base: BlockRef,
    active: Vec<Header>,
    /// The state of the check at the base and at the first block of each period.
    marks: Vec<Branch>,
    tip: Branch,
    undone: Undone,
}

/// Headers of blocks that were once in a chain, by hash: each vouches for itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Undone(HashMap<BlockHash, Header>);

impl Headers {
    /// An empty chain above the base.
    pub(super) fn above(network: Network, base: BlockRef, header: &Header) -> Result<Self, Flaw> {
        let branch = Branch::above(network, base, header)?;
        Ok(Self {
            base,
            active: Vec::new(),
            marks: vec![branch.clone()],
            tip: branch,
            undone: Undone::default(),
        })
    }

    pub(super) const fn tip(&self) -> BlockRef {
        self.tip.tip()
    }

    pub(super) const fn base(&self) -> BlockRef {
        self.base
    }

    /// Takes the header above the tip.
    pub(super) fn connect(&mut self, header: &Header) -> Result<(), Flaw> {
        self.tip.push(header)?;
        self.active.push(*header);
        if self.tip().height.is_multiple_of(PERIOD) {
            self.marks.push(self.tip.clone());
        }
        Ok(())
    }

    /// Takes a branch that replaces what is above the block below it. Both are in ascending order.
    pub(super) fn reorganise(
        &mut self,
        accepted: &[IndexedHeader],
        undone: &[IndexedHeader],
    ) -> Result<(), Flaw> {
        self.undone.keep(undone.iter().map(|it| it.header));
        let Some(first) = accepted.first() else {
            return Ok(());
        };
        let fork = first.height.saturating_sub(1);
        let Some(branch) = self.branch_at(fork) else {
            return Err(Flaw::Unconnected(first.height));
        };
        self.tip = branch;
        self.active
            .truncate(self.place(fork).map_or(0, |at| at + 1));
        self.marks.retain(|mark| mark.tip().height <= fork);
        accepted.iter().try_for_each(|it| self.connect(&it.header))
    }

    /// The block of the chain at this height, from the base on.
    pub(super) fn at(&self, height: u32) -> Option<BlockRef> {
        if height == self.base.height {
            return Some(self.base);
        }
        let header = self.active.get(self.place(height)?)?;
        Some(BlockRef {
            height,
            hash: header.block_hash(),
        })
    }

    /// Blocks of the chain, the newest first: fewer and fewer further down, the base last.
    pub(super) fn locator(&self) -> Vec<BlockRef> {
        let tip = self.tip().height;
        let steps = std::iter::successors(Some(1_u32), |step| step.checked_mul(2));
        let heights = steps.map_while(|step| tip.checked_sub(step));
        let heights = std::iter::once(tip).chain(heights);
        let blocks = heights.map_while(|height| self.at(height));
        let mut locator: Vec<_> = blocks.collect();
        if locator.last() != Some(&self.base) {
            locator.push(self.base);
        }
        locator
    }

    pub(super) fn has(&self, block: BlockRef) -> bool {
        self.at(block.height) == Some(block)
    }

    /// The work of the blocks above the one height, up to the other.
    pub(super) fn work_between(&self, above: u32, to: u32) -> Work {
        let from = self.place(above).map_or(0, |at| at + 1);
        let to = self.place(to).map_or(0, |at| at + 1);
        total_work(self.active.get(from..to).unwrap_or_default())
    }

    /// The header of a block of the chain, or of one that was undone.
    pub(super) fn header_of(&self, block: BlockRef) -> Option<Header> {
        let header = self.place(block.height).and_then(|at| self.active.get(at));
        let header = header.filter(|header| header.block_hash() == block.hash);
        header.or_else(|| self.undone.get(block.hash)).copied()
    }

    /// The state of the check at this height, from the base on.
    pub(super) fn branch_at(&self, height: u32) -> Option<Branch> {
        if height > self.tip().height {
            return None;
        }
        let mut marks = self.marks.iter().rev();
        let mut branch = marks.find(|mark| mark.tip().height <= height)?.clone();
        let from = self.place(branch.tip().height).map_or(0, |at| at + 1);
        let to = self.place(height).map_or(0, |at| at + 1);
        // They were right before.
        branch.extend(self.active.get(from..to)?).ok()?;
        Some(branch)
    }

    /// What was undone, with the end of the chain, for when this session is over.
    pub(super) fn remember(&self) -> Undone {
        let mut undone = self.undone.clone();
        let tail = self.active.iter().rev().take(PERIOD as usize);
        undone.keep(tail.copied());
        undone
    }

    /// Where the header of this height is; none for the base and below.
    fn place(&self, height: u32) -> Option<usize> {
        let above = height.checked_sub(self.base.height)?.checked_sub(1)?;
        usize::try_from(above).ok()
    }
}

impl Undone {
    fn keep(&mut self, headers: impl Iterator<Item = Header>) {
        for header in headers {
            if self.0.len() >= MAX_UNDONE {
                self.0.clear();
            }
            self.0.insert(header.block_hash(), header);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.keep(other.0.into_values());
    }

    pub(super) fn get(&self, hash: BlockHash) -> Option<&Header> {
        self.0.get(&hash)
    }
}
