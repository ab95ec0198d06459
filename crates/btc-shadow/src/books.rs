//! The accounts of shadow mode: every call offered ends in exactly one verdict.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use btc_iface::Operation;
use serde::{Deserialize, Serialize};

use crate::compare::Verdict;

const OPERATIONS: usize = Operation::CALLS.len();
const VERDICTS: usize = Verdict::ALL.len();

/// Counters by operation and verdict, kept without locks.
#[derive(Debug, Default)]
pub struct Books {
    offered: [AtomicU64; OPERATIONS],
    verdicts: [[AtomicU64; VERDICTS]; OPERATIONS],
    /// Lines that the log could not take.
    lost_lines: AtomicU64,
}

/// A copy of the counters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Calls by operation.
    pub offered: BTreeMap<Operation, u64>,
    /// Verdicts by operation; those that never occurred are left out.
    pub verdicts: BTreeMap<Operation, BTreeMap<Verdict, u64>>,
    /// Lines that the log could not take.
    #[serde(default)]
    pub lost_lines: u64,
}

impl Books {
    /// Opens the account of one call, which ends in exactly one verdict.
    pub(crate) fn offer(&self, operation: Operation) -> Entry<'_> {
        let index = index_of(operation);
        if let Some(index) = index {
            self.offered[index].fetch_add(1, Ordering::Relaxed);
        }
        Entry {
            books: self,
            index,
            verdict: Verdict::Inconclusive,
        }
    }

    pub(crate) fn lose_line(&self) {
        self.lost_lines.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters now.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            lost_lines: self.lost_lines.load(Ordering::Relaxed),
            ..Counts::default()
        };
        for (index, operation) in Operation::CALLS.into_iter().enumerate() {
            let offered = self.offered[index].load(Ordering::Relaxed);
            if offered == 0 {
                continue;
            }
            counts.offered.insert(operation, offered);
            let by_verdict: BTreeMap<_, _> = Verdict::ALL
                .into_iter()
                .map(|verdict| {
                    (
                        verdict,
                        self.verdicts[index][verdict as usize].load(Ordering::Relaxed),
                    )
                })
                .filter(|(_, count)| *count > 0)
                .collect();
            counts.verdicts.insert(operation, by_verdict);
        }
        counts
    }
}

/// A call that was offered. Dropped without a verdict, as when the primary panics, it counts as
/// inconclusive.
pub(crate) struct Entry<'b> {
    books: &'b Books,
    index: Option<usize>,
    verdict: Verdict,
}

impl Entry<'_> {
    pub(crate) fn close(mut self, verdict: Verdict) {
        self.verdict = verdict;
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(index) = self.index {
            self.books.verdicts[index][self.verdict as usize].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Counts {
    /// All calls.
    pub fn total_offered(&self) -> u64 {
        sum(self.offered.values().copied())
    }

    /// All calls that ended in this verdict.
    pub fn total(&self, verdict: Verdict) -> u64 {
        sum(self
            .verdicts
            .values()
            .filter_map(|counts| counts.get(&verdict).copied()))
    }

    /// Whether every call offered ended in exactly one verdict, for each operation.
    pub fn close(&self) -> bool {
        let offered = |operation| self.offered.get(operation).copied().unwrap_or(0);
        let judged = |operation| {
            let counts = self.verdicts.get(operation);
            counts.map_or(0, |counts| sum(counts.values().copied()))
        };
        let mut operations = self.offered.keys().chain(self.verdicts.keys());
        operations.all(|operation| offered(operation) == judged(operation))
    }
}

/// Counts read from a log may be anything: their sum stays at the bound instead of wrapping.
pub(crate) fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

fn index_of(operation: Operation) -> Option<usize> {
    Operation::CALLS
        .iter()
        .position(|known| *known == operation)
}
