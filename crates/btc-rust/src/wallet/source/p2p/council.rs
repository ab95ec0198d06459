//! Which of the peers have the chain with the most work, and what is undone for it.

use std::cmp::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use bitcoin::pow::Work;
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Network, Operation};

use super::claim::{Serving, align, zero};
use super::failure::Failure;
use super::headers::Undone;
use super::peers::Peers;
use super::session::Session;
use crate::wallet::source::work::sum;

/// How long peers may take to hear of a block that another one has.
pub(super) const PROPAGATION: Duration = Duration::from_secs(2);
/// How often they are asked.
const POLL: Duration = Duration::from_millis(100);
/// How many headers of undone blocks are asked for, one at a time.
const MAX_ASKED: u32 = 288;

/// Who has which chain.
pub(super) struct Council {
    /// The peers that have the chain with the most work, which is the same for all of them; the
    /// session's, if it is one of them, first.
    pub(super) leading: Vec<Serving>,
    /// The others.
    pub(super) trailing: Vec<Serving>,
}

/// Asks the peers for their chains.
///
/// # Behavior
/// - A peer that is alone with the chain is believed only when the others have been waited for.
///   Each is waited for once, until it has something new.
/// - Peers found by DNS that have less work are held to be behind, and replaced. Those that were
///   named are asked again each time: what they have is compared.
///
/// # Errors
/// As [`Peers::survey`]; `Unavailable`: too few peers have that chain.
pub(super) fn consult(
    peers: &Peers,
    network: Network,
    known: &[BlockRef],
    need: usize,
    current: Option<&str>,
    timeout: Duration,
) -> BitcoinResult<Council> {
    let begun = Instant::now();
    loop {
        let serving = peers.survey(known, need)?;
        let lost = |address: &str, failure| drop(peers.blame(address, failure));
        let serving = align(serving, network, lost);
        let total = serving.len();
        let (tip, most) = best(&serving, known);
        let (mut leading, trailing): (Vec<_>, Vec<_>) = serving
            .into_iter()
            .partition(|it| Some(it.claim.tip) == tip);
        let is_enough = leading.len() >= need;
        let is_over = begun.elapsed() >= PROPAGATION.min(timeout / 2);
        let is_late = |it: &Serving| peers.candidates.is_late(&it.address, it.claim.tip);
        let is_compared = leading.len() >= 2 || trailing.iter().all(is_late);
        if is_over && !(is_enough && is_compared) {
            for it in &trailing {
                peers.candidates.note_late(&it.address, it.claim.tip);
                if peers.are_found() && it.weight() < most {
                    peers.blame(&it.address, Failure::Behind);
                }
            }
        }
        if is_enough && (is_compared || is_over) {
            leading.sort_by_key(|it| Some(it.address.as_str()) != current);
            return Ok(Council { leading, trailing });
        }
        if begun.elapsed() >= timeout {
            let message = format!(
                "{} of {need} required peers have the chain with the most work; wait until the \
                 others have it, or name more",
                leading.len()
            );
            return Err(
                BitcoinError::new(ErrorKind::Unavailable, Operation::Sync, message)
                    .with_context("answering", total),
            );
        }
        thread::sleep(POLL);
    }
}

/// The tip with the most work, and that work; of several, one that is known already, then one that
/// most have, then the first.
fn best(serving: &[Serving], known: &[BlockRef]) -> (Option<BlockRef>, Work) {
    let count = |tip: BlockRef| serving.iter().filter(|it| it.claim.tip == tip).count();
    let best = serving.iter().rev().max_by_key(|it| {
        let tip = it.claim.tip;
        (it.weight(), known.contains(&tip), count(tip))
    });
    best.map_or((None, zero()), |it| (Some(it.claim.tip), it.weight()))
}

/// Compares the work of the session's chain, up to this tip, to that of the wallet's blocks which it
/// undoes: those above the last one that is known to be shared. Where the header of such a block is not known any
/// more, its work counts as the most that it can have been.
pub(super) fn weigh(
    session: &Session,
    past: &Undone,
    serving: &mut [Serving],
    fork: BlockRef,
    newest: BlockRef,
    tip: BlockRef,
) -> Ordering {
    let is_shared = |block: BlockRef| {
        block.height <= tip.height && session.headers(|headers| headers.has(block))
    };
    let mut at = newest;
    let mut undone = zero();
    let mut asked = 0;
    while at.height > fork.height && !is_shared(at) {
        let found = session.headers(|headers| headers.header_of(at));
        let found = found.or_else(|| past.get(at.hash).copied()).or_else(|| {
            asked += 1;
            ask(serving, at).filter(|_| asked <= MAX_ASKED)
        });
        if let Some(header) = found {
            undone = sum(undone, header.work());
            at = BlockRef {
                height: at.height - 1,
                hash: header.prev_blockhash,
            };
            continue;
        }
        // Of the rest, only the number is known.
        let branch = session.headers(|headers| headers.branch_at(fork.height));
        let most = branch.and_then(|branch| branch.most_work(at.height - fork.height));
        let Some(most) = most else {
            return tip.height.cmp(&newest.height);
        };
        undone = sum(undone, most);
        at = fork;
    }
    let gained = session.headers(|headers| headers.work_between(at.height, tip.height));
    gained.cmp(&undone)
}

/// The header of a block that is in no active chain any more, if a peer remembers it.
fn ask(serving: &mut [Serving], block: BlockRef) -> Option<bitcoin::block::Header> {
    serving.iter_mut().find_map(|peer| {
        peer.open.renew();
        peer.open.header_of(block).ok()
    })
}
