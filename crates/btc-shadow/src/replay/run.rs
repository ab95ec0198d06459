//! `run`: makes the calls of a source through shadow mode, and says how far it got.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::{BitcoinError, BitcoinResult, BitcoinTransaction, ErrorKind};

use super::error;
use super::replay_log::ReplayLog;
use super::source::{Item, Source, Tally};
use super::state::{Input, LogAt};
use crate::compare::Verdict;
use crate::shadow::{OffPath, Shadow};

/// Between two looks at how far the calls are.
const TICK: Duration = Duration::from_millis(20);
/// Between two looks at something that takes a moment.
const STEP: Duration = Duration::from_millis(1);
/// While so much waits to be compared, no more calls are made.
const HELD_BACK_CALLS: usize = 256;
const HELD_BACK_BYTES: usize = 64 << 20;
const HELD_BACK_RECHECKS: usize = 1000;
/// A call that the primary cannot be reached for is made again after these.
const RETRY_AFTER_MS: [u64; 4] = [250, 1000, 2000, 4000];

/// How a replay is driven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Threads that make calls.
    pub threads: usize,
    /// Calls a second, at most; none for as many as possible.
    pub rate: Option<u32>,
    /// How often the position is told.
    pub checkpoint_every: Duration,
}

impl Settings {
    /// The settings of the comparisons under which nothing is dropped: it is the replay that holds
    /// back, so that the bounds are never met.
    pub fn off_path(&self) -> OffPath {
        OffPath {
            workers: self.threads,
            queue_calls: HELD_BACK_CALLS + self.threads.max(1),
            queue_bytes: usize::MAX / 2,
            waiting_calls: usize::MAX,
            // A secondary that is gone makes calls inconclusive, and not dropped.
            breaker_failures: u64::MAX,
            ..OffPath::default()
        }
    }
}

/// What a replay is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Lines or blocks.
    pub done: u64,
    /// What became of the calls.
    pub tally: Tally,
}

/// What the threads share.
struct Feed {
    source: Box<dyn Source>,
    tally: Tally,
    in_flight: usize,
    /// No call is to be made now.
    is_paused: bool,
    is_over: bool,
    /// Why it ended early.
    failure: Option<BitcoinError>,
    /// When the next call may be made.
    next_due: Instant,
}

struct Run<'r> {
    shadow: &'r Shadow,
    log: &'r ReplayLog,
    settings: &'r Settings,
    feed: Mutex<Feed>,
    before: Tally,
}

/// Makes all calls of the source and waits until all are compared. `tally` is what became of the
/// calls before, if the source goes on.
///
/// `shadow` compares off the caller's path, with [`Settings::off_path`], into `log`; it is new,
/// and nobody else calls it. `checkpoint` is told, every now and then and at the end, a position
/// before which every call is compared and its line on the disk; `progress` is told more often.
///
/// # Errors
/// `Unavailable`, `Timeout`: the primary cannot be reached, after several attempts, or the log
/// cannot be written. `Auth`, `Configuration`: the node or the backend refuses every call. Also
/// those of the source and of `checkpoint`. The last checkpoint holds then.
pub fn run(
    shadow: &Shadow,
    log: &ReplayLog,
    source: Box<dyn Source>,
    tally: Tally,
    settings: &Settings,
    checkpoint: &mut dyn FnMut(Input, &Tally, LogAt, bool) -> BitcoinResult<()>,
    progress: &mut dyn FnMut(&Moment),
) -> BitcoinResult<Tally> {
    let run = Run {
        shadow,
        log,
        settings,
        before: tally.clone(),
        feed: Mutex::new(Feed {
            source,
            tally,
            in_flight: 0,
            is_paused: false,
            is_over: false,
            failure: None,
            next_due: Instant::now(),
        }),
    };
    thread::scope(|scope| {
        for _ in 0..settings.threads.max(1) {
            scope.spawn(|| run.work());
        }
        let watched = catch_unwind(AssertUnwindSafe(|| run.watch(checkpoint, progress)));
        let ended = watched.unwrap_or_else(|_| {
            Err(error(
                ErrorKind::Internal,
                "the replay panicked; please report it",
            ))
        });
        if let Err(cause) = ended {
            run.fail(cause);
        }
    });
    let mut feed = run.feed();
    if let Some(cause) = feed.failure.take() {
        return Err(cause);
    }
    drop(feed);
    run.checkpoint(checkpoint, true)?;
    if let Some(cause) = run.feed().failure.take() {
        return Err(cause);
    }
    let moment = run.moment();
    progress(&moment);
    Ok(moment.tally)
}

