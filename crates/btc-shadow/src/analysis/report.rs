//! `Report`: the conclusions of an analysis as plain data, ready for JSON or a table.

use btc_iface::{BitcoinImplementationType, ErrorKind, Operation};
use serde::Serialize;

use super::operation::OperationStats;
use super::reader::{Analysis, Problem};
use crate::books::sum;
use crate::compare::{Difference, Verdict};

/// What the whole log comes down to.
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
    /// Lines read.
    pub lines: u64,
    /// Runs of shadow mode found in the log.
    pub runs: usize,
    /// Lines and runs that cannot be used in full.
    pub problem_count: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
    /// Each operation that was called.
    pub operations: Vec<OperationReport>,
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
    /// Calls that were not compared, by rule.
    pub skipped: u64,
    /// Calls that were not compared, for want of room or time.
    pub dropped: u64,
    /// Different inputs among the logged calls.
    pub distinct_inputs: usize,
    /// As in [`Report::compatibility_ppm`].
    pub compatibility_ppm: Option<u64>,
    /// The durations of each implementation.
    pub times: Vec<Times>,
    /// The errors of each implementation by kind.
    pub errors: Vec<ErrorCount>,
    /// The fields that differed, most frequent first.
    pub paths: Vec<FieldPath>,
    /// Why logged calls were not compared.
    pub reasons: Vec<ReasonCount>,
}

/// How long one implementation took.
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

impl Report {
    pub(super) fn new(analysis: Analysis) -> Self {
        let runs = analysis.run_count();
        let operations: Vec<_> = analysis
            .operations
            .iter()
            .map(|(operation, stats)| OperationReport::new(*operation, stats))
            .collect();
        let matches = sum(operations.iter().map(|o| o.matches));
        let mismatches = sum(operations.iter().map(|o| o.mismatches));
        let compared = matches.saturating_add(mismatches);
        Self {
            conclusion: match (compared, mismatches) {
                (_, 1..) => Conclusion::Differ,
                (0, _) => Conclusion::NoEvidence,
                _ => Conclusion::Agree,
            },
            compatibility_ppm: share_ppm(matches, mismatches),
            compared,
            mismatches,
            lines: analysis.lines,
            runs,
            problem_count: analysis.problem_count,
            problems: analysis.problems,
            operations,
        }
    }
}

impl OperationReport {
    fn new(operation: Operation, stats: &OperationStats) -> Self {
        let count = |verdict| stats.verdicts.get(&verdict).copied().unwrap_or(0);
        let matches = count(Verdict::Match).saturating_add(count(Verdict::Recovered));
        let mismatches = count(Verdict::Mismatch);
        let compared = matches.saturating_add(mismatches);
        let calls_of = |implementation| {
            stats
                .durations
                .get(&implementation)
                .map_or(0, hdrhistogram::Histogram::len)
        };
        let mut paths: Vec<_> = stats
            .paths
            .iter()
            .map(|(path, (count, sample))| FieldPath {
                path: path.clone(),
                count: *count,
                sample: sample.clone(),
            })
            .collect();
        paths.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.path.cmp(&b.path)));
        Self {
            operation,
            calls: sum(stats.verdicts.values().copied()),
            compared,
            matches,
            mismatches,
            inconclusive: count(Verdict::Inconclusive),
            skipped: count(Verdict::Skipped),
            dropped: count(Verdict::Dropped),
            distinct_inputs: stats.inputs.len(),
            compatibility_ppm: share_ppm(matches, mismatches),
            times: stats
                .durations
                .iter()
                .map(|(implementation, histogram)| Times {
                    implementation: *implementation,
                    calls: histogram.len(),
                    p50_ns: histogram.value_at_quantile(0.50),
                    p95_ns: histogram.value_at_quantile(0.95),
                    p99_ns: histogram.value_at_quantile(0.99),
                })
                .collect(),
            errors: stats
                .errors
                .iter()
                .map(|((implementation, kind), count)| ErrorCount {
                    implementation: *implementation,
                    kind: *kind,
                    count: *count,
                    rate_ppm: share_ppm(*count, calls_of(*implementation).saturating_sub(*count))
                        .unwrap_or(0),
                })
                .collect(),
            paths,
            reasons: stats
                .reasons
                .iter()
                .map(|((verdict, reason), count)| ReasonCount {
                    verdict: *verdict,
                    reason: reason.clone(),
                    count: *count,
                })
                .collect(),
        }
    }
}

/// The share of a part beside the rest in millionths, rounded down, so that one difference in many
/// never reads as none.
fn share_ppm(part: u64, rest: u64) -> Option<u64> {
    let whole = u128::from(part) + u128::from(rest);
    let ppm = (u128::from(part) * 1_000_000).checked_div(whole)?;
    u64::try_from(ppm).ok()
}
