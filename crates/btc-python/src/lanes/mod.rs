//! Lanes: threads that each carry one call at a time, so that a caller can stop waiting for one.
//!
//! Python code cannot be interrupted from outside. A call therefore runs on a lane's thread while
//! the caller waits with a limit. A lane that misses the limit is given up: a worker process is
//! killed, an embedded thread ends when its call does and counts against the limit until then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use crate::convert::is_unfinished;

/// Carries requests to Python and answers back, one at a time.
pub(crate) trait Carrier: Send + 'static {
    /// Runs one request to its end.
    fn carry(&mut self, operation: Operation, request: &[u8]) -> BitcoinResult<Vec<u8>>;
}

/// Ends a carrier's call from outside, also one that has not begun.
pub(crate) type Ender = Box<dyn Fn() + Send>;

/// Makes a carrier and, where there are any, the means to end it.
pub(crate) trait Factory: Send + Sync + 'static {
    /// Makes a carrier at once; what takes time happens in its first call, within the limit.
    fn make(&self) -> (Box<dyn Carrier>, Option<Ender>);
}

/// Which of the calls that wait for a lane goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Before all others: what sends money must not wait for what reads the chain.
    First,
    /// After those.
    Usual,
}

/// A bounded set of lanes, made as they are needed.
pub(crate) struct Lanes {
    factory: Box<dyn Factory>,
    timeout: Option<Duration>,
    limit: usize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Lane>,
    live: usize,
    /// How many of the live ones carry a call that nothing can end and that has no waiting caller.
    given_up: usize,
    waiting: usize,
    /// How many of those that wait go first.
    waiting_first: usize,
}

struct Lane {
    jobs: SyncSender<Job>,
    end: Option<Ender>,
    is_given_up: Arc<AtomicBool>,
}

struct Job {
    operation: Operation,
    request: Arc<[u8]>,
    reply: SyncSender<BitcoinResult<Vec<u8>>>,
}

/// How many calls may wait for a lane; one more is told at once that there is no room.
const MAX_WAITING: usize = 1_024;

impl Lanes {
    pub(crate) fn new(factory: impl Factory, timeout: Option<Duration>, limit: usize) -> Self {
        Self {
            factory: Box::new(factory),
            timeout,
            limit: limit.max(1),
            shared: Arc::default(),
        }
    }

