//! Bitcoin Core as a chain source.
//!
//! Headers come in batches, blocks by the compact filters that the node may have (BIP157, BIP158)
//! or else all of them, several requests in flight, over REST where the node serves it. The node
//! is trusted to tell the chain with the most work; what it sends is checked to be what was asked
//! for.

mod blocks;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcoin::consensus::encode;
use bitcoin::{Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, NodeConfig, Operation};

use self::blocks::Scan;
use super::mempool::Seen;
use super::pool::{Weighed, in_order};
use super::{ChainSource, Follower, Peer, Piece, Relatives};
use crate::core::Core;
use crate::wallet::build::RelayRules;

/// Blocks between two points at which the scan can go on after an interruption. A power of two,
/// below the 2,000 headers that REST gives at once.
const BATCH: u32 = 1024;
/// The last blocks are batches of their own, so that the usual reorganisation undoes few.
const NEAR_TIP: [u32; 2] = [144, 12];
/// For fewer blocks than this, filters cost more requests than they save.
const MIN_FILTERED: u32 = 4;
/// How often the chain may move on while it is read.
const MAX_MOVES: u32 = 100;
/// Blocks between two reports of progress.
const PROGRESS_STEP: u32 = 100;

/// Bitcoin Core over its RPC and REST. One source serves one wallet.
pub struct CoreSource {
    core: Arc<Core>,
    seen: Mutex<Seen>,
}

impl CoreSource {
    /// Connects to the node.
    ///
    /// # Errors
    /// As [`RustBitcoin::connect`](crate::RustBitcoin::connect).
    pub fn connect(config: &NodeConfig) -> BitcoinResult<Self> {
        Ok(Self::new(Arc::new(Core::connect(config)?)))
    }

