//! One direction of a soak: a load through shadow mode with one primary, to the last verdict.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use btc::config::ShadowConfig;
use btc::shadow::compare::Verdict;
use btc::shadow::{Books, Counts, OffPath, Policy, Shadow, Status, memory};
use btc::{BitcoinImplementationType, BitcoinInterface, Config, WalletTwin};
use serde::Serialize;

use super::ground::Sides;
use super::mover::Moves;
use super::record::Record;
use super::view::{Sight, View};
use crate::exit::Failure;
use crate::load::{Gauge, Load, Reins, World};
use crate::stop::Stop;

/// How long comparisons may take to go on until they are given up.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long they have after a signal: long enough for the rechecks.
const PATIENCE_AFTER_SIGNAL: Duration = Duration::from_secs(15);
/// How long the end may take once nothing waits.
const FINISH_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What both directions have in common.
pub(super) struct Setting<'a> {
    pub(super) config: &'a Config,
    pub(super) sides: &'a Sides,
    pub(super) world: &'a World,
    pub(super) moves: &'a Moves,
    pub(super) record: &'a Arc<Record>,
    pub(super) load: Load,
    /// The bounds off the caller's path; none in line.
    pub(super) off_path: Option<OffPath>,
    /// Whether the load waits while the queue is over half full.
    pub(super) holds_back: bool,
    pub(super) stop: &'a Stop,
}

/// How one direction went.
#[derive(Debug, Serialize)]
pub(super) struct Leg {
    pub(super) primary: BitcoinImplementationType,
    pub(super) offered: u64,
    pub(super) compared: u64,
    pub(super) recovered: u64,
    pub(super) mismatches: u64,
    pub(super) skipped: u64,
    pub(super) dropped: u64,
    pub(super) inconclusive: u64,
    /// Whether every call offered ended in exactly one verdict.
    pub(super) books_close: bool,
    pub(super) lost_lines: u64,
    /// How long the load took, in milliseconds.
    pub(super) load_ms: u64,
    /// How long the comparisons took to end after it.
    pub(super) settle_ms: u64,
    /// How often a thread of the load was held back.
    pub(super) held_back: u64,
    /// For how long, summed over the threads.
    pub(super) held_back_ms: u64,
}

/// Moves or follows the chain until it is over.
pub(super) type Company<'c> = Box<dyn FnOnce(&dyn Fn() -> bool) -> Result<(), Failure> + Send + 'c>;

/// Runs a direction; also says how its company ended. The decorator is returned, ended and not yet
/// dropped: its last line is written when it goes.
pub(super) fn run(
    setting: &Setting<'_>,
    primary: BitcoinImplementationType,
    company: Company<'_>,
) -> Result<(Leg, Result<(), Failure>, Shadow), Failure> {
    let shadow = open(setting, primary)?;
    let (books, gauge) = (shadow.books(), Gauge::default());
    let view = View::new(primary, setting.load.extent);
    let started = Instant::now();
    let sight = |stage| Sight {
        stage,
        done: gauge.done(),
        held: gauge.held(),
        elapsed: started.elapsed(),
        counts: books.counts(),
        status: shadow.status(),
        moved: setting.moves.now(),
        rss_bytes: memory::of_this_process().map(|memory| memory.rss_bytes),
    };
    // The chain goes on while comparisons do, as it would elsewhere.
    let [calls_over, all_over] = [false; 2].map(AtomicBool::new);
    let (calls_over, all_over) = (&calls_over, &all_over);
    let is_over = || calls_over.load(Ordering::Relaxed) || setting.stop.is_asked();
    let is_held = || {
        let status = shadow.status().filter(|_| setting.holds_back);
        status.is_some_and(|status| is_half_full(setting, &status))
    };
    let reins = Reins {
        is_over: &is_over,
        is_held: &is_held,
    };
    let (kept, [load_ms, settle_ms]) = thread::scope(|scope| {
        let company = scope.spawn(move || {
            // Without it there is nothing to be called.
            let _over = OnEnd(calls_over);
            company(&|| all_over.load(Ordering::Relaxed))
        });
        let _over = OnEnd(all_over);
        let load = scope.spawn(|| setting.load.run(&shadow, setting.world, &gauge, &reins));
        while !load.is_finished() {
            view.show(&sight("calling"));
            thread::sleep(LOOK_EVERY);
        }
        load.join().unwrap_or_else(|panic| resume_unwind(panic));
        let load_ms = millis(started.elapsed());
        let since = Instant::now();
        settle(&books, setting.stop, || view.show(&sight("comparing")));
        all_over.store(true, Ordering::Relaxed);
        let kept = company.join().unwrap_or_else(|panic| resume_unwind(panic));
        (kept, [load_ms, millis(since.elapsed())])
    });
    shadow.finish(FINISH_WITHIN);
    view.end();
    let leg = Leg::new(primary, &books.counts(), &gauge, [load_ms, settle_ms]);
    Ok((leg, kept, shadow))
}

