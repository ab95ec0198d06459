//! One pass: the peers are asked for their chains, the best is followed, its filters are compared,
//! its blocks read.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::{BitcoinError, BlockRef, ErrorKind, Operation};

use super::agree::Question;
use super::blocks::Fetcher;
use super::claim::Serving;
use super::council::{Council, PROPAGATION, consult, weigh};
use super::errors::failed;
use super::failure::Failure;
use super::headers::{Headers, Undone};
use super::place::{self, first_block, genesis, lowest_block, next_block};
use super::scan::{Pass, Stop};
use super::session::{Loss, Session, Setup};
use super::{P2pSource, Slot, no_thread};
use crate::wallet::source::{Follower, Piece};

/// How often peers that are behind the wallet are asked again.
const POLL: Duration = Duration::from_millis(200);
/// How long a node that runs may take to hear of what its peer has.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many blocks a peer may be late for its word about them to be waited for.
const LATE: u32 = 36;
/// How often peers may have more than they have told.
const MAX_ROUNDS: usize = 10;

/// How the wallet's chain relates to that of the peers.
enum Parting {
    /// They share this block, and the wallet has nothing above any more.
    At(BlockRef),
    /// The wallet's has as much work, and it was there first.
    AsGood,
    /// The wallet's has more work.
    Behind,
}

impl P2pSource {
    /// One pass over what the wallet has not seen. True: there may be more.
    pub(super) fn bring_up(
        &self,
        slot: &mut Slot,
        follower: &mut dyn Follower,
    ) -> Result<bool, Stop> {
        let begun = Instant::now();
        loop {
            let council = self.reach(slot, &follower.checkpoints(), lowest_block(follower))?;
            let (mut serving, trailing) = (council.leading, council.trailing);
            let Some(session) = &slot.session else {
                return Err(Loss::Ended.into());
            };
            // The session may have heard of more, which no peer has any more.
            let Some(tip) = serving.first().map(|it| it.claim.tip) else {
                continue;
            };
            match part(session, &slot.past, &mut serving, tip, follower)? {
                Parting::At(fork) => {
                    // What these have to say about filters counts, up to where they are.
                    let is_part = |peer: &Serving| {
                        let end = peer.claim.tip;
                        end.height < tip.height && session.headers(|it| it.has(end))
                    };
                    serving.extend(trailing.into_iter().filter(is_part));
                    return self.scan(session, serving, fork, tip, follower);
                }
                Parting::AsGood => return Ok(false),
                Parting::Behind if begun.elapsed() < self.config.timeout => {
                    if self.peers.are_found()
                        && begun.elapsed() >= PROPAGATION.min(self.config.timeout / 2)
                    {
                        let all = serving.iter();
                        all.for_each(|it| drop(self.peers.blame(&it.address, Failure::Behind)));
                    }
                    thread::sleep(POLL);
                }
                Parting::Behind => return Err(behind(tip, follower).into()),
            }
        }
    }

    /// Scans from the last block that is shared to the tip.
    fn scan(
        &self,
        session: &Session,
        mut serving: Vec<Serving>,
        shared: BlockRef,
        tip: BlockRef,
        follower: &mut dyn Follower,
    ) -> Result<bool, Stop> {
        // Without a reorganisation, the block after the last one examined.
        let start = next_block(follower).min(shared.height + 1);
        let start = start.max(first_block(follower));
        let owned: HashSet<_> = follower.owned().into_iter().collect();
        let question = Question {
            network: self.config.network,
            peers: &self.peers,
            start,
            tip,
            block_at: &|height| session.headers(|headers| headers.at(height)),
            need: usize::from(self.config.required_peers),
            owned: &owned,
            watched: follower.watched(),
        };
        let agreement = question.settle(&mut serving)?;
        serving.retain(|it| it.claim.tip == tip);
        let addresses: Vec<_> = serving.iter().map(|it| it.address.clone()).collect();
        if !serving.iter().any(|it| it.address == session.peer) {
            // Another one's filters are read.
            return Err(Loss::Ended.into());
        }
        let fetcher = Fetcher::start(serving, Arc::clone(&self.peers), session.board());
        let pass = Pass {
            session,
            agreement: &agreement,
            fetcher: &fetcher.map_err(no_thread)?,
            start,
            tip,
            // What is waited for gives up before, and says why.
            limit: self.config.timeout + self.config.timeout / 4,
        };
        if let Err(stop) = pass.run(follower) {
            if matches!(stop, Stop::AllLie) {
                for address in addresses {
                    let lie = "its filters hide what is in their blocks".to_owned();
                    self.peers.blame(&address, Failure::Lie(lie));
                }
            }
            return Err(stop);
        }
        follower.take(Piece::Scanned(tip))?;
        let goes_on = follower.at_tip()?;
        // Blocks that one peer alone has spoken for are looked at again when another has them, too.
        let sure = agreement
            .sure
            .map(|it| it.height.max(start.saturating_sub(1)));
        let is_late = |sure: &u32| (tip.height.saturating_sub(LATE)..tip.height).contains(sure);
        let sure = sure.filter(is_late);
        let sure = sure.and_then(|sure| session.headers(|headers| headers.at(sure)));
        if let (Some(sure), false) = (sure, goes_on) {
            tracing::debug!(
                height = sure.height,
                "one peer alone has told of the blocks above"
            );
            follower.take(Piece::Scanned(sure))?;
        }
        Ok(goes_on)
    }

