//! From what was gathered to a report.

use btc_iface::{ErrorKind, Operation};
use hdrhistogram::Histogram;

use super::super::analyst::Analysis;
use super::super::gathering::{
    Detail, Groups, OPERATIONS, OperationStats, Run, SIDES, Series, Tally, VERDICTS, trend,
};
use super::{
    Conclusion, ErrorCount, FallbackCount, FieldPath, GroupReport, MemoryReport, OperationReport,
    Pictures, ReasonCount, Report, Times,
};
use crate::books::sum;
use crate::compare::Verdict;

/// The sums over the runs of one group.
#[derive(Debug, Clone, Default)]
struct Sums {
    runs: u64,
    unended: u64,
    lost_lines: u64,
    unknown: u64,
    unaccounted: [u64; OPERATIONS],
    tally: Tally,
}

impl Report {
    pub(in crate::analysis) fn new(mut analysis: Analysis) -> Self {
        let mut sums = vec![Sums::default(); analysis.groups.len()];
        let mut repeated = 0_u64;
        for (_, run) in analysis.runs.iter() {
            sums[run.group].add(run);
            repeated = repeated.saturating_add(run.repeated());
        }
        let newest = analysis.groups.newest();
        let groups = groups(&analysis.groups, &sums, newest);
        let detail = analysis.groups.take_detail(newest);
        let sums = &sums[newest];
        let operations: Vec<_> = (0..OPERATIONS)
            .filter(|index| {
                let is_called = sums.tally[*index].iter().any(|count| *count > 0);
                is_called || sums.unaccounted[*index] > 0
            })
            .map(|index| OperationReport::new(index, &detail.operations[index], sums))
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
            unusable_lines: analysis.unusable,
            runs: analysis.runs.len(),
            repeated_lines: repeated,
            lost_lines: sums.lost_lines,
            uncounted_lines: analysis.runs.uncounted_lines,
            unaccounted: sum(sums.unaccounted.into_iter()).saturating_add(sums.unknown),
            is_order_unclear: analysis.is_order_unclear,
            unended_runs: sums.unended,
            problem_count: analysis.problems.count,
            problems: analysis.problems.named,
            operations,
            memory: detail.memory.iter().map(memory).collect(),
            breaker_openings: detail.breaker_openings,
            fallbacks: fallbacks(&detail),
            pictures: Pictures::new(&detail),
            rollouts: detail.rollouts,
            groups,
        }
    }
}

impl Sums {
    fn add(&mut self, run: &Run) {
        self.runs += 1;
        self.unended += u64::from(!run.is_ended());
        self.lost_lines = self.lost_lines.saturating_add(run.lost_lines());
        self.unknown = self.unknown.saturating_add(run.unknown());
        for (known, more) in self.unaccounted.iter_mut().zip(run.unaccounted()) {
            *known = known.saturating_add(more);
        }
        for (known, more) in self.tally.iter_mut().zip(run.tally()) {
            for (known, more) in known.iter_mut().zip(more) {
                *known = known.saturating_add(more);
            }
        }
    }

    fn all(&self, verdicts: &[Verdict]) -> u64 {
        let counts = self.tally.iter();
        sum(counts.flat_map(|of| verdicts.iter().map(|verdict| of[*verdict as usize])))
    }
}

fn groups(groups: &Groups, sums: &[Sums], newest: usize) -> Vec<GroupReport> {
    let report = |(index, group): (usize, &super::super::gathering::Group)| {
        let sums = &sums[index];
        GroupReport {
            is_newest: index == newest,
            builds: group.key.as_ref().map(|key| key.builds.clone()),
            rules: group.key.as_ref().map(|key| key.rules),
            first_ms: group.first_ms,
            last_ms: group.last_ms,
            runs: sums.runs,
            calls: sums.all(&Verdict::ALL),
            compared: sums.all(&[Verdict::Match, Verdict::Recovered, Verdict::Mismatch]),
            mismatches: sums.all(&[Verdict::Mismatch]),
        }
    };
    let all = groups.iter().enumerate().map(report);
    let mut found: Vec<_> = all.filter(|group| group.runs > 0).collect();
    found.sort_by_key(|group| (!group.is_newest, std::cmp::Reverse(group.last_ms)));
    found
}