impl Run<'_> {
    /// Tells the position and the progress, until the calls are over.
    fn watch(
        &self,
        checkpoint: &mut dyn FnMut(Input, &Tally, LogAt, bool) -> BitcoinResult<()>,
        progress: &mut dyn FnMut(&Moment),
    ) -> BitcoinResult<()> {
        let mut last = Instant::now();
        loop {
            thread::sleep(TICK);
            progress(&self.moment());
            {
                let feed = self.feed();
                if feed.is_over || feed.failure.is_some() {
                    return Ok(());
                }
            }
            if last.elapsed() >= self.settings.checkpoint_every {
                self.checkpoint(checkpoint, false)?;
                last = Instant::now();
            }
        }
    }

    /// Lets no more calls begin, waits until all that began are compared and in the log, and tells
    /// where that is.
    fn checkpoint(
        &self,
        checkpoint: &mut dyn FnMut(Input, &Tally, LogAt, bool) -> BitcoinResult<()>,
        is_end: bool,
    ) -> BitcoinResult<()> {
        self.feed().is_paused = true;
        while self.feed().in_flight > 0 {
            thread::sleep(STEP);
        }
        while self.feed().failure.is_none() && !self.is_settled() && !self.is_stuck() {
            thread::sleep(STEP);
        }
        if self.feed().failure.is_some() {
            // A call may have ended unanswered: what was told before holds.
            return Ok(());
        }
        let log = self.log.flush()?;
        let moment = self.moment();
        let position = self.feed().source.position();
        checkpoint(position, &moment.tally, log, is_end)?;
        self.feed().is_paused = false;
        Ok(())
    }

    /// Whether every call that was made has its line.
    fn is_settled(&self) -> bool {
        let counts = self.shadow.books().counts();
        let without_line: u64 = counts.left_out.values().sum();
        counts.close() && self.log.comparisons() + without_line >= counts.total_offered()
    }

    fn moment(&self) -> Moment {
        let (done, mut tally) = {
            let feed = self.feed();
            (feed.source.done(), feed.tally.clone())
        };
        let counts = self.shadow.books().counts();
        for verdict in Verdict::ALL {
            let count = self.before.of(verdict) + counts.total(verdict);
            if count > 0 {
                tally.verdicts.insert(verdict, count);
            }
        }
        Moment { done, tally }
    }

    /// A thread's work: takes calls and makes them.
    fn work(&self) {
        loop {
            let taken = {
                let mut feed = self.feed();
                if feed.is_over || feed.failure.is_some() {
                    return;
                }
                if feed.is_paused {
                    None
                } else {
                    self.take(&mut feed)
                }
            };
            let Some((item, due)) = taken else {
                thread::sleep(STEP);
                continue;
            };
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.hold_back();
            let answer = self.ask(&item);
            self.conclude(&item, answer);
        }
    }

    /// The next call, and when it may be made.
    fn take(&self, feed: &mut Feed) -> Option<(Item, Instant)> {
        match feed.source.next_call(&mut feed.tally) {
            Ok(Some(item)) => {
                feed.in_flight += 1;
                feed.tally.calls += 1;
                let due = feed.next_due.max(Instant::now());
                let rate = self.settings.rate.map(|rate| rate.max(1));
                feed.next_due = rate.map_or(due, |rate| due + Duration::from_secs(1) / rate);
                return Some((item, due));
            }
            // What is under way may still bring more.
            Ok(None) => feed.is_over = feed.in_flight == 0,
            Err(cause) => feed.failure = Some(cause),
        }
        None
    }

    /// Waits while much waits to be compared.
    fn hold_back(&self) {
        let is_full = || {
            self.shadow.status().is_some_and(|status| {
                status.queued >= HELD_BACK_CALLS
                    || status.queued_bytes >= HELD_BACK_BYTES
                    || status.waiting >= HELD_BACK_RECHECKS
            })
        };
        while is_full() && !self.is_stuck() {
            thread::sleep(STEP);
        }
    }

    /// Whether so many threads hang with the secondary that nothing more is compared; ends the
    /// replay then.
    fn is_stuck(&self) -> bool {
        let allowed = OffPath::default().stuck_threads;
        let status = self.shadow.status();
        let is_stuck = status.is_some_and(|status| status.stuck_threads > allowed);
        if is_stuck {
            let message = "the secondary hangs with every thread it is given; repair it and go on";
            self.fail(error(ErrorKind::Timeout, message));
        }
        is_stuck
    }

    /// Makes the call; again, if the primary cannot be reached.
    fn ask(&self, item: &Item) -> BitcoinResult<Vec<BitcoinTransaction>> {
        let mut waits = RETRY_AFTER_MS.iter();
        loop {
            let ask = AssertUnwindSafe(|| item.call.make(self.shadow));
            let answer = catch_unwind(ask).unwrap_or_else(|_| {
                let message = "the primary panicked; please report it";
                self.fail(error(ErrorKind::Internal, message));
                Ok(Vec::new())
            });
            let is_lost = |cause: &BitcoinError| cause.kind().is_transport();
            let is_done = self.feed().failure.is_some() || !answer.as_ref().is_err_and(is_lost);
            let Some(wait_ms) = waits.next().filter(|_| !is_done) else {
                return answer;
            };
            self.feed().tally.retries += 1;
            thread::sleep(Duration::from_millis(*wait_ms));
        }
    }

    fn conclude(&self, item: &Item, answer: BitcoinResult<Vec<BitcoinTransaction>>) {
        let mut feed = self.feed();
        let Feed {
            source,
            tally,
            in_flight,
            failure,
            ..
        } = &mut *feed;
        match answer {
            Ok(transactions) => {
                source.answered(item, &mut transactions.iter().map(|it| it.txid));
            }
            // Neither says anything about the call, and the next ones will go the same way.
            Err(cause)
                if cause.kind().is_transport()
                    || matches!(cause.kind(), ErrorKind::Auth | ErrorKind::Configuration) =>
            {
                let place = item.place;
                failure.get_or_insert(cause.with_context("line or block", place));
            }
            Err(cause) => source.failed(item, cause.kind(), tally),
        }
        *in_flight -= 1;
    }

    fn fail(&self, cause: BitcoinError) {
        self.feed().failure.get_or_insert(cause);
    }

    fn feed(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
