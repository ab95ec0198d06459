//! Shadow mode in numbers, for Prometheus.
//!
//! - [`Metrics`]: counts, durations and gauges, in Prometheus' text format
//! - [`serve`]: offers them over HTTP, to this machine only

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use btc_iface::{BitcoinError, BitcoinImplementationType, BitcoinResult, ErrorKind, Operation};

use self::fields::Fields;
use self::histogram::Histogram;
pub use self::server::{Server, serve, serve_beyond_this_machine};
use self::text::{Kind, Text};
use crate::books::{Books, Counts, sum};
use crate::compare::Verdict;
use crate::record::{Comparison, Side};
use crate::watch::Watch;

mod fields;
mod histogram;
mod process;
mod request;
mod server;
mod text;

/// The gauge of calls that wait to be compared.
pub const QUEUE_DEPTH: &str = "btc_shadow_queue_depth";
/// The gauge of routes that leave their secondary alone: 0 or 1, under a roll-out up to 2.
pub const BREAKER_OPEN: &str = "btc_shadow_breaker_open";
/// The gauge of lines that the log took and lost afterwards, `Sink::lost_lines`.
pub const LOG_LOST_LINES: &str = "btc_shadow_log_lost_lines";
/// The gauge of the resident memory of Python's processes, in bytes.
pub const PYTHON_MEMORY: &str = "btc_shadow_python_resident_memory_bytes";

const OPERATIONS: usize = Operation::CALLS.len();
const IMPLEMENTATIONS: [BitcoinImplementationType; 2] = [
    BitcoinImplementationType::Python,
    BitcoinImplementationType::Rust,
];
const KINDS: usize = ErrorKind::ALL.len();

/// What is measured of shadow mode. Counting takes no lock, but for the field of a mismatch.
///
/// Counts of calls and verdicts are those of the books; durations and fields come from the
/// judged calls that it [watches](Watch).
pub struct Metrics {
    books: Vec<Arc<Books>>,
    sides: [[OfSide; IMPLEMENTATIONS.len()]; OPERATIONS],
    rechecks: AtomicU64,
    fields: Fields,
    gauges: Mutex<Vec<Gauge>>,
}

/// One implementation's answers to one operation.
#[derive(Debug, Default)]
struct OfSide {
    durations: Histogram,
    errors: [AtomicU64; KINDS],
}

struct Gauge {
    name: String,
    help: String,
    read: Box<dyn Fn() -> f64 + Send + Sync>,
}

impl Metrics {
    /// Measures the run of these books.
    pub fn new(books: Arc<Books>) -> Self {
        Self::of_runs(vec![books])
    }

    /// Measures several runs together, as the two routes of a roll-out.
    pub fn of_runs(books: Vec<Arc<Books>>) -> Self {
        Self {
            books,
            sides: Default::default(),
            rechecks: AtomicU64::new(0),
            fields: Fields::default(),
            gauges: Mutex::default(),
        }
    }

    /// Adds a gauge, which is read at each scrape and must not wait. One that panics is left out.
    ///
    /// # Errors
    /// `Configuration`: the name is none for Prometheus, or taken.
    pub fn gauge(
        &self,
        name: &str,
        help: &str,
        read: Box<dyn Fn() -> f64 + Send + Sync>,
    ) -> BitcoinResult<()> {
        let mut gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = OWN.contains(&name) || gauges.iter().any(|known| known.name == name);
        if is_taken || !text::is_name(name) {
            let message = "a gauge needs a name of its own, of letters, digits and underscores";
            let error = BitcoinError::new(ErrorKind::Configuration, Operation::Configure, message);
            return Err(error.with_context("name", name));
        }
        gauges.push(Gauge {
            name: name.to_owned(),
            help: help.to_owned(),
            read,
        });
        Ok(())
    }

    /// Everything now, in Prometheus' text format 0.0.4.
    pub fn render(&self) -> String {
        let mut counts = Counts::default();
        for books in &self.books {
            counts.add(&books.counts());
        }
        let mut text = Text::default();
        write_counts(&mut text, &counts);
        self.write_sides(&mut text);
        self.fields.write(&mut text);
        text.family(
            RECHECKS,
            Kind::Counter,
            "Times that both sides were asked again.",
        );
        text.sample(RECHECKS, &[], self.rechecks.load(Ordering::Relaxed));
        process::write(&mut text);
        self.write_gauges(&mut text);
        text.into_string()
    }

    fn write_sides(&self, text: &mut Text) {
        text.family(
            DURATION,
            Kind::Histogram,
            "Time that an implementation took to answer.",
        );
        self.each_side(|side, labels| side.durations.write(text, DURATION, labels));
        text.family(ERRORS, Kind::Counter, "Answers that were errors, by kind.");
        self.each_side(|side, labels| {
            for (kind, count) in ErrorKind::ALL.iter().zip(&side.errors) {
                let [operation, implementation] = labels;
                let labels = [*operation, *implementation, ("kind", kind.as_str())];
                text.sample(ERRORS, &labels, count.load(Ordering::Relaxed));
            }
        });
    }

