//! `Report`: the conclusions of an analysis as plain data, ready for JSON or a table.

mod make;
mod pictures;

use btc_iface::{BitcoinImplementationType, ErrorKind, Operation};
use serde::Serialize;

pub use self::pictures::{LatencyCurve, Pictures};
use super::reading::Problem;
use crate::compare::{Difference, Verdict};
use crate::record::{Build, Rollout};

/// What the log comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Calls were compared and none differed.
    Agree,
    /// At least one call differed.
    Differ,
    /// No call was compared, so nothing can be said.
    NoEvidence,
}

/// The conclusions of an analysis.
///
/// They are drawn from the newest group of runs: those with the same builds on both sides and the
/// same rules as the run that began last. Older groups are listed in [`groups`](Self::groups). If
/// the starts of all runs are missing, the runs without starts are that group.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The conclusion.
    pub conclusion: Conclusion,
    /// Compared calls that agreed, in millionths, rounded down; none when nothing was compared.
    pub compatibility_ppm: Option<u64>,
    /// Calls that were compared.
    pub compared: u64,
    /// Calls that differed.
    pub mismatches: u64,
    /// Lines read, of all groups.
    pub lines: u64,
    /// Lines that are no line of a log in this version.
    pub unusable_lines: u64,
    /// Runs of shadow mode found in the log, of all groups.
    pub runs: usize,
    /// Comparisons that stand in the log more than once, and count once.
    pub repeated_lines: u64,
    /// Lines that the runs of the newest group could not write.
    pub lost_lines: u64,
    /// Lines of runs beyond the bound, which were not counted.
    pub uncounted_lines: u64,
    /// Calls that ended in no verdict, or that nothing is known of.
    pub unaccounted: u64,
    /// Whether a clock that was set leaves open which group is the newest.
    pub is_order_unclear: bool,
    /// Runs of the newest group that have not ended, or were killed.
    pub unended_runs: u64,
    /// Lines, runs and files that cannot be used in full.
    pub problem_count: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
    /// Each operation that was called.
    pub operations: Vec<OperationReport>,
    /// The memory of each process, a run each.
    pub memory: Vec<MemoryReport>,
    /// How often the breaker opened.
    pub breaker_openings: u64,
    /// Reads that failed over.
    pub fallbacks: Vec<FallbackCount>,
    /// The last changes of the share of calls that Rust answers.
    pub rollouts: Vec<Rollout>,
    /// The groups of runs, the newest first.
    pub groups: Vec<GroupReport>,
    /// What pictures are drawn from.
    #[serde(skip)]
    pub pictures: Pictures,
}

/// The conclusions for one operation.
#[derive(Debug, Clone, Serialize)]
pub struct OperationReport {
    /// The operation.
    pub operation: Operation,
    /// Calls, whatever became of them.
    pub calls: u64,
    /// Calls that were compared.
    pub compared: u64,
    /// Calls that agreed, at once or after the tips had met.
    pub matches: u64,
    /// Calls that differed.
    pub mismatches: u64,
    /// Calls about which nothing can be said.
    pub inconclusive: u64,
    /// Of these, calls whose answers changed while both sides were asked.
    pub changed: u64,
    /// Calls that were not compared, by rule.
    pub skipped: u64,
    /// Calls that were not compared, for want of room or time.
    pub dropped: u64,
    /// Calls of ended runs that ended in no verdict.
    pub unaccounted: u64,
    /// Different inputs among the logged calls that were compared.
    pub distinct_inputs: usize,
    /// Whether there are no more different inputs than that; false: at least as many.
    pub is_distinct_exact: bool,
    /// As in [`Report::compatibility_ppm`].
    pub compatibility_ppm: Option<u64>,
    /// Calls that both were asked, matches without a line of their own among them.
    pub pairs: u64,
    /// Of these, calls in which Python failed and Rust did not.
    pub only_python_failed: u64,
    /// Of these, calls in which Rust failed and Python did not.
    pub only_rust_failed: u64,
    /// Logged calls that both refused with the same kind of error.
    pub agreed_errors: u64,
    /// The durations of each implementation.
    pub times: Vec<Times>,
    /// The errors of each implementation by kind.
    pub errors: Vec<ErrorCount>,
    /// The fields that differed, most frequent first.
    pub paths: Vec<FieldPath>,
    /// Differences in fields beyond those that are listed.
    pub other_paths: u64,
    /// Why logged calls were not compared.
    pub reasons: Vec<ReasonCount>,
}

