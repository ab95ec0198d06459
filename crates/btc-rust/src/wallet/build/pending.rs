//! Unconfirmed transactions that coins come from: what nodes allow on top of them, and what fee
//! they lack.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use bitcoin::hashes::Hash;
use bitcoin::{Transaction, Txid};
use btc_iface::{FeeRate, PendingTransaction};

/// The most unconfirmed ancestors of a transaction (Bitcoin Core before version 31 allows 25
/// transactions, the new one among them).
pub(super) const MAX_ANCESTORS: usize = 24;
/// The most transactions that a new one may be connected with (Bitcoin Core since version 31
/// allows clusters of 64).
pub(super) const MAX_CONNECTED: usize = 63;
/// The largest cluster in vB, the new transaction included (Bitcoin Core since version 31).
pub(super) const MAX_CLUSTER_VB: u64 = 101_000;

/// The version whose unconfirmed transactions may have one child, of the same version (BIP431).
pub(super) const TRUC_VERSION: i32 = 3;
/// The heaviest transaction of that version, in WU.
pub(super) const MAX_TRUC_WEIGHT_WU: u64 = 40_000;
/// The heaviest child of that version, in WU.
pub(super) const MAX_TRUC_CHILD_WEIGHT_WU: u64 = 4_000;

/// Whether nodes take a transaction of the version of `child` on one of that of `parent`, while
/// `parent` is not confirmed (BIP431).
pub fn may_spend(child: &Transaction, parent: &Transaction) -> bool {
    (child.version.0 == TRUC_VERSION) == (parent.version.0 == TRUC_VERSION)
}

/// The deficit in satoshi of these transactions at this rate, each with its ancestors of the list
/// ("Building" in `docs/wallet.md`).
pub fn deficit_sat(
    list: &[PendingTransaction],
    of: impl IntoIterator<Item = Txid>,
    fee_rate: FeeRate,
) -> u128 {
    let pending = Pending::new(list);
    let below = of
        .into_iter()
        .fold(Below::default(), |below, txid| pending.with(&below, txid));
    pending.deficit_sat(&below, fee_rate)
}

/// A list of pending transactions, with who spends whom.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    list: &'a [PendingTransaction],
    numbers: HashMap<Txid, usize>,
    parents: Vec<Vec<usize>>,
    /// Which cluster each transaction is in.
    cluster_of: Vec<usize>,
    /// How many transactions each cluster has, and their size in vB.
    clusters: Vec<(usize, u64)>,
}

/// The pending transactions that a new transaction would be built on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Below {
    /// Those whose outputs it spends, and their ancestors.
    ancestors: BTreeSet<usize>,
    clusters: BTreeSet<usize>,
}

impl Below {
    /// How many unconfirmed ancestors the new transaction would have.
    pub(super) fn ancestors(&self) -> usize {
        self.ancestors.len()
    }
}

