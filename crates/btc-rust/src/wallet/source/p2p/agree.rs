//! What several peers say about the filters of the same blocks, held against each other.
//!
//! A filter that hides a payment is not seen as false by itself: nothing in a block commits to it.
//! The peers' words are therefore compared block by block. Where they differ, the block itself is
//! read: who hides what it pays is a liar, and where neither can be shown to be one, the block is
//! looked into instead of its filter.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;

use bitcoin::{Block, FilterHash, OutPoint, ScriptBuf};
use btc_iface::{BitcoinError, BlockRef, ErrorKind, Network, Operation};

use super::claim::Serving;
use super::errors::shortage;
use super::failure::Failure;
use super::peers::Peers;
use super::scan::Stop;
use super::sieve::Sieve;

/// Filter headers asked for at once.
const CHUNK: u32 = 2_000;
/// In how many blocks peers may differ without one being shown to lie. Each is read whole.
const MAX_OPEN: usize = 100;

/// What a filter must be for the wallet to go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    /// Any that the session's peer tells: no other was asked.
    Any,
    /// The one with this hash.
    Only(FilterHash),
    /// None: the block is read.
    None,
}

/// What is accepted of the filters of a range of blocks.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    start: u32,
    accepted: Vec<Accepted>,
    /// The last block whose filter at least two peers have told, where one of several has not come
    /// further yet.
    pub(super) sure: Option<BlockRef>,
}

/// What is compared: blocks of one chain, for a wallet.
pub(super) struct Question<'a> {
    pub(super) network: Network,
    pub(super) peers: &'a Peers,
    /// The first and the last block.
    pub(super) start: u32,
    pub(super) tip: BlockRef,
    /// The blocks in between.
    pub(super) block_at: &'a dyn Fn(u32) -> Option<BlockRef>,
    /// How many peers must agree.
    pub(super) need: usize,
    pub(super) owned: &'a HashSet<OutPoint>,
    pub(super) watched: &'a [ScriptBuf],
}

impl Agreement {
    pub(super) fn at(&self, height: u32) -> Accepted {
        let at = height.checked_sub(self.start);
        let at = at.and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.accepted.get(at))
            .copied()
            .unwrap_or(Accepted::Any)
    }
}

