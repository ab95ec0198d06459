//! Timelines of a bounded number of buckets, whose width doubles when they are full.

use std::collections::VecDeque;

use super::VERDICTS;

/// The most buckets of a timeline.
const MAX_BUCKETS: u64 = 240;
/// The width to begin with.
const FIRST_WIDTH_MS: u64 = 1_000;
/// Times from the first block, in 2009, to the year 2200. Others come from a broken clock or a
/// broken log, and one of them would make the whole timeline one bucket.
const PLAUSIBLE_MS: std::ops::Range<u64> = 1_230_000_000_000..7_258_118_400_000;

/// What a bucket holds.
pub(in crate::analysis) trait Cell: Default {
    /// Takes up what another one holds.
    fn merge(&mut self, other: Self);
}

/// Cells of equal width in time, in any order of arrival.
#[derive(Debug)]
pub(in crate::analysis) struct Timeline<T> {
    width_ms: u64,
    /// The number of the first cell, counted in widths since 1970.
    first: u64,
    cells: VecDeque<T>,
}

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self {
            width_ms: FIRST_WIDTH_MS,
            first: 0,
            cells: VecDeque::new(),
        }
    }
}

impl<T: Cell> Timeline<T> {
    /// The cell of a time; none for a time that cannot be.
    pub(in crate::analysis) fn at(&mut self, time_ms: u64) -> Option<&mut T> {
        if !PLAUSIBLE_MS.contains(&time_ms) {
            return None;
        }
        if self.cells.is_empty() {
            self.first = time_ms / self.width_ms;
            self.cells.push_back(T::default());
        }
        let number = loop {
            let number = time_ms / self.width_ms;
            let last = self.first + self.cells.len() as u64 - 1;
            if number.max(last) - number.min(self.first) < MAX_BUCKETS {
                break number;
            }
            self.coarsen();
        };
        while number < self.first {
            self.cells.push_front(T::default());
            self.first -= 1;
        }
        let place = usize::try_from(number - self.first).ok()?;
        while self.cells.len() <= place {
            self.cells.push_back(T::default());
        }
        self.cells.get_mut(place)
    }

    /// Doubles the width.
    fn coarsen(&mut self) {
        let first = self.first / 2;
        let mut cells: VecDeque<T> = VecDeque::new();
        for (number, cell) in (self.first..).zip(self.cells.drain(..)) {
            let is_new = number / 2 - first >= cells.len() as u64;
            match cells.back_mut() {
                Some(last) if !is_new => last.merge(cell),
                _ => cells.push_back(cell),
            }
        }
        self.cells = cells;
        self.first = first;
        self.width_ms *= 2;
    }

    /// The cells with the time at which each begins.
    pub(in crate::analysis) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let start = |number| number * self.width_ms;
        (self.first..).map(start).zip(&self.cells)
    }

    pub(in crate::analysis) fn width_ms(&self) -> u64 {
        self.width_ms
    }
}

/// The verdicts over time.
#[derive(Debug, Clone, Default)]
pub struct VerdictTimeline {
    /// How much time each bucket takes, in milliseconds.
    pub width_ms: u64,
    /// The buckets, without gaps, at most 240.
    pub buckets: Vec<Bucket>,
}

/// Verdicts on calls that ended within some time.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// When it begins, in milliseconds since 1970.
    pub start_ms: u64,
    /// Logged calls by verdict, in the order of `Verdict::ALL`.
    pub counts: [u64; VERDICTS],
}

/// Memory at some time.
#[derive(Debug, Clone, Copy)]
pub struct MemoryPoint {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
}

impl Cell for [u64; VERDICTS] {
    fn merge(&mut self, other: Self) {
        for (ours, theirs) in self.iter_mut().zip(other) {
            *ours = ours.saturating_add(theirs);
        }
    }
}

impl From<&Timeline<[u64; VERDICTS]>> for VerdictTimeline {
    fn from(timeline: &Timeline<[u64; VERDICTS]>) -> Self {
        let bucket = |(start_ms, counts): (u64, &[u64; VERDICTS])| Bucket {
            start_ms,
            counts: *counts,
        };
        Self {
            width_ms: timeline.width_ms(),
            buckets: timeline.iter().map(bucket).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_lost_and_the_buckets_stay_few(
            times in proptest::collection::vec(0..400_000_000_u64, 1..60),
        ) {
            let base = 1_700_000_000_000;
            let mut timeline = Timeline::<[u64; VERDICTS]>::default();
            for time in &times {
                timeline.at(base + time).expect("a plausible time")[0] += 1;
            }
            let seen = VerdictTimeline::from(&timeline);
            prop_assert!(seen.buckets.len() as u64 <= MAX_BUCKETS);
            for bucket in &seen.buckets {
                let within = bucket.start_ms..bucket.start_ms + seen.width_ms;
                let expected = times.iter().filter(|time| within.contains(&(base + **time)));
                prop_assert_eq!(bucket.counts[0], expected.count() as u64);
            }
            let total: u64 = seen.buckets.iter().map(|bucket| bucket.counts[0]).sum();
            prop_assert_eq!(total, times.len() as u64);
        }
    }

    #[test]
    fn times_that_cannot_be_have_no_place() {
        let mut timeline = Timeline::<[u64; VERDICTS]>::default();
        for time_ms in [0, 2, u64::MAX, PLAUSIBLE_MS.end] {
            assert!(timeline.at(time_ms).is_none());
        }
        assert_eq!(timeline.iter().count(), 0);
    }
}
