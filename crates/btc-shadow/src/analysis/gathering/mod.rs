//! What is kept of the lines, all of it bounded: runs, groups of runs, statistics, timelines.

mod distinct;
mod group;
mod memory;
mod operation;
mod run;
mod sequences;
mod timeline;

use btc_iface::{BitcoinImplementationType, Operation};

pub(super) use self::distinct::Distinct;
pub(super) use self::group::{Detail, Group, Groups};
pub(super) use self::memory::{Series, trend};
pub(super) use self::operation::OperationStats;
pub(super) use self::run::{Run, Runs};
pub use self::timeline::{Bucket, MemoryPoint, VerdictTimeline};
use crate::compare::Verdict;

/// The number of the interface's operations.
pub(super) const OPERATIONS: usize = Operation::CALLS.len();
/// The number of verdicts.
pub(super) const VERDICTS: usize = Verdict::ALL.len();
/// Counts by operation and verdict.
pub(super) type Tally = [[u64; VERDICTS]; OPERATIONS];

/// The operation's place among those of the interface; none for the steps around it.
pub(super) fn index_of(operation: Operation) -> Option<usize> {
    let mut known = Operation::CALLS.iter();
    known.position(|known| *known == operation)
}

/// The implementation's place: Python, then Rust.
pub(super) fn side_of(implementation: BitcoinImplementationType) -> usize {
    usize::from(implementation == BitcoinImplementationType::Rust)
}

/// The implementations in the order of [`side_of`].
pub(super) const SIDES: [BitcoinImplementationType; 2] = [
    BitcoinImplementationType::Python,
    BitcoinImplementationType::Rust,
];

/// Text from a log, cut to so many characters.
pub(super) fn cut(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