    /// Runs one request on a free lane and waits for its answer within the limit. Work in pieces
    /// is continued; between two pieces the lane is free for calls that go first.
    pub(crate) fn call(
        &self,
        operation: Operation,
        request: &[u8],
        turn: Turn,
    ) -> BitcoinResult<Vec<u8>> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let request = Arc::from(request);
        loop {
            let answer = self.call_once(operation, &request, turn, deadline)?;
            if !is_unfinished(&answer) {
                return Ok(answer);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let what = "the Python wallet is still reading the chain, and goes on from here \
                            when it is asked again: no answer";
                return Err(self.timed_out(operation, what));
            }
        }
    }

    fn call_once(
        &self,
        operation: Operation,
        request: &Arc<[u8]>,
        turn: Turn,
        deadline: Option<Instant>,
    ) -> BitcoinResult<Vec<u8>> {
        let lane = self.acquire(operation, turn, deadline)?;
        let (reply, answer) = mpsc::sync_channel(1);
        let job = Job {
            operation,
            request: Arc::clone(request),
            reply,
        };
        if lane.jobs.send(job).is_err() {
            return Err(lost(operation));
        }
        let received = match deadline {
            None => answer.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => {
                answer.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            }
        };
        match received {
            Ok(Ok(response)) => {
                self.release(lane);
                Ok(response)
            }
            // The carrier is broken: dropping the lane ends its thread.
            Ok(Err(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => {
                self.give_up(&lane);
                Err(self.timed_out(operation, "the Python class did not answer"))
            }
            Err(RecvTimeoutError::Disconnected) => Err(lost(operation)),
        }
    }

    fn acquire(
        &self,
        operation: Operation,
        turn: Turn,
        deadline: Option<Instant>,
    ) -> BitcoinResult<Lane> {
        let mut state = self.shared.lock();
        loop {
            if turn == Turn::First || state.waiting_first == 0 {
                if let Some(lane) = state.idle.pop() {
                    return Ok(lane);
                }
                if state.live < self.limit {
                    state.live += 1;
                    drop(state);
                    return self.open().map_err(|error| error.during(operation));
                }
            }
            if state.given_up >= self.limit {
                let what = "every Python lane is busy with a call that has outlasted its limit";
                return Err(busy(operation, what));
            }
            if state.waiting >= MAX_WAITING {
                return Err(busy(operation, "too many calls wait for Python"));
            }
            let left = deadline.map(|it| it.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                let message = format!("all {} Python lanes stayed busy", self.limit);
                return Err(self.timed_out(operation, &message));
            }
            state = self.shared.wait(state, turn, left);
        }
    }

    /// Opens a lane that `acquire` has counted already.
    fn open(&self) -> BitcoinResult<Lane> {
        let is_given_up = Arc::<AtomicBool>::default();
        let counted = Counted {
            shared: Arc::clone(&self.shared),
            is_given_up: Arc::clone(&is_given_up),
        };
        let (mut carrier, end) = self.factory.make();
        let (jobs, queue) = mpsc::sync_channel::<Job>(1);
        let spawned = thread::Builder::new()
            .name("btc-python".to_owned())
            .spawn(move || {
                let _counted = counted;
                for job in queue {
                    let answer = carrier.carry(job.operation, &job.request);
                    let broken = answer.is_err();
                    // The caller may have stopped waiting; then it has dropped the lane too.
                    if job.reply.send(answer).is_err() || broken {
                        break;
                    }
                }
                // What the carrier holds is free once the lane counts no more.
                drop(carrier);
            });
        spawned.map_err(|cause| {
            let message = "no thread for the Python side can be started";
            BitcoinError::new(ErrorKind::Internal, Operation::Connect, message).with_source(cause)
        })?;
        Ok(Lane {
            jobs,
            end,
            is_given_up,
        })
    }

    fn release(&self, lane: Lane) {
        self.shared.lock().idle.push(lane);
        self.shared.changed.notify_all();
    }

    fn give_up(&self, lane: &Lane) {
        if let Some(end) = &lane.end {
            // The lane's thread ends, and counts no more, within moments.
            end();
            return;
        }
        let mut state = self.shared.lock();
        lane.is_given_up.store(true, Ordering::Relaxed);
        state.given_up += 1;
        drop(state);
        self.shared.changed.notify_all();
    }

    fn timed_out(&self, operation: Operation, what: &str) -> BitcoinError {
        let limit = self.timeout.unwrap_or_default().as_secs_f32();
        let message = format!("{what} within {limit} s; PYTHON_TIMEOUT_SECS sets the limit");
        BitcoinError::new(ErrorKind::Timeout, operation, message)
    }

    /// Ends the lanes that carry no call; what they hold, such as a wallet, is let go of.
    pub(crate) fn end(&self) {
        // Dropping a lane ends its queue, and that its thread.
        drop(std::mem::take(&mut self.shared.lock().idle));
    }

    /// Waits until no lane is left but those that were given up. False when the time is over.
    pub(crate) fn wait_for_end(&self, deadline: Instant) -> bool {
        let mut state = self.shared.lock();
        while state.live > state.given_up {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.wait(state, Turn::Usual, Some(left));
        }
        true
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, for this long at most.
    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        turn: Turn,
        limit: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        let is_first = usize::from(turn == Turn::First);
        state.waiting += 1;
        state.waiting_first += is_first;
        state = match limit {
            None => self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let waited = self.changed.wait_timeout(state, limit);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.waiting -= 1;
        state.waiting_first -= is_first;
        if is_first == 1 {
            // Others held back for this one.
            self.changed.notify_all();
        }
        state
    }
}

/// One lane's place in the count of live ones, given back on drop.
struct Counted {
    shared: Arc<Shared>,
    is_given_up: Arc<AtomicBool>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.live -= 1;
        if self.is_given_up.load(Ordering::Relaxed) {
            state.given_up -= 1;
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}

fn lost(operation: Operation) -> BitcoinError {
    BitcoinError::new(
        ErrorKind::Unavailable,
        operation,
        "the Python side ended during the call",
    )
}

fn busy(operation: Operation, what: &str) -> BitcoinError {
    BitcoinError::new(
        ErrorKind::Unavailable,
        operation,
        format!("{what}: try again later"),
    )
}

#[cfg(test)]
mod tests;
