//! `Histogram`: durations in fixed buckets, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use super::text::Text;

/// The upper bounds in nanoseconds, each with what it is in seconds. From a call that stays in
/// the process to one that a node thinks about.
const BOUNDS: [(u64, &str); 19] = [
    (10_000, "0.00001"),
    (25_000, "0.000025"),
    (50_000, "0.00005"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
    (10_000_000_000, "10"),
];

#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Those in each bucket and in none of the smaller ones; the last has no bound.
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, duration_ns: u64) {
        let bucket = BOUNDS.partition_point(|(bound, _)| *bound < duration_ns);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(duration_ns, Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        let mut counts = self.counts.iter();
        counts.all(|count| count.load(Ordering::Relaxed) == 0)
    }

    /// Writes the buckets, each with those below, the sum in seconds and the count.
    pub(super) fn write(&self, text: &mut Text, name: &str, labels: &[(&str, &str); 2]) {
        let bucket = format!("{name}_bucket");
        let mut count = 0;
        let bounds = BOUNDS.iter().map(|(_, seconds)| *seconds).chain(["+Inf"]);
        for (in_bucket, bound) in self.counts.iter().zip(bounds) {
            count += in_bucket.load(Ordering::Relaxed);
            let [operation, implementation] = *labels;
            text.sample(&bucket, &[operation, implementation, ("le", bound)], count);
        }
        #[expect(clippy::cast_precision_loss, reason = "durations, for people")]
        let seconds = self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        text.sample(&format!("{name}_sum"), labels, seconds);
        text.sample(&format!("{name}_count"), labels, count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bounds_rise_and_say_what_they_are() {
        assert!(BOUNDS.is_sorted_by(|(a, _), (b, _)| a < b));
        for (bound, seconds) in BOUNDS {
            let seconds: f64 = seconds.parse().expect("a number");
            let bound = u32::try_from(bound / 1_000).expect("seconds");
            assert!((seconds * 1e6 - f64::from(bound)).abs() < 1e-6, "{seconds}");
        }
    }

    proptest! {
        #[test]
        fn each_duration_is_in_all_buckets_from_its_own_on(
            durations in vec(prop_oneof![0..20_000_000_000_u64, Just(1_000_000)], 0..40),
        ) {
            let histogram = Histogram::default();
            for duration in &durations {
                histogram.observe(*duration);
            }
            prop_assert_eq!(histogram.is_empty(), durations.is_empty());
            let mut text = Text::default();
            histogram.write(&mut text, "d", &[("a", "1"), ("b", "2")]);
            let text = text.into_string();
            for (bound, seconds) in BOUNDS {
                let below = durations.iter().filter(|it| **it <= bound).count();
                let line = format!("d_bucket{{a=\"1\",b=\"2\",le=\"{seconds}\"}} {below}\n");
                prop_assert!(text.contains(&line), "{} in {}", line, text);
            }
            let all = durations.len();
            let infinite = format!("le=\"+Inf\"}} {all}\n");
            prop_assert!(text.contains(&infinite));
            let count = format!("d_count{{a=\"1\",b=\"2\"}} {all}\n");
            prop_assert!(text.ends_with(&count));
        }
    }
}
