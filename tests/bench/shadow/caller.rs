//! What shadow mode adds to a call.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use btc::shadow::OffPath;
use btc::shadow::record::Line;
use btc::shadow::sink::{FileSink, Sink};
use btc::{BitcoinImplementationType, BitcoinInterface};

use super::shadow;
use super::side::Side;
use crate::Outcome;
use crate::measure::Effort;
use crate::report::{Figure, Results};

/// A log that takes nothing.
struct FullDisk;

impl Sink for FullDisk {
    fn write(&self, _: &Line) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

/// How often each side is timed, in turn.
const ROUNDS: usize = 15;

/// What shadow mode adds to a call.
pub(super) fn figures(effort: &Effort, results: &mut Results) -> Outcome<()> {
    let alone = Side::new(BitcoinImplementationType::Python, false);
    let folder = tempfile::tempdir()?;
    let scenes: [(&str, bool, Box<dyn Sink>); 3] = [
        (
            "",
            false,
            Box::new(FileSink::open(&folder.path().join("log"))?),
        ),
        (", the secondary hangs", true, Box::new(FullDisk)),
        (", the disk is full", false, Box::new(FullDisk)),
    ];
    for (scene, hangs, sink) in scenes {
        let shadow = shadow(hangs, sink, off_path())?;
        let [p50, p99] = added(effort.calls, &|| alone.get_block_height().is_ok(), &|| {
            shadow.get_block_height().is_ok()
        });
        results.tell(Figure {
            work: format!("shadow mode adds to a call{scene}"),
            measured: format!("p50 {p50} ns, p99 {p99} ns"),
            reach: "p50 ≤ 250 ns, p99 ≤ 1 µs",
            is_reached: p50 <= 250 && p99 <= 1_000,
        });
    }
    let shadow = shadow(false, Box::new(FullDisk), off_path())?;
    let [p50, p99] = added(
        effort.calls,
        &|| alone.get_transaction("id").is_ok(),
        &|| shadow.get_transaction("id").is_ok(),
    );
    results.tell(Figure {
        work: "shadow mode adds to a call with a transaction of two inputs".to_owned(),
        measured: format!("p50 {p50} ns, p99 {p99} ns"),
        reach: "",
        is_reached: true,
    });
    Ok(())
}

/// The defaults, but that the end waits for nobody.
fn off_path() -> OffPath {
    OffPath {
        drain: Duration::ZERO,
        ..OffPath::default()
    }
}

/// What `with` takes longer than `without`, at the median and at the 99th percentile, in
/// nanoseconds: the middle of several rounds, so that a busy moment hits both.
fn added(calls: usize, without: &dyn Fn() -> bool, with: &dyn Fn() -> bool) -> [u128; 2] {
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let without = percentiles(calls / ROUNDS, without);
            let with = percentiles(calls / ROUNDS, with);
            [0, 1].map(|index| with[index].saturating_sub(without[index]))
        })
        .collect();
    [0, 1].map(|index| {
        let mut found: Vec<_> = rounds.iter().map(|round| round[index]).collect();
        found.sort_unstable();
        found[ROUNDS / 2]
    })
}

/// The median and the 99th percentile of single calls in nanoseconds, each call timed on its own,
/// at a rate that the comparisons can follow.
fn percentiles(calls: usize, call: &dyn Fn() -> bool) -> [u128; 2] {
    let mut durations = Vec::with_capacity(calls);
    for _ in 0..calls {
        let started = Instant::now();
        black_box(call());
        durations.push(started.elapsed().as_nanos());
        let pause = Instant::now();
        while pause.elapsed() < Duration::from_micros(4) {
            std::hint::spin_loop();
        }
    }
    durations.sort_unstable();
    [50, 99].map(|percent| durations[(calls - 1) * percent / 100])
}
