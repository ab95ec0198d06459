//! What pictures of a report are drawn from.

use btc_iface::{BitcoinImplementationType, Operation};
use hdrhistogram::Histogram;

use super::super::gathering::{Detail, MemoryPoint, SIDES, Series, VerdictTimeline};

/// The most points of a curve.
const MAX_POINTS: f64 = 96.0;

/// Curves and timelines, each of a bounded number of points.
#[derive(Debug, Clone, Default)]
pub struct Pictures {
    /// How the durations are distributed, an operation and implementation each.
    pub latency: Vec<LatencyCurve>,
    /// The verdicts over time.
    pub verdicts: VerdictTimeline,
    /// Memory over time, a process and run each.
    pub memory: Vec<(Option<BitcoinImplementationType>, Vec<MemoryPoint>)>,
}

/// An empirical distribution of durations.
#[derive(Debug, Clone)]
pub struct LatencyCurve {
    /// The operation.
    pub operation: Operation,
    /// The implementation.
    pub implementation: BitcoinImplementationType,
    /// Durations in nanoseconds, ascending, each with the share of calls that took no longer.
    pub points: Vec<(u64, f64)>,
}

impl Pictures {
    pub(super) fn new(detail: &Detail) -> Self {
        let latency = Operation::CALLS
            .iter()
            .zip(&detail.operations)
            .flat_map(|(operation, stats)| {
                let sides = SIDES.into_iter().zip(stats.durations());
                sides.filter_map(|(implementation, histogram)| {
                    Some(LatencyCurve {
                        operation: *operation,
                        implementation,
                        points: curve(histogram?),
                    })
                })
            })
            .collect();
        let points = |series: &Series| (series.process, series.points());
        Self {
            latency,
            verdicts: VerdictTimeline::from(&detail.verdicts),
            memory: detail.memory.iter().map(points).collect(),
        }
    }
}

/// Points at equal distances on a logarithmic scale.
#[expect(clippy::cast_precision_loss, reason = "a picture needs no 53 bits")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "durations end at an hour"
)]
fn curve(histogram: &Histogram<u64>) -> Vec<(u64, f64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let (low, high) = (histogram.min().max(1) as f64, histogram.max().max(1) as f64);
    let factor = (high / low).powf(1.0 / MAX_POINTS).max(1.002);
    let total = histogram.len() as f64;
    let mut points = vec![(low as u64, 0.0)];
    let (mut below, mut edge) = (0_u64, low);
    for step in histogram.iter_recorded() {
        let value = step.value_iterated_to();
        below = below.saturating_add(step.count_since_last_iteration());
        let share = below as f64 / total;
        if value as f64 >= edge {
            points.push((value, share));
            edge = value as f64 * factor;
        } else if let Some(last) = points.last_mut() {
            *last = (value, share);
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_from_nothing_to_all_in_few_points() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3)
            .expect("bounds that a histogram takes");
        for value in 1..100_000_u64 {
            histogram.saturating_record(value * value);
        }
        let points = curve(&histogram);
        assert!(points.len() <= 128, "{}", points.len());
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
        assert_eq!(points.first().map(|point| point.1), Some(0.0));
        assert_eq!(points.last().map(|point| point.1), Some(1.0));
        let median = points.iter().find(|point| point.1 >= 0.5).expect("a half");
        assert!(
            (2_400_000_000..3_200_000_000).contains(&median.0),
            "{median:?}"
        );
    }
}
