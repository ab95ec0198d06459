//! What sources over servers that keep histories by script share: no answer is believed.
//!
//! # What is checked
//! - The chain: headers are followed from a block that the wallet knows, or from a fixed block of
//!   the network, to the server's tip, each with its proof of work at the difficulty that its
//!   network demands there ([`Branch`](super::work::Branch)). A header does not say its height:
//!   that follows from the count of headers above a known block.
//! - Whatever is undone: a chain that lacks blocks of the wallet's counts only when it has more
//!   work than they have, and contains every fixed block.
//! - Each confirmation, by a Merkle proof against a header of that chain. Heights below the
//!   followed headers are proven by the headers up to the next known block.
//! - The signatures of unconfirmed transactions that spend coins of the wallet's.
//! - How much it is, and how fast it comes, over all the requests of one look.
//! - That histories are complete, as far as it shows: a confirmed transaction that the wallet
//!   knows, or that another script's history has, must be in them.
//!
//! # Why headers are followed
//! An Electrum server can also prove a header by a Merkle branch to the root over all headers up
//! to a checkpoint (`cp_height`). Such a root has to come with the program for each network, says
//! nothing about blocks above it, and Esplora has no such proofs. Headers need one rule for all.
//!
//! # What cannot be checked
//! A transaction that the wallet never heard of can be withheld, unconfirmed ones can be made up,
//! and the server learns which scripts belong together. See `docs/wallet.md`, "Sources".

mod chain;
mod fetch;
mod histories;
mod pace;
mod proof;
mod run;
mod signed;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bdk_chain::ConfirmationBlockTime;
use bitcoin::block::Header;
use bitcoin::{ScriptBuf, Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Network};

use self::chain::Chain;
use self::histories::Findings;
pub(super) use self::pace::Pace;
pub(super) use self::proof::Proof;
use self::run::Run;
use super::{Follower, Piece};

/// How often a look is repeated because the chain moved meanwhile.
const MAX_MOVES: u32 = 20;
/// Verified headers that stay in memory once the wallet is at the tip.
const KEPT: u32 = 2 * super::work::PERIOD;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest that a server may be behind the wallet, or contradict what the wallet knows, before
/// that is an error: it may be about to take over a block.
const MAX_PATIENCE: Duration = Duration::from_secs(10);

/// A transaction in a history, with its height when it is in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) txid: Txid,
    pub(super) height: Option<u32>,
}

/// A server, whose answers are well-formed and no more.
///
/// # Errors
/// `NotFound`: the server does not have it, or no longer.
pub(super) trait HistoryServer {
    /// What it is, for messages.
    const KIND: &'static str;
    /// How many headers one request brings.
    const HEADERS: u32;
    /// How many histories are asked for at once.
    const HISTORIES: usize;

    /// The network it is asked about.
    fn network(&self) -> Network;

    /// The height and the header of the last block.
    fn tip(&self) -> BitcoinResult<(u32, Header)>;

    /// Headers from this height on: as many as wanted, or fewer.
    fn headers(&self, start: u32, count: u32) -> BitcoinResult<Vec<Header>>;

    /// The headers at these heights.
    fn headers_at(&self, heights: &[u32]) -> BitcoinResult<Vec<Header>>;

    /// The history of each script; `progress` is told how many are read.
    fn histories(
        &self,
        scripts: &[ScriptBuf],
        progress: &mut dyn FnMut(usize),
    ) -> BitcoinResult<Vec<Vec<Entry>>>;

    /// These transactions.
    fn transactions(&self, txids: &[Txid]) -> BitcoinResult<Vec<Transaction>>;

    /// The proofs that these transactions are in the blocks at these heights.
    fn proofs(&self, confirmed: &[(Txid, u32)]) -> BitcoinResult<Vec<Proof>>;

    /// How fast it answers; it counts its requests there.
    fn pace(&self) -> &Pace;

    /// An error with what is known of the server.
    fn error(&self, kind: ErrorKind, message: String) -> BitcoinError;

    /// That an answer cannot be true.
    fn lied(&self, what: impl std::fmt::Display) -> BitcoinError {
        let message = format!("the {}'s answers are not true; use another one", Self::KIND);
        self.error(ErrorKind::InvalidResponse, message)
            .with_context("what", what)
    }
}

