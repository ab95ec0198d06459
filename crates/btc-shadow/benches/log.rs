//! Lines of matches through `FileSink`: the cost of one, and ten million of them by one thread.

use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::{BitcoinImplementationType, Operation};
use btc_shadow::compare::{RULES, Verdict};
use btc_shadow::memory;
use btc_shadow::record::{Build, Comparison, Digest, Event, Line, RunId, Side, Start, VERSION};
use btc_shadow::sink::{FileSink, Sink};
use criterion::{Criterion, Throughput};

const RECORDS: u64 = 10_000_000;

fn line(event: Event) -> Line {
    Line {
        version: VERSION,
        run: RunId(1),
        event,
    }
}

fn start() -> Line {
    let build = |implementation| Build {
        implementation,
        build: "0.1.0".to_owned(),
    };
    line(Event::Start(Start {
        time_ms: 1_790_000_000_000,
        primary: build(BitcoinImplementationType::Python),
        secondary: build(BitcoinImplementationType::Rust),
        log_all: true,
        rules: RULES,
        part: 1,
    }))
}

fn matched(sequence: u64) -> Line {
    let side = |implementation, duration_ns| Side {
        implementation,
        duration_ns,
        error: None,
        tips: Some([900_000; 2]),
    };
    line(Event::Comparison(Comparison {
        sequence,
        time_ms: 1_790_000_000_000 + sequence,
        operation: Operation::GetTransaction,
        verdict: Verdict::Match,
        input: Digest(sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        primary: side(BitcoinImplementationType::Python, 1_234_567),
        secondary: Some(side(BitcoinImplementationType::Rust, 123_456)),
        rechecks: 0,
        differences: Vec::new(),
        reason: None,
    }))
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Elements(1));
    // What the caller pays, whatever the disk.
    let sink = FileSink::open(Path::new("/dev/null"))?;
    sink.write(&start())?;
    let mut sequence = 0;
    group.bench_function("a match", |bencher| {
        bencher.iter(|| {
            sequence += 1;
            sink.write(&matched(sequence))
        });
    });
    group.finish();
    drop(sink);
    println!("{RECORDS} matches by one thread, into files of 64 MiB");
    println!("| | M/s | refused | written | peak memory |");
    println!("|---|---|---|---|---|");
    ten_million("as the disk takes them", &folder.path().join("paced"), true)?;
    ten_million("as fast as it can", &folder.path().join("flood"), false)
}

/// The rate up to the last line in the file, and the memory that it took.
fn ten_million(what: &str, path: &Path, is_paced: bool) -> Result<(), Box<dyn Error>> {
    const AHEAD: u64 = 30_000;
    let sink = FileSink::open(path)?;
    sink.write(&start())?;
    let started = Instant::now();
    let mut refused = 0_u64;
    for sequence in 1..=RECORDS {
        refused += u64::from(sink.write(&matched(sequence)).is_err());
        if is_paced && sequence.is_multiple_of(AHEAD / 10) {
            while sink.tally().pending() > AHEAD {
                thread::sleep(Duration::from_micros(200));
            }
        }
    }
    let is_flushed = sink.flush(Duration::from_mins(1));
    let taken = started.elapsed();
    let tally = sink.tally();
    // What was refused at the very end may not have its mark yet.
    let is_accounted = is_flushed && tally.pending() == 0 && tally.refused == refused;
    if !is_accounted || tally.accepted < 1 + RECORDS - refused {
        return Err(format!("not accounted for: {tally:?}, {refused} refused").into());
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = tally.written as f64 / taken.as_secs_f64() / 1e6;
    let peak = memory::of_this_process().map_or_else(
        || "unknown".to_owned(),
        |resident| format!("{} kB", resident.peak_rss_bytes >> 10),
    );
    let written = tally.written;
    println!("| {what} | {rate:.2} | {refused} | {written} | {peak} |");
    Ok(())
}