    /// Makes a session have the whole chain with the most work. Among the peers that have it is the
    /// session's.
    pub(super) fn reach(
        &self,
        slot: &mut Slot,
        checkpoints: &[BlockRef],
        start: u32,
    ) -> Result<Council, Stop> {
        let genesis = genesis(self.config.network);
        let mut known = checkpoints.to_vec();
        if let (true, Some(session)) = (checkpoints.is_empty(), &slot.session) {
            known = session.headers(Headers::locator);
        }
        known.push(genesis);
        known.dedup();
        for _ in 0..MAX_ROUNDS {
            let current = slot.session.as_ref().filter(|session| !session.is_over());
            let mut council = consult(
                &self.peers,
                self.config.network,
                &known,
                usize::from(self.config.required_peers),
                current.map(|session| session.peer.as_str()),
                self.config.timeout,
            )?;
            let serving = &mut council.leading;
            let Some(claim) = serving.first().map(|it| it.claim.clone()) else {
                continue;
            };
            let base = place::base(self.config.network, checkpoints, start, claim.shared);
            let is_of_use = |session: &Session| {
                let has_peer = serving.iter().any(|it| it.address == session.peer);
                // Its headers reach down to where the chains part.
                let is_low = session.base.height <= claim.shared.height
                    && session.base.height < start.max(1);
                !session.is_over() && has_peer && is_low
            };
            if !slot.session.as_ref().is_some_and(is_of_use) {
                slot.end();
                slot.session = Some(self.open(serving, base)?);
            }
            let Some(session) = &slot.session else {
                continue;
            };
            // A node that asked for a filter before it was there waits for ever; a new one asks
            // again.
            let patience = if session.is_new() {
                self.config.timeout
            } else {
                PATIENCE.min(self.config.timeout)
            };
            let tip = match session.settle(claim.tip, patience) {
                Err(Loss::Silent) if !session.is_new() => {
                    slot.end();
                    continue;
                }
                settled => settled?,
            };
            if !claim.goes_on {
                return Ok(council);
            }
            known = session.headers(Headers::locator);
            known.extend(
                checkpoints
                    .iter()
                    .filter(|it| it.height < session.base.height),
            );
            known.push(genesis);
            known.dedup();
            tracing::debug!(tip = tip.height, "the peers are asked for more");
        }
        Err(Loss::Silent.into())
    }

    /// Starts a node over the first of these peers.
    fn open(&self, serving: &mut [Serving], base: BlockRef) -> Result<Session, Stop> {
        let network = self.config.network;
        let Some(peer) = serving.first_mut() else {
            return Err(Loss::Ended.into());
        };
        peer.open.renew();
        let lie = |flaw| Failure::Lie(format!("{flaw}"));
        let header = peer.open.header_of(base);
        let headers = header.and_then(|it| Headers::above(network, base, &it).map_err(lie));
        let headers = match headers {
            Ok(headers) => headers,
            Err(failure) => {
                // Whatever it was, another one is asked first.
                let failure = if failure.is_lie() {
                    failure
                } else {
                    Failure::Refused("a header")
                };
                let error = failed(&peer.address, &self.peers.blame(&peer.address, failure));
                return Err(Stop::TooFew(error.during(Operation::Sync)));
            }
        };
        tracing::debug!(base = base.height, peer = peer.address, "a node starts");
        let setup = Setup {
            network,
            peer: (peer.address.clone(), peer.open.address),
            headers,
            timeout: self.config.timeout,
        };
        Ok(Session::start(setup).map_err(no_thread)?)
    }
}

/// The last block that the wallet shares with the chain; tells the wallet when it has others
/// above that have less work.
fn part(
    session: &Session,
    past: &Undone,
    serving: &mut [Serving],
    tip: BlockRef,
    follower: &mut dyn Follower,
) -> Result<Parting, Stop> {
    let checkpoints = follower.checkpoints();
    let Some(newest) = checkpoints.first().copied() else {
        return Ok(Parting::At(session.base));
    };
    let is_shared = |block: &&BlockRef| {
        // The headers connect to the base, so that what is below is shared, too.
        let is_in_chain = |headers: &Headers| headers.has(**block);
        block.height < session.base.height
            || (block.height <= tip.height && session.headers(is_in_chain))
    };
    let Some(fork) = checkpoints.iter().find(is_shared).copied() else {
        let message = "the wallet and the network share no block; check the network";
        let kind = ErrorKind::InvalidResponse;
        return Err(BitcoinError::new(kind, Operation::Sync, message).into());
    };
    if fork == newest {
        return Ok(Parting::At(fork));
    }
    let gained = weigh(session, past, serving, fork, newest, tip);
    match gained {
        Ordering::Less => return Ok(Parting::Behind),
        Ordering::Equal => return Ok(Parting::AsGood),
        Ordering::Greater => {}
    }
    follower.take(Piece::Disconnect { fork })?;
    Ok(Parting::At(fork))
}

/// The error for peers whose chain does not have more work than the wallet's.
fn behind(tip: BlockRef, follower: &dyn Follower) -> BitcoinError {
    let message = "the chain of the peers has less work than the one that the wallet knows; wait \
                   until they have caught up, or name others";
    let error = BitcoinError::new(ErrorKind::Unavailable, Operation::Sync, message)
        .with_context("peers_height", tip.height);
    match follower.checkpoints().first() {
        Some(newest) => error.with_context("wallet_height", newest.height),
        None => error,
    }
}