/// Says that it is over, also when a thread panics.
struct OnEnd<'a>(&'a AtomicBool);

impl Drop for OnEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn open(setting: &Setting<'_>, first: BitcoinImplementationType) -> Result<Shadow, Failure> {
    let [primary, secondary] = setting.sides.in_order(first);
    let policy = if setting.off_path.is_some() {
        let waits = setting.config.shadow.as_ref();
        Policy {
            recheck_after_ms: waits.map_or_else(
                || ShadowConfig::RECHECK_AFTER_MS.to_vec(),
                |shadow| shadow.recheck_after_ms.clone(),
            ),
        }
    } else {
        Policy::default()
    };
    let [ours, theirs] = [primary, secondary].map(|side| build(setting.config, &**side));
    let mut shadow = Shadow::new(
        Arc::clone(primary) as Arc<dyn BitcoinInterface>,
        Arc::clone(secondary) as Arc<dyn BitcoinInterface>,
        policy,
        Box::new(Arc::clone(setting.record)),
        true,
    )
    .with_builds(ours, theirs);
    if setting.sides.has_wallet {
        let twin = Arc::clone(primary) as Arc<dyn WalletTwin>;
        shadow = shadow.with_wallet(
            Arc::clone(primary) as _,
            Arc::clone(secondary) as _,
            Some(twin),
        );
    }
    match &setting.off_path {
        Some(settings) => Ok(shadow.off_path(settings.clone())?),
        None => Ok(shadow),
    }
}

/// The class that runs when none is configured.
#[cfg(feature = "python")]
const DEFAULT_CLASS: &str = btc::python::PythonConfig::DEFAULT_BACKEND;
/// None does.
#[cfg(not(feature = "python"))]
const DEFAULT_CLASS: &str = "";

/// What a build is called in the log: the version, for Python the class, and what the operator
/// calls it.
fn build(config: &Config, side: &dyn BitcoinInterface) -> String {
    let mut name = env!("CARGO_PKG_VERSION").to_owned();
    if side.implementation_type() == BitcoinImplementationType::Python {
        let class = config.python.backend.as_deref().unwrap_or(DEFAULT_CLASS);
        name = format!("{name} {class}");
    }
    let id = config.shadow.as_ref().and_then(|it| it.build_id.as_deref());
    id.map_or_else(|| name.clone(), |id| format!("{name} {id}"))
}

fn is_half_full(setting: &Setting<'_>, status: &Status) -> bool {
    setting.off_path.as_ref().is_some_and(|bounds| {
        status.queued * 2 > bounds.queue_calls
            || status.queued_bytes > bounds.queue_bytes / 2
            || status.waiting > bounds.waiting_calls / 2
    })
}

/// Waits until every call has its verdict, or nothing goes on any more.
fn settle(books: &Books, stop: &Stop, mut look: impl FnMut()) {
    let started = Instant::now();
    let (mut last, mut since) = (0, started);
    loop {
        let counts = books.counts();
        let closed = counts
            .verdicts
            .values()
            .flat_map(|it| it.values())
            .sum::<u64>();
        if counts.close() {
            return;
        }
        if closed != last {
            (last, since) = (closed, Instant::now());
        }
        let is_in_vain = since.elapsed() > PATIENCE;
        if is_in_vain || stop.is_asked() && started.elapsed() > PATIENCE_AFTER_SIGNAL {
            return;
        }
        look();
        thread::sleep(LOOK_EVERY);
    }
}

impl Leg {
    fn new(
        primary: BitcoinImplementationType,
        counts: &Counts,
        gauge: &Gauge,
        [load_ms, settle_ms]: [u64; 2],
    ) -> Self {
        Self {
            primary,
            offered: counts.total_offered(),
            compared: compared(counts),
            recovered: counts.total(Verdict::Recovered),
            mismatches: counts.total(Verdict::Mismatch),
            skipped: counts.total(Verdict::Skipped),
            dropped: counts.total(Verdict::Dropped),
            inconclusive: counts.total(Verdict::Inconclusive),
            books_close: counts.close(),
            lost_lines: counts.lost_lines,
            load_ms,
            settle_ms,
            held_back: gauge.held(),
            held_back_ms: millis(gauge.held_for()),
        }
    }
}

/// Calls that ended in a verdict on both sides.
pub(super) fn compared(counts: &Counts) -> u64 {
    [Verdict::Match, Verdict::Recovered, Verdict::Mismatch]
        .into_iter()
        .map(|verdict| counts.total(verdict))
        .sum()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
