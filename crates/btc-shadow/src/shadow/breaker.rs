//! `Breaker`: leaves a secondary alone that does not answer, for a while that grows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The shortest time for which the secondary is left alone.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Counts failures in a row; after so many of them nothing is asked for a while. Then one call is
/// let through, which decides. Times are those of one monotonic clock, in milliseconds.
#[derive(Debug)]
pub(crate) struct Breaker {
    threshold: u64,
    failures: AtomicU64,
    /// When the next call is let through; 0 while it is closed.
    open_until_ms: AtomicU64,
    /// Whether that call is under way.
    is_trying: AtomicBool,
    /// How long it stays open the next time.
    pause_ms: AtomicU64,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Opened,
    Closed,
    Nothing,
}

impl Breaker {
    /// Opens after so many failures in a row.
    pub(crate) fn new(threshold: u64) -> Self {
        Self {
            threshold: threshold.max(1),
            failures: AtomicU64::new(0),
            open_until_ms: AtomicU64::new(0),
            is_trying: AtomicBool::new(false),
            pause_ms: AtomicU64::new(millis(FIRST_PAUSE)),
        }
    }

    /// Whether the secondary may be asked at this time. Of the callers after a pause, one may;
    /// what becomes of it is to be told.
    pub(crate) fn admits(&self, now_ms: u64) -> bool {
        let until = self.open_until_ms.load(Ordering::Relaxed);
        until == 0 || now_ms >= until && !self.is_trying.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open_until_ms.load(Ordering::Relaxed) != 0
    }

    /// A call that was admitted did not get to ask.
    pub(crate) fn withdraw(&self) {
        self.is_trying.store(false, Ordering::Relaxed);
    }

    /// The secondary answered.
    pub(crate) fn succeed(&self) -> Change {
        // Stores only when there is something to change: this is every comparison's way.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if !self.is_open() || self.open_until_ms.swap(0, Ordering::Relaxed) == 0 {
            return Change::Nothing;
        }
        self.pause_ms.store(millis(FIRST_PAUSE), Ordering::Relaxed);
        self.withdraw();
        Change::Closed
    }

    /// The secondary did not answer.
    pub(crate) fn fail(&self, now_ms: u64) -> Change {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let was_open = self.is_open();
        // What was under way when it opened does not lengthen the pause.
        if was_open && !self.is_trying.swap(false, Ordering::Relaxed) {
            return Change::Nothing;
        }
        if !was_open && failures < self.threshold {
            return Change::Nothing;
        }
        let pause = self.pause_ms.load(Ordering::Relaxed);
        let longer = (pause * 2).min(millis(LONGEST_PAUSE));
        self.pause_ms.store(longer, Ordering::Relaxed);
        self.open_until_ms
            .store((now_ms + pause).max(1), Ordering::Relaxed);
        if was_open {
            Change::Nothing
        } else {
            Change::Opened
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it_and_one_call_after_the_pause_decides() {
        let breaker = Breaker::new(3);
        assert_eq!([breaker.fail(10), breaker.fail(11)], [Change::Nothing; 2]);
        assert!(breaker.admits(11));
        assert_eq!(breaker.fail(12), Change::Opened);
        assert!(!breaker.admits(12) && !breaker.admits(1011));
        // One of those that come after the pause is let through.
        assert!(breaker.admits(1012) && !breaker.admits(1012));
        assert_eq!(breaker.succeed(), Change::Closed);
        assert!(breaker.admits(1013) && !breaker.is_open());
        assert_eq!(breaker.succeed(), Change::Nothing);
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let breaker = Breaker::new(2);
        for now in 0..10 {
            assert_eq!(breaker.fail(now), Change::Nothing);
            breaker.succeed();
        }
    }

    #[test]
    fn a_call_that_fails_after_the_pause_doubles_it() {
        let breaker = Breaker::new(1);
        assert_eq!(breaker.fail(0), Change::Opened);
        assert!(breaker.admits(1000) && !breaker.admits(1001));
        assert_eq!(breaker.fail(2000), Change::Nothing);
        assert!(!breaker.admits(3999) && breaker.admits(4000));
        // One that never got to ask makes room for another.
        breaker.withdraw();
        assert!(breaker.admits(4001));
        assert_eq!(breaker.succeed(), Change::Closed);
        assert_eq!(breaker.fail(5000), Change::Opened);
        assert!(breaker.admits(6000), "the pause is the first one again");
    }

    #[test]
    fn what_was_under_way_when_it_opened_changes_nothing() {
        let breaker = Breaker::new(1);
        assert_eq!(breaker.fail(0), Change::Opened);
        for now in 1..100 {
            assert_eq!(breaker.fail(now), Change::Nothing);
        }
        assert!(!breaker.admits(999) && breaker.admits(1000));
    }
}
