//! `Desk`: the place of one worker, where the keeper sees how long it has been busy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::recorder::About;
use crate::record::Digest;

/// A worker's place. The account of the call it works on lies here: whoever takes it away closes
/// it, the worker when it is done or the keeper when that takes too long.
#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    /// Whether the worker may have a call in hand whose account does not lie here: not yet, or no
    /// more.
    is_reaching: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Counts the workers that have sat here.
    generation: u64,
    has_worker: bool,
    at_work: Option<AtWork>,
}

/// What a worker is at.
pub(super) struct AtWork {
    since: Instant,
    /// The call; none for a look at the tip.
    pub(super) call: Option<Account>,
}

/// A call whose account is open.
#[derive(Clone, Copy)]
pub(super) struct Account {
    pub(super) about: About,
    pub(super) digest: Digest,
    pub(super) rechecks: usize,
    pub(super) bytes: usize,
}

impl Desk {
    /// Seats a new worker, unless there is one: the number by which it knows that it still has
    /// the place.
    pub(super) fn seat(&self) -> Option<u64> {
        let mut state = self.state();
        if state.has_worker {
            return None;
        }
        state.has_worker = true;
        state.generation += 1;
        Some(state.generation)
    }

    /// The worker goes, or could not come.
    pub(super) fn leave(&self, generation: u64) {
        let mut state = self.state();
        if state.generation == generation {
            state.has_worker = false;
        }
    }

    /// The worker is about to take a call. To be said before it looks whether it may.
    pub(super) fn reach(&self) {
        self.is_reaching.store(true, Ordering::SeqCst);
    }

    /// The worker has nothing in hand.
    pub(super) fn rest(&self) {
        self.is_reaching.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_reaching(&self) -> bool {
        self.is_reaching.load(Ordering::SeqCst)
    }

    /// The worker has taken a call, or looks at the tip.
    pub(super) fn begin(&self, call: Option<Account>) {
        self.state().at_work = Some(AtWork {
            since: Instant::now(),
            call,
        });
        self.rest();
    }

    /// Ends the work; false if the place was taken away in the meantime, with the account. Else the
    /// worker has the call in hand, to close its account and [`rest`](Self::rest).
    pub(super) fn end(&self, generation: u64) -> bool {
        let mut state = self.state();
        let is_mine = state.generation == generation;
        if is_mine {
            state.at_work = None;
            self.reach();
        }
        is_mine
    }

    pub(super) fn is_busy(&self) -> bool {
        self.is_reaching() || self.state().at_work.is_some()
    }

    /// Takes the place away from a worker that has been busy for longer than that.
    pub(super) fn evict(&self, limit: Duration) -> Option<AtWork> {
        let mut state = self.state();
        let is_overdue = |work: &mut AtWork| work.since.elapsed() >= limit;
        let work = state.at_work.take_if(is_overdue)?;
        state.generation += 1;
        state.has_worker = false;
        Some(work)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