    /// Those that were asked.
    fn each_side<'m>(&'m self, mut write: impl FnMut(&'m OfSide, &[(&str, &str); 2])) {
        for (operation, sides) in Operation::CALLS.iter().zip(&self.sides) {
            for (implementation, side) in IMPLEMENTATIONS.iter().zip(sides) {
                if side.durations.is_empty() {
                    continue;
                }
                let labels = [
                    ("operation", operation.as_str()),
                    ("implementation", implementation.as_str()),
                ];
                write(side, &labels);
            }
        }
    }

    fn write_gauges(&self, text: &mut Text) {
        let gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        for gauge in gauges.iter() {
            if let Ok(value) = catch_unwind(AssertUnwindSafe(|| (gauge.read)())) {
                text.family(&gauge.name, Kind::Gauge, &gauge.help);
                text.sample(&gauge.name, &[], value);
            }
        }
    }

    fn count_side(&self, operation: Operation, side: &Side) {
        let operation = Operation::CALLS.iter().position(|it| *it == operation);
        let implementation = IMPLEMENTATIONS
            .iter()
            .position(|it| *it == side.implementation);
        let (Some(operation), Some(implementation)) = (operation, implementation) else {
            return;
        };
        let of_side = &self.sides[operation][implementation];
        of_side.durations.observe(side.duration_ns);
        let kind = side.error.and_then(|error| {
            let mut kinds = ErrorKind::ALL.iter();
            kinds.position(|kind| *kind == error)
        });
        if let Some(kind) = kind {
            of_side.errors[kind].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Watch for Metrics {
    fn judged(&self, comparison: &Comparison) {
        self.count_side(comparison.operation, &comparison.primary);
        if let Some(secondary) = &comparison.secondary {
            self.count_side(comparison.operation, secondary);
        }
        if comparison.rechecks > 0 {
            let rechecks = u64::from(comparison.rechecks);
            self.rechecks.fetch_add(rechecks, Ordering::Relaxed);
        }
        if comparison.verdict == Verdict::Mismatch {
            self.fields.count(comparison);
        }
    }
}

const CALLS: &str = "btc_shadow_calls_total";
const VERDICTS: &str = "btc_shadow_verdicts_total";
const OPEN_CALLS: &str = "btc_shadow_open_calls";
const RATIO: &str = "btc_shadow_compatibility_ratio";
const REFUSED_LINES: &str = "btc_shadow_lost_lines_total";
const DURATION: &str = "btc_shadow_call_duration_seconds";
const ERRORS: &str = "btc_shadow_errors_total";
const RECHECKS: &str = "btc_shadow_rechecks_total";
/// The names that no gauge may have.
const OWN: [&str; 11] = [
    CALLS,
    VERDICTS,
    OPEN_CALLS,
    RATIO,
    REFUSED_LINES,
    DURATION,
    ERRORS,
    RECHECKS,
    fields::NAME,
    process::MEMORY,
    process::PEAK,
];

fn write_counts(text: &mut Text, counts: &Counts) {
    let offered = |operation| counts.offered.get(operation).copied().unwrap_or(0);
    let judged = |operation, verdict| {
        let verdicts = counts.verdicts.get(operation);
        verdicts
            .and_then(|it| it.get(verdict))
            .copied()
            .unwrap_or(0)
    };
    text.family(CALLS, Kind::Counter, "Calls that came through shadow mode.");
    for operation in &Operation::CALLS {
        let labels = [("operation", operation.as_str())];
        text.sample(CALLS, &labels, offered(operation));
    }
    // All of them, also those that never occurred: a rise from nothing is no rise.
    text.family(VERDICTS, Kind::Counter, "Calls by verdict.");
    let mut open = 0;
    for operation in &Operation::CALLS {
        for verdict in &Verdict::ALL {
            let labels = [
                ("operation", operation.as_str()),
                ("verdict", verdict.as_str()),
            ];
            text.sample(VERDICTS, &labels, judged(operation, verdict));
        }
        let ended = sum(Verdict::ALL
            .iter()
            .map(|verdict| judged(operation, verdict)));
        // The counters are read one after the other, so that a call may seem to end unbegun.
        open += offered(operation).saturating_sub(ended);
    }
    text.family(OPEN_CALLS, Kind::Gauge, "Calls without a verdict yet.");
    text.sample(OPEN_CALLS, &[], open);
    let same = counts.total(Verdict::Match) + counts.total(Verdict::Recovered);
    let compared = same + counts.total(Verdict::Mismatch);
    if compared > 0 {
        text.family(
            RATIO,
            Kind::Gauge,
            "Share of compared calls that agreed; none as long as nothing was compared.",
        );
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        text.sample(RATIO, &[], same as f64 / compared as f64);
    }
    text.family(
        REFUSED_LINES,
        Kind::Counter,
        "Lines that the comparison log did not take.",
    );
    text.sample(REFUSED_LINES, &[], counts.lost_lines);
}
