//! `Pool`: the mempool, a graph of transactions that spend each other.

mod accept;
mod chunks;
mod closure;
mod clusters;
mod package;
mod policy;
mod removal;
mod replace;
mod truc;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bitcoin::{OutPoint, Transaction, Txid, Wtxid};

pub(super) use self::accept::{Accepted, Judge, Refusal, RefusalKind};
pub(super) use self::chunks::{Chunk, chunks_of};
pub(super) use self::package::{TxResult, submit};
use super::options::Limits;

/// Core's default for `-mempoolexpiry`: 336 hours.
const EXPIRY_SECS: u64 = 336 * 3600;

/// A transaction that waits.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) transaction: Arc<Transaction>,
    pub(super) txid: Txid,
    pub(super) wtxid: Wtxid,
    pub(super) fee_sat: u64,
    /// In WU.
    pub(super) weight: u64,
    /// The weight, or more if it has many signature operations for its size.
    pub(super) adjusted_weight: u64,
    /// In vB, from the adjusted weight.
    pub(super) size_vb: u64,
    /// When it came, in seconds of Unix time.
    pub(super) time_secs: u64,
    /// The height of the tip when it came.
    pub(super) height: u32,
    /// The number of the entry in order of arrival.
    pub(super) sequence: u64,
    /// Whether it was handed to this very node and no peer has asked for it: always so here.
    pub(super) is_unbroadcast: bool,
}

/// The transactions that wait, and what the node asks of new ones.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub(super) limits: Limits,
    entries: HashMap<Txid, Entry>,
    by_wtxid: HashMap<Wtxid, Txid>,
    spenders: BTreeMap<OutPoint, Txid>,
    next_sequence: u64,
    /// What eviction has raised the minimum to, in sat/kvB.
    rolling_min_sat_per_kvb: u64,
}

impl Pool {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: HashMap::new(),
            by_wtxid: HashMap::new(),
            spenders: BTreeMap::new(),
            next_sequence: 1,
            rolling_min_sat_per_kvb: 0,
        }
    }

    pub(super) fn get(&self, txid: &Txid) -> Option<&Entry> {
        self.entries.get(txid)
    }

    pub(super) fn by_wtxid(&self, wtxid: &Wtxid) -> Option<&Entry> {
        self.entries.get(self.by_wtxid.get(wtxid)?)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All of them, in the order of arrival.
    pub(super) fn in_order(&self) -> Vec<&Entry> {
        let mut entries: Vec<_> = self.entries.values().collect();
        entries.sort_by_key(|entry| entry.sequence);
        entries
    }

    pub(super) fn total_vb(&self) -> u64 {
        self.entries.values().map(|entry| entry.size_vb).sum()
    }

    pub(super) fn total_fee_sat(&self) -> u64 {
        self.entries.values().map(|entry| entry.fee_sat).sum()
    }

    /// Which transaction spends this output.
    pub(super) fn spender(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.spenders.get(outpoint).copied()
    }

    /// The least fee rate that is taken now, in sat/kvB: what eviction asks, or the fixed minimum.
    pub(super) fn min_sat_per_kvb(&self) -> u64 {
        self.rolling_min_sat_per_kvb
            .max(self.limits.min_relay_sat_per_kvb)
    }

    pub(super) fn set_rolling_min(&mut self, sat_per_kvb: u64) {
        self.rolling_min_sat_per_kvb = sat_per_kvb;
    }

    pub(super) fn rolling_min(&self) -> u64 {
        self.rolling_min_sat_per_kvb
    }

    /// The transactions here that this one spends outputs of.
    pub(super) fn parents_of(&self, transaction: &Transaction) -> BTreeSet<Txid> {
        let inputs = transaction.input.iter();
        inputs
            .map(|input| input.previous_output.txid)
            .filter(|txid| self.entries.contains_key(txid))
            .collect()
    }

    /// The transactions here that spend outputs of this one.
    pub(super) fn children_of(&self, txid: Txid) -> BTreeSet<Txid> {
        let (first, last) = (
            OutPoint { txid, vout: 0 },
            OutPoint {
                txid,
                vout: u32::MAX,
            },
        );
        let spenders = self.spenders.range(first..=last);
        spenders.map(|(_, child)| *child).collect()
    }

    /// Those and all that they spend here; without the ones named.
    pub(super) fn with_ancestors(&self, from: impl IntoIterator<Item = Txid>) -> HashSet<Txid> {
        self.closure(from, |pool, txid| {
            pool.get(&txid)
                .map(|entry| pool.parents_of(&entry.transaction))
                .unwrap_or_default()
        })
    }

    /// Those and all that spend them.
    pub(super) fn with_descendants(&self, from: impl IntoIterator<Item = Txid>) -> HashSet<Txid> {
        self.closure(from, Self::children_of)
    }

    /// Those and all that are connected with them, in either direction.
    pub(super) fn cluster(&self, from: impl IntoIterator<Item = Txid>) -> HashSet<Txid> {
        self.closure(from, |pool, txid| {
            let mut next = pool.children_of(txid);
            if let Some(entry) = pool.get(&txid) {
                next.extend(pool.parents_of(&entry.transaction));
            }
            next
        })
    }

    fn closure(
        &self,
        from: impl IntoIterator<Item = Txid>,
        next: impl Fn(&Self, Txid) -> BTreeSet<Txid>,
    ) -> HashSet<Txid> {
        let mut found = HashSet::new();
        let mut waiting: Vec<Txid> = from.into_iter().collect();
        while let Some(txid) = waiting.pop() {
            if found.insert(txid) {
                waiting.extend(next(self, txid));
            }
        }
        found
    }

    pub(super) fn insert(&mut self, mut entry: Entry) {
        entry.sequence = self.next_sequence;
        self.next_sequence += 1;
        for input in &entry.transaction.input {
            self.spenders.insert(input.previous_output, entry.txid);
        }
        self.by_wtxid.insert(entry.wtxid, entry.txid);
        self.entries.insert(entry.txid, entry);
    }
}
