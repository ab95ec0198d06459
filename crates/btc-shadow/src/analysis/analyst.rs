//! `Analysis`: reads lines in bounded memory and ends in a report.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use btc_iface::BitcoinResult;

use super::gathering::{Distinct, Groups, Runs, index_of};
use super::reading::{Problems, Read, each_line, open, read};
use super::report::Report;
use crate::record::{Comparison, Event, Line, RunId, Start};

/// Processes that begin together may write their first lines in another order.
const MAX_DISORDER_MS: u64 = 60_000;

/// Everything learned from the lines so far. What it takes does not grow with their number: runs,
/// groups of runs, fields, reasons and problems are kept up to bounds, and it is said what is
/// beyond.
#[derive(Debug, Default)]
pub struct Analysis {
    pub(super) lines: u64,
    /// Lines that were no line of a log.
    pub(super) unusable: u64,
    pub(super) problems: Problems,
    pub(super) runs: Runs,
    pub(super) groups: Groups,
    /// The lines beside comparisons that were seen, so that repeated ones count once.
    others: Distinct,
    /// The file that is read, and its run that began last, by its own word: when, and its group.
    last_start: (String, u64, usize),
    /// Whether the order of the runs in a file contradicts the clock.
    pub(super) is_order_unclear: bool,
}

impl Analysis {
    /// Reads a whole file of a log, compressed by gzip or not. The files of a log may come in any
    /// order; what is given twice counts once. `progress` is told the bytes of the file read so
    /// far, now and then and at the end.
    ///
    /// # Errors
    /// `NotFound`: no such file. `Configuration`: it cannot be read.
    pub fn read_file(&mut self, path: &Path, progress: &mut dyn FnMut(u64)) -> BitcoinResult<()> {
        let name = path.display().to_string();
        // It may be given twice.
        self.last_start = Default::default();
        let opened = open(path)?;
        let damage = each_line(path, opened, progress, |number, line| {
            self.add_text(&name, number, line);
        })?;
        if let Some(damage) = damage {
            self.problems.add(&name, 0, damage);
        }
        Ok(())
    }

    /// Adds one line as it stands in a log, with or without its end.
    pub fn add_text(&mut self, file: &str, number: u64, text: &[u8]) {
        match read(text) {
            Read::Line(line) => self.add_from(file, number, line),
            Read::Empty => {}
            Read::Problem(what) => {
                self.unusable += 1;
                self.problems.add(file, number, what);
            }
        }
    }

    /// Adds one line.
    pub fn add(&mut self, line: Line) {
        self.add_from("", 0, line);
    }

    fn add_from(&mut self, file: &str, number: u64, line: Line) {
        self.lines += 1;
        let run = line.run;
        match line.event {
            Event::Comparison(comparison) => {
                if !self.compare(run, &comparison) {
                    let operation = comparison.operation;
                    let what = format!("{operation} is no operation of the interface");
                    self.problems.add(file, number, what);
                }
            }
            Event::Start(start) => self.start(file, run, &start),
            Event::Totals(totals) => {
                if let Some(run) = self.runs.of(run) {
                    run.total(totals);
                }
            }
            other => self.happened(run, other),
        }
    }

    /// False for what is no operation of the interface.
    fn compare(&mut self, run: RunId, comparison: &Comparison) -> bool {
        let Some(operation) = index_of(comparison.operation) else {
            return false;
        };
        let place = (operation, comparison.verdict);
        let group = self.runs.count(run, comparison.sequence, place);
        let Some(detail) = group.and_then(|group| self.groups.detail(group)) else {
            return true;
        };
        detail.operations[operation].add(comparison);
        if let Some(bucket) = detail.verdicts.at(comparison.time_ms) {
            bucket[comparison.verdict as usize] += 1;
        }
        true
    }

    fn start(&mut self, file: &str, id: RunId, start: &Start) {
        let group = self.groups.of(start);
        if let Some(group) = group.filter(|_| !file.is_empty()) {
            self.put_in_order(file, id, start, group);
        }
        let Some(run) = self.runs.of(id) else {
            return;
        };
        run.log_all = start.log_all;
        match group {
            Some(group) if !run.is_started || run.group == group => run.group = group,
            Some(_) => {
                run.group = 0;
                let what = format!("run {id} says two things of who is compared");
                self.problems.add("", 0, what);
            }
            None => {
                let what = format!("run {id} is of one build too many to be told apart");
                self.problems.add("", 0, what);
            }
        }
        run.is_started = true;
    }

    /// Lines stand in a file in the order in which they were written. Where the clock has another,
    /// it was set, and does not say which builds ran last. At the head of a file stand runs that
    /// began in an earlier one, in any order.
    fn put_in_order(&mut self, file: &str, id: RunId, start: &Start, group: usize) {
        let time_ms = start.time_ms;
        let (last_file, last_ms, last_group) = &mut self.last_start;
        if last_file != file {
            file.clone_into(last_file);
        } else if time_ms < *last_ms {
            let is_apart = *last_group != group && *last_ms - time_ms > MAX_DISORDER_MS;
            if is_apart && start.part == 1 {
                self.is_order_unclear = true;
                let what = format!(
                    "run {id} of other builds stands after one that began later, by the clock: \
                     which builds ran last is unclear"
                );
                self.problems.add(file, 0, what);
            }
            return;
        }
        (*last_ms, *last_group) = (time_ms, group);
    }

    fn happened(&mut self, id: RunId, event: Event) {
        if !self.others.insert(digest(id, &event)) {
            return;
        }
        let group = self.runs.of(id).map(|run| run.group);
        let Some(detail) = group.and_then(|group| self.groups.detail(group)) else {
            return;
        };
        match event {
            Event::Memory(memory) => detail.memory(id, &memory),
            Event::Breaker(breaker) => detail.breaker_openings += u64::from(breaker.is_open),
            Event::Rollout(rollout) => detail.rolled_out(rollout),
            Event::Fallback(fallback) => {
                let failover = (fallback.operation, fallback.failed, fallback.error);
                detail.failed_over(failover, fallback.is_answered);
            }
            // Lost lines are in the totals, and missing in the sequence.
            Event::Gap(_) | Event::Start(_) | Event::Comparison(_) | Event::Totals(_) => {}
        }
    }

    /// Draws the conclusions.
    pub fn finish(mut self) -> Report {
        for (id, run) in self.runs.iter() {
            for what in run.complaints() {
                self.problems.add("", 0, format!("run {id} {what}"));
            }
        }
        if self.runs.uncounted_lines > 0 {
            let what = format!(
                "{} lines are of runs beyond the {}th and not counted; analyse fewer files at once",
                self.runs.uncounted_lines,
                self.runs.len()
            );
            self.problems.add("", 0, what);
        }
        Report::new(self)
    }
}

fn digest(id: RunId, event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    (id, format!("{event:?}")).hash(&mut hasher);
    hasher.finish()
}
