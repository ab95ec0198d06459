//! Comparisons off the caller's path: a bounded queue, threads that work it off, and one that
//! watches over them.

mod desk;
mod keeper;
mod later;
mod shared;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use btc_iface::BitcoinResult;

use self::shared::{Job, Shared};
use super::case::{Case, Examination};
use super::recorder::{About, Recorder};
use super::sampling::Sampling;
use super::sides::Sides;
use crate::books::LeftOut;
use crate::policy::Policy;

/// The bounds of comparisons off the caller's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffPath {
    /// Threads that compare.
    pub workers: usize,
    /// Calls that may wait to be compared; more are dropped.
    pub queue_calls: usize,
    /// About how many bytes their answers may take; more are dropped.
    pub queue_bytes: usize,
    /// Comparisons that may wait to be asked again; more are inconclusive.
    pub waiting_calls: usize,
    /// The longest a step of a comparison may take; after that it is inconclusive, and its thread
    /// is left behind.
    pub timeout: Duration,
    /// Threads that may be left behind at one time. Once there are so many, fewer compare.
    pub stuck_threads: usize,
    /// After so many failures of the secondary to answer in a row it is left alone for a while.
    pub breaker_failures: u64,
    /// Which share of the calls is compared.
    pub sampling: Sampling,
    /// How often the tip is looked at; zero for never.
    pub look_every: Duration,
    /// How often the memory of this process and the totals are written; zero for never.
    pub report_every: Duration,
    /// How long the end may take.
    pub drain: Duration,
}

impl Default for OffPath {
    fn default() -> Self {
        Self {
            workers: 2,
            queue_calls: 16_384,
            queue_bytes: 64 << 20,
            waiting_calls: 10_000,
            timeout: Duration::from_secs(30),
            stuck_threads: 8,
            breaker_failures: 20,
            sampling: Sampling::default(),
            look_every: Duration::from_secs(1),
            report_every: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// What the comparisons are at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Calls that wait to be compared.
    pub queued: usize,
    /// About how many bytes their answers take.
    pub queued_bytes: usize,
    /// Comparisons that wait to be asked again.
    pub waiting: usize,
    /// Threads that were left behind and have not come back.
    pub stuck_threads: usize,
    /// Whether the secondary is left alone.
    pub is_breaker_open: bool,
}

/// Something that reads the status of a pool.
pub(super) struct Handle(Arc<Shared>);

impl Handle {
    pub(super) fn status(&self) -> Status {
        self.0.status()
    }
}

/// The threads and what they share.
pub(super) struct Pool {
    shared: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Pool {
    pub(super) fn start(
        sides: Arc<Sides>,
        recorder: Arc<Recorder>,
        policy: Policy,
        settings: OffPath,
    ) -> BitcoinResult<Self> {
        let shared = Arc::new(Shared::new(sides, recorder, policy, settings));
        let keeper = keeper::start(&shared)?;
        Ok(Self {
            shared,
            keeper: Mutex::new(Some(keeper)),
        })
    }

    /// Offers a call whose account is open; `case` is made only if there is room for it.
    pub(super) fn offer(
        &self,
        about: About,
        number: u64,
        bytes: usize,
        case: impl FnOnce() -> Box<dyn Case>,
    ) {
        let shared = &*self.shared;
        let leave_out = |why| shared.recorder.books.leave_out(about.operation, why);
        if !shared.settings.sampling.takes(about.operation, number) {
            return leave_out(LeftOut::Sampling);
        }
        if shared.is_ending.load(Ordering::Relaxed) {
            return leave_out(LeftOut::Ended);
        }
        if shared.breaker.is_open() && !shared.breaker.admits(shared.millis_of(&about)) {
            return leave_out(LeftOut::BreakerOpen);
        }
        let has_room = !shared.queue.is_full() && shared.take_bytes(bytes);
        if !has_room {
            shared.breaker.withdraw();
            return leave_out(LeftOut::QueueFull);
        }
        let job = Job {
            about,
            bytes,
            examination: Examination::new(case()),
        };
        if shared.queue.push(job).is_err() {
            shared.give_bytes(bytes);
            shared.breaker.withdraw();
            return leave_out(LeftOut::QueueFull);
        }
        // Whoever closed the queue in between may have emptied it before this came.
        if shared.is_closed.load(Ordering::SeqCst) {
            shared.empty_queue();
        }
    }

    pub(super) fn status(&self) -> Status {
        self.shared.status()
    }

    pub(super) fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared))
    }

    /// Works off what is there for at most so long, and counts the rest. True if all of it was
    /// worked off.
    pub(super) fn finish(&self, within: Duration) -> bool {
        const STEP: Duration = Duration::from_millis(1);
        let deadline = Instant::now() + within;
        self.shared.is_ending.store(true, Ordering::SeqCst);
        while !self.shared.is_at_rest() && Instant::now() < deadline {
            thread::sleep(STEP);
        }
        let is_complete = self.shared.close();
        let keeper = self
            .keeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(keeper) = keeper {
            // A keeper that panicked has nothing more to say.
            let _ = keeper.join();
        }
        is_complete
    }

    pub(super) fn end(self) {
        self.finish(self.shared.settings.drain);
    }
}
