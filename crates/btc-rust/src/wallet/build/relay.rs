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
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// What the original and its descendants paid together, in satoshi.
    replaced_sat: u128,
    /// The original's rate in whole sat/kvB, as nodes before Bitcoin Core 31 compare it.
    old_sat_per_kvb: u128,
    best: Part,
    relay: RelayRules,
}

/// Some of the replaced transactions, by what miners look at.
#[derive(Debug, Clone, Copy)]
struct Part {
    fee_sat: u128,
    weight_wu: u64,
}

impl Rules {
    pub(super) fn new(
        original: &Transaction,
        fee_sat: u64,
        descendants: &[MempoolEntry],
        relay: RelayRules,
    ) -> Self {
        let itself = Part {
            fee_sat: fee_sat.into(),
            weight_wu: original.weight().to_wu(),
        };
        let fees = descendants
            .iter()
            .map(|it| u128::from(it.replaced_fee_sat()));
        Self {
            replaced_sat: fees.fold(itself.fee_sat, u128::saturating_add),
            old_sat_per_kvb: sat_per_kvb(itself.fee_sat, itself.weight_wu),
            best: best_part(original.compute_txid(), itself, descendants),
            relay,
        }
    }

    /// Whether nodes take a replacement with this fee and this weight.
    pub(super) fn are_met(&self, fee_sat: u64, weight_wu: u64) -> bool {
        let fee_sat = u128::from(fee_sat);
        fee_sat >= self.least_fee_sat(weight_wu)
            && sat_per_kvb(fee_sat, weight_wu) > self.old_sat_per_kvb
    }

    /// The rate at which a replacement of this weight is taken, or a little more.
    pub(super) fn least_rate(&self, weight_wu: u64) -> FeeRate {
        let size_vb = u128::from(weight_wu.div_ceil(4)).max(1);
        let by_fee = self.least_fee_sat(weight_wu).saturating_mul(1_000);
        let sat_per_kvb = by_fee.div_ceil(size_vb).max(self.old_sat_per_kvb + 1);
        FeeRate::from_sat_per_kvb(u64::try_from(sat_per_kvb).unwrap_or(u64::MAX))
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
        let by_rules = self.replaced_sat.saturating_add(relay_sat);
        // As much for each WU as the part that miners would take first, unless that part is the
        // larger one: then the sum of the fees says it (Bitcoin Core, `ImprovesFeerateDiagram`).
        let by_part = if self.best.weight_wu <= weight_wu {
            let fee = self.best.fee_sat.saturating_mul(weight_wu.into());
            fee.div_ceil(u128::from(self.best.weight_wu).max(1))
        } else {
            0
        };
        by_rules
            .max(by_part)
            .max(self.relay.min_rate.fee_sat(size_vb))
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
    let mut part = Part {
        fee_sat: 0,
        weight_wu: 0,
    };
    let mut waiting = vec![txid];
    while let Some(txid) = waiting.pop() {
        let Some(it) = all.get(&txid).filter(|_| !taken.contains(&txid)) else {
            continue;
        };
        if members.insert(txid) {
            part = part.with(Part {
                fee_sat: it.replaced_fee_sat().into(),
                weight_wu: it.weight_wu,
            });
            waiting.extend(&it.spends);
        }
    }
    (members, part)
}

impl Part {
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