/// How long one implementation took, in calls that both were asked, or else in all.
#[derive(Debug, Clone, Serialize)]
pub struct Times {
    /// The implementation.
    pub implementation: BitcoinImplementationType,
    /// Logged calls.
    pub calls: u64,
    /// The median in nanoseconds.
    pub p50_ns: u64,
    /// The 95th percentile in nanoseconds.
    pub p95_ns: u64,
    /// The 99th percentile in nanoseconds.
    pub p99_ns: u64,
}

/// How often one implementation failed with one kind of error.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorCount {
    /// The implementation.
    pub implementation: BitcoinImplementationType,
    /// The kind.
    pub kind: ErrorKind,
    /// Logged calls that ended so.
    pub count: u64,
    /// Their share of that implementation's logged calls, in millionths, rounded down.
    pub rate_ppm: u64,
}

/// A field that differed.
#[derive(Debug, Clone, Serialize)]
pub struct FieldPath {
    /// Its path without indices.
    pub path: String,
    /// In how many places it differed.
    pub count: u64,
    /// The first difference.
    pub sample: Difference,
}

/// Why calls were not compared.
#[derive(Debug, Clone, Serialize)]
pub struct ReasonCount {
    /// What they ended in.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// Logged calls that ended so.
    pub count: u64,
}

/// The memory of one process during one run.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryReport {
    /// The run.
    pub run: String,
    /// The one implementation that runs in the process; none for the process that compares both.
    pub implementation: Option<BitcoinImplementationType>,
    /// Lines that say how much it took.
    pub lines: u64,
    /// Readings far enough apart to show a trend, at most 240.
    pub readings: usize,
    /// The most there was, in bytes.
    pub peak_rss_bytes: u64,
    /// The last reading, in bytes.
    pub last_rss_bytes: u64,
    /// Growth after the first quarter of the run, in percent of the median there; none for too few
    /// readings.
    pub growth_percent: Option<f64>,
    /// Whether chance does not explain that it rises.
    pub is_rising: bool,
}

/// Reads that failed over.
#[derive(Debug, Clone, Serialize)]
pub struct FallbackCount {
    /// The operation.
    pub operation: Operation,
    /// Who could not answer.
    pub failed: BitcoinImplementationType,
    /// The kind of its error.
    pub error: ErrorKind,
    /// How many.
    pub count: u64,
    /// How many of them the other implementation answered.
    pub answered: u64,
}

/// A group of runs whose evidence adds up.
#[derive(Debug, Clone, Serialize)]
pub struct GroupReport {
    /// Whether it is the one that is judged.
    pub is_newest: bool,
    /// Both builds; none for runs whose start is missing.
    pub builds: Option<[Build; 2]>,
    /// The version of the rules by which answers compare.
    pub rules: Option<u32>,
    /// When its first run began, in milliseconds since 1970.
    pub first_ms: u64,
    /// When its last run began, in milliseconds since 1970.
    pub last_ms: u64,
    /// Its runs.
    pub runs: u64,
    /// Its calls.
    pub calls: u64,
    /// Calls that were compared.
    pub compared: u64,
    /// Calls that differed.
    pub mismatches: u64,
}

impl Report {
    /// What is reported of an operation; none if it was never called.
    pub fn operation(&self, operation: Operation) -> Option<&OperationReport> {
        self.operations.iter().find(|o| o.operation == operation)
    }

    /// The group that is judged; none for an empty log.
    pub fn newest(&self) -> Option<&GroupReport> {
        self.groups.iter().find(|group| group.is_newest)
    }
}

impl OperationReport {
    /// The durations of an implementation; none if it was not asked in a logged call.
    pub fn times_of(&self, implementation: BitcoinImplementationType) -> Option<&Times> {
        let mut times = self.times.iter();
        times.find(|times| times.implementation == implementation)
    }

    /// Calls that were to be compared: all but those that a rule left out.
    pub fn due(&self) -> u64 {
        self.calls.saturating_sub(self.skipped)
    }
}
