//! `Claim`: what one peer says about the chain, checked as far as it can be without the others.

use std::thread;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::pow::Work;
use btc_iface::{BlockRef, Network};

use super::failure::Failure;
use super::wire::{Conversation, MAX_HEADERS};
use crate::wallet::source::work::Branch;

/// How often a peer is asked whether it has built a filter.
const POLL: Duration = Duration::from_millis(20);

/// How often one peer is asked for more headers, which is more than any chain has.
const MAX_MORE: usize = 2_000;

/// A peer that answers, with what it says.
pub(super) struct Serving {
    /// As it was named.
    pub(super) address: String,
    pub(super) open: Conversation,
    pub(super) claim: Claim,
    /// Its chain above a block that all peers share, for its work. It is followed as far as it
    /// takes to see which chain has the most.
    pub(super) above: Option<Branch>,
}

/// Where a peer's chain parts from blocks that are known, and what is above.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// The last of the known blocks that is in the peer's chain.
    pub(super) shared: BlockRef,
    /// The end of the peer's chain, or a block 2,000 above the shared one.
    pub(super) tip: BlockRef,
    /// The headers from the one to the other: connected, with their proof of work, at the
    /// difficulty of the network. None where there are none.
    branch: Option<Branch>,
    /// Whether the chain may go on above the tip.
    pub(super) goes_on: bool,
}

impl Claim {
    /// Asks a peer where its chain parts from these blocks, which are in one chain, the newest
    /// first, the genesis block last.
    ///
    /// # Errors
    /// `Lie`: its headers are not worth what they claim.
    pub(super) fn ask(
        open: &mut Conversation,
        network: Network,
        known: &[BlockRef],
    ) -> Result<Self, Failure> {
        let locator: Vec<BlockHash> = known.iter().map(|block| block.hash).collect();
        let headers = open.headers_after(&locator)?;
        let Some(first) = headers.first() else {
            return Self::at_a_known_block(open, known, &locator);
        };
        let below = known.iter().find(|it| it.hash == first.prev_blockhash);
        let below = *below.ok_or_else(|| {
            Failure::Nonsense("headers that connect to nothing asked for".to_owned())
        })?;
        let claim = Self::above(open, network, below, &headers)?;
        // Known blocks may be among them, when the locator had no room for all.
        let is_above = |block: &&BlockRef| {
            let at = block.height.checked_sub(below.height + 1);
            let header = at.and_then(|at| headers.get(usize::try_from(at).ok()?));
            header.is_some_and(|header| header.block_hash() == block.hash)
        };
        match known.iter().find(is_above) {
            Some(shared) => {
                let at = usize::try_from(shared.height - below.height).unwrap_or(usize::MAX);
                Self::above(
                    open,
                    network,
                    *shared,
                    headers.get(at..).unwrap_or_default(),
                )
            }
            None => Ok(claim),
        }
    }

    /// Nothing is above: the first known block that the peer has is its tip. When more of the
    /// known ones are left out of the question, it has an answer.
    fn at_a_known_block(
        open: &mut Conversation,
        known: &[BlockRef],
        locator: &[BlockHash],
    ) -> Result<Self, Failure> {
        // At the first, the answer was empty; after the last, it would not be.
        let (mut empty, mut full) = (0, known.len());
        while full - empty > 1 {
            // The tip is usually the newest.
            let middle = if empty == 0 && full == known.len() {
                1
            } else {
                usize::midpoint(empty, full)
            };
            if open.headers_after(&locator[middle..])?.is_empty() {
                empty = middle;
            } else {
                full = middle;
            }
        }
        let tip = *known
            .get(empty)
            .ok_or_else(|| Failure::Nonsense("a chain without a beginning".to_owned()))?;
        Ok(Self {
            shared: tip,
            tip,
            branch: None,
            goes_on: false,
        })
    }

    fn above(
        open: &mut Conversation,
        network: Network,
        below: BlockRef,
        headers: &[Header],
    ) -> Result<Self, Failure> {
        let lie = |flaw| Failure::Lie(format!("{flaw}"));
        let header = open.header_of(below)?;
        let mut branch = Branch::above(network, below, &header).map_err(lie)?;
        branch.extend(headers).map_err(lie)?;
        Ok(Self {
            shared: below,
            tip: branch.tip(),
            branch: Some(branch),
            goes_on: headers.len() >= MAX_HEADERS,
        })
    }
}

impl Serving {
    /// The work of its chain above the block that all peers share.
    pub(super) fn weight(&self) -> Work {
        self.above.as_ref().map_or_else(zero, Branch::work)
    }

    /// Follows the headers to the end of the peer's chain. None is kept.
    fn follow_to_end(&mut self) -> Result<(), Failure> {
        let Some(branch) = &mut self.above else {
            return Ok(());
        };
        for _ in 0..MAX_MORE {
            if !self.claim.goes_on {
                break;
            }
            self.open.renew();
            let headers = self.open.headers_after(&[branch.tip().hash])?;
            let first = headers.first();
            if first.is_some_and(|it| it.prev_blockhash != branch.tip().hash) {
                // Its chain is another one since.
                return Err(Failure::Closed);
            }
            let flawed = |flaw| Failure::Lie(format!("{flaw}"));
            branch.extend(&headers).map_err(flawed)?;
            self.claim.tip = branch.tip();
            self.claim.goes_on = headers.len() >= MAX_HEADERS;
        }
        Ok(())
    }

    /// Waits until the peer has built the filter of this block: Bitcoin Core does so some time
    /// after it has connected it, and does not answer before.
    pub(super) fn await_filter(&mut self, block: BlockRef) -> Result<(), Failure> {
        loop {
            match self.open.has_filter(block) {
                Ok(true) => return Ok(()),
                // Ends when the time is over.
                Ok(false) => thread::sleep(POLL),
                Err(Failure::Silent) => return Err(Failure::NoFilter(block.height)),
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Weighs all chains above the same block, the highest that all peers share: to their ends, unless
/// all have the same next blocks. Peers that do not answer any more are handed to `lost`.
pub(super) fn align(
    mut peers: Vec<Serving>,
    network: Network,
    mut lost: impl FnMut(&str, Failure),
) -> Vec<Serving> {
    let lowest = peers.iter().map(|peer| peer.claim.shared);
    let Some(lowest) = lowest.min_by_key(|shared| shared.height) else {
        return peers;
    };
    let first = peers.first().map(|peer| peer.claim.tip);
    let are_one = peers.iter().all(|peer| Some(peer.claim.tip) == first);
    peers.retain_mut(|peer| match weigh(peer, network, lowest, are_one) {
        Ok(()) => true,
        Err(failure) => {
            lost(&peer.address, failure);
            false
        }
    });
    peers
}

fn weigh(
    peer: &mut Serving,
    network: Network,
    lowest: BlockRef,
    are_one: bool,
) -> Result<(), Failure> {
    peer.above = peer.claim.branch.take();
    if are_one {
        return Ok(());
    }
    let before = peer.claim.tip;
    if peer.claim.shared != lowest {
        peer.open.renew();
        let headers = peer.open.headers_after(&[lowest.hash])?;
        let claim = Claim::above(&mut peer.open, network, lowest, &headers)?;
        peer.claim.tip = claim.tip;
        peer.claim.goes_on = claim.goes_on;
        peer.above = claim.branch;
    }
    peer.follow_to_end()?;
    if peer.claim.tip != before {
        peer.open.renew();
        peer.await_filter(peer.claim.tip)?;
    }
    Ok(())
}

pub(super) fn zero() -> Work {
    Work::from_be_bytes([0; 32])
}
