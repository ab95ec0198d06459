//! The peer-to-peer network as a chain source: compact block filters (BIP157, BIP158), no RPC.
//!
//! # What is verified, and by whom
//! - The library `bip157` checks the proof of work and the connection of the headers, the filters
//!   against the filter headers that as many peers as required agree on, and each block against
//!   its header.
//! - Peers are not asked for what the wallet owns: the filters are matched here, and whole blocks
//!   are fetched.
//!
//! # Limits
//! - With one required peer, that peer can withhold: name your own node, or require several. Of
//!   peers found by DNS two must agree at least.
//! - Unconfirmed transactions of others are not seen. The wallet's own count as long as a
//!   configured peer has them in its mempool; peers found by DNS are not asked.
//! - Why a peer refuses a transaction is not said on the network.

mod board;
mod broadcast;
mod config;
mod failure;
mod peers;
mod place;
mod scan;
mod session;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcoin::{Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Operation};

pub use self::config::P2pConfig;
use self::peers::Peers;
pub use self::peers::handshake;
use self::place::{first_block, genesis, host, lowest_block, next_block};
use self::scan::{Pass, Stop};
use self::session::{Loss, Session, Setup};
use super::{ChainSource, Follower, Peer, Piece};

/// How often a session is replaced, without progress in between.
const MAX_SESSIONS: u32 = 3;
/// How often the chain may change during one call.
const MAX_REORGANISATIONS: u32 = 20;
/// How many times longer than an exchange with a peer a block may take to arrive, before the
/// session is replaced.
const PATIENCE: u32 = 5;
const MIN_PATIENCE: Duration = Duration::from_millis(500);
/// What was tried without progress.
#[derive(Default)]
struct Tries {
    sessions: u32,
    reorganisations: u32,
}

/// A node of our own that follows the headers and filters.
///
/// # Behavior
/// - The node starts with the first call that needs it, runs on a thread of its own, and ends
///   with the value, within seconds.
/// - Nothing is stored: what the wallet knows is the state.
/// - Between calls it hears of new blocks; [`ChainSource::follow`] also asks a configured peer
///   for its tip, so that the block of a moment ago is not missed.
pub struct P2pSource {
    config: P2pConfig,
    peers: Option<Peers>,
    session: Mutex<Option<Session>>,
}

impl P2pSource {
    /// Checks the configuration. No connection is made yet.
    ///
    /// # Errors
    /// `Configuration`: no peer on regtest, fewer peers than required, 0 or more than 15
    /// required.
    pub fn start(config: P2pConfig) -> BitcoinResult<Self> {
        let config = config.checked()?;
        let peers = (!config.peers.is_empty()).then(|| Peers {
            network: config.network,
            addresses: config.peers.clone(),
            timeout: config.timeout,
            preferred: Arc::default(),
        });
        Ok(Self {
            config,
            peers,
            session: Mutex::new(None),
        })
    }

    /// Scans until the wallet is at the tip, with the session that is there.
    fn bring_up(&self, session: &Session, follower: &mut dyn Follower) -> Result<(), Stop> {
        let tip = self.settle(session, &follower.checkpoints())?;
        let Some(shared) = self.part(session, tip, follower)? else {
            tracing::debug!(tip = tip.height, "the peers are behind the wallet");
            return Ok(());
        };
        // Without a reorganisation, the block after the last one examined.
        let mut start = next_block(follower).min(shared.height + 1);
        loop {
            let pass = Pass {
                session,
                start: start.max(first_block(follower)),
                tip,
                limit: self.config.timeout,
            };
            pass.run(follower)?;
            follower.take(Piece::Scanned(tip))?;
            if !follower.at_tip()? {
                return Ok(());
            }
            start = next_block(follower);
        }
    }

