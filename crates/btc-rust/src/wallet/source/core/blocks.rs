//! A range of blocks of a Bitcoin Core node's chain, examined several at a time.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bitcoin::BlockHash;
use bitcoin::block::Header;
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Operation};

use crate::core::Core;
use crate::wallet::source::pool::{Weighed, in_order};
use crate::wallet::source::scan::{self, Extent, Interest};
use crate::wallet::source::{Follower, Piece};

/// A range of blocks being examined.
pub(super) struct Scan<'s> {
    core: &'s Core,
    interest: RwLock<Interest>,
    uses_filters: bool,
}

/// A block, or its filter, and what was looked for in it.
struct Examined {
    looked_for: Extent,
    found: Found,
}

enum Found {
    /// The filter, which matches nothing.
    Filter(Vec<u8>),
    /// The block's bytes, and whether it matters.
    Block(Vec<u8>, bool),
}

impl Weighed for Examined {
    fn bytes(&self) -> usize {
        let (Found::Filter(bytes) | Found::Block(bytes, _)) = &self.found;
        bytes.len()
    }
}

impl<'s> Scan<'s> {
    pub(super) fn new(core: &'s Core, follower: &dyn Follower, uses_filters: bool) -> Self {
        Self {
            core,
            interest: RwLock::new(Interest::of(follower)),
            uses_filters,
        }
    }

    /// The blocks of the node's chain from `start` to `end`, linked to each other and to
    /// `previous`; fewer when the chain has moved meanwhile.
    pub(super) fn headers(
        &self,
        previous: Option<BlockRef>,
        start: u32,
        end: u32,
    ) -> BitcoinResult<Vec<BlockRef>> {
        let (from, skipped) = match previous {
            Some(previous) => (previous.hash, 1),
            None => match self.hash_at(start)? {
                Some(hash) => (hash, 0),
                None => return Ok(Vec::new()),
            },
        };
        let count = (end - start) as usize + 1;
        let Some(headers) = self.core.headers(&from, count + skipped)? else {
            return self.headers_over_rpc(previous, start, count);
        };
        let mut blocks: Vec<BlockRef> = Vec::with_capacity(headers.len());
        for (height, header) in (start - u32::from(skipped == 1)..).zip(&headers) {
            let hash = check_work(header)?;
            let is_linked = match blocks.last() {
                Some(below) => header.prev_blockhash == below.hash,
                None => hash == from,
            };
            if !is_linked {
                return Err(invalid(
                    "the node's headers are not a chain; ask another node",
                ));
            }
            blocks.push(BlockRef { height, hash });
        }
        Ok(blocks.split_off(skipped.min(blocks.len())))
    }

    /// The same one by one, from a node without REST.
    fn headers_over_rpc(
        &self,
        previous: Option<BlockRef>,
        start: u32,
        count: usize,
    ) -> BitcoinResult<Vec<BlockRef>> {
        let mut blocks: Vec<BlockRef> = Vec::with_capacity(count);
        let mut has_moved = false;
        let get = |i: usize| {
            // The count was a height difference.
            let height = start + u32::try_from(i).unwrap_or(u32::MAX - start);
            let Some(hash) = self.hash_at(height)? else {
                return Ok(None);
            };
            let header = self.core.header(&hash)?;
            if check_work(&header)? != hash {
                return Err(invalid("the node sent the header of another block"));
            }
            Ok(Some((BlockRef { height, hash }, header.prev_blockhash)))
        };
        in_order(count, get, |_, got: Option<(BlockRef, BlockHash)>| {
            let below = blocks.last().copied().or(previous);
            match got {
                Some((block, previous))
                    if !has_moved && below.is_none_or(|below| below.hash == previous) =>
                {
                    blocks.push(block);
                }
                _ => has_moved = true,
            }
            Ok(())
        })?;
        Ok(blocks)
    }