impl Question<'_> {
    /// Asks all of these peers, each up to the end of its chain, which is in this one: those that
    /// have it all come first. Those that lie or fall silent are dropped from the list.
    ///
    /// # Errors
    /// Fewer than needed are left, or they contradict each other without end.
    pub(super) fn settle(&self, serving: &mut Vec<Serving>) -> Result<Agreement, Stop> {
        let mut agreement = Agreement {
            start: self.start,
            accepted: Vec::new(),
            sure: None,
        };
        if serving.len() == 1 && self.need == 1 {
            return Ok(agreement);
        }
        let mut open = 0;
        let mut start = self.start;
        while start <= self.tip.height {
            let stop = start.saturating_add(CHUNK - 1).min(self.tip.height);
            let Some(stop) = (self.block_at)(stop) else {
                break;
            };
            let mut told = self.ask(serving, start, stop)?;
            for height in start..=stop.height {
                let at = usize::try_from(height - start).unwrap_or(usize::MAX);
                let accepted = self.compare(serving, &mut told, height, at)?;
                open += usize::from(accepted == Accepted::None);
                if open > MAX_OPEN {
                    return Err(contradiction(serving, height).into());
                }
                agreement.accepted.push(accepted);
            }
            start = stop.height.saturating_add(1);
        }
        if self.leading(serving) < 2 {
            let others = serving.iter().filter(|peer| !self.leads(peer));
            agreement.sure = others.map(|it| it.claim.tip).max_by_key(|tip| tip.height);
        }
        Ok(agreement)
    }

    fn leads(&self, peer: &Serving) -> bool {
        peer.claim.tip == self.tip
    }

    /// How many have the whole chain.
    fn leading(&self, serving: &[Serving]) -> usize {
        serving.iter().filter(|peer| self.leads(peer)).count()
    }

    /// The filter hashes of this range from each peer, in the peers' order; from one whose chain
    /// ends below, fewer or none.
    fn ask(
        &self,
        serving: &mut Vec<Serving>,
        start: u32,
        stop: BlockRef,
    ) -> Result<Vec<Vec<FilterHash>>, Stop> {
        let answers: Vec<_> = thread::scope(|scope| {
            let asked: Vec<_> = serving
                .iter_mut()
                .map(|peer| {
                    let end = peer.claim.tip.height.min(stop.height);
                    let end = (self.block_at)(end).filter(|end| end.height >= start);
                    scope.spawn(move || {
                        let Some(stop) = end else {
                            return Ok(Vec::new());
                        };
                        peer.open.renew();
                        peer.open.filter_hashes(start, stop)
                    })
                })
                .collect();
            let joined = asked.into_iter().map(thread::ScopedJoinHandle::join);
            // Asking does not panic; if it does, the peer counts as gone.
            joined
                .map(|it| it.unwrap_or(Err(Failure::Closed)))
                .collect()
        });
        let mut told = Vec::new();
        let mut failures = Vec::new();
        for (at, answer) in answers.into_iter().enumerate().rev() {
            match answer {
                Ok(hashes) => told.push(hashes),
                Err(failure) => {
                    let peer = serving.remove(at);
                    let failure = self.peers.blame(&peer.address, failure);
                    failures.push((peer.address, failure));
                }
            }
        }
        told.reverse();
        if self.leading(serving) < self.need {
            return Err(self.too_few(self.leading(serving), &failures));
        }
        Ok(told)
    }

    /// Compares what the peers say about one block.
    fn compare(
        &self,
        serving: &mut Vec<Serving>,
        told: &mut Vec<Vec<FilterHash>>,
        height: u32,
        at: usize,
    ) -> Result<Accepted, Stop> {
        let mut all = told.iter().filter_map(|hashes| hashes.get(at));
        let Some(first) = all.next().copied() else {
            return Ok(Accepted::None);
        };
        if all.all(|other| *other == first) {
            return Ok(Accepted::Only(first));
        }
        let Some(block_ref) = (self.block_at)(height) else {
            return Ok(Accepted::None);
        };
        let block = self.read(serving, told, block_ref)?;
        let mut failures = Vec::new();
        let mut judged: Vec<(FilterHash, bool)> = Vec::new();
        for index in (0..serving.len()).rev() {
            let (Some(peer), Some(hash)) = (serving.get_mut(index), told[index].get(at).copied())
            else {
                continue;
            };
            let before = judged.iter().find(|(other, _)| *other == hash);
            let verdict = match before {
                Some((_, hides)) => Ok(*hides),
                None => self.judge(peer, block_ref, &block, hash),
            };
            let failure = match verdict {
                Ok(false) => {
                    judged.push((hash, false));
                    continue;
                }
                Ok(true) => {
                    judged.push((hash, true));
                    Failure::Lie(format!("its filter of block {height} hides what is in it"))
                }
                Err(failure) => failure,
            };
            told.remove(index);
            let peer = serving.remove(index);
            let failure = self.peers.blame(&peer.address, failure);
            failures.push((peer.address, failure));
        }
        if self.leading(serving) < self.need {
            return Err(self.too_few(self.leading(serving), &failures));
        }
        let mut left = told.iter().filter_map(|hashes| hashes.get(at));
        let first = left.next();
        Ok(match first {
            Some(first) if left.all(|other| other == first) => Accepted::Only(*first),
            _ => Accepted::None,
        })
    }

    /// Whether the filter that a peer hands out hides what is in the block.
    fn judge(
        &self,
        peer: &mut Serving,
        block_ref: BlockRef,
        block: &Block,
        hash: FilterHash,
    ) -> Result<bool, Failure> {
        peer.open.renew();
        let sieve = Sieve::new(block_ref, peer.open.filter(block_ref)?);
        if sieve.hash() != hash {
            let text = format!("its filter of block {} is another one", block_ref.height);
            return Err(Failure::Lie(text));
        }
        Ok(sieve.hides(block, self.owned, self.watched))
    }

    /// The block, from whoever hands it out.
    fn read(
        &self,
        serving: &mut Vec<Serving>,
        told: &mut Vec<Vec<FilterHash>>,
        block: BlockRef,
    ) -> Result<Block, Stop> {
        let mut failures = Vec::new();
        while let Some(peer) = serving.first_mut() {
            peer.open.renew();
            match peer.open.block(block.hash) {
                Ok(block) => return Ok(block),
                Err(failure) => {
                    let peer = serving.remove(0);
                    told.remove(0);
                    let failure = self.peers.blame(&peer.address, failure);
                    failures.push((peer.address, failure));
                }
            }
        }
        Err(self.too_few(0, &failures))
    }

    fn too_few(&self, left: usize, failures: &[(String, Arc<Failure>)]) -> Stop {
        Stop::TooFew(shortage(self.network, left, self.need, failures))
    }
}

fn contradiction(serving: &[Serving], height: u32) -> BitcoinError {
    let message = "the peers contradict each other about the filters of many blocks, and none can \
                   be shown to lie; leave one of them out";
    let error = BitcoinError::new(ErrorKind::InvalidResponse, Operation::Sync, message)
        .with_context("height", height);
    serving.iter().fold(error, |error, peer| {
        error.with_context(peer.address.clone(), "contradicts another")
    })
}
