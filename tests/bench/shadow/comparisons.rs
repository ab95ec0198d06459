//! How many comparisons one worker makes, and in how much memory: in a process of its own.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use btc::BitcoinInterface;
use btc::shadow::sink::FileSink;
use btc::shadow::{OffPath, memory};
use serde::{Deserialize, Serialize};

use super::{a_second, rotation, shadow};
use crate::Outcome;
use crate::measure::Effort;
use crate::report::{Figure, Results};

/// The argument that makes this program compare and say how it went.
pub(crate) const ARGUMENT: &str = "--comparisons";

/// Lines that may wait to be written before no more is offered.
const LOG_BEHIND: u64 = 8_192;

/// What the process says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Course {
    nanoseconds: u64,
    offered: u64,
    left_out: u64,
    lost_lines: u64,
    /// Resident after the first tenth.
    early_bytes: u64,
    /// Resident at the end.
    late_bytes: u64,
    /// Resident at the most.
    most_bytes: u64,
}

pub(super) fn figures(effort: &Effort, results: &mut Results) -> Outcome<()> {
    let output = Command::new(std::env::current_exe()?)
        .args([ARGUMENT, &effort.comparisons.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("the comparisons failed: {}", output.status).into());
    }
    let course: Course = serde_json::from_slice(&output.stdout)?;
    let rate = a_second(effort.comparisons, Duration::from_nanos(course.nanoseconds));
    results.tell(Figure {
        work: format!("comparisons by one worker, {} heights", effort.comparisons),
        measured: format!("{:.2} M a second, each with a line in the log", rate / 1e6),
        reach: "≥ 1 M a second",
        is_reached: rate >= 1e6,
    });
    let [early, late, most] =
        [course.early_bytes, course.late_bytes, course.most_bytes].map(|bytes| bytes >> 20);
    results.tell(Figure {
        work: format!("memory over {} compared calls", course.offered),
        measured: format!(
            "{early} MiB after the first tenth, {late} at the end, {most} at the most; {} calls \
             left out, {} lines lost",
            course.left_out, course.lost_lines
        ),
        reach: "≤ 64 MiB, flat",
        is_reached: most <= 64 && late <= early + 8,
    });
    Ok(())
}

/// The child: a caller as fast as the worker and the log follow (what is offered beyond that is
/// left out), with the defaults but for one worker.
pub(crate) fn child(mut arguments: impl Iterator<Item = String>) -> Outcome<()> {
    let calls: usize = arguments.next().ok_or("how many?")?.parse()?;
    let folder = tempfile::tempdir()?;
    let settings = OffPath {
        workers: 1,
        drain: Duration::from_mins(1),
        ..OffPath::default()
    };
    let room = settings.queue_calls / 2;
    let sink = Arc::new(FileSink::with(&folder.path().join("log"), rotation())?);
    let shadow = shadow(false, Box::new(Arc::clone(&sink)), settings)?;
    let queued = || shadow.status().map_or(0, |status| status.queued);
    let offer = |calls: usize| {
        for call in 0..calls {
            black_box(shadow.get_block_height().is_ok());
            while call % 1024 == 0 && (queued() > room || sink.tally().pending() > LOG_BEHIND) {
                thread::sleep(Duration::from_micros(50));
            }
        }
    };
    offer(calls / 10);
    let early = resident()?;
    let started = Instant::now();
    offer(calls);
    while queued() > 0 {
        thread::sleep(Duration::from_micros(100));
    }
    let took = started.elapsed();
    let late = resident()?;
    let books = shadow.books();
    drop(shadow);
    let counts = books.counts();
    if !counts.close() {
        return Err(format!("the books do not close: {counts:?}").into());
    }
    let course = Course {
        nanoseconds: took.as_nanos().try_into()?,
        offered: counts.total_offered(),
        left_out: counts.left_out.values().sum(),
        lost_lines: counts.lost_lines,
        early_bytes: early.rss_bytes,
        late_bytes: late.rss_bytes,
        most_bytes: late.peak_rss_bytes,
    };
    println!("{}", serde_json::to_string(&course)?);
    Ok(())
}

fn resident() -> Outcome<memory::Resident> {
    memory::of_this_process().ok_or_else(|| "the memory of this process cannot be read".into())
}
