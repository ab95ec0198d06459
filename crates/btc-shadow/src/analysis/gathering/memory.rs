//! The memory of a process over a run, and whether it grows.

use btc_iface::BitcoinImplementationType;

use super::timeline::{Cell, MemoryPoint, Timeline};
use crate::record::{Memory, RunId};

/// The share of a run that is left out of the trend, because caches fill in it.
const WARM_UP: f64 = 0.25;
/// The one-sided 99 % point of the normal distribution.
const CERTAIN: f64 = 2.326;

/// What one process took during one run.
#[derive(Debug)]
pub(in crate::analysis) struct Series {
    pub(in crate::analysis) run: RunId,
    pub(in crate::analysis) process: Option<BitcoinImplementationType>,
    /// Lines, each with one reading.
    pub(in crate::analysis) lines: u64,
    pub(in crate::analysis) peak_rss_bytes: u64,
    last: MemoryPoint,
    readings: Timeline<Readings>,
}

/// The readings within some time.
#[derive(Debug, Default)]
struct Readings {
    count: u64,
    sum_bytes: u128,
}

impl Cell for Readings {
    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sum_bytes += other.sum_bytes;
    }
}

/// How memory grew after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::analysis) struct Trend {
    /// Growth over the time looked at, in percent of the median.
    pub(in crate::analysis) growth_percent: f64,
    /// Whether chance does not explain that it rises.
    pub(in crate::analysis) is_rising: bool,
}

impl Series {
    pub(in crate::analysis) fn new(run: RunId, process: Option<BitcoinImplementationType>) -> Self {
        Self {
            run,
            process,
            lines: 0,
            peak_rss_bytes: 0,
            last: MemoryPoint {
                time_ms: 0,
                rss_bytes: 0,
            },
            readings: Timeline::default(),
        }
    }

    pub(in crate::analysis) fn add(&mut self, memory: &Memory) {
        self.lines += 1;
        let peak = memory.peak_rss_bytes.max(memory.rss_bytes);
        self.peak_rss_bytes = self.peak_rss_bytes.max(peak);
        if memory.time_ms >= self.last.time_ms {
            self.last = MemoryPoint {
                time_ms: memory.time_ms,
                rss_bytes: memory.rss_bytes,
            };
        }
        if let Some(readings) = self.readings.at(memory.time_ms) {
            readings.count += 1;
            readings.sum_bytes += u128::from(memory.rss_bytes);
        }
    }

    pub(in crate::analysis) fn last_rss_bytes(&self) -> u64 {
        self.last.rss_bytes
    }

    /// The mean of each bucket with a reading.
    pub(in crate::analysis) fn points(&self) -> Vec<MemoryPoint> {
        let half = self.readings.width_ms() / 2;
        let with_reading = self.readings.iter().filter_map(|(start_ms, readings)| {
            let mean = readings.sum_bytes.checked_div(readings.count.into())?;
            Some(MemoryPoint {
                time_ms: start_ms + half,
                rss_bytes: u64::try_from(mean).unwrap_or(u64::MAX),
            })
        });
        with_reading.collect()
    }
}

/// The trend of some readings: the median slope between any two (Theil and Sen), and whether it
/// is more than chance (Mann and Kendall). None for fewer than three after the warm-up.
#[expect(
    clippy::cast_precision_loss,
    reason = "a trend in bytes needs no more than 53 bits"
)]
pub(in crate::analysis) fn trend(points: &[MemoryPoint]) -> Option<Trend> {
    let (first, last) = (points.first()?.time_ms, points.last()?.time_ms);
    let span = last.saturating_sub(first) as f64;
    let is_warm = |point: &&MemoryPoint| (point.time_ms - first) as f64 >= span * WARM_UP;
    let warm: Vec<_> = points.iter().filter(is_warm).collect();
    let number = warm.len();
    if number < 3 {
        return None;
    }
    let mut slopes = Vec::with_capacity(number * (number - 1) / 2);
    let mut rises = 0_i64;
    for (index, earlier) in warm.iter().enumerate() {
        for later in &warm[index + 1..] {
            let grown = later.rss_bytes as f64 - earlier.rss_bytes as f64;
            rises += i64::from(grown > 0.0) - i64::from(grown < 0.0);
            slopes.push(grown / (later.time_ms - earlier.time_ms).max(1) as f64);
        }
    }
    let slope = median(&mut slopes);
    let mut sizes: Vec<_> = warm.iter().map(|point| point.rss_bytes as f64).collect();
    let size = median(&mut sizes).max(1.0);
    let looked_at = (last - warm[0].time_ms) as f64;
    let n = number as f64;
    let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    Some(Trend {
        growth_percent: 100.0 * slope * looked_at / size,
        is_rising: (rises - 1) as f64 > CERTAIN * deviation,
    })
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(rss: impl Fn(u64) -> u64) -> Vec<MemoryPoint> {
        let point = |minute: u64| MemoryPoint {
            time_ms: 1_700_000_000_000 + minute * 60_000,
            rss_bytes: rss(minute),
        };
        (0..60).map(point).collect()
    }

    fn noise(minute: u64) -> u64 {
        minute * 7_919 % 13 * 100_000
    }

    #[test]
    fn memory_that_stays_has_no_trend() {
        let trend = trend(&points(|minute| 100_000_000 + noise(minute))).expect("enough points");
        assert!(!trend.is_rising, "{trend:?}");
        assert!(trend.growth_percent.abs() < 1.0, "{trend:?}");
    }

    #[test]
    fn memory_that_grows_is_seen_and_measured() {
        let leak = |minute| 100_000_000 + minute * 1_000_000 + noise(minute);
        let trend = trend(&points(leak)).expect("enough points");
        assert!(trend.is_rising);
        // 44 minutes of one million bytes after the warm-up, over some 138 million.
        assert!((31.0..33.0).contains(&trend.growth_percent), "{trend:?}");
    }

    #[test]
    fn caches_that_fill_in_the_beginning_are_no_trend() {
        let filling = |minute: u64| 50_000_000 + minute.min(12) * 10_000_000 + noise(minute);
        let trend = trend(&points(filling)).expect("enough points");
        assert!(!trend.is_rising, "{trend:?}");
    }

    #[test]
    fn a_few_readings_say_nothing() {
        assert_eq!(trend(&[]), None);
        assert_eq!(trend(&points(|_| 1)[..2]), None);
    }
}