fn memory(series: &Series) -> MemoryReport {
    let points = series.points();
    let trend = trend(&points);
    MemoryReport {
        run: series.run.to_string(),
        implementation: series.process,
        lines: series.lines,
        readings: points.len(),
        peak_rss_bytes: series.peak_rss_bytes,
        last_rss_bytes: series.last_rss_bytes(),
        growth_percent: trend.map(|trend| trend.growth_percent),
        is_rising: trend.is_some_and(|trend| trend.is_rising),
    }
}

fn fallbacks(detail: &Detail) -> Vec<FallbackCount> {
    let fallbacks = detail.fallbacks.iter();
    let count = |((operation, failed, error), count, answered): &(_, u64, u64)| FallbackCount {
        operation: *operation,
        failed: *failed,
        error: *error,
        count: *count,
        answered: *answered,
    };
    fallbacks.map(count).collect()
}

impl OperationReport {
    fn new(index: usize, stats: &OperationStats, sums: &Sums) -> Self {
        let tally: [u64; VERDICTS] = sums.tally[index];
        let count = |verdict: Verdict| tally[verdict as usize];
        let matches = count(Verdict::Match).saturating_add(count(Verdict::Recovered));
        let mismatches = count(Verdict::Mismatch);
        let unlogged_matches = count(Verdict::Match).saturating_sub(stats.logged_matches);
        Self {
            operation: Operation::CALLS[index],
            calls: sum(tally.into_iter()).saturating_add(sums.unaccounted[index]),
            compared: matches.saturating_add(mismatches),
            matches,
            mismatches,
            inconclusive: count(Verdict::Inconclusive),
            changed: stats.changed,
            skipped: count(Verdict::Skipped),
            dropped: count(Verdict::Dropped),
            unaccounted: sums.unaccounted[index],
            distinct_inputs: stats.inputs.count(),
            is_distinct_exact: stats.inputs.is_exact(),
            compatibility_ppm: share_ppm(matches, mismatches),
            pairs: stats.pairs.saturating_add(unlogged_matches),
            only_python_failed: stats.failed_alone[0],
            only_rust_failed: stats.failed_alone[1],
            agreed_errors: stats.agreed_errors,
            times: times(stats),
            errors: errors(stats),
            paths: paths(stats),
            other_paths: stats.other_paths,
            reasons: reasons(stats),
        }
    }
}

fn times(stats: &OperationStats) -> Vec<Times> {
    let sides = SIDES.into_iter().zip(stats.durations());
    let times = |(implementation, histogram): (_, Option<&Histogram<u64>>)| {
        let histogram = histogram?;
        Some(Times {
            implementation,
            calls: histogram.len(),
            p50_ns: histogram.value_at_quantile(0.50),
            p95_ns: histogram.value_at_quantile(0.95),
            p99_ns: histogram.value_at_quantile(0.99),
        })
    };
    sides.filter_map(times).collect()
}

fn errors(stats: &OperationStats) -> Vec<ErrorCount> {
    let mut errors = Vec::new();
    for (side, implementation) in SIDES.into_iter().enumerate() {
        for (kind, count) in ErrorKind::ALL.into_iter().zip(stats.errors[side]) {
            if count > 0 {
                let rest = stats.answers[side].saturating_sub(count);
                errors.push(ErrorCount {
                    implementation,
                    kind,
                    count,
                    rate_ppm: share_ppm(count, rest).unwrap_or(0),
                });
            }
        }
    }
    errors
}

fn paths(stats: &OperationStats) -> Vec<FieldPath> {
    let path = |(path, (count, sample)): (&String, &(u64, _))| FieldPath {
        path: path.clone(),
        count: *count,
        sample: Clone::clone(sample),
    };
    let mut paths: Vec<_> = stats.paths.iter().map(path).collect();
    paths.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.path.cmp(&b.path)));
    paths
}

fn reasons(stats: &OperationStats) -> Vec<ReasonCount> {
    let reason = |(verdict, reason, count): &(Verdict, String, u64)| ReasonCount {
        verdict: *verdict,
        reason: reason.clone(),
        count: *count,
    };
    let mut reasons: Vec<_> = stats.reasons.iter().map(reason).collect();
    reasons.sort_by(|a, b| (a.verdict, &a.reason).cmp(&(b.verdict, &b.reason)));
    reasons
}

/// The share of a part beside the rest in millionths, rounded down, so that one difference in many
/// never reads as none.
fn share_ppm(part: u64, rest: u64) -> Option<u64> {
    let whole = u128::from(part) + u128::from(rest);
    let ppm = (u128::from(part) * 1_000_000).checked_div(whole)?;
    u64::try_from(ppm).ok()
}
