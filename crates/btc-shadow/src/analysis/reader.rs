//! Reads comparison logs line by line; what cannot be read is counted and named.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use super::operation::OperationStats;
use super::report::Report;
use crate::books::Counts;
use crate::compare::Verdict;
use crate::record::{Event, Line, RunId, VERSION};

/// The longest line that is read; a mismatch takes up to 2 KiB.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// How many problems are named; the rest are counted.
const MAX_NAMED_PROBLEMS: usize = 20;

/// Everything learned from the lines so far.
#[derive(Debug, Default)]
pub struct Analysis {
    pub(super) lines: u64,
    pub(super) problem_count: u64,
    pub(super) problems: Vec<Problem>,
    pub(super) operations: BTreeMap<Operation, OperationStats>,
    runs: BTreeMap<RunId, Run>,
}

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file, or nothing for lines from memory.
    pub file: String,
    /// The line's number, from 1; 0 for a problem of a whole run.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

#[derive(Debug, Default)]
struct Run {
    log_all: bool,
    started: bool,
    is_ended: bool,
    last_sequence: u64,
    comparisons: u64,
    counted: BTreeMap<(Operation, Verdict), u64>,
    totals: Option<Counts>,
}

impl Analysis {
    /// Reads a whole log. `progress` is told the bytes read so far, now and then.
    ///
    /// # Errors
    /// `NotFound`: no such file. `Configuration`: it cannot be read.
    pub fn read_file(&mut self, path: &Path, progress: &mut dyn FnMut(u64)) -> BitcoinResult<()> {
        let name = path.display().to_string();
        let failed = |cause: io::Error| {
            let kind = match cause.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Configuration,
            };
            BitcoinError::new(kind, Operation::Log, "the comparison log cannot be read")
                .with_context("file", &name)
                .with_source(cause)
        };
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        self.read(&name, &mut reader, progress).map_err(failed)
    }

    fn read(
        &mut self,
        name: &str,
        reader: &mut impl BufRead,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<()> {
        const LINES_BETWEEN_PROGRESS: u64 = 4096;
        let (mut number, mut bytes) = (0, 0);
        let mut line = Vec::new();
        loop {
            line.clear();
            let taken = reader
                .by_ref()
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut line)?;
            if taken == 0 {
                progress(bytes);
                return Ok(());
            }
            number += 1;
            bytes += taken as u64;
            self.add_text(name, number, &line);
            if taken as u64 == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
                bytes += reader.skip_until(b'\n')? as u64;
            }
            if number.is_multiple_of(LINES_BETWEEN_PROGRESS) {
                progress(bytes);
            }
        }
    }

    /// Adds one line as it stands in a log, with or without its end.
    pub fn add_text(&mut self, file: &str, number: u64, text: &[u8]) {
        let is_ended = text.ends_with(b"\n");
        let text = text.trim_ascii();
        if text.is_empty() {
            return;
        }
        match serde_json::from_slice::<Line>(text) {
            Ok(line) if line.version == VERSION => self.add(line),
            Ok(line) => {
                let what = format!(
                    "version {} is not {VERSION}, which this build reads",
                    line.version
                );
                self.complain(file, number, what);
            }
            Err(_) if !is_ended => {
                self.complain(file, number, "the line is unfinished".to_owned());
            }
            Err(cause) => self.complain(file, number, format!("not a line of a log: {cause}")),
        }
    }

    /// Adds one line.
    pub fn add(&mut self, line: Line) {
        self.lines += 1;
        let run = self.runs.entry(line.run).or_default();
        match line.event {
            Event::Start(start) => {
                run.started = true;
                run.log_all = start.log_all;
            }
            Event::Comparison(comparison) => {
                run.last_sequence = run.last_sequence.max(comparison.sequence);
                run.comparisons += 1;
                let key = (comparison.operation, comparison.verdict);
                *run.counted.entry(key).or_default() += 1;
                self.operations
                    .entry(comparison.operation)
                    .or_default()
                    .add(&comparison);
            }
            Event::Totals(totals) => {
                run.is_ended = totals.is_final;
                run.totals = Some(totals.counts);
            }
            _ => {}
        }
    }

    /// Draws the conclusions.
    pub fn finish(mut self) -> Report {
        let mut complaints = Vec::new();
        for (name, run) in &self.runs {
            let mut counts = run.counted.clone();
            if let Some(totals) = &run.totals {
                for (operation, verdicts) in &totals.verdicts {
                    for (verdict, count) in verdicts {
                        let known = counts.entry((*operation, *verdict)).or_default();
                        *known = (*known).max(*count);
                    }
                }
                if totals.lost_lines > 0 {
                    complaints.push(format!(
                        "run {name} could not write {} of its lines",
                        totals.lost_lines
                    ));
                }
                // Until the end, calls may be under way.
                if !run.is_ended {
                    complaints.push(format!(
                        "run {name} has not ended, or was killed: its last calls are unknown"
                    ));
                } else if !totals.close() {
                    complaints.push(format!("run {name} has calls without a verdict"));
                }
            } else {
                complaints.push(format!(
                    "run {name} has no totals: it has not ended, or was killed"
                ));
            }
            for ((operation, verdict), count) in counts {
                let stats = self.operations.entry(operation).or_default();
                let known = stats.verdicts.entry(verdict).or_default();
                *known = known.saturating_add(count);
            }
            if !run.started {
                complaints.push(format!(
                    "run {name} has no start: an earlier part of the log is missing"
                ));
            } else if run.log_all && run.last_sequence > run.comparisons {
                let missing = run.last_sequence - run.comparisons;
                complaints.push(format!("run {name} lacks {missing} of its lines"));
            }
        }
        for what in complaints {
            self.complain("", 0, what);
        }
        Report::new(self)
    }

    fn complain(&mut self, file: &str, line: u64, what: String) {
        self.problem_count += 1;
        if self.problems.len() < MAX_NAMED_PROBLEMS {
            self.problems.push(Problem {
                file: file.to_owned(),
                line,
                what,
            });
        }
    }

    pub(super) fn run_count(&self) -> usize {
        self.runs.len()
    }
}
