//! The peer-to-peer network as a chain source: compact block filters (BIP157, BIP158), no RPC.
//!
//! # What is verified, and by whom
//! - The library `bip157` follows the headers of one peer (connection, proof of work) and fetches
//!   its filters, each held to the filter header that the peer has announced.
//! - Here, each header is held to the difficulty that the network demands
//!   ([`work`](super::work)); all peers that answer are asked for their chains, and the one with
//!   the most work is followed. Nothing of the wallet's is undone for a chain without more work
//!   than what it undoes. What the peers say about the filters is compared block by block.
//! - Blocks are fetched here, each held to its header, transactions and witnesses.
//! - Peers are not asked for what the wallet owns: the filters are matched here, and whole blocks
//!   are fetched.
//!
//! A peer that lies is not asked again for a day, one that is silent only after the others for ten
//! minutes; the others go on.
//!
//! # Limits
//! - One peer alone can withhold: a filter that hides a payment is not seen as false while no
//!   other peer is asked, unless its block is fetched for another reason. Name your own node, or
//!   several. Of peers found by DNS two must agree at least.
//! - Unconfirmed transactions of others are seen only while they are listened for
//!   ([`P2pConfig::pending_for`]), and nothing of them is checked. Named peers are asked which of
//!   the unconfirmed they still have; peers found by DNS are not, since it would tell them whose
//!   they are.
//! - Why a peer refuses a transaction is not said on the network.

mod agree;
mod blocks;
mod board;
mod broadcast;
mod candidates;
mod claim;
mod config;
mod council;
mod course;
mod errors;
mod failure;
mod gossip;
mod headers;
mod peers;
mod place;
mod probe;
mod scan;
mod seeds;
mod session;
mod sieve;
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcoin::{Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Operation};

pub use self::config::P2pConfig;
use self::failure::Failure;
use self::gossip::{Gossip, Heard};
use self::headers::{Headers, Undone};
use self::peers::Peers;
pub use self::probe::handshake;
use self::scan::Stop;
pub use self::seeds::Seeds;
use self::session::{Loss, Session};
use super::{ChainSource, Follower, Peer, Piece};

/// How often is tried again without progress in between: once for each peer, within these.
const MIN_SESSIONS: usize = 3;
const MAX_SESSIONS: usize = 16;
/// How often the chain may change during one call.
const MAX_REORGANISATIONS: u32 = 20;
/// What was tried without progress.
#[derive(Default)]
struct Tries {
    sessions: usize,
    reorganisations: u32,
}

/// The running session, and what those before it have seen.
#[derive(Default)]
struct Slot {
    session: Option<Session>,
    past: Undone,
}

/// A node of our own that follows the headers and filters.
///
/// # Behavior
/// - The node starts with the first call that needs it, runs on a thread of its own, and ends
///   with the value, within seconds.
/// - Nothing is stored: what the wallet knows is the state.
/// - Between calls it hears of new blocks; [`ChainSource::follow`] also asks the peers for their
///   tips, so that the block of a moment ago is not missed.
pub struct P2pSource {
    config: P2pConfig,
    peers: Arc<Peers>,
    slot: Mutex<Slot>,
    gossip: Option<Gossip>,
    /// Whether unconfirmed transactions were told in this process.
    has_told: AtomicBool,
}

impl P2pSource {
    /// Checks the configuration. No connection is made yet.
    ///
    /// # Errors
    /// `Configuration`: no peer on regtest, fewer peers than required, 0 or more than 15
    /// required.
    pub fn start(config: P2pConfig) -> BitcoinResult<Self> {
        let config = config.checked()?;
        let (network, timeout) = (config.network, config.timeout);
        let peers = if config.peers.is_empty() {
            Peers::found(network, timeout, config.seeds.clone())
        } else {
            Peers::named(network, timeout, &config.peers)
        };
        let peers = Arc::new(peers);
        let gossip = config.pending_for.map(|time| Gossip::new(&peers, time));
        Ok(Self {
            config,
            peers,
            slot: Mutex::default(),
            gossip,
            has_told: AtomicBool::new(false),
        })
    }

    /// Tells what is unconfirmed: of the transactions that count, those that a peer still has, and
    /// those that were announced and pay the wallet. What others have paid was heard of by another
    /// process, or told by another source, when this one begins: where no peer can be asked for it,
    /// it is gone until it is heard of again.
    fn tell_pending(&self, follower: &mut dyn Follower) -> BitcoinResult<()> {
        let heard = match &self.gossip {
            None => Heard::default(),
            Some(gossip) => gossip.heard(follower.watched(), follower.owned()),
        };
        let is_first = !self.has_told.swap(true, Ordering::Relaxed);
        let counted = follower.unconfirmed();
        if counted.is_empty() && heard.fresh.is_empty() {
            return Ok(());
        }
        let mut all = counted.clone();
        all.extend(heard.fresh.keys().filter(|txid| !counted.contains(txid)));
        let present = self.peers.present(&all);
        let own = follower.unconfirmed_spends();
        let is_present = |txid: &Txid| match &present {
            _ if heard.expired.contains(txid) => false,
            Some(present) => present.contains(txid),
            // Strangers are not asked, and those that were named are away.
            None => !is_first || own.contains(txid) || heard.fresh.contains_key(txid),
        };
        let (kept, gone) = counted.iter().copied().partition(is_present);
        let arrived = heard.fresh.iter();
        let arrived = arrived.filter(|(txid, _)| !counted.contains(txid) && is_present(txid));
        let arrived = arrived.map(|(_, it)| it.clone()).collect();
        follower.take(Piece::Mempool {
            arrived,
            gone,
            kept,
        })
    }

