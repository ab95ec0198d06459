//! What nodes ask of a replacement, and from which fee on they take it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Transaction, Txid};
use btc_iface::FeeRate;

/// The most transactions that a replacement may evict (Bitcoin Core before version 31).
pub(super) const MAX_EVICTED: usize = 100;

/// What a node asks for (Bitcoin Core RPC `getmempoolinfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayRules {
    /// What a replacement pays for its own size, besides what was paid before
    /// (`incrementalrelayfee`).
    pub incremental: FeeRate,
    /// What any transaction pays at least (`mempoolminfee`, `minrelaytxfee`).
    pub min_rate: FeeRate,
    /// Whether transactions are replaced that do not signal it (`fullrbf`).
    pub full_rbf: bool,
}

impl RelayRules {
    /// Where no node says: what Bitcoin Core asked for before version 30, ten times what it has
    /// asked for since. Replaced is everything, as it has been since version 28.
    pub const CAUTIOUS: Self = Self {
        incremental: FeeRate::from_sat_per_vb(1),
        min_rate: FeeRate::from_sat_per_vb(1),
        full_rbf: true,
    };
}

/// A transaction in a mempool, by what nodes and miners look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MempoolEntry {
    /// The transaction.
    pub txid: Txid,
    /// Its weight in WU, its signature operations counted in.
    pub weight_wu: u64,
    /// Its fee in satoshi.
    pub fee_sat: u64,
    /// The same with what the node's operator adds for this node alone
    /// (`prioritisetransaction`).
    pub modified_fee_sat: u64,
    /// The transactions of the mempool whose outputs it spends.
    pub spends: Vec<Txid>,
}

impl MempoolEntry {
    /// What a replacement has to pay for it wherever it goes, in satoshi.
    pub(super) fn replaced_fee_sat(&self) -> u64 {
        self.fee_sat.max(self.modified_fee_sat)
    }
}

/// From which fee on nodes take a replacement.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// What goes: with the original where nodes have that, with its rivals where they have those.
    replaced: Vec<Replaced>,
    relay: RelayRules,
}

/// What a node lets go of for the replacement.
#[derive(Debug, Clone, Copy)]
struct Replaced {
    /// What all of it paid together, in satoshi.
    fee_sat: u128,
    /// The highest rate of those that the replacement conflicts with, in whole sat/kvB, as nodes
    /// before Bitcoin Core 31 compare it.
    sat_per_kvb: u128,
    /// What a miner would take first of it.
    best: Part,
}

/// Some of the replaced transactions, by what miners look at.
#[derive(Debug, Clone, Copy)]
struct Part {
    fee_sat: u128,
    weight_wu: u64,
}

impl Rules {
    /// For a replacement of `original`, which goes with its descendants where a node has it. Where
    /// it is missing, `rivals` are what a node has that spends its coins, with their descendants.
    pub(super) fn new(
        original: &Transaction,
        fee_sat: u64,
        descendants: &[MempoolEntry],
        rivals: &[MempoolEntry],
        relay: RelayRules,
    ) -> Self {
        let itself = Part {
            fee_sat: fee_sat.into(),
            weight_wu: original.weight().to_wu(),
        };
        let txid = original.compute_txid();
        let mut replaced = vec![Replaced::of(&[(txid, itself)], descendants)];
        let names: BTreeSet<Txid> = rivals.iter().map(|it| it.txid).collect();
        let first = rivals.iter().filter(|it| {
            let mut parents = it.spends.iter();
            !parents.any(|parent| names.contains(parent))
        });
        let first: Vec<(Txid, Part)> = first.map(|it| (it.txid, Part::of(it))).collect();
        if !first.is_empty() {
            let below: Vec<MempoolEntry> = rivals
                .iter()
                .filter(|it| first.iter().all(|(txid, _)| *txid != it.txid))
                .cloned()
                .collect();
            replaced.push(Replaced::of(&first, &below));
        }
        Self { replaced, relay }
    }

    /// Whether nodes take a replacement with this fee and this weight.
    pub(super) fn are_met(&self, fee_sat: u64, weight_wu: u64) -> bool {
        let fee_sat = u128::from(fee_sat);
        fee_sat >= self.least_fee_sat(weight_wu)
            && sat_per_kvb(fee_sat, weight_wu) > self.old_sat_per_kvb()
    }

    /// The rate at which a replacement of this weight is taken, or a little more.
    pub(super) fn least_rate(&self, weight_wu: u64) -> FeeRate {
        let size_vb = u128::from(weight_wu.div_ceil(4)).max(1);
        let by_fee = self.least_fee_sat(weight_wu).saturating_mul(1_000);
        let sat_per_kvb = by_fee.div_ceil(size_vb).max(self.old_sat_per_kvb() + 1);
        FeeRate::from_sat_per_kvb(u64::try_from(sat_per_kvb).unwrap_or(u64::MAX))
    }

