//! The statistics of one operation, gathered line by line.

use std::collections::BTreeMap;

use btc_iface::ErrorKind;
use hdrhistogram::Histogram;

use super::distinct::Distinct;
use super::{cut, side_of};
use crate::compare::{Difference, Verdict};
use crate::record::{Comparison, Side};

/// Durations are kept to three significant digits, up to an hour.
const SIGNIFICANT_DIGITS: u8 = 3;
const MAX_DURATION_NS: u64 = 3_600_000_000_000;
/// Shadow mode gives a handful of reasons; more than these come from elsewhere.
const MAX_REASONS: usize = 32;
/// More different fields than these come from elsewhere too.
const MAX_PATHS: usize = 256;
const MAX_TEXT_CHARS: usize = 200;
/// Why a fee rate that differs proves nothing: the node's own estimate changed meanwhile.
const CHANGED: &str = "an answer changed while both sides were asked";

const KINDS: usize = ErrorKind::ALL.len();

/// What the lines say about one operation.
#[derive(Debug, Default)]
pub(in crate::analysis) struct OperationStats {
    /// Different inputs among the logged calls that were compared.
    pub(in crate::analysis) inputs: Distinct,
    /// Logged calls by implementation.
    pub(in crate::analysis) answers: [u64; 2],
    /// Durations in nanoseconds by implementation, of calls that both were asked.
    paired: [Option<Box<Histogram<u64>>>; 2],
    /// The same of calls that only one was asked.
    alone: [Option<Box<Histogram<u64>>>; 2],
    /// Errors by implementation and kind.
    pub(in crate::analysis) errors: [[u64; KINDS]; 2],
    /// Logged calls that both were asked.
    pub(in crate::analysis) pairs: u64,
    /// Those of them in which this implementation failed, and the other did not.
    pub(in crate::analysis) failed_alone: [u64; 2],
    /// Logged matches.
    pub(in crate::analysis) logged_matches: u64,
    /// Calls that both refused with the same kind of error.
    pub(in crate::analysis) agreed_errors: u64,
    /// Inconclusive calls whose answers changed meanwhile.
    pub(in crate::analysis) changed: u64,
    /// Field paths without indices: how often they differed, and the first difference.
    pub(in crate::analysis) paths: BTreeMap<String, (u64, Difference)>,
    /// Differences in fields beyond the bound.
    pub(in crate::analysis) other_paths: u64,
    /// Why calls were not compared, and how often.
    pub(in crate::analysis) reasons: Vec<(Verdict, String, u64)>,
}

impl OperationStats {
    pub(in crate::analysis) fn add(&mut self, comparison: &Comparison) {
        let verdict = comparison.verdict;
        if is_compared(verdict) {
            self.inputs.insert(comparison.input.0);
        }
        let (primary, secondary) = (&comparison.primary, comparison.secondary.as_ref());
        self.count(primary);
        if let Some(secondary) = secondary {
            self.count(secondary);
        }
        match secondary {
            // What a side does not offer is no failure, and not answered in no time.
            Some(secondary) if verdict != Verdict::Skipped => {
                record(&mut self.paired, primary);
                record(&mut self.paired, secondary);
                self.pair(verdict, primary, secondary);
            }
            _ => record(&mut self.alone, primary),
        }
        if verdict == Verdict::Match {
            self.logged_matches += 1;
        }
        if let Some(reason) = &comparison.reason {
            self.explain(verdict, reason);
        }
        if verdict == Verdict::Mismatch {
            for difference in &comparison.differences {
                self.differ(difference);
            }
        }
    }

    /// Durations in nanoseconds by implementation: of calls that both were asked, or, where there
    /// are none, of all.
    pub(in crate::analysis) fn durations(&self) -> [Option<&Histogram<u64>>; 2] {
        let durations = if self.pairs > 0 {
            &self.paired
        } else {
            &self.alone
        };
        durations.each_ref().map(Option::as_deref)
    }

    fn count(&mut self, side: &Side) {
        let at = side_of(side.implementation);
        self.answers[at] += 1;
        if let Some(kind) = side.error {
            let kind = ErrorKind::ALL.iter().position(|known| *known == kind);
            self.errors[at][kind.unwrap_or(KINDS - 1)] += 1;
        }
    }

