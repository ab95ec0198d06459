//! Comparisons off the caller's path: the primary's answer whatever happens beside it, and books
//! that close.

mod course;
mod faults;
mod killed;
mod log;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::{BitcoinInterface, BitcoinResult, ErrorKind, Operation};
use btc_shadow::compare::Verdict;
use btc_shadow::record::{Comparison, Event};
use btc_shadow::sink::MemorySink;
use btc_shadow::{Counts, LeftOut, OffPath, Policy, Sampling, Shadow, Watch};

use crate::double::{Double, FullDisk, failure};
use crate::samples::transaction;

/// Longer than anything here takes, so that a defect ends in a failure and not in a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// Quick settings, without looks at the tip that the doubles would count.
fn quick() -> OffPath {
    OffPath {
        look_every: Duration::ZERO,
        report_every: Duration::ZERO,
        ..OffPath::default()
    }
}

struct Pair {
    shadow: Shadow,
    secondary: Arc<Double>,
    sink: Arc<MemorySink>,
}

fn pair(
    settings: OffPath,
    rechecks_ms: &[u64],
    secondary: impl Fn(Operation, u64) -> BitcoinResult<u64> + Send + Sync + 'static,
) -> Pair {
    let secondary = Arc::new(Double::new(Rust, secondary));
    let sink = Arc::new(MemorySink::default());
    let policy = Policy {
        recheck_after_ms: rechecks_ms.to_vec(),
    };
    let primary = Arc::new(Double::new(Python, |_, _| Ok(5)));
    let shadow = Shadow::new(
        primary,
        Arc::clone(&secondary) as _,
        policy,
        Box::new(Arc::clone(&sink)),
        true,
    );
    Pair {
        shadow: shadow.off_path(settings).expect("threads"),
        secondary,
        sink,
    }
}

impl Pair {
    /// Ends it, and says what was counted.
    fn end(self) -> (Counts, Vec<Comparison>) {
        let books = self.shadow.books();
        self.shadow.finish(PATIENCE);
        drop(self.shadow);
        let counts = books.counts();
        assert!(counts.close(), "{counts:?}");
        let lines = self.sink.lines();
        let last = lines.last().map(|line| line.event.clone());
        let Some(Event::Totals(totals)) = last else {
            unreachable!("the last line is {last:?}");
        };
        assert!(totals.is_final);
        assert_eq!(
            totals.counts, counts,
            "nothing is recorded after the totals"
        );
        let comparisons = lines.into_iter().filter_map(|line| match line.event {
            Event::Comparison(comparison) => Some(comparison),
            _ => None,
        });
        (counts, comparisons.collect())
    }
}

/// Waits until it holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Holds back whoever passes, until it is opened.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    changed: Condvar,
    held: AtomicU64,
}

impl Gate {
    fn pass(&self) {
        self.held.fetch_add(1, Ordering::SeqCst);
        let mut is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_open {
            is_open = self
                .changed
                .wait(is_open)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn open(&self) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

fn ask(shadow: &Shadow, times: usize) {
    for _ in 0..times {
        assert_eq!(shadow.get_balance().expect("the primary answers"), 5);
    }
}
