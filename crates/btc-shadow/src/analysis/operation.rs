//! The statistics of one operation, gathered line by line.

use std::collections::{BTreeMap, HashSet};

use btc_iface::{BitcoinImplementationType, ErrorKind};
use hdrhistogram::Histogram;

use crate::compare::{Difference, Verdict};
use crate::record::{Comparison, Side};

/// Durations are kept to three significant digits, up to an hour.
const SIGNIFICANT_DIGITS: u8 = 3;
const MAX_DURATION_NS: u64 = 3_600_000_000_000;
/// Shadow mode gives a handful of reasons; more than these come from elsewhere.
const MAX_REASONS: usize = 32;

/// What the log says about one operation.
#[derive(Debug, Default)]
pub struct OperationStats {
    /// Calls by verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Different inputs among the logged calls.
    pub inputs: HashSet<u64>,
    /// Durations in nanoseconds.
    pub durations: BTreeMap<BitcoinImplementationType, Histogram<u64>>,
    /// Answers that were errors.
    pub errors: BTreeMap<(BitcoinImplementationType, ErrorKind), u64>,
    /// Field paths without indices: how often they differed, and the first difference.
    pub paths: BTreeMap<String, (u64, Difference)>,
    /// Why calls were not compared, and how often.
    pub reasons: BTreeMap<(Verdict, String), u64>,
}

impl OperationStats {
    pub(super) fn add(&mut self, comparison: &Comparison) {
        self.inputs.insert(comparison.input.0);
        self.add_side(&comparison.primary);
        if let Some(secondary) = &comparison.secondary {
            self.add_side(secondary);
        }
        if let Some(reason) = &comparison.reason {
            let key = (comparison.verdict, reason.to_string());
            if self.reasons.len() < MAX_REASONS || self.reasons.contains_key(&key) {
                *self.reasons.entry(key).or_default() += 1;
            }
        }
        if comparison.verdict != Verdict::Mismatch {
            return;
        }
        for difference in &comparison.differences {
            let path = without_indices(&difference.path);
            self.paths
                .entry(path)
                .or_insert_with(|| (0, difference.clone()))
                .0 += 1;
        }
    }

    fn add_side(&mut self, side: &Side) {
        let duration = side.duration_ns.clamp(1, MAX_DURATION_NS);
        let histogram = self
            .durations
            .entry(side.implementation)
            .or_insert_with(|| {
                Histogram::new_with_bounds(1, MAX_DURATION_NS, SIGNIFICANT_DIGITS)
                    .expect("the bounds are constant and within the histogram's limits")
            });
        histogram.saturating_record(duration);
        if let Some(kind) = side.error {
            *self.errors.entry((side.implementation, kind)).or_default() += 1;
        }
    }
}

/// `[3].outputs[0].value_sat` as `[].outputs[].value_sat`, so that equal fields count together.
fn without_indices(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
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
}