    /// The tip, when the node has it: at least that of a configured peer.
    fn settle(&self, session: &Session, known: &[BlockRef]) -> Result<BlockRef, Stop> {
        let timeout = self.config.timeout;
        let Some(peers) = &self.peers else {
            return Ok(session.settle(0, timeout)?);
        };
        let required = self.config.required_peers;
        let mut known = known.to_vec();
        known.insert(0, session.tip(timeout)?);
        known.push(genesis(self.config.network));
        let Some(found) = peers.compare(&known) else {
            // Says which peer has what trouble, if they have.
            peers.survey(required)?;
            return Ok(session.settle(0, timeout)?);
        };
        peers.await_filter(found.tip, required)?;
        // A node that asked for the filter before it was there waits for ever; a new one does
        // not.
        let patience = if session.is_new() {
            timeout
        } else {
            (found.took * PATIENCE).clamp(MIN_PATIENCE, timeout.max(MIN_PATIENCE))
        };
        Ok(session.settle(found.tip.height, patience)?)
    }

    /// The last block that the wallet shares with the chain; tells the wallet when it has others
    /// above. `None` when the chain ends below the wallet's last block.
    fn part(
        &self,
        session: &Session,
        tip: BlockRef,
        follower: &mut dyn Follower,
    ) -> Result<Option<BlockRef>, Stop> {
        let checkpoints = follower.checkpoints();
        let Some(newest) = checkpoints.first().copied() else {
            return Ok(Some(session.base));
        };
        if newest.height > tip.height {
            return Ok(None);
        }
        for block in &checkpoints {
            // The headers connect to the base, so that what is below is shared, too.
            let is_shared = block.height < session.base.height
                || self.block_at(session, block.height)? == Some(*block);
            if is_shared {
                if *block != newest {
                    follower.take(Piece::Disconnect { fork: *block })?;
                }
                return Ok(Some(*block));
            }
        }
        let message = "the wallet and the network share no block; check the network";
        Err(BitcoinError::new(ErrorKind::InvalidResponse, Operation::Sync, message).into())
    }

    fn block_at(&self, session: &Session, height: u32) -> Result<Option<BlockRef>, Loss> {
        if height == session.base.height {
            return Ok(Some(session.base));
        }
        session.block_at(height, self.config.timeout)
    }

    /// Starts a node for a scan from `start` on.
    fn open(&self, known: &[BlockRef], start: u32, is_retry: bool) -> BitcoinResult<Session> {
        let addresses = match &self.peers {
            None => Vec::new(),
            Some(peers) => peers.survey(self.config.required_peers)?,
        };
        let network = self.config.network;
        let base = match (&self.peers, is_retry) {
            (_, true) => place::fixed(network, start),
            (peers, false) => place::base(network, known, start, peers.as_ref()),
        };
        tracing::debug!(base = base.height, "a peer-to-peer node starts");
        let setup = Setup {
            network,
            peers: addresses,
            required_peers: self.config.required_peers,
            base,
            timeout: self.config.timeout,
        };
        Session::start(setup).map_err(|cause| {
            let message = "the machine refuses a thread for the peer-to-peer node";
            BitcoinError::new(ErrorKind::Internal, Operation::Connect, message).with_source(cause)
        })
    }