    fn old_sat_per_kvb(&self) -> u128 {
        let rates = self.replaced.iter().map(|it| it.sat_per_kvb);
        rates.max().unwrap_or(0)
    }

    /// What a replacement of this weight pays at least, whatever its rate, in satoshi.
    fn least_fee_sat(&self, weight_wu: u64) -> u128 {
        let size_vb = weight_wu.div_ceil(4);
        let relay_sat = self.relay.incremental.fee_sat(size_vb);
        #[cfg(feature = "planted")]
        let relay_sat = if crate::planted::is(crate::planted::Planted::WrongMinimum) {
            0
        } else {
            relay_sat
        };
        let fees = self.replaced.iter().map(|it| {
            let by_rules = it.fee_sat.saturating_add(relay_sat);
            by_rules.max(it.by_part_sat(weight_wu))
        });
        fees.max()
            .unwrap_or(0)
            .max(self.relay.min_rate.fee_sat(size_vb))
    }
}

impl Replaced {
    /// These, which the replacement conflicts with, and what descends from them.
    fn of(conflicts: &[(Txid, Part)], descendants: &[MempoolEntry]) -> Self {
        let fees = descendants
            .iter()
            .map(|it| u128::from(it.replaced_fee_sat()));
        let conflicting = conflicts.iter().map(|(_, it)| it.fee_sat);
        let rates = conflicts
            .iter()
            .map(|(_, it)| sat_per_kvb(it.fee_sat, it.weight_wu));
        let parts = conflicts
            .iter()
            .map(|(txid, itself)| best_part(*txid, *itself, descendants));
        let best = parts.reduce(|a, b| if b.cmp_rate(&a).is_gt() { b } else { a });
        Self {
            fee_sat: fees.chain(conflicting).fold(0, u128::saturating_add),
            sat_per_kvb: rates.max().unwrap_or(0),
            best: best.unwrap_or(Part::NOTHING),
        }
    }

    /// As much for each WU as the part that miners would take first, unless that part is the larger
    /// one: then the sum of the fees says it (Bitcoin Core, `ImprovesFeerateDiagram`).
    fn by_part_sat(&self, weight_wu: u64) -> u128 {
        if self.best.weight_wu > weight_wu {
            return 0;
        }
        let fee = self.best.fee_sat.saturating_mul(weight_wu.into());
        fee.div_ceil(u128::from(self.best.weight_wu).max(1))
    }
}

fn sat_per_kvb(fee_sat: u128, weight_wu: u64) -> u128 {
    let size_vb = u128::from(weight_wu.div_ceil(4)).max(1);
    fee_sat.saturating_mul(1_000) / size_vb
}

/// The original with those of its descendants that raise the rate of the whole: what a miner
/// would take first.
fn best_part(txid: Txid, itself: Part, descendants: &[MempoolEntry]) -> Part {
    let by_txid: BTreeMap<Txid, &MempoolEntry> =
        descendants.iter().map(|it| (it.txid, it)).collect();
    let mut taken: BTreeSet<Txid> = BTreeSet::from([txid]);
    let mut best = itself;
    loop {
        let left = by_txid.keys().filter(|txid| !taken.contains(*txid));
        let packages = left.map(|txid| package(*txid, &by_txid, &taken));
        let first = packages.reduce(|a, b| if b.1.cmp_rate(&a.1).is_gt() { b } else { a });
        match first {
            Some((members, part)) if part.cmp_rate(&best).is_gt() => {
                taken.extend(members);
                best = best.with(part);
            }
            _ => return best,
        }
    }
}

/// A descendant with those of its ancestors that are not taken.
fn package(
    txid: Txid,
    all: &BTreeMap<Txid, &MempoolEntry>,
    taken: &BTreeSet<Txid>,
) -> (BTreeSet<Txid>, Part) {
    let mut members = BTreeSet::new();
    let mut part = Part::NOTHING;
    let mut waiting = vec![txid];
    while let Some(txid) = waiting.pop() {
        let Some(it) = all.get(&txid).filter(|_| !taken.contains(&txid)) else {
            continue;
        };
        if members.insert(txid) {
            part = part.with(Part::of(it));
            waiting.extend(&it.spends);
        }
    }
    (members, part)
}

impl Part {
    const NOTHING: Self = Self {
        fee_sat: 0,
        weight_wu: 0,
    };

    fn of(entry: &MempoolEntry) -> Self {
        Self {
            fee_sat: entry.replaced_fee_sat().into(),
            weight_wu: entry.weight_wu,
        }
    }

    fn with(self, other: Self) -> Self {
        Self {
            fee_sat: self.fee_sat.saturating_add(other.fee_sat),
            weight_wu: self.weight_wu.saturating_add(other.weight_wu),
        }
    }

    /// By the fee for each WU.
    fn cmp_rate(&self, other: &Self) -> Ordering {
        let here = self.fee_sat.saturating_mul(other.weight_wu.into());
        here.cmp(&other.fee_sat.saturating_mul(self.weight_wu.into()))
    }
}
