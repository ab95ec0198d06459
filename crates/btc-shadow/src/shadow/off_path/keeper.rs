//! The keeper: seats workers, takes over from those that hang, and reports now and then.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use super::super::finding::Finding;
use super::shared::Shared;
use crate::memory;
use crate::record::{self, Event};

/// Between two looks at the workers.
const TICK: Duration = Duration::from_millis(10);
/// A worker that finds nothing to do rests for so long: nobody wakes it, since that would cost
/// the caller more than the comparison itself.
const REST: Duration = Duration::from_millis(2);
/// A worker that has found nothing for a while rests longer, and so do all but the first one: each
/// that wakes may take the caller's core for more than a microsecond.
const LONG_REST: Duration = Duration::from_millis(5);
/// Rests before the rests grow longer.
const RESTS: u32 = 500;

/// Starts the keeper and the first workers.
pub(super) fn start(shared: &Arc<Shared>) -> BitcoinResult<JoinHandle<()>> {
    let mut workers = Vec::new();
    seat(shared, &mut workers)?;
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("btc-shadow-keeper".to_owned())
        .spawn(move || keep(&shared, workers))
        .map_err(no_thread)
}

fn keep(shared: &Arc<Shared>, mut workers: Vec<JoinHandle<()>>) {
    let report_every = shared.settings.report_every;
    let mut last_report = Instant::now();
    while !shared.is_closed.load(Ordering::SeqCst) {
        thread::sleep(TICK);
        take_over(shared);
        workers.retain(|worker| !worker.is_finished());
        // Without a thread now, there may be one at the next look.
        let _ = seat(shared, &mut workers);
        if !report_every.is_zero() && last_report.elapsed() >= report_every {
            last_report = Instant::now();
            report(shared);
        }
    }
    if !report_every.is_zero() {
        report(shared);
    }
    // The workers go by themselves. None is waited for: those that hang hold nothing of ours, and
    // every account is closed by now.
}

/// Takes the place away from workers that hang, and closes the accounts of what they were at.
fn take_over(shared: &Shared) {
    for desk in &shared.desks {
        let Some(work) = desk.evict(shared.settings.timeout) else {
            continue;
        };
        shared.stuck.fetch_add(1, Ordering::Relaxed);
        if let Some(account) = work.call {
            shared.note_failure("it does not answer in time");
            let finding = Finding::inconclusive("the secondary did not answer in time");
            shared.settle(&account, account.rechecks, finding);
        }
    }
}

/// Seats a worker at each desk without one, unless too many have been left behind.
fn seat(shared: &Arc<Shared>, workers: &mut Vec<JoinHandle<()>>) -> BitcoinResult<()> {
    for (index, desk) in shared.desks.iter().enumerate() {
        let limit = shared.settings.stuck_threads;
        if shared.stuck.load(Ordering::Relaxed) > limit {
            return Ok(());
        }
        let Some(generation) = desk.seat() else {
            continue;
        };
        let for_worker = Arc::clone(shared);
        let worker = thread::Builder::new()
            .name(format!("btc-shadow-{index}"))
            .spawn(move || work(&for_worker, index, generation));
        match worker {
            Ok(worker) => workers.push(worker),
            Err(cause) => {
                desk.leave(generation);
                return Err(no_thread(cause));
            }
        }
    }
    Ok(())
}

/// A worker's life.
fn work(shared: &Shared, index: usize, generation: u64) {
    let desk = &shared.desks[index];
    let mut rests = 0;
    while !shared.is_closed.load(Ordering::Relaxed) {
        // Before the work: a queue that never empties must not hide a new block.
        let has_place = shared.look(desk, generation);
        let worked = has_place.then(|| shared.work(desk, generation));
        match worked {
            Some(Some(true)) => rests = 0,
            Some(None) => {
                let is_watching = index == 0 && rests < RESTS;
                thread::sleep(if is_watching { REST } else { LONG_REST });
                rests = rests.saturating_add(1);
            }
            None | Some(Some(false)) => {
                shared.stuck.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
    }
    desk.leave(generation);
}

/// Writes the memory of this process and the totals.
fn report(shared: &Shared) {
    let counts = shared.recorder.books.counts();
    if let Some(memory) = memory::of_this_process() {
        shared.recorder.write(Event::Memory(record::Memory {
            time_ms: shared.recorder.time_ms(),
            implementation: None,
            rss_bytes: memory.rss_bytes,
            peak_rss_bytes: memory.peak_rss_bytes,
            calls: counts.total_offered(),
        }));
    }
    shared.recorder.write_totals(false);
}

fn no_thread(cause: std::io::Error) -> BitcoinError {
    BitcoinError::new(
        ErrorKind::Internal,
        Operation::Connect,
        "the system gives no thread to compare on; raise its limit on threads",
    )
    .with_source(cause)
}