    fn pair(&mut self, verdict: Verdict, primary: &Side, secondary: &Side) {
        self.pairs += 1;
        match (primary.error, secondary.error) {
            (Some(_), None) => self.failed_alone[side_of(primary.implementation)] += 1,
            (None, Some(_)) => self.failed_alone[side_of(secondary.implementation)] += 1,
            (Some(ours), Some(theirs)) if ours == theirs && verdict == Verdict::Match => {
                self.agreed_errors += 1;
            }
            _ => {}
        }
    }

    fn explain(&mut self, verdict: Verdict, reason: &str) {
        if verdict == Verdict::Inconclusive && reason == CHANGED {
            self.changed += 1;
        }
        let known = |(of, known, _): &&mut (Verdict, String, u64)| {
            *of == verdict && is_cut_of(known, reason)
        };
        if let Some((_, _, count)) = self.reasons.iter_mut().find(known) {
            *count += 1;
        } else if self.reasons.len() < MAX_REASONS {
            let reason = cut(reason, MAX_TEXT_CHARS);
            self.reasons.push((verdict, reason, 1));
        }
    }

    fn differ(&mut self, difference: &Difference) {
        let path = without_indices(&difference.path);
        if let Some((count, _)) = self.paths.get_mut(&path) {
            *count += 1;
        } else if self.paths.len() < MAX_PATHS {
            let sample = Difference {
                path: cut(&difference.path, MAX_TEXT_CHARS),
                primary: cut(&difference.primary, MAX_TEXT_CHARS),
                secondary: cut(&difference.secondary, MAX_TEXT_CHARS),
                tip: difference.tip,
            };
            self.paths.insert(path, (1, sample));
        } else {
            self.other_paths += 1;
        }
    }
}

/// Whether a call with this verdict was compared.
fn is_compared(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Match | Verdict::Recovered | Verdict::Mismatch
    )
}

fn record(histograms: &mut [Option<Box<Histogram<u64>>>; 2], side: &Side) {
    let histogram = histograms[side_of(side.implementation)].get_or_insert_with(|| {
        let histogram = Histogram::new_with_bounds(1, MAX_DURATION_NS, SIGNIFICANT_DIGITS);
        Box::new(histogram.expect("the bounds are constant and within the histogram's limits"))
    });
    histogram.saturating_record(side.duration_ns.clamp(1, MAX_DURATION_NS));
}

/// Whether `known` is what [`cut`] leaves of `text`.
fn is_cut_of(known: &str, text: &str) -> bool {
    known == text
        || known
            .strip_suffix('…')
            .is_some_and(|start| text.starts_with(start) && start.chars().count() == MAX_TEXT_CHARS)
}

/// `[3].outputs[0].value_sat` as `[].outputs[].value_sat`, so that equal fields count together.
fn without_indices(path: &str) -> String {
    let mut out = String::with_capacity(path.len().min(MAX_TEXT_CHARS));
    let mut inside = false;
    for c in path.chars().take(MAX_TEXT_CHARS) {
        inside = (inside || c == '[') && c != ']';
        if !inside || c == '[' {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_fields_of_different_items_count_together() {
        assert_eq!(
            without_indices("[3].outputs[10].value_sat"),
            "[].outputs[].value_sat"
        );
        assert_eq!(without_indices("error.kind"), "error.kind");
        assert_eq!(without_indices("[broken"), "[");
    }

    #[test]
    fn fields_and_reasons_beyond_the_bound_are_counted_and_not_kept() {
        let mut stats = OperationStats::default();
        for number in 0..1_000 {
            stats.differ(&Difference {
                path: format!("field{number}{}", "x".repeat(1_000)),
                primary: "é".repeat(10_000),
                secondary: String::new(),
                tip: false,
            });
            stats.explain(
                Verdict::Inconclusive,
                &format!("{number}{}", "é".repeat(900)),
            );
            stats.explain(Verdict::Inconclusive, &format!("0{}", "é".repeat(900)));
        }
        assert_eq!(stats.paths.len(), MAX_PATHS);
        assert_eq!(stats.other_paths, 1_000 - MAX_PATHS as u64);
        let mut samples = stats.paths.values();
        assert!(samples.all(|(_, sample)| sample.primary.chars().count() == MAX_TEXT_CHARS + 1));
        assert_eq!(stats.reasons.len(), MAX_REASONS);
        assert_eq!(stats.reasons[0].2, 1_001);
    }
}
