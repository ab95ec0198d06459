//! The accounts of shadow mode: every call offered ends in exactly one verdict.

use std::collections::BTreeMap;
use std::mem;
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
    left_out: [AtomicU64; LeftOut::ALL.len()],
    /// Lines that the log could not take.
    lost_lines: AtomicU64,
}

/// Why a call was left out before anything was compared. Such calls have no lines in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeftOut {
    /// It was not one of the sample: skipped.
    Sampling,
    /// The queue was full: dropped.
    QueueFull,
    /// The secondary is left alone for a while, since it did not answer: dropped.
    BreakerOpen,
    /// Shadow mode ended before its turn came: dropped.
    Ended,
}

impl LeftOut {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::Sampling,
        Self::QueueFull,
        Self::BreakerOpen,
        Self::Ended,
    ];

    /// The stable name, as in logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sampling => "sampling",
            Self::QueueFull => "queue_full",
            Self::BreakerOpen => "breaker_open",
            Self::Ended => "ended",
        }
    }

    const fn verdict(self) -> Verdict {
        match self {
            Self::Sampling => Verdict::Skipped,
            Self::QueueFull | Self::BreakerOpen | Self::Ended => Verdict::Dropped,
        }
    }
}

/// A copy of the counters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Calls by operation.
    pub offered: BTreeMap<Operation, u64>,
    /// Verdicts by operation; those that never occurred are left out.
    pub verdicts: BTreeMap<Operation, BTreeMap<Verdict, u64>>,
    /// Calls that were left out before anything was compared; they are among the verdicts too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<LeftOut, u64>,
    /// Lines that the log could not take.
    #[serde(default)]
    pub lost_lines: u64,
}

impl Books {
    /// Opens the account of one call, which ends in exactly one verdict. Also says the call's
    /// number among those of its operation, from 0.
    pub(crate) fn offer(&self, operation: Operation) -> (Entry<'_>, u64) {
        let number = index_of(operation).map_or(0, |index| {
            self.offered[index].fetch_add(1, Ordering::Relaxed)
        });
        let entry = Entry {
            books: self,
            operation,
        };
        (entry, number)
    }

    /// Closes the account of a call.
    pub(crate) fn close(&self, operation: Operation, verdict: Verdict) {
        if let Some(index) = index_of(operation) {
            self.verdicts[index][verdict as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Closes the account of a call that nothing was compared of.
    pub(crate) fn leave_out(&self, operation: Operation, why: LeftOut) {
        self.left_out[why as usize].fetch_add(1, Ordering::Relaxed);
        self.close(operation, why.verdict());
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
        for why in LeftOut::ALL {
            let count = self.left_out[why as usize].load(Ordering::Relaxed);
            if count > 0 {
                counts.left_out.insert(why, count);
            }
        }
        counts
    }
}

/// A call that was offered. Dropped without another word, as when the primary panics, it counts as
/// inconclusive.
pub(crate) struct Entry<'b> {
    books: &'b Books,
    operation: Operation,
}

impl Entry<'_> {
    /// Leaves it to someone else to close the account.
    pub(crate) fn hand_over(self) {
        mem::forget(self);
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.books.close(self.operation, Verdict::Inconclusive);
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

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        let add = |count: &mut u64, more: u64| *count = count.saturating_add(more);
        for (operation, more) in &other.offered {
            add(self.offered.entry(*operation).or_default(), *more);
        }
        for (operation, verdicts) in &other.verdicts {
            let known = self.verdicts.entry(*operation).or_default();
            for (verdict, more) in verdicts {
                add(known.entry(*verdict).or_default(), *more);
            }
        }
        for (why, more) in &other.left_out {
            add(self.left_out.entry(*why).or_default(), *more);
        }
        add(&mut self.lost_lines, other.lost_lines);
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
    // Its place in `Operation::CALLS`, found without a search on the caller's path.
    let index = operation as usize;
    (index < OPERATIONS).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_and_verdicts_have_the_places_of_their_numbers() {
        for (index, operation) in Operation::CALLS.into_iter().enumerate() {
            assert_eq!(index_of(operation), Some(index));
        }
        for (index, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, index);
        }
        for (index, why) in LeftOut::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, index);
        }
        assert_eq!(index_of(Operation::Log), None);
    }
}
