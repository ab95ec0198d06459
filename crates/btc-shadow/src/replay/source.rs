//! `Source`: where the calls of a replay come from, and what became of them.

use std::collections::BTreeMap;

use btc_iface::rust_bitcoin::Txid;
use btc_iface::{BitcoinResult, ErrorKind, Operation};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::state::Input;
use crate::compare::Verdict;

/// How many unreadable lines are named; the rest are counted.
const MAX_NAMED: usize = 20;

/// Hands out calls, one by one.
pub trait Source: Send {
    /// The next call. None when there is none now: a call that is under way may still bring more.
    ///
    /// # Errors
    /// `Unavailable` and others: the source cannot be read.
    fn next_call(&mut self, tally: &mut Tally) -> BitcoinResult<Option<Item>>;

    /// A call was answered: with the block's transactions, if it asked for a block.
    fn answered(&mut self, _item: &Item, _txids: &mut dyn Iterator<Item = Txid>) {}

    /// A call was answered with an error of this kind.
    fn failed(&mut self, _item: &Item, _kind: ErrorKind, _tally: &mut Tally) {}

    /// How far it got, now that no call is under way.
    fn position(&self) -> Input;

    /// Lines or blocks that were handed out.
    fn done(&self) -> u64;
}

/// A call to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The call.
    pub call: Call,
    /// The number of its line, or the height of its block.
    pub place: u64,
}

/// What became of the calls of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Lines that were read, or blocks.
    pub read: u64,
    /// Calls that were made.
    pub calls: u64,
    /// Calls that were made once more, since the primary could not be reached.
    pub retries: u64,
    /// Calls that were not made, since they have an effect, by operation.
    pub skipped: BTreeMap<Operation, u64>,
    /// Calls that the recorder has lost.
    pub lost_calls: u64,
    /// Lines that could not be read.
    pub bad_lines: u64,
    /// The first of them.
    pub first_bad_lines: Vec<BadLine>,
    /// Reads of a range of blocks that failed, by the kind of error, so that nothing of the chain
    /// was compared.
    pub unread: BTreeMap<ErrorKind, u64>,
    /// What the comparisons ended in.
    pub verdicts: BTreeMap<Verdict, u64>,
}

/// A line that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadLine {
    /// The file.
    pub file: String,
    /// The line's number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

impl Tally {
    /// Calls that ended in this verdict.
    pub fn of(&self, verdict: Verdict) -> u64 {
        self.verdicts.get(&verdict).copied().unwrap_or(0)
    }

    /// Calls that were compared.
    pub fn compared(&self) -> u64 {
        let verdicts = [Verdict::Match, Verdict::Recovered, Verdict::Mismatch];
        verdicts.into_iter().map(|verdict| self.of(verdict)).sum()
    }

    /// Calls of which nothing can be said, without those that were made once more.
    pub fn uncompared(&self) -> u64 {
        let uncompared = self.of(Verdict::Inconclusive) + self.of(Verdict::Dropped);
        uncompared.saturating_sub(self.retries)
    }

    /// Whether something was compared, all of it agrees, and nothing was missed.
    pub fn is_clean(&self) -> bool {
        self.compared() > 0
            && self.of(Verdict::Mismatch) == 0
            && self.uncompared() == 0
            && self.bad_lines == 0
            && self.unread.is_empty()
    }

    /// Counts a line that could not be read.
    pub fn complain(&mut self, file: &str, line: u64, what: String) {
        self.bad_lines += 1;
        if self.first_bad_lines.len() < MAX_NAMED {
            self.first_bad_lines.push(BadLine {
                file: file.to_owned(),
                line,
                what,
            });
        }
    }

    pub(super) fn skip(&mut self, operation: Operation) {
        *self.skipped.entry(operation).or_default() += 1;
    }
}