/// What need not be asked for again, and is true whatever the server says next: transactions,
/// and verified headers with the confirmations that they prove.
#[derive(Debug, Default)]
pub(super) struct Memory {
    run: Option<Run>,
    transactions: HashMap<Txid, Arc<Transaction>>,
    anchors: HashMap<Txid, ConfirmationBlockTime>,
    /// Transactions that do not concern the wallet while it has this number of scripts and outputs.
    foreign: HashSet<Txid>,
    foreign_for: (usize, usize),
}

/// Why a look came to nothing.
#[derive(Debug)]
enum Trouble {
    /// The server's chain or mempool moved meanwhile.
    Moved,
    /// The server may be about to take over what the wallet knows already. If it does not, this
    /// is the error.
    Behind(BitcoinError),
    /// Another look would end like this one.
    Failed(BitcoinError),
}

impl Memory {
    /// Forgets headers that no reorganisation is likely to reach, and transactions that are neither
    /// confirmed nor among these.
    fn settle(&mut self, unconfirmed: &BTreeSet<Txid>) {
        let anchors = &self.anchors;
        self.transactions
            .retain(|txid, _| anchors.contains_key(txid) || unconfirmed.contains(txid));
        if let Some(run) = &mut self.run {
            run.keep_last(KEPT);
        }
    }
}

impl Trouble {
    /// What a failed request means.
    fn of<S: HistoryServer>(server: &S, error: BitcoinError) -> Self {
        match error.kind() {
            // It may have been there a moment ago.
            ErrorKind::NotFound => {
                let lied = server.lied("something is announced, and then not there");
                Self::Behind(lied.with_source(error))
            }
            _ => Self::Failed(error),
        }
    }
}

impl From<BitcoinError> for Trouble {
    fn from(error: BitcoinError) -> Self {
        Self::Failed(error)
    }
}

/// The server's tip, whose headers were followed from a fixed block on.
pub(super) fn tip<S: HistoryServer>(
    server: &S,
    memory: &mut Memory,
    patience: Duration,
) -> BitcoinResult<BlockRef> {
    let fixed = super::fixed::newest(server.network(), 0);
    repeat(server, patience, || {
        let _look = server.pace().begin(patience);
        let chain = Chain::follow(server, memory, &[fixed], &mut |_, _| {})?;
        Ok(chain.tip)
    })
}

/// Brings the follower to the server's tip.
pub(super) fn follow<S: HistoryServer>(
    server: &S,
    memory: &mut Memory,
    patience: Duration,
    follower: &mut dyn Follower,
) -> BitcoinResult<()> {
    let mut present = BTreeSet::new();
    let mut done = 0;
    loop {
        // Each piece of news may move the window.
        let scripts = follower.watched().get(done..).unwrap_or_default().to_vec();
        if done > 0 && scripts.is_empty() {
            break;
        }
        let findings = repeat(server, patience, || {
            let _look = server.pace().begin(patience);
            Findings::look(server, memory, (&scripts, done == 0), follower)
        })?;
        done += scripts.len();
        present.extend(findings.unconfirmed());
        follower.take(Piece::Update(Box::new(findings.into_update())))?;
    }
    memory.settle(&present);
    let unconfirmed = follower.unconfirmed();
    if unconfirmed.is_empty() {
        return Ok(());
    }
    let is_present = |txid: &Txid| present.contains(txid);
    let (kept, gone) = unconfirmed.into_iter().partition(is_present);
    follower.take(Piece::Mempool {
        arrived: Vec::new(),
        gone,
        kept,
    })
}

/// The answer, or what its failure means.
fn ask<S: HistoryServer, T>(server: &S, answer: BitcoinResult<T>) -> Result<T, Trouble> {
    answer.map_err(|error| Trouble::of(server, error))
}

/// Looks until there is a result or no hope for one.
fn repeat<S: HistoryServer, T>(
    server: &S,
    patience: Duration,
    mut look: impl FnMut() -> Result<T, Trouble>,
) -> BitcoinResult<T> {
    let deadline = Instant::now() + patience.min(MAX_PATIENCE);
    let mut moves = 0;
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(Trouble::Failed(error)) => return Err(error),
            Err(Trouble::Behind(error)) if Instant::now() >= deadline => return Err(error),
            Err(Trouble::Moved) if moves >= MAX_MOVES => {
                let message = format!(
                    "the {}'s chain moves faster than it can be followed; ask again in a moment",
                    S::KIND
                );
                return Err(server.error(ErrorKind::Unavailable, message));
            }
            Err(trouble) => {
                moves += u32::from(matches!(trouble, Trouble::Moved));
                std::thread::sleep(PAUSE);
            }
        }
    }
}