impl<'a> Pending<'a> {
    pub(super) fn new(list: &'a [PendingTransaction]) -> Self {
        let numbers: HashMap<Txid, usize> = list.iter().map(|it| it.txid).zip(0..).collect();
        let parents: Vec<Vec<usize>> = list
            .iter()
            .map(|it| {
                let spends = it.spends.iter();
                spends
                    .filter_map(|txid| numbers.get(txid).copied())
                    .collect()
            })
            .collect();
        let (cluster_of, clusters) = clusters(list, &parents);
        Self {
            list,
            numbers,
            parents,
            cluster_of,
            clusters,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether the transaction is listed, and with that not confirmed.
    pub(super) fn contains(&self, txid: Txid) -> bool {
        self.numbers.contains_key(&txid)
    }

    pub(super) fn get(&self, txid: Txid) -> Option<&'a PendingTransaction> {
        self.numbers.get(&txid).map(|number| &self.list[*number])
    }

    /// Whether one of the list spends an output of this transaction.
    pub(super) fn has_child(&self, txid: Txid) -> bool {
        self.list.iter().any(|it| it.spends.contains(&txid))
    }

    /// What a transaction is built on that spends an output of this one too. The same, when it is
    /// not listed.
    pub(super) fn with(&self, below: &Below, txid: Txid) -> Below {
        let mut below = below.clone();
        let mut waiting: Vec<usize> = self.numbers.get(&txid).copied().into_iter().collect();
        while let Some(number) = waiting.pop() {
            if below.ancestors.insert(number) {
                below.clusters.insert(self.cluster_of[number]);
                waiting.extend(&self.parents[number]);
            }
        }
        below
    }

    /// Whether nodes take a transaction of this size on top of these.
    pub(super) fn is_within_limits(&self, below: &Below, size_vb: u64) -> bool {
        let clusters = below.clusters.iter().map(|number| self.clusters[*number]);
        let (count, cluster_vb) = clusters.fold((0, size_vb), |(count, sum), (more, size_vb)| {
            (count + more, size_vb.saturating_add(sum))
        });
        below.ancestors.len() <= MAX_ANCESTORS
            && count <= MAX_CONNECTED
            && (below.clusters.is_empty() || cluster_vb <= MAX_CLUSTER_VB)
    }

    /// What the fees of these lack at this rate, in satoshi, as a miner sees it who fills blocks
    /// by ancestor sets.
    ///
    /// The ancestor set that pays most for each vB is taken out first, as long as it pays the rate
    /// (of two that pay the same, that of the smaller txid): it is mined without help. What the
    /// rest lacks is the deficit.
    pub(super) fn deficit_sat(&self, below: &Below, fee_rate: FeeRate) -> u128 {
        let mut left = below.ancestors.clone();
        loop {
            let best = left
                .iter()
                .map(|number| (self.package(*number, &left), *number))
                .reduce(|best, other| {
                    if self.is_better(&other, &best) {
                        other
                    } else {
                        best
                    }
                });
            match best {
                None => return 0,
                Some((package, _)) if package.pays(fee_rate) => {
                    for number in package.members {
                        left.remove(&number);
                    }
                }
                Some(_) => break,
            }
        }
        let rest = self.sum(left);
        fee_rate.fee_sat(rest.size_vb).saturating_sub(rest.fee_sat)
    }

    /// A transaction with those of its ancestors that are left.
    fn package(&self, number: usize, left: &BTreeSet<usize>) -> Package {
        let mut members = BTreeSet::new();
        let mut waiting = vec![number];
        while let Some(number) = waiting.pop() {
            if left.contains(&number) && members.insert(number) {
                waiting.extend(&self.parents[number]);
            }
        }
        self.sum(members)
    }

    fn sum(&self, members: BTreeSet<usize>) -> Package {
        let all = members.iter().map(|number| &self.list[*number]);
        let (fee_sat, size_vb) = all.fold((0_u128, 0_u64), |(fee_sat, size_vb), it| {
            (
                fee_sat.saturating_add(it.fee_sat.into()),
                size_vb.saturating_add(it.size_vb),
            )
        });
        Package {
            members,
            fee_sat,
            size_vb,
        }
    }

    fn is_better(
        &self,
        (a, number_a): &(Package, usize),
        (b, number_b): &(Package, usize),
    ) -> bool {
        let bytes = |number: usize| self.list[number].txid.to_byte_array();
        match a.cmp_rate(b) {
            Ordering::Greater => true,
            Ordering::Equal => bytes(*number_a) < bytes(*number_b),
            Ordering::Less => false,
        }
    }
}

/// Some of the transactions, by what miners look at.
struct Package {
    members: BTreeSet<usize>,
    fee_sat: u128,
    size_vb: u64,
}

impl Package {
    fn pays(&self, fee_rate: FeeRate) -> bool {
        self.fee_sat >= fee_rate.fee_sat(self.size_vb)
    }

    /// By the fee for each vB.
    fn cmp_rate(&self, other: &Self) -> Ordering {
        let here = self.fee_sat.saturating_mul(other.size_vb.into());
        here.cmp(&other.fee_sat.saturating_mul(self.size_vb.into()))
    }
}

/// Which transactions are connected, by whatever way: the cluster of each, and of each cluster how
/// many they are and their size in vB.
fn clusters(
    list: &[PendingTransaction],
    parents: &[Vec<usize>],
) -> (Vec<usize>, Vec<(usize, u64)>) {
    let mut neighbours: Vec<Vec<usize>> = parents.to_vec();
    for (number, parents) in parents.iter().enumerate() {
        for parent in parents {
            neighbours[*parent].push(number);
        }
    }
    let mut cluster_of = vec![usize::MAX; list.len()];
    let mut clusters: Vec<(usize, u64)> = Vec::new();
    for first in 0..list.len() {
        if cluster_of[first] != usize::MAX {
            continue;
        }
        let cluster = clusters.len();
        let (mut count, mut size_vb) = (0, 0_u64);
        let mut waiting = vec![first];
        while let Some(number) = waiting.pop() {
            if cluster_of[number] == usize::MAX {
                cluster_of[number] = cluster;
                count += 1;
                size_vb = size_vb.saturating_add(list[number].size_vb);
                waiting.extend(&neighbours[number]);
            }
        }
        clusters.push((count, size_vb));
    }
    (cluster_of, clusters)
}
