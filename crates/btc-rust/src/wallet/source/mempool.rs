//! What a node's mempool holds for a wallet, found without asking for any transaction twice.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::consensus::encode;
use bitcoin::{Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Operation};
use serde_json::value::RawValue;

use super::pool::{Weighed, in_order};
use super::scan::Interest;
use super::{Follower, Piece};
use crate::core::Core;

/// What is remembered of a mempool: of each transaction that does not concern the wallet some
/// numbers, so that memory is bounded by the mempool.
#[derive(Debug, Default)]
pub(super) struct Seen {
    hasher: RandomState,
    /// The state after the last complete reading.
    state: Option<State>,
    /// The scripts and the outputs that the ones below were examined for, as hashes.
    examined: HashSet<u64>,
    /// Transactions that do not concern the wallet, with the hashes of the scripts they pay and
    /// the outputs they spend: whether that is still so can be told without asking for them.
    irrelevant: HashMap<Txid, Box<[u64]>>,
}

/// When all of this is as it was, the mempool has nothing new to say. Not the mempool's sequence
/// number: it begins anew when the node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    tip: BlockRef,
    listing: u64,
    watched: usize,
    unconfirmed: u64,
}

/// A transaction, or none if it has left the mempool, and its size.
struct Fetched(Option<Transaction>, usize);

impl Weighed for Fetched {
    fn bytes(&self) -> usize {
        self.1
    }
}

impl Seen {
    /// Says that the follower's books have changed since.
    pub(super) fn forget_state(&mut self) {
        self.state = None;
    }

    /// Tells the follower, whose chain is at `tip`, what the mempool holds for it; false when the
    /// node's chain has moved meanwhile, so that what has left the mempool may be in a block.
    pub(super) fn read(
        &mut self,
        core: &Core,
        tip: BlockRef,
        follower: &mut dyn Follower,
    ) -> BitcoinResult<bool> {
        let listing = core.mempool()?;
        let listing_hash = self.hasher.hash_one(listing.get());
        if self.state == Some(self.state_of(tip, listing_hash, follower)) {
            return Ok(true);
        }
        self.state = None;
        let present = listed(&listing)?;
        drop(listing);
        self.prepare(follower, &present);

        let counted: HashSet<Txid> = follower.unconfirmed().into_iter().collect();
        let is_new = |txid: &Txid| !counted.contains(txid) && !self.irrelevant.contains_key(txid);
        let mut wanted: Vec<Txid> = present.iter().copied().filter(is_new).collect();
        // Blocks that came since may have paid what one of the irrelevant ones spends.
        let news = self.news(follower);
        wanted.extend(self.reconsidered(&news));
        while !wanted.is_empty() {
            let news = self.examine(core, &wanted, follower)?;
            wanted = self.reconsidered(&news);
        }

        if core.tip()? != tip {
            return Ok(false);
        }
        let counted = follower.unconfirmed().into_iter();
        let (kept, mut gone): (Vec<_>, Vec<_>) = counted.partition(|txid| present.contains(txid));
        let is_whole = gone.is_empty() || core.is_mempool_loaded()?;
        if !gone.is_empty() && is_whole {
            // The first listing may be from before the mempool was read from disk.
            let present = listed(&core.mempool()?)?;
            gone.retain(|txid| !present.contains(txid));
            // What has left it in between may be in a block.
            if core.tip()? != tip {
                return Ok(false);
            }
        }
        follower.take(Piece::Mempool {
            arrived: Vec::new(),
            gone: if is_whole { gone } else { Vec::new() },
            kept,
        })?;
        if is_whole {
            self.state = Some(self.state_of(tip, listing_hash, follower));
        }
        Ok(true)
    }

    /// Forgets what has left the mempool, and everything if this is another wallet.
    fn prepare(&mut self, follower: &dyn Follower, present: &HashSet<Txid>) {
        let first = follower.watched().first();
        if first.is_some_and(|script| !self.examined.contains(&self.hasher.hash_one(script))) {
            self.irrelevant.clear();
            self.examined.clear();
        }
        self.irrelevant.retain(|txid, _| present.contains(txid));
        self.irrelevant.shrink_to(2 * present.len());
    }

