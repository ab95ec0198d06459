//! Lanes: threads that each carry one call at a time, so that a caller can stop waiting for one.
//!
//! Python code cannot be interrupted from outside. A call therefore runs on a lane's thread while
//! the caller waits with a limit. A lane that misses the limit is given up: a worker process is
//! killed, an embedded thread ends when its call does and counts against the limit until then.

use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

/// Carries requests to Python and answers back, one at a time.
pub(crate) trait Carrier: Send + 'static {
    /// Runs one request to its end.
    fn carry(&mut self, operation: Operation, request: &[u8]) -> BitcoinResult<Vec<u8>>;
}

/// Ends a carrier's call from outside, if that is possible.
pub(crate) type Ender = Box<dyn Fn() + Send>;

/// Makes a carrier and the means to end it.
pub(crate) trait Factory: Send + Sync + 'static {
    /// Makes a carrier at once; what takes time happens in its first call, within the limit.
    fn make(&self) -> (Box<dyn Carrier>, Ender);
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
}

struct Lane {
    jobs: SyncSender<Job>,
    end: Ender,
    thread: JoinHandle<()>,
}

struct Job {
    operation: Operation,
    request: Vec<u8>,
    reply: SyncSender<BitcoinResult<Vec<u8>>>,
}

impl Lanes {
    pub(crate) fn new(factory: impl Factory, timeout: Option<Duration>, limit: usize) -> Self {
        Self {
            factory: Box::new(factory),
            timeout,
            limit: limit.max(1),
            shared: Arc::default(),
        }
    }

    /// Runs one request on a free lane and waits for its answer within the limit.
    pub(crate) fn call(&self, operation: Operation, request: Vec<u8>) -> BitcoinResult<Vec<u8>> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let lane = self.acquire(operation, deadline)?;
        let (reply, answer) = mpsc::sync_channel(1);
        if lane
            .jobs
            .send(Job {
                operation,
                request,
                reply,
            })
            .is_err()
        {
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
                (lane.end)();
                Err(self.timed_out(operation, "the Python class did not answer"))
            }
            Err(RecvTimeoutError::Disconnected) => Err(lost(operation)),
        }
    }

    fn acquire(&self, operation: Operation, deadline: Option<Instant>) -> BitcoinResult<Lane> {
        let mut state = self.shared.lock();
        loop {
            if let Some(lane) = state.idle.pop() {
                return Ok(lane);
            }
            if state.live < self.limit {
                state.live += 1;
                drop(state);
                return self.open().map_err(|error| error.during(operation));
            }
            state = match deadline {
                None => self
                    .shared
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        let message = format!("all {} Python lanes stayed busy", self.limit);
                        return Err(self.timed_out(operation, &message));
                    }
                    let waited = self.shared.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Opens a lane that `acquire` has counted already.
    fn open(&self) -> BitcoinResult<Lane> {
        let counted = Counted(Arc::clone(&self.shared));
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
            });
        let thread = spawned.map_err(|cause| {
            let message = "no thread for the Python side can be started";
            BitcoinError::new(ErrorKind::Internal, Operation::Connect, message).with_source(cause)
        })?;
        Ok(Lane { jobs, end, thread })
    }

    fn release(&self, lane: Lane) {
        self.shared.lock().idle.push(lane);
        self.shared.changed.notify_one();
    }

    fn timed_out(&self, operation: Operation, what: &str) -> BitcoinError {
        let limit = self.timeout.unwrap_or_default().as_secs_f32();
        let message = format!("{what} within {limit} s; PYTHON_TIMEOUT_SECS sets the limit");
        BitcoinError::new(ErrorKind::Timeout, operation, message)
    }
}

impl Drop for Lanes {
    /// Ends the lanes and waits for it: what a class holds, such as a wallet, is free afterwards.
    /// No call is under way, and a lane that was given up is nobody's any more.
    fn drop(&mut self) {
        let idle = std::mem::take(&mut self.shared.lock().idle);
        for Lane { jobs, thread, .. } in idle {
            drop(jobs);
            // A lane that panicked has ended as well.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One lane's place in the count of live ones, given back on drop.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.lock().live -= 1;
        self.0.changed.notify_one();
    }
}

fn lost(operation: Operation) -> BitcoinError {
    BitcoinError::new(
        ErrorKind::Unavailable,
        operation,
        "the Python side ended during the call",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Makes carriers that count how many of them there are.
    struct Counting(Arc<AtomicUsize>);

    struct Counted(Arc<AtomicUsize>);

    impl Factory for Counting {
        fn make(&self) -> (Box<dyn Carrier>, Ender) {
            self.0.fetch_add(1, Ordering::SeqCst);
            (Box::new(Counted(Arc::clone(&self.0))), Box::new(|| {}))
        }
    }

    impl Carrier for Counted {
        fn carry(&mut self, _: Operation, request: &[u8]) -> BitcoinResult<Vec<u8>> {
            Ok(request.to_vec())
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn nothing_is_left_of_lanes_that_are_dropped() {
        let live = Arc::new(AtomicUsize::new(0));
        let lanes = Lanes::new(Counting(Arc::clone(&live)), None, 4);
        let answer = lanes.call(Operation::GetBalance, b"7".to_vec());
        assert_eq!(answer.expect("an echo"), b"7");
        assert_eq!(live.load(Ordering::SeqCst), 1);
        drop(lanes);
        assert_eq!(live.load(Ordering::SeqCst), 0);
    }
}
