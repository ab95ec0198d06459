//! `Judge`: watches what both shadows find, and has Python answer everything when Rust must not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use btc_iface::Operation;

use super::control::Control;
use super::window::Window;
use crate::compare::Verdict;
use crate::record::Comparison;
use crate::watch::Watch;

/// What a roll-out may cost before it is rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The shortest stretch of time that is judged.
    pub window: Duration,
    /// The fewest calls of Rust that are judged; a window with less goes on. For a latency, the
    /// fewest calls of that operation.
    pub min_calls: u64,
    /// How many windows in a row must be bad.
    pub windows: u32,
    /// By how much Rust's rate of failures may exceed Python's, in thousandths.
    pub max_failures_per_mille: u32,
    /// How long Rust's p99 of a read may be, in percent of Python's.
    pub max_p99_percent: u32,
    /// What Rust's p99 must exceed Python's by to count at all.
    pub min_p99_excess: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: Duration::from_mins(1),
            min_calls: 100,
            windows: 2,
            max_failures_per_mille: 10,
            max_p99_percent: 150,
            min_p99_excess: Duration::from_millis(1),
        }
    }
}

/// The time since some moment, which never runs backwards.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Judges both routes together, and rolls back.
///
/// # Behavior
/// - One mismatch in what money depends on rolls back at once: in any operation but
///   `get_block_height` and `estimate_fee`.
/// - So do [`Limits::windows`] windows in a row in which Rust fails more often than Python, or
///   takes longer for a read, than the limits allow. Windows start anew when the share changes;
///   at 0 % there are none.
/// - At 0 %, a mismatch asks for an acknowledgement before Rust answers anything.
pub struct Judge {
    control: Arc<Control>,
    limits: Limits,
    clock: Clock,
    seen: Mutex<Seen>,
}

struct Seen {
    window: Window,
    bad_windows: u32,
    /// The changes of the share that the window has seen.
    changes: u64,
}

impl Judge {
    /// Judges by these limits and the system's monotonic clock.
    pub fn new(control: Arc<Control>, limits: Limits) -> Self {
        let started = Instant::now();
        Self::with_clock(control, limits, Arc::new(move || started.elapsed()))
    }

    /// Judges by another clock.
    pub fn with_clock(control: Arc<Control>, limits: Limits, clock: Clock) -> Self {
        let seen = Mutex::new(Seen {
            window: Window::new(clock()),
            bad_windows: 0,
            changes: control.changes(),
        });
        Self {
            control,
            limits,
            clock,
            seen,
        }
    }

    /// Adds a comparison to the window; the reason for a rollback when it is one too many.
    fn count(&self, comparison: &Comparison) -> Option<String> {
        let now = (self.clock)();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.control.changes();
        if seen.changes != changes {
            *seen = Seen {
                window: Window::new(now),
                bad_windows: 0,
                changes,
            };
        }
        seen.window.add(comparison);
        if !seen.window.is_over(now, &self.limits) {
            return None;
        }
        let breach = seen.window.breach(&self.limits);
        seen.window = Window::new(now);
        seen.bad_windows = match breach {
            Some(_) => seen.bad_windows + 1,
            None => 0,
        };
        let breach = breach.filter(|_| seen.bad_windows >= self.limits.windows)?;
        Some(format!(
            "{breach}; {} windows in a row were bad",
            seen.bad_windows
        ))
    }
}

impl Watch for Judge {
    fn judged(&self, comparison: &Comparison) {
        if comparison.verdict == Verdict::Mismatch && is_about_money(comparison.operation) {
            self.control.roll_back(&reason(comparison));
        } else if self.control.percent() > 0
            && let Some(reason) = self.count(comparison)
        {
            self.control.roll_back(&reason);
        }
    }
}

/// Which operation and where, without the values, which are in the log.
fn reason(comparison: &Comparison) -> String {
    let operation = comparison.operation;
    let number = comparison.sequence;
    match comparison.differences.first() {
        Some(first) => format!("mismatch in {operation} at {} (call {number})", first.path),
        None => format!("mismatch in {operation} (call {number})"),
    }
}

/// Whether a wrong answer may cost money: of any operation but heights and fee estimates.
pub(crate) fn is_about_money(operation: Operation) -> bool {
    !matches!(
        operation,
        Operation::GetBlockHeight | Operation::EstimateFee
    )
}