    /// The running session, or a new one.
    fn ready<'a>(&self, slot: &'a mut Option<Session>) -> BitcoinResult<&'a mut Session> {
        match slot.take().filter(|session| !session.is_over()) {
            Some(session) => Ok(slot.insert(session)),
            None => Ok(slot.insert(self.open(&[], u32::MAX, false)?)),
        }
    }

    /// Makes ready for another try, or gives up.
    fn again(
        &self,
        stop: Stop,
        slot: &mut Option<Session>,
        tries: &mut Tries,
        has_progress: bool,
    ) -> BitcoinResult<()> {
        if has_progress {
            *tries = Tries::default();
        }
        let (loss, has_had_enough) = match stop {
            Stop::Failed(error) => return Err(error),
            Stop::Reorganised => {
                tries.reorganisations += 1;
                let has_had_enough = tries.reorganisations > MAX_REORGANISATIONS;
                (Loss::Silent, has_had_enough)
            }
            Stop::Lost(loss) => {
                tries.sessions += 1;
                (loss, tries.sessions >= MAX_SESSIONS)
            }
        };
        let trouble = slot.as_ref().and_then(Session::trouble);
        if matches!(stop, Stop::Lost(_)) {
            *slot = None;
        }
        if has_had_enough {
            Err(self.lost(loss, trouble))
        } else {
            Ok(())
        }
    }

    fn lost(&self, loss: Loss, trouble: Option<String>) -> BitcoinError {
        let seconds = self.config.timeout.as_secs_f32();
        let (kind, message) = match loss {
            Loss::Ended if self.peers.is_none() => (
                ErrorKind::Unavailable,
                "no peer with compact filters was found; check the connection, or name a peer"
                    .to_owned(),
            ),
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
        };
        let error = BitcoinError::new(kind, Operation::Sync, message);
        match trouble {
            Some(trouble) => error.with_context("last", trouble),
            None => error,
        }
    }

    fn session(&self) -> MutexGuard<'_, Option<Session>> {
        // A session is replaced as a whole.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut slot = self.session();
        let mut tries = Tries::default();
        loop {
            let session = self.ready(&mut slot)?;
            match self.settle(session, &[]) {
                Ok(tip) => return Ok(tip),
                Err(stop) => self.again(stop, &mut slot, &mut tries, false)?,
            }
        }
    }

    fn follow(&self, follower: &mut dyn Follower) -> BitcoinResult<()> {
        follower.begin_blocks()?;
        let mut slot = self.session();
        let mut tries = Tries::default();
        loop {
            let checkpoints = follower.checkpoints();
            let start = lowest_block(follower);
            let is_of_use =
                |session: &Session| !session.is_over() && session.base.height < start.max(1);
            let session = match slot.take().filter(is_of_use) {
                Some(session) => slot.insert(session),
                None => slot.insert(self.open(&checkpoints, start, tries.sessions > 1)?),
            };
            let before = follower.scanned();
            match self.bring_up(session, follower) {
                Ok(()) => break,
                Err(stop) => {
                    let has_progress = follower.scanned() != before;
                    self.again(stop, &mut slot, &mut tries, has_progress)?;
                }
            }
        }
        let unconfirmed = follower.unconfirmed();
        if let Some(peers) = self.peers.as_ref().filter(|_| !unconfirmed.is_empty()) {
            let gone = peers.lacking(&unconfirmed);
            let kept = unconfirmed
                .into_iter()
                .filter(|txid| !gone.contains(txid))
                .collect();
            let arrived = Vec::new();
            follower.take(Piece::Mempool {
                arrived,
                gone,
                kept,
            })?;
        }
        Ok(())
    }

    fn broadcast(&self, transaction: &Transaction) -> BitcoinResult<Txid> {
        if let Some(peers) = &self.peers {
            return broadcast::hand_over(peers, transaction);
        }
        let mut slot = self.session();
        let session = self.ready(&mut slot)?;
        match session.submit(transaction, self.config.timeout) {
            Ok(Ok(())) => Ok(transaction.compute_txid()),
            Ok(Err(reason)) => Err(broadcast::refused(transaction).with_context("reason", reason)),
            Err(_) => Err(broadcast::unknown(transaction)),
        }
    }

    fn peers(&self) -> BitcoinResult<Vec<Peer>> {
        if let Some(peers) = &self.peers {
            return Ok(peers.list());
        }
        let mut slot = self.session();
        let session = self.ready(&mut slot)?;
        let found = session
            .peers(self.config.timeout)
            .map_err(|loss| self.lost(loss, session.trouble()))?;
        let network = self.config.network;
        Ok(found
            .into_iter()
            .map(|(address, services)| Peer {
                address: host(&address, network),
                user_agent: None,
                start_height: None,
                services: peers::services(services),
                is_inbound: Some(false),
            })
            .collect())
    }
}