    /// Fetches transactions and tells the follower of those that concern it. Returns the hashes
    /// of what is looked for since.
    fn examine(
        &mut self,
        core: &Core,
        wanted: &[Txid],
        follower: &mut dyn Follower,
    ) -> BitcoinResult<HashSet<u64>> {
        let mut interest = Interest::of(follower);
        let mut arrived = Vec::new();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| age.as_secs());
        let fetch = |i: usize| fetch(core, wanted[i]);
        in_order(wanted.len(), fetch, |i, Fetched(transaction, _)| {
            let Some(transaction) = transaction else {
                return Ok(());
            };
            if interest.concerns(&transaction) {
                arrived.push((transaction, now));
            } else {
                let scripts = transaction.output.iter();
                let scripts = scripts.map(|output| self.hasher.hash_one(&output.script_pubkey));
                let spent = transaction.input.iter();
                let spent = spent.map(|input| self.hasher.hash_one(input.previous_output));
                self.irrelevant
                    .insert(wanted[i], scripts.chain(spent).collect());
            }
            Ok(())
        })?;
        if arrived.is_empty() {
            return Ok(HashSet::new());
        }
        follower.take(Piece::Mempool {
            arrived,
            gone: Vec::new(),
            kept: Vec::new(),
        })?;
        Ok(self.news(follower))
    }

    /// Takes those out of the irrelevant ones that pay or spend something of this.
    fn reconsidered(&mut self, news: &HashSet<u64>) -> Vec<Txid> {
        if news.is_empty() {
            return Vec::new();
        }
        self.irrelevant
            .extract_if(|_, hashes| hashes.iter().any(|hash| news.contains(hash)))
            .map(|(txid, _)| txid)
            .collect()
    }

    /// The hashes of what is looked for since this was asked last: scripts that came into the
    /// window, and outputs found in the mempool or in blocks.
    fn news(&mut self, follower: &dyn Follower) -> HashSet<u64> {
        let mut now = self.hashes(follower.watched());
        now.extend(self.hashes(follower.owned()));
        let news = now.difference(&self.examined).copied().collect();
        self.examined = now;
        news
    }

    fn hashes<T: std::hash::Hash>(&self, items: impl IntoIterator<Item = T>) -> HashSet<u64> {
        let items = items.into_iter();
        items.map(|item| self.hasher.hash_one(item)).collect()
    }

    fn state_of(&self, tip: BlockRef, listing: u64, follower: &dyn Follower) -> State {
        let unconfirmed = follower.unconfirmed().into_iter();
        let hashes = unconfirmed.map(|txid| self.hasher.hash_one(txid));
        State {
            tip,
            listing,
            watched: follower.watched().len(),
            unconfirmed: hashes.fold(0, |sum, hash| sum ^ hash),
        }
    }
}

/// The txids of a mempool's listing.
fn listed(listing: &RawValue) -> BitcoinResult<HashSet<Txid>> {
    serde_json::from_str(listing.get())
        .map_err(|cause| invalid("the node's mempool is not a list of txids").with_source(cause))
}

fn fetch(core: &Core, txid: Txid) -> BitcoinResult<Fetched> {
    let Some(bytes) = core.mempool_transaction(&txid)? else {
        return Ok(Fetched(None, 0));
    };
    let transaction: Transaction = encode::deserialize(&bytes)
        .map_err(|cause| invalid("the node sent a broken transaction").with_source(cause))?;
    if transaction.compute_txid() != txid {
        return Err(invalid("the node answered with another transaction"));
    }
    Ok(Fetched(Some(transaction), bytes.len()))
}

fn invalid(message: &str) -> BitcoinError {
    BitcoinError::new(ErrorKind::InvalidResponse, Operation::Sync, message)
}