    /// The peers that were named, or as many found by the seeds as must agree.
    fn reachable(&self) -> BitcoinResult<Vec<String>> {
        if !self.peers.are_found() {
            return Ok(self.peers.in_order());
        }
        let known = [place::genesis(self.config.network)];
        let need = usize::from(self.config.required_peers);
        let serving = self.peers.survey(&known, need)?;
        Ok(serving.into_iter().map(|it| it.address).collect())
    }

    /// Makes ready for another try, or gives up.
    fn again(
        &self,
        stop: Stop,
        slot: &mut Slot,
        tries: &mut Tries,
        has_progress: bool,
    ) -> BitcoinResult<()> {
        if has_progress {
            *tries = Tries::default();
        }
        let is_last = tries.sessions + 1 >= self.peers.count().clamp(MIN_SESSIONS, MAX_SESSIONS);
        let loss = match stop {
            Stop::Failed(error) => return Err(error),
            Stop::TooFew(error) if is_last => return Err(error),
            Stop::TooFew(_) => {
                // The session's peer may be one of those that agree.
                tries.sessions += 1;
                return Ok(());
            }
            Stop::Reorganised => {
                tries.reorganisations += 1;
                if tries.reorganisations > MAX_REORGANISATIONS {
                    return Err(self.lost(&Loss::Silent, None));
                }
                return Ok(());
            }
            // They are blamed; others may serve.
            Stop::AllLie => Loss::TwoTongues,
            Stop::Lost(loss) => loss,
        };
        tries.sessions += 1;
        let trouble = slot.session.as_ref().and_then(Session::trouble);
        if let Some(session) = &slot.session {
            let failure = match &loss {
                Loss::Ended => Some(Failure::Refused("what it is asked for")),
                Loss::Silent => Some(Failure::Silent),
                Loss::Flawed(flaw) => Some(Failure::Lie(format!("{flaw}"))),
                Loss::TwoTongues => Some(Failure::Lie(
                    "its filters are not those it tells others".to_owned(),
                )),
                Loss::NoBlock(_) => None,
            };
            if let Some(failure) = failure {
                self.peers.blame(&session.peer, failure);
            }
        }
        slot.end();
        if is_last {
            Err(self.lost(&loss, trouble))
        } else {
            Ok(())
        }
    }

    fn lost(&self, loss: &Loss, trouble: Option<String>) -> BitcoinError {
        let seconds = self.config.timeout.as_secs_f32();
        let (kind, message) = match loss {
            Loss::Ended => (
                ErrorKind::Unavailable,
                "the peers hang up; check that the node has built its filters \
                 (getindexinfo), or name more peers"
                    .to_owned(),
            ),
            Loss::Silent => (
                ErrorKind::Timeout,
                format!("the peers told nothing for {seconds} s; name others or allow more time"),
            ),
            Loss::NoBlock(height) => (
                ErrorKind::Unavailable,
                format!("no peer hands out block {height}, which they have announced; name others"),
            ),
            Loss::Flawed(_) | Loss::TwoTongues => (
                ErrorKind::InvalidResponse,
                "the peers lie about the chain; name others".to_owned(),
            ),
        };
        let error = BitcoinError::new(kind, Operation::Sync, message);
        match trouble {
            Some(trouble) => error.with_context("last", trouble),
            None => error,
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // A session is replaced as a whole.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Ends the session; what it has seen of the chain is kept.
    fn end(&mut self) {
        if let Some(session) = self.session.take() {
            self.past.merge(session.headers(Headers::remember));
        }
    }
}

impl ChainSource for P2pSource {
    fn name(&self) -> &'static str {
        "p2p"
    }

    fn sees_mempool(&self) -> bool {
        false
    }

    fn tip(&self) -> BitcoinResult<BlockRef> {
        let mut slot = self.slot();
        let mut tries = Tries::default();
        loop {
            match self.reach(&mut slot, &[], u32::MAX) {
                Ok(council) => {
                    let session = slot.session.as_ref();
                    let tip = session.map(|session| session.headers(Headers::tip));
                    let claimed = council.leading.first().map(|it| it.claim.tip);
                    if let Some(tip) = tip.or(claimed) {
                        return Ok(tip);
                    }
                }
                Err(stop) => self.again(stop, &mut slot, &mut tries, false)?,
            }
        }
    }

    fn follow(&self, follower: &mut dyn Follower) -> BitcoinResult<()> {
        follower.begin_filters()?;
        let mut slot = self.slot();
        let mut tries = Tries::default();
        loop {
            let before = follower.scanned();
            match self.bring_up(&mut slot, follower) {
                Ok(true) => {}
                Ok(false) => break,
                Err(stop) => {
                    let has_progress = follower.scanned() != before;
                    self.again(stop, &mut slot, &mut tries, has_progress)?;
                }
            }
        }
        drop(slot);
        self.tell_pending(follower)
    }

    fn broadcast(&self, transaction: &Transaction) -> BitcoinResult<Txid> {
        let addresses = self.reachable()?;
        broadcast::hand_over(&self.peers, &addresses, transaction)
    }

    fn peers(&self) -> BitcoinResult<Vec<Peer>> {
        Ok(self.peers.list(&self.reachable()?))
    }
}

fn no_thread(cause: std::io::Error) -> BitcoinError {
    let message = "the machine refuses a thread for the peer-to-peer node";
    BitcoinError::new(ErrorKind::Internal, Operation::Connect, message).with_source(cause)
}