    /// A source over a connection that is there already.
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            seen: Mutex::default(),
        }
    }

    /// Brings the follower's chain up to this tip; false when the node's chain has moved.
    fn scan_to(&self, tip: BlockRef, follower: &mut dyn Follower) -> BitcoinResult<bool> {
        if follower.scanned() == Some(tip) {
            return Ok(true);
        }
        self.seen().forget_state();
        self.find_fork(follower)?;
        let birthday = follower.birthday();
        let mut previous = follower.scanned().filter(|it| it.height + 1 >= birthday);
        let mut start = previous.map_or(birthday, |it| it.height + 1);
        if start > tip.height {
            if follower.scanned().is_some_and(|it| it.height >= tip.height) {
                // The chain has moved since the tip was asked for.
                return Ok(false);
            }
            follower.take(Piece::Scanned(tip))?;
            return Ok(true);
        }
        let uses_filters = tip.height - start >= MIN_FILTERED && self.core.has_filters()?;
        let scan = Scan::new(&self.core, follower, uses_filters);
        let (first, total) = (start, tip.height - start + 1);
        while start <= tip.height {
            let end = batch_end(start, tip.height);
            let blocks = scan.headers(previous, start, end)?;
            let Some(last) = blocks.last().copied() else {
                return Ok(false);
            };
            if Self::drop_stale(&blocks, tip, follower)? {
                return Ok(false);
            }
            scan.batch(&blocks, follower, &mut |follower, height| {
                let done = height - first + 1;
                if done.is_multiple_of(PROGRESS_STEP) || done == total {
                    follower.progress(done, total);
                }
            })?;
            follower.take(Piece::Scanned(last))?;
            if last.height < end {
                return Ok(false);
            }
            previous = Some(last);
            start = end + 1;
        }
        Ok(previous == Some(tip))
    }

    /// Undoes what the follower knows above the last block that the node's chain shares.
    fn find_fork(&self, follower: &mut dyn Follower) -> BitcoinResult<()> {
        let known = follower.checkpoints();
        let Some(newest) = known.first() else {
            return Ok(());
        };
        if self.core.is_active(*newest)? {
            return Ok(());
        }
        // What is below an active block is active, so the known ones need not all be asked for.
        let (mut stale, mut active) = (0, known.len());
        while active - stale > 1 {
            let middle = usize::midpoint(stale, active);
            if self.core.is_active(known[middle])? {
                active = middle;
            } else {
                stale = middle;
            }
        }
        disconnect(follower, known.get(active).copied())
    }

    /// Undoes what the follower knows otherwise than these blocks of the node's chain; true if there
    /// was anything. Where blocks are read again, the chain may have moved above them since
    /// [`find_fork`](Self::find_fork), and the new branch need not have a block of the wallet's at
    /// the height of an old one.
    fn drop_stale(
        blocks: &[BlockRef],
        tip: BlockRef,
        follower: &mut dyn Follower,
    ) -> BitcoinResult<bool> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
            return Ok(false);
        };
        let known = follower.checkpoints();
        let is_stale = |it: &BlockRef| {
            if it.height > last.height {
                return last.height == tip.height;
            }
            let place = it.height.checked_sub(first.height);
            let block = place.and_then(|place| blocks.get(place as usize));
            block.is_some_and(|block| block.hash != it.hash)
        };
        // The highest first: what is above the lowest stale one goes with it.
        let Some(lowest) = known.iter().rposition(is_stale) else {
            return Ok(false);
        };
        disconnect(follower, known.get(lowest + 1).copied())?;
        Ok(true)
    }

    /// Undoes what a server has said: above the blocks that were read, and from the lowest block
    /// on that the node's chain does not have at that height. Each is asked for: below a true
    /// one, a server may have put a false one.
    fn doubt(&self, follower: &mut dyn Follower) -> BitcoinResult<()> {
        if !follower.begin_blocks()? {
            return Ok(());
        }
        let known = follower.checkpoints();
        let mut false_from = 0;
        let is_active = |i: usize| self.core.is_active(known[i]);
        in_order(known.len(), is_active, |i, is_active| {
            if !is_active {
                false_from = i + 1;
            }
            Ok(())
        })?;
        if false_from == 0 {
            return Ok(());
        }
        disconnect(follower, known.get(false_from).copied())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // A reader that failed half-way leaves entries that are each true.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChainSource for CoreSource {
    fn name(&self) -> &'static str {
        "core"
    }

    fn tip(&self) -> BitcoinResult<BlockRef> {
        self.core.tip()
    }

    fn follow(&self, follower: &mut dyn Follower) -> BitcoinResult<()> {
        self.doubt(follower)?;
        let mut moves = 0;
        while moves < MAX_MOVES {
            let tip = self.tip()?;
            if !self.scan_to(tip, follower)? {
                moves += 1;
                continue;
            }
            if follower.at_tip()? {
                continue;
            }
            let watched = follower.watched().len();
            if !self.seen().read(&self.core, tip, follower)? {
                moves += 1;
                continue;
            }
            // What waits may have moved the window, over blocks that were read with a smaller one.
            let has_grown = follower.watched().len() > watched;
            if !has_grown || !follower.at_tip()? {
                return Ok(());
            }
        }
        let message = "the chain moves faster than it can be followed; ask again in a moment";
        Err(
            BitcoinError::new(ErrorKind::Unavailable, Operation::Sync, message)
                .with_context("tries", MAX_MOVES),
        )
    }

    fn broadcast(&self, transaction: &Transaction) -> BitcoinResult<Txid> {
        let txid = transaction.compute_txid();
        self.core.broadcast(&encode::serialize(transaction), txid)?;
        Ok(txid)
    }

    fn is_mempool_loaded(&self) -> BitcoinResult<bool> {
        self.core.is_mempool_loaded()
    }

    fn submit_package(&self, parent: &Transaction, child: &Transaction) -> BitcoinResult<()> {
        self.core.submit_package(&[parent, child])
    }

    fn relatives(&self, txid: Txid) -> BitcoinResult<Option<Relatives>> {
        self.core.relatives(&txid)
    }

    fn relay_rules(&self) -> BitcoinResult<Option<RelayRules>> {
        self.core.relay_rules().map(Some)
    }

    fn peers(&self) -> BitcoinResult<Vec<Peer>> {
        self.core.peers()
    }
}

impl Weighed for bool {
    fn bytes(&self) -> usize {
        1
    }
}

/// Tells the follower down to which block, if to any, its chain holds.
fn disconnect(follower: &mut dyn Follower, fork: Option<BlockRef>) -> BitcoinResult<()> {
    let Some(fork) = fork else {
        let message = "the node's chain has no block in common with the wallet's; check that the \
                       node is on the wallet's network";
        return Err(BitcoinError::new(
            ErrorKind::Configuration,
            Operation::Sync,
            message,
        ));
    };
    follower.take(Piece::Disconnect { fork })
}

/// Where the batch that begins at `start` ends.
fn batch_end(start: u32, tip: u32) -> u32 {
    let aligned = (start / BATCH + 1).saturating_mul(BATCH);
    NEAR_TIP
        .into_iter()
        .filter_map(|distance| tip.checked_sub(distance))
        .filter(|end| *end >= start)
        .fold(aligned.min(tip), u32::min)
}
