//! Clusters in the order in which miners take them, and the comparison of fee rate diagrams.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use bitcoin::Txid;

use super::closure;

/// Transactions that are mined together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Chunk {
    pub(in super::super) fee_sat: u64,
    /// Adjusted weight, in WU.
    pub(in super::super) weight: u64,
    pub(in super::super) txids: Vec<Txid>,
}

/// A transaction for the purpose of ordering.
#[derive(Debug, Clone)]
pub(in super::super) struct Node {
    pub(in super::super) txid: Txid,
    pub(in super::super) fee_sat: u64,
    pub(in super::super) weight: u64,
    pub(in super::super) parents: Vec<Txid>,
}

impl Chunk {
    /// Which one pays more for its weight.
    fn cmp_rate(&self, other: &Self) -> Ordering {
        cmp_rates((self.fee_sat, self.weight), (other.fee_sat, other.weight))
    }
}

/// Which fee is the higher one for its weight, without division.
fn cmp_rates(one: (u64, u64), other: (u64, u64)) -> Ordering {
    let left = u128::from(one.0) * u128::from(other.1);
    let right = u128::from(other.0) * u128::from(one.1);
    left.cmp(&right)
}

/// The chunks of these transactions, the best first: again and again the set that pays the most
/// for its weight, of those with the same rate a small one.
pub(in super::super) fn chunks_of(nodes: &[Node]) -> Vec<Chunk> {
    let mut left: Vec<&Node> = parents_first(nodes).iter().map(|at| &nodes[*at]).collect();
    let mut chunks: Vec<Chunk> = Vec::new();
    while !left.is_empty() {
        let taken = best_set(&left);
        let mut chunk = Chunk {
            fee_sat: 0,
            weight: 0,
            txids: Vec::new(),
        };
        let mut later = Vec::new();
        for (at, node) in left.into_iter().enumerate() {
            if taken.contains(&at) {
                chunk.fee_sat += node.fee_sat;
                chunk.weight += node.weight;
                chunk.txids.push(node.txid);
            } else {
                later.push(node);
            }
        }
        left = later;
        chunks.push(chunk);
    }
    chunks
}

/// The numbers of the set that pays the most; `nodes` have their parents before them.
fn best_set(nodes: &[&Node]) -> Vec<usize> {
    let place: HashMap<Txid, usize> = nodes.iter().map(|node| node.txid).zip(0..).collect();
    let parents: Vec<Vec<usize>> = nodes
        .iter()
        .map(|node| {
            let parents = node.parents.iter();
            parents.filter_map(|it| place.get(it).copied()).collect()
        })
        .collect();
    // Mostly it is one transaction with its ancestors.
    let mut families: Vec<Vec<usize>> = Vec::with_capacity(nodes.len());
    let mut best = (0, 0, 0);
    for (at, own) in parents.iter().enumerate() {
        let mut family: Vec<usize> = own
            .iter()
            .flat_map(|parent| families[*parent].iter().copied())
            .collect();
        family.push(at);
        family.sort_unstable();
        family.dedup();
        let fee_sat: u64 = family.iter().map(|at| nodes[*at].fee_sat).sum();
        let weight: u64 = family.iter().map(|at| nodes[*at].weight).sum();
        let is_better = at == 0
            || cmp_rates((fee_sat, weight), (best.0, best.1))
                .then(families[best.2].len().cmp(&family.len()))
                .is_gt();
        families.push(family);
        if is_better {
            best = (fee_sat, weight, at);
        }
    }
    let values: Vec<_> = nodes.iter().map(|it| (it.fee_sat, it.weight)).collect();
    closure::best_above(&values, &parents, (best.0, best.1))
        .unwrap_or_else(|| families.swap_remove(best.2))
}

/// The numbers of these, each after those that it spends; else in the order given.
fn parents_first(nodes: &[Node]) -> Vec<usize> {
    let mut order = Vec::with_capacity(nodes.len());
    let mut left: HashSet<Txid> = nodes.iter().map(|node| node.txid).collect();
    while !left.is_empty() {
        let before = left.len();
        for (at, node) in nodes.iter().enumerate() {
            let is_ready = !node.parents.iter().any(|parent| left.contains(parent));
            if left.contains(&node.txid) && is_ready {
                left.remove(&node.txid);
                order.push(at);
            }
        }
        if left.len() == before {
            // Transactions cannot spend each other in a circle.
            break;
        }
    }
    order
}

/// Whether taking `new` in the place of `old` pays at least as much at every weight, and more at
/// one: what Bitcoin Core asks of a replacement.
pub(in super::super) fn improves(old: &[Chunk], new: &[Chunk]) -> bool {
    let (old, new) = (diagram(old), diagram(new));
    let mut is_better = false;
    let mut weights: Vec<u64> = old.iter().chain(&new).map(|point| point.0).collect();
    weights.sort_unstable();
    weights.dedup();
    for weight in weights {
        match cmp_at(&new, &old, weight) {
            Ordering::Less => return false,
            Ordering::Greater => is_better = true,
            Ordering::Equal => {}
        }
    }
    is_better
}

/// Weight and fee after each chunk, the best first.
fn diagram(chunks: &[Chunk]) -> Vec<(u64, u64)> {
    let mut sorted: Vec<_> = chunks.to_vec();
    sorted.sort_by(|one, other| other.cmp_rate(one));
    let mut points = vec![(0, 0)];
    let (mut weight, mut fee_sat) = (0, 0);
    for chunk in sorted {
        weight += chunk.weight;
        fee_sat += chunk.fee_sat;
        points.push((weight, fee_sat));
    }
    points
}

/// Which diagram is higher at a weight; each is level after its last point.
fn cmp_at(one: &[(u64, u64)], other: &[(u64, u64)], weight: u64) -> Ordering {
    let (a, a_per) = height_at(one, weight);
    let (b, b_per) = height_at(other, weight);
    (a * u128::from(b_per)).cmp(&(b * u128::from(a_per)))
}

/// The fee at a weight as a fraction: times the second number.
fn height_at(points: &[(u64, u64)], weight: u64) -> (u128, u64) {
    for pair in points.windows(2) {
        let [(left, low), (right, high)] = [pair[0], pair[1]];
        if weight <= right {
            let span = right - left;
            let risen = u128::from(high - low) * u128::from(weight - left);
            return (u128::from(low) * u128::from(span) + risen, span);
        }
    }
    (points.last().map_or(0, |(_, fee)| u128::from(*fee)), 1)
}