    /// None above the tip.
    fn hash_at(&self, height: u32) -> BitcoinResult<Option<BlockHash>> {
        match self.core.hash_at(height) {
            Ok(hash) => Ok(Some(hash)),
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Examines blocks and hands those that matter to the follower.
    pub(super) fn batch(
        &self,
        blocks: &[BlockRef],
        follower: &mut dyn Follower,
        progress: &mut dyn FnMut(&mut dyn Follower, u32),
    ) -> BitcoinResult<()> {
        in_order(
            blocks.len(),
            |i| self.examine(blocks[i]),
            |i, examined| {
                if let Some(bytes) = self.look_again(blocks[i], examined)? {
                    self.deliver(blocks[i], &bytes, follower)?;
                }
                progress(follower, blocks[i].height);
                Ok(())
            },
        )
    }

    /// Looks at one block, or at its filter only. Runs while blocks below are not applied yet.
    fn examine(&self, block: BlockRef) -> BitcoinResult<Examined> {
        if self.uses_filters
            && let Some(filter) = self.core.filter(&block.hash)?
        {
            let interest = self.interest();
            if !interest.matches(&filter, &block.hash, None)? {
                return Ok(Examined {
                    looked_for: interest.extent(),
                    found: Found::Filter(filter),
                });
            }
        }
        let bytes = self.block(block)?;
        let interest = self.interest();
        let touches = interest.touches(&bytes)?;
        Ok(Examined {
            looked_for: interest.extent(),
            found: Found::Block(bytes, touches),
        })
    }

    /// Looks again for what blocks below have brought up meanwhile, so that the result is that of
    /// one block after the other. Returns the block if it matters.
    fn look_again(&self, block: BlockRef, examined: Examined) -> BitcoinResult<Option<Vec<u8>>> {
        let since = examined.looked_for;
        let interest = self.interest();
        let has_grown = interest.extent() != since;
        match examined.found {
            Found::Block(bytes, true) => Ok(Some(bytes)),
            Found::Block(bytes, false) if has_grown => {
                Ok(interest.touches(&bytes)?.then_some(bytes))
            }
            Found::Filter(filter)
                if has_grown && interest.matches(&filter, &block.hash, Some(since))? =>
            {
                let bytes = self.block(block)?;
                Ok(interest.touches(&bytes)?.then_some(bytes))
            }
            Found::Block(..) | Found::Filter(_) => Ok(None),
        }
    }

    fn deliver(
        &self,
        block: BlockRef,
        bytes: &[u8],
        follower: &mut dyn Follower,
    ) -> BitcoinResult<()> {
        let decoded = Arc::new(scan::decode_block(bytes, &block.hash)?);
        follower.take(Piece::Block {
            height: block.height,
            block: Arc::clone(&decoded),
        })?;
        self.interest
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .learn(follower, &decoded);
        Ok(())
    }

    fn block(&self, block: BlockRef) -> BitcoinResult<Vec<u8>> {
        let bytes = self.core.block_bytes(&block.hash).map_err(|error| {
            let error = error.during(Operation::Sync);
            if error.kind() != ErrorKind::NotFound {
                return error.with_context("height", block.height);
            }
            let message = format!(
                "block {} is needed and the node does not store it any more; ask a node that \
                 keeps all blocks, or make the wallet anew with a later birthday",
                block.height
            );
            BitcoinError::new(ErrorKind::NotFound, Operation::Sync, message)
                .with_context("hash", block.hash)
                .with_source(error)
        })?;
        scan::check_header(&bytes, &block.hash)?;
        Ok(bytes)
    }

    fn interest(&self) -> RwLockReadGuard<'_, Interest> {
        self.interest.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Weighed for Option<(BlockRef, BlockHash)> {
    fn bytes(&self) -> usize {
        std::mem::size_of::<Self>()
    }
}

/// The header's hash, if it keeps the target that it claims.
fn check_work(header: &Header) -> BitcoinResult<BlockHash> {
    header
        .validate_pow(header.target())
        .map_err(|cause| invalid("the node sent a header without work").with_source(cause))
}

fn invalid(message: &str) -> BitcoinError {
    BitcoinError::new(ErrorKind::InvalidResponse, Operation::Sync, message)
}
