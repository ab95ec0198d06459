//! A load on the interface: threads that call, repeatable from a seed, at a rate or as fast as may be.

mod caller;
mod mix;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use btc::BitcoinInterface;

use self::caller::Caller;
pub(crate) use self::mix::Mix;
pub(crate) use self::world::{Inputs, World};

/// The longest sleep, so that an end is soon noticed.
const NAP: Duration = Duration::from_millis(50);
/// Between two looks whether a load that is held back may go on.
const HELD_NAP: Duration = Duration::from_millis(2);

/// What is called, and how much.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// When it ends.
    pub(crate) extent: Extent,
    /// Threads that call. The calls of each follow from the seed and its number; what they meet
    /// depends on the others.
    pub(crate) threads: u32,
    /// Calls a second over all threads, on a schedule that does not wait for answers; as many as
    /// there can be without.
    pub(crate) rate: Option<u32>,
    /// Which operations.
    pub(crate) mix: Mix,
    /// Another load for each number.
    pub(crate) seed: u64,
    /// Whom the wallet pays, beside itself.
    pub(crate) stranger: Option<String>,
}

/// When a load ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// After so many calls.
    Calls(u64),
    /// After so long.
    For(Duration),
}

/// How far a load is.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    done: AtomicU64,
    held: AtomicU64,
    held_us: AtomicU64,
}

impl Gauge {
    /// Calls that were answered.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// How often a thread was held back.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// For how long, summed over the threads.
    pub(crate) fn held_for(&self) -> Duration {
        Duration::from_micros(self.held_us.load(Ordering::Relaxed))
    }
}

/// Who may stop a load, and slow it down.
pub(crate) struct Reins<'a> {
    /// Whether it ends before its time.
    pub(crate) is_over: &'a (dyn Fn() -> bool + Sync),
    /// Whether it has to wait.
    pub(crate) is_held: &'a (dyn Fn() -> bool + Sync),
}

impl Load {
    /// Calls until the end, and returns then. What the calls answer is for whoever stands behind
    /// the interface.
    pub(crate) fn run(
        &self,
        bitcoin: &dyn BitcoinInterface,
        world: &World,
        gauge: &Gauge,
        reins: &Reins<'_>,
    ) {
        let started = Instant::now();
        thread::scope(|scope| {
            for thread in 0..self.threads {
                scope.spawn(move || self.call_as(thread, started, bitcoin, world, gauge, reins));
            }
        });
    }

    /// The calls of one thread.
    fn call_as(
        &self,
        thread: u32,
        started: Instant,
        bitcoin: &dyn BitcoinInterface,
        world: &World,
        gauge: &Gauge,
        reins: &Reins<'_>,
    ) {
        let mut caller = Caller::new(self, thread, bitcoin, world);
        let (calls, until) = match self.extent {
            Extent::Calls(calls) => (share(calls, self.threads, thread), None),
            Extent::For(limit) => (u64::MAX, Some(started + limit)),
        };
        let is_over = || (reins.is_over)() || until.is_some_and(|until| Instant::now() >= until);
        for number in 0..calls {
            self.wait_for_turn(started, thread, number, &is_over);
            hold(gauge, reins, &is_over);
            if is_over() {
                return;
            }
            caller.call();
            gauge.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until a call of a thread is due.
    fn wait_for_turn(
        &self,
        started: Instant,
        thread: u32,
        number: u64,
        is_over: &dyn Fn() -> bool,
    ) {
        let Some(rate) = self.rate else {
            return;
        };
        let place = u128::from(number) * u128::from(self.threads) + u128::from(thread);
        let due_us = place * 1_000_000 / u128::from(rate.max(1));
        let due = Duration::from_micros(u64::try_from(due_us).unwrap_or(u64::MAX));
        while let Some(left) = due.checked_sub(started.elapsed()) {
            if left.is_zero() || is_over() {
                return;
            }
            thread::sleep(left.min(NAP));
        }
    }
}

fn hold(gauge: &Gauge, reins: &Reins<'_>, is_over: &dyn Fn() -> bool) {
    if !(reins.is_held)() {
        return;
    }
    gauge.held.fetch_add(1, Ordering::Relaxed);
    let since = Instant::now();
    while (reins.is_held)() && !is_over() {
        thread::sleep(HELD_NAP);
    }
    let held_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
    gauge.held_us.fetch_add(held_us, Ordering::Relaxed);
}

/// What one thread has to do of so many calls.
fn share(calls: u64, threads: u32, thread: u32) -> u64 {
    let threads = u64::from(threads.max(1));
    calls / threads + u64::from(u64::from(thread) < calls % threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (calls, threads) in [(0, 1), (1, 4), (10, 4), (300, 7), (3, 256)] {
            let sum: u64 = (0..threads)
                .map(|thread| share(calls, threads, thread))
                .sum();
            assert_eq!(sum, calls);
        }
    }
}
