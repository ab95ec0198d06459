//! Work that is done several at a time and used in order, within a bounded memory.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

/// Requests in flight at once.
const WORKERS: usize = 4;
/// How far the work may be ahead of its use, in jobs and in bytes that wait.
const MAX_AHEAD: usize = 64;
const MAX_WAITING_BYTES: usize = 16 << 20;

/// Something that takes room while it waits.
pub(super) trait Weighed {
    /// Its size in bytes.
    fn bytes(&self) -> usize;
}

struct State<T> {
    /// The next job to begin.
    next: usize,
    /// The next result to use.
    used: usize,
    waiting: BTreeMap<usize, BitcoinResult<T>>,
    waiting_bytes: usize,
    is_over: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    has_room: Condvar,
    has_result: Condvar,
}

/// Runs jobs 0 to `count` on a few threads and hands each result to `apply`, on this thread and in
/// order, until one of the two fails.
pub(super) fn in_order<T: Send + Weighed>(
    count: usize,
    job: impl Fn(usize) -> BitcoinResult<T> + Sync,
    mut apply: impl FnMut(usize, T) -> BitcoinResult<()>,
) -> BitcoinResult<()> {
    if count < WORKERS {
        return (0..count).try_for_each(|i| apply(i, job(i)?));
    }
    let shared = Shared {
        state: Mutex::new(State {
            next: 0,
            used: 0,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            is_over: false,
        }),
        has_room: Condvar::new(),
        has_result: Condvar::new(),
    };
    thread::scope(|scope| {
        let _end = End(&shared);
        for _ in 0..WORKERS {
            scope.spawn(|| work(&shared, count, &job));
        }
        (0..count).try_for_each(|i| apply(i, shared.result(i)?))
    })
}

fn work<T: Weighed>(shared: &Shared<T>, count: usize, job: &impl Fn(usize) -> BitcoinResult<T>) {
    // A job that panics must not leave the others waiting for its result.
    let _end = EndOnPanic(shared);
    while let Some(i) = shared.claim(count) {
        let result = job(i);
        let mut state = shared.lock();
        state.waiting_bytes += result.as_ref().map_or(0, Weighed::bytes);
        state.waiting.insert(i, result);
        if state.used == i {
            shared.has_result.notify_one();
        }
    }
}

impl<T: Weighed> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, as soon as there is room for its result. The one that is waited for always
    /// has room.
    fn claim(&self, count: usize) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.is_over || state.next >= count {
                return None;
            }
            let ahead = state.next - state.used;
            if ahead == 0 || (ahead < MAX_AHEAD && state.waiting_bytes < MAX_WAITING_BYTES) {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self
                .has_room
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn result(&self, i: usize) -> BitcoinResult<T> {
        let mut state = self.lock();
        loop {
            if let Some(result) = state.waiting.remove(&i) {
                state.used = i + 1;
                state.waiting_bytes -= result.as_ref().map_or(0, Weighed::bytes);
                self.has_room.notify_all();
                return result;
            }
            if state.is_over {
                let message = "a thread of the scan has failed; report this defect";
                return Err(BitcoinError::new(
                    ErrorKind::Internal,
                    Operation::Sync,
                    message,
                ));
            }
            state = self
                .has_result
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.has_room.notify_all();
        self.has_result.notify_all();
    }
}

/// Ends the work when the user of the results is done with them.
struct End<'s, T: Weighed>(&'s Shared<T>);

impl<T: Weighed> Drop for End<'_, T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct EndOnPanic<'s, T: Weighed>(&'s Shared<T>);

impl<T: Weighed> Drop for EndOnPanic<'_, T> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    impl Weighed for usize {
        fn bytes(&self) -> usize {
            1 << 20
        }
    }

    #[test]
    fn results_come_in_order_and_few_wait() {
        let (begun, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut seen = Vec::new();
        let ran = in_order(
            500,
            |i| {
                begun.fetch_add(1, Ordering::SeqCst);
                if i % 7 == 0 {
                    thread::sleep(Duration::from_micros(300));
                }
                let ahead = i - used.load(Ordering::SeqCst).min(i);
                assert!(ahead <= 16 + WORKERS, "{ahead} of a MiB each");
                Ok(i)
            },
            |i, result| {
                seen.push((i, result));
                used.store(i + 1, Ordering::SeqCst);
                Ok(())
            },
        );
        assert!(ran.is_ok());
        assert!(seen.into_iter().eq((0..500).map(|i| (i, i))));
    }

    #[test]
    fn the_first_failure_ends_it() {
        let fail = || BitcoinError::new(ErrorKind::Timeout, Operation::Sync, "no answer");
        let applied = AtomicUsize::new(0);
        let ran = in_order(
            100,
            |i| if i == 40 { Err(fail()) } else { Ok(i) },
            |_, _| {
                applied.fetch_add(1, Ordering::SeqCst);
                Ok(())
            },
        );
        assert_eq!(ran.map_err(|error| error.kind()), Err(ErrorKind::Timeout));
        assert_eq!(applied.load(Ordering::SeqCst), 40);
        let ran = in_order(100, Ok, |i, _| if i == 3 { Err(fail()) } else { Ok(()) });
        assert!(ran.is_err());
    }
}
