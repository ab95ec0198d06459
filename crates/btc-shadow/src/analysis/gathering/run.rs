//! The runs of shadow mode found in a log: what each counted, and whether it is whole.

use std::collections::BTreeMap;

use btc_iface::Operation;

use super::sequences::Sequences;
use super::{OPERATIONS, Tally, index_of};
use crate::books::{Counts, sum};
use crate::compare::Verdict;
use crate::record::{RunId, Totals};

/// More runs than these are not told apart, and not counted.
const MAX_RUNS: usize = 16_384;
/// Ranges of sequence numbers, for all runs together.
const MAX_RANGES: usize = 1 << 20;

/// Runs by their number.
#[derive(Debug)]
pub(in crate::analysis) struct Runs {
    by_id: BTreeMap<RunId, Run>,
    /// How many more ranges of sequence numbers may be kept.
    room: usize,
    /// Lines of runs beyond the bound.
    pub(in crate::analysis) uncounted_lines: u64,
}

/// What the lines of one run say.
#[derive(Debug, Default)]
pub(in crate::analysis) struct Run {
    /// The group whose evidence it is; 0 if its start is missing.
    pub(in crate::analysis) group: usize,
    pub(in crate::analysis) is_started: bool,
    pub(in crate::analysis) log_all: bool,
    is_ended: bool,
    sequences: Sequences,
    repeated: u64,
    counted: Tally,
    totals: Option<Counts>,
}

impl Default for Runs {
    fn default() -> Self {
        Self {
            by_id: BTreeMap::new(),
            room: MAX_RANGES,
            uncounted_lines: 0,
        }
    }
}

impl Runs {
    /// The run of this number; none if there are too many.
    pub(in crate::analysis) fn of(&mut self, id: RunId) -> Option<&mut Run> {
        if self.by_id.len() >= MAX_RUNS && !self.by_id.contains_key(&id) {
            self.uncounted_lines += 1;
            return None;
        }
        Some(self.by_id.entry(id).or_default())
    }

    /// Counts a comparison and gives its group; none if it was counted before, or cannot be.
    pub(in crate::analysis) fn count(
        &mut self,
        id: RunId,
        sequence: u64,
        place: (usize, Verdict),
    ) -> Option<usize> {
        // Nearly every line is of a run that is known, and needs one look-up.
        if !self.by_id.contains_key(&id) {
            self.of(id)?;
        }
        let run = self.by_id.get_mut(&id)?;
        if !run.sequences.insert(sequence, &mut self.room) {
            run.repeated += 1;
            return None;
        }
        run.counted[place.0][place.1 as usize] += 1;
        Some(run.group)
    }

    pub(in crate::analysis) fn iter(&self) -> impl Iterator<Item = (RunId, &Run)> {
        self.by_id.iter().map(|(id, run)| (*id, run))
    }

    pub(in crate::analysis) fn len(&self) -> usize {
        self.by_id.len()
    }
}

impl Run {
    /// Takes the counts, unless later ones are known: files come in any order.
    pub(in crate::analysis) fn total(&mut self, totals: Totals) {
        self.is_ended |= totals.is_final;
        let known = self.totals.as_ref().map_or(0, Counts::total_offered);
        if self.totals.is_none() || totals.is_final || totals.counts.total_offered() >= known {
            self.totals = Some(totals.counts);
        }
    }

    /// Whether the run ended, so that its counts are whole.
    pub(in crate::analysis) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Comparisons that stand in the log more than once, and count once.
    pub(in crate::analysis) fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Lines that the run could not write.
    pub(in crate::analysis) fn lost_lines(&self) -> u64 {
        self.totals.as_ref().map_or(0, |totals| totals.lost_lines)
    }

    /// Calls by operation and verdict: the run's own counts, or, where they are more, its lines,
    /// as those that follow the last counts.
    pub(in crate::analysis) fn tally(&self) -> Tally {
        let mut tally = self.counted;
        for (operation, verdict, count) in self.totals.iter().flat_map(judged) {
            let known = &mut tally[operation][verdict as usize];
            *known = (*known).max(count);
        }
        tally
    }

    /// Calls by operation that ended in no verdict. Until the run ends, they may be under way.
    pub(in crate::analysis) fn unaccounted(&self) -> [u64; OPERATIONS] {
        let mut unaccounted = [0; OPERATIONS];
        if let Some(totals) = self.totals.as_ref().filter(|_| self.is_ended) {
            for (operation, offered) in &totals.offered {
                let verdicts = totals.verdicts.get(operation);
                let judged = verdicts.map_or(0, |verdicts| sum(verdicts.values().copied()));
                if let Some(index) = index_of(*operation) {
                    unaccounted[index] = offered.saturating_sub(judged);
                }
            }
        }
        unaccounted
    }

    /// Calls that nothing is known of: their lines are missing, and there are no counts.
    pub(in crate::analysis) fn unknown(&self) -> u64 {
        match self.totals {
            None if self.log_all => self.sequences.missing().unwrap_or(0),
            _ => 0,
        }
    }

    /// What is amiss with the run, in words that follow its name.
    pub(in crate::analysis) fn complaints(&self) -> Vec<String> {
        let mut found = Vec::new();
        match &self.totals {
            None => found.push("has no totals: it has not ended, or was killed".to_owned()),
            Some(totals) => {
                if totals.lost_lines > 0 {
                    let lost = totals.lost_lines;
                    found.push(format!("could not write {lost} of its lines"));
                }
                // Until the end, calls may be under way.
                if !self.is_ended {
                    let what = "has not ended, or was killed: its last calls are unknown";
                    found.push(what.to_owned());
                } else if !totals.close() {
                    found.push("has calls without a verdict".to_owned());
                }
            }
        }
        if !self.is_started {
            let what = "has no start: an earlier part of the log is missing";
            found.push(what.to_owned());
        } else if self.log_all
            && let Some(missing @ 1..) = self.sequences.missing()
        {
            found.push(format!("lacks {missing} of its lines"));
        }
        if self.repeated > 0 {
            let repeated = self.repeated;
            found.push(format!(
                "repeats {repeated} of its lines, as when a file is given twice; each counts once"
            ));
        }
        if self.sequences.is_full() {
            let what = "has its lines too scattered to know repeated ones: give each file once";
            found.push(what.to_owned());
        }
        found
    }
}

/// The counts one by one: the operation's place, the verdict, how many.
fn judged(counts: &Counts) -> impl Iterator<Item = (usize, Verdict, u64)> {
    let one = |operation: &Operation| index_of(*operation);
    let known = counts
        .verdicts
        .iter()
        .filter_map(move |(operation, verdicts)| Some((one(operation)?, verdicts)));
    known.flat_map(|(operation, verdicts)| {
        let verdicts = verdicts.iter();
        verdicts.map(move |(verdict, count)| (operation, *verdict, *count))
    })
}
