//! What the caller, the workers and the keeper share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;

use super::super::breaker::{Breaker, Change};
use super::super::case::{Answer, Examination, Step};
use super::super::finding::Finding;
use super::super::recorder::{About, Recorder};
use super::super::sides::Sides;
use super::desk::{Account, Desk};
use super::later::Later;
use super::{OffPath, Status};
use crate::books::LeftOut;
use crate::clock::now_ms;
use crate::compare::Verdict;
use crate::policy::Policy;
use crate::record::{self, Event};

/// A call that waits to be compared.
pub(super) struct Job {
    pub(super) about: About,
    /// What it takes of the queue's bytes.
    pub(super) bytes: usize,
    pub(super) examination: Examination,
}

/// Everything but the threads.
pub(super) struct Shared {
    pub(super) settings: OffPath,
    pub(super) recorder: Arc<Recorder>,
    pub(super) queue: ArrayQueue<Job>,
    pub(super) breaker: Breaker,
    pub(super) desks: Vec<Desk>,
    /// No more calls are taken.
    pub(super) is_ending: AtomicBool,
    /// What is left is counted and not compared.
    pub(super) is_closed: AtomicBool,
    pub(super) stuck: AtomicUsize,
    sides: Arc<Sides>,
    policy: Policy,
    later: Later,
    queued_bytes: AtomicUsize,
    base: Instant,
    next_look_ms: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        sides: Arc<Sides>,
        recorder: Arc<Recorder>,
        policy: Policy,
        settings: OffPath,
    ) -> Self {
        let workers = settings.workers.max(1);
        let never_looks = settings.look_every.is_zero();
        Self {
            recorder,
            queue: ArrayQueue::new(settings.queue_calls.max(1)),
            breaker: Breaker::new(settings.breaker_failures),
            desks: (0..workers).map(|_| Desk::default()).collect(),
            is_ending: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            stuck: AtomicUsize::new(0),
            sides,
            policy,
            later: Later::new(settings.waiting_calls),
            queued_bytes: AtomicUsize::new(0),
            base: Instant::now(),
            next_look_ms: AtomicU64::new(if never_looks { u64::MAX } else { 0 }),
            settings,
        }
    }

    pub(super) fn status(&self) -> Status {
        Status {
            queued: self.queue.len(),
            queued_bytes: self.queued_bytes.load(Ordering::Relaxed),
            waiting: self.later.len(),
            stuck_threads: self.stuck.load(Ordering::Relaxed),
            is_breaker_open: self.breaker.is_open(),
        }
    }

    /// When the primary had answered, in milliseconds since the pool began.
    pub(super) fn millis_of(&self, about: &About) -> u64 {
        let ended = about.primary.started + about.primary.duration;
        millis(ended.saturating_duration_since(self.base))
    }

    fn millis_now(&self) -> u64 {
        millis(self.base.elapsed())
    }

    /// Takes room for an answer, if there is so much.
    pub(super) fn take_bytes(&self, bytes: usize) -> bool {
        if bytes == 0 {
            return true;
        }
        let before = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        // One answer that is larger than all the room is compared when it is the only one.
        let fits = before == 0 || before.saturating_add(bytes) <= self.settings.queue_bytes;
        if !fits {
            self.give_bytes(bytes);
        }
        fits
    }

    pub(super) fn give_bytes(&self, bytes: usize) {
        if bytes != 0 {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Does one piece of work at this desk. None if there is none; false if the place was taken
    /// away while it was done.
    pub(super) fn work(&self, desk: &Desk, generation: u64) -> Option<bool> {
        let is_ending = self.is_ending.load(Ordering::Relaxed);
        desk.reach();
        // Whoever closes waits for those who reach, so that no account is lost in between.
        let is_closed = self.is_closed.load(Ordering::SeqCst);
        let Some(job) = (!is_closed).then(|| self.take(is_ending)).flatten() else {
            desk.rest();
            return None;
        };
        Some(self.examine(job, desk, generation, is_ending))
    }

    /// What is to be asked again, and else the next in the queue.
    fn take(&self, is_ending: bool) -> Option<Job> {
        let due = match self.later.len() {
            0 => None,
            _ if is_ending => self.later.take_any(),
            _ => self.later.take(self.millis_now()),
        };
        due.or_else(|| self.queue.pop())
    }

    fn examine(&self, mut job: Job, desk: &Desk, generation: u64, is_ending: bool) -> bool {
        let account = Account {
            about: job.about,
            digest: job.examination.digest(),
            rechecks: job.examination.rechecks,
            bytes: job.bytes,
        };
        let is_first = !job.examination.has_begun();
        desk.begin(Some(account));
        let waits = &self.policy.recheck_after_ms;
        let span = tracing::debug_span!(
            "compare",
            operation = account.about.operation.as_str(),
            input = %account.digest,
            rechecks = account.rechecks,
        );
        let _inside = span.enter();
        let mut step = job.examination.step(&self.sides, waits);
        if is_ending && matches!(step, Step::Wait(_)) {
            // There is no time to wait, but to ask once more.
            step = job.examination.step(&self.sides, waits);
        }
        if !desk.end(generation) {
            return false;
        }
        self.conclude(job, step, &account, is_first, is_ending);
        desk.rest();
        true
    }

    /// Does what follows from a step: closes the account, or has the job wait.
    fn conclude(&self, job: Job, step: Step, account: &Account, is_first: bool, is_ending: bool) {
        let rechecks = job.examination.rechecks;
        let finding = match step {
            // Too early to ask again: what differs now may be explained in a moment.
            Step::Done(finding)
                if is_ending && rechecks > 0 && finding.verdict == Verdict::Mismatch =>
            {
                finding.cannot_say(ENDED)
            }
            Step::Done(finding) => finding,
            Step::Wait(_) if is_ending => job.examination.cut_short(ENDED),
            Step::Wait(wait_ms) => {
                if is_first {
                    self.note_answer(job.examination.answer());
                }
                let due_ms = self.millis_now().saturating_add(wait_ms);
                match self.later.put(due_ms, job) {
                    None => return,
                    Some(job) => job
                        .examination
                        .cut_short("too many comparisons wait to be asked again"),
                }
            }
        };
        if is_first {
            self.note_answer(Answer::of(finding.asked));
        }
        self.settle(account, rechecks, finding);
    }

    /// Closes the account of a call.
    pub(super) fn settle(&self, account: &Account, rechecks: usize, finding: Finding) {
        self.give_bytes(account.bytes);
        self.recorder
            .record(&account.about, account.digest, rechecks, finding);
    }

    /// Tells the breaker how the secondary answered.
    fn note_answer(&self, answer: Answer) {
        match answer {
            Answer::NotAsked => self.breaker.withdraw(),
            Answer::Unreached => self.note_failure("it cannot be reached"),
            Answer::Given => {
                if self.breaker.succeed() == Change::Closed {
                    self.write_breaker(false, "the secondary answers again");
                }
            }
        }
    }

    /// Tells the breaker that the secondary did not answer.
    pub(super) fn note_failure(&self, reason: &'static str) {
        if self.breaker.fail(self.millis_now()) == Change::Opened {
            self.write_breaker(true, reason);
        }
    }

    fn write_breaker(&self, is_open: bool, reason: &'static str) {
        if is_open {
            tracing::warn!(reason, "the secondary is left alone for a while");
        } else {
            tracing::info!(reason, "the secondary is compared again");
        }
        self.recorder.write(Event::Breaker(record::Breaker {
            time_ms: now_ms(),
            is_open,
            reason: reason.into(),
        }));
    }

    /// Looks at the tip when it is time to, at this desk. False if the place was taken away while
    /// it was looked at.
    pub(super) fn look(&self, desk: &Desk, generation: u64) -> bool {
        let now = self.millis_now();
        let due = self.next_look_ms.load(Ordering::Relaxed);
        let next = now.saturating_add(millis(self.settings.look_every));
        let is_mine = due <= now
            && self
                .next_look_ms
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !is_mine {
            return true;
        }
        desk.begin(None);
        self.sides.look_at_tip();
        let has_place = desk.end(generation);
        if has_place {
            desk.rest();
        }
        has_place
    }

    /// Whether nothing is left to be done.
    pub(super) fn is_at_rest(&self) -> bool {
        self.queue.is_empty() && self.later.len() == 0 && !self.desks.iter().any(Desk::is_busy)
    }

    /// Ends it all: counts what is left, and tells the threads to go. True if nothing was left.
    pub(super) fn close(&self) -> bool {
        self.is_closed.store(true, Ordering::SeqCst);
        let mut is_complete = self.empty_queue();
        for desk in &self.desks {
            while desk.is_reaching() {
                thread::yield_now();
            }
            let Some(work) = desk.evict(Duration::ZERO) else {
                continue;
            };
            self.stuck.fetch_add(1, Ordering::Relaxed);
            if let Some(account) = work.call {
                is_complete = false;
                self.settle(&account, account.rechecks, Finding::inconclusive(ENDED));
            }
        }
        // After the desks: a worker may have put back what it was at.
        while let Some(job) = self.later.take_any() {
            is_complete = false;
            let account = Account {
                about: job.about,
                digest: job.examination.digest(),
                rechecks: job.examination.rechecks,
                bytes: job.bytes,
            };
            let finding = job.examination.cut_short(ENDED);
            self.settle(&account, account.rechecks, finding);
        }
        is_complete
    }

    /// Counts what is in the queue as dropped; true if it was empty.
    pub(super) fn empty_queue(&self) -> bool {
        let mut was_empty = true;
        while let Some(job) = self.queue.pop() {
            was_empty = false;
            self.give_bytes(job.bytes);
            let books = &self.recorder.books;
            books.leave_out(job.about.operation, LeftOut::Ended);
        }
        was_empty
    }
}

/// Why a comparison went no further.
const ENDED: &str = "shadow mode ended before both sides could be asked again";

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
