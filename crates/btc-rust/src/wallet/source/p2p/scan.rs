//! One pass over the filters of a range of blocks: those that match are fetched and applied in
//! order.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use btc_iface::{BitcoinError, BlockRef};

use super::agree::{Accepted, Agreement};
use super::blocks::Fetcher;
use super::board::Fetched;
use super::session::{Loss, Session};
use super::sieve::Sieve;
use crate::wallet::source::{Follower, Piece};

/// Blocks asked for ahead of the one that is applied next, and so kept in memory.
const IN_FLIGHT: usize = 8;
/// After so many blocks the wallet may store how far it is.
const MILESTONE: u32 = 1_000;
/// Progress is told this often, in blocks.
const PROGRESS: u32 = 50;

/// Why a pass stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// The session gave no answer.
    Lost(Loss),
    /// The active chain changed on the way.
    Reorganised,
    /// Too few peers are left that agree; there may be others.
    TooFew(BitcoinError),
    /// A filter that all have agreed on hides what is in its block.
    AllLie,
    /// The wallet, or peers that cannot go on.
    Failed(BitcoinError),
}

impl From<Loss> for Stop {
    fn from(loss: Loss) -> Self {
        Self::Lost(loss)
    }
}

impl From<BitcoinError> for Stop {
    fn from(error: BitcoinError) -> Self {
        Self::Failed(error)
    }
}

/// A pass.
pub(super) struct Pass<'a> {
    pub(super) session: &'a Session,
    pub(super) agreement: &'a Agreement,
    pub(super) fetcher: &'a Fetcher,
    pub(super) start: u32,
    pub(super) tip: BlockRef,
    /// How long the peers may be silent.
    pub(super) limit: Duration,
}

/// A block between its filter and its application.
struct Waiting {
    sieve: Sieve,
    matches: bool,
    is_requested: bool,
}

impl Pass<'_> {
    /// Scans from the start to the tip.
    pub(super) fn run(&self, follower: &mut dyn Follower) -> Result<(), Stop> {
        if self.start > self.tip.height {
            return Ok(());
        }
        let outcome = self.scan(follower);
        self.session.forget_requests();
        outcome
    }

    fn scan(&self, follower: &mut dyn Follower) -> Result<(), Stop> {
        let session = self.session;
        let reorganisations = session.reorganisations();
        let mut window = follower.watched().len();
        let mut waiting: BTreeMap<u32, Waiting> = BTreeMap::new();
        let mut next = self.start;
        let (_, mut syncs) = session.pulse();
        follower.progress(0, self.total());
        session.request_filters(next.saturating_sub(1))?;
        while next <= self.tip.height {
            let (activity, seen_syncs) = session.pulse();
            if session.reorganisations() != reorganisations {
                return Err(Stop::Reorganised);
            }
            self.sort(session.take_filters(), next, &mut waiting, follower)?;
            self.request(&mut waiting);
            let before = next;
            while let Some(applied) = self.apply(next, &mut waiting, follower)? {
                next += 1;
                if follower.watched().len() != window {
                    window = follower.watched().len();
                    for other in waiting.values_mut().filter(|other| !other.matches) {
                        other.matches = other.sieve.lets_through(follower.watched());
                    }
                    self.request(&mut waiting);
                }
                self.tell(applied, follower)?;
            }
            if next != before {
                continue;
            }
            // The node says that it has told all, and it has not told what comes next: it was
            // busy with headers when it was asked, or too far ahead of us.
            if seen_syncs != syncs && !waiting.contains_key(&next) {
                syncs = seen_syncs;
                session.request_filters(next - 1)?;
            }
            session.wait_beyond(activity, self.limit)?;
        }
        follower.progress(self.total(), self.total());
        Ok(())
    }

    /// Puts the filters that are new into the line.
    fn sort(
        &self,
        filters: VecDeque<Sieve>,
        next: u32,
        waiting: &mut BTreeMap<u32, Waiting>,
        follower: &dyn Follower,
    ) -> Result<(), Stop> {
        for sieve in filters {
            let height = sieve.block.height;
            if (next..=self.tip.height).contains(&height) && !waiting.contains_key(&height) {
                let must_be_read = match self.agreement.at(height) {
                    Accepted::Any => false,
                    Accepted::Only(hash) if sieve.hash() == hash => false,
                    Accepted::Only(_) => return Err(Loss::TwoTongues.into()),
                    Accepted::None => true,
                };
                let matches = must_be_read || sieve.lets_through(follower.watched());
                let is_requested = false;
                waiting.insert(
                    height,
                    Waiting {
                        sieve,
                        matches,
                        is_requested,
                    },
                );
            }
        }
        Ok(())
    }

    /// Asks for the first of the blocks that match and were not asked for.
    fn request(&self, waiting: &mut BTreeMap<u32, Waiting>) {
        let matching = waiting.values_mut().filter(|block| block.matches);
        for block in matching.take(IN_FLIGHT) {
            if !block.is_requested {
                block.is_requested = true;
                self.fetcher.request(block.sieve.block.hash);
            }
        }
    }

    /// Applies the next block if everything for it is there.
    fn apply(
        &self,
        next: u32,
        waiting: &mut BTreeMap<u32, Waiting>,
        follower: &mut dyn Follower,
    ) -> Result<Option<BlockRef>, Stop> {
        let Some(first) = waiting.get(&next) else {
            return Ok(None);
        };
        let at = first.sieve.block;
        if at.height == self.tip.height && at.hash != self.tip.hash {
            return Err(Stop::Reorganised);
        }
        if first.matches {
            match self.session.take_block(at.hash) {
                None => return Ok(None),
                Some(Fetched::Lost) => return Err(Loss::NoBlock(at.height).into()),
                Some(Fetched::Block(block)) => {
                    let height = at.height;
                    let is_trusted = self.agreement.at(height) != Accepted::None;
                    if is_trusted && first.sieve.hides(&block, &HashSet::new(), &[]) {
                        return Err(Stop::AllLie);
                    }
                    follower.take(Piece::Block { height, block })?;
                }
            }
        }
        waiting.remove(&next);
        Ok(Some(at))
    }

    /// Progress, and milestones that an interrupted scan goes on from.
    fn tell(&self, applied: BlockRef, follower: &mut dyn Follower) -> Result<(), Stop> {
        let done = applied.height + 1 - self.start;
        if done.is_multiple_of(PROGRESS) {
            follower.progress(done, self.total());
        }
        if done.is_multiple_of(MILESTONE) && applied.height < self.tip.height {
            follower.take(Piece::Scanned(applied))?;
        }
        Ok(())
    }

    fn total(&self) -> u32 {
        (self.tip.height + 1).saturating_sub(self.start)
    }
}
