//! Shadow mode: what it costs the caller, and how fast comparisons, lines and logs are worked off.

use std::fs;
use std::hint::black_box;
use std::io;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use btc::bitcoin::hashes::Hash;
use btc::bitcoin::{OutPoint, ScriptBuf, Txid, Witness, Wtxid};
use btc::shadow::analysis::Analysis;
use btc::shadow::record::Line;
use btc::shadow::sink::{FileSink, Rotation, Sink};
use btc::shadow::{Counts, OffPath, Policy, Shadow, memory};
use btc::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinImplementationType, BitcoinInterface,
    BitcoinResult, BitcoinTransaction, ErrorKind, Operation, TransactionInput, TransactionOutput,
};

use crate::Outcome;
use crate::measure::Effort;
use crate::report::{Figure, Results};

/// An implementation that answers at once, or hangs.
struct Side {
    implementation: BitcoinImplementationType,
    transaction: BitcoinTransaction,
    hangs: bool,
}

impl Side {
    fn new(implementation: BitcoinImplementationType, hangs: bool) -> Arc<Self> {
        Arc::new(Self {
            implementation,
            transaction: transaction(),
            hangs,
        })
    }

    fn wait(&self) {
        if self.hangs {
            thread::sleep(Duration::from_hours(1));
        }
    }
}

fn unsupported<T>(operation: Operation) -> BitcoinResult<T> {
    Err(BitcoinError::new(
        ErrorKind::Unsupported,
        operation,
        "not here",
    ))
}

impl BitcoinInterface for Side {
    fn get_transaction(&self, _: &str) -> BitcoinResult<BitcoinTransaction> {
        self.wait();
        Ok(self.transaction.clone())
    }
    fn get_block(&self, _: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        unsupported(Operation::GetBlock)
    }
    fn get_block_height(&self) -> BitcoinResult<u32> {
        self.wait();
        Ok(5)
    }
    fn generate_address(&self, _: AddressType) -> BitcoinResult<BitcoinAddress> {
        unsupported(Operation::GenerateAddress)
    }
    fn create_transaction(
        &self,
        _: Vec<(String, u64)>,
        _: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        unsupported(Operation::CreateTransaction)
    }
    fn broadcast_transaction(&self, _: &BitcoinTransaction) -> BitcoinResult<String> {
        unsupported(Operation::BroadcastTransaction)
    }
    fn get_balance(&self) -> BitcoinResult<u64> {
        self.wait();
        Ok(5)
    }
    fn estimate_fee(&self, _: u8) -> BitcoinResult<u64> {
        self.wait();
        Ok(5)
    }
    fn implementation_type(&self) -> BitcoinImplementationType {
        self.implementation
    }
}

/// Two inputs, two outputs.
fn transaction() -> BitcoinTransaction {
    let input = |n| TransactionInput {
        previous_output: OutPoint::new(Txid::from_byte_array([n; 32]), 0),
        script_sig: ScriptBuf::new(),
        sequence: u32::MAX,
        witness: Witness::from_slice(&[vec![n; 71], vec![n; 33]]),
    };
    let output = |value_sat| TransactionOutput {
        value_sat,
        script_pubkey: ScriptBuf::from_bytes(vec![7; 22]),
    };
    BitcoinTransaction {
        txid: Txid::from_byte_array([1; 32]),
        wtxid: Wtxid::from_byte_array([2; 32]),
        version: 2,
        lock_time: 0,
        inputs: vec![input(1), input(2)],
        outputs: vec![output(1_000), output(2_000)],
        size: 371,
        weight: 833,
        fee_sat: None,
        block_hash: None,
        block_height: None,
    }
}

/// A log that takes nothing.
struct FullDisk;

impl Sink for FullDisk {
    fn write(&self, _: &Line) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

/// Measures the caller's cost, the comparisons, the log and the analysis.
pub(crate) fn figures(effort: &Effort, results: &mut Results) -> Outcome<()> {
    caller(effort, results)?;
    comparisons(effort, results)?;
    log_and_analysis(effort, results)
}

fn off_path() -> OffPath {
    OffPath {
        queue_calls: 1 << 20,
        queue_bytes: 1 << 30,
        drain: Duration::ZERO,
        ..OffPath::default()
    }
}

fn shadow(hangs: bool, sink: Box<dyn Sink>, settings: OffPath) -> Outcome<Shadow> {
    let shadow = Shadow::new(
        Side::new(BitcoinImplementationType::Python, false),
        Side::new(BitcoinImplementationType::Rust, hangs),
        Policy::default(),
        sink,
        true,
    );
    Ok(shadow.off_path(settings)?)
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

/// What shadow mode adds to a call.
fn caller(effort: &Effort, results: &mut Results) -> Outcome<()> {
    let alone = Side::new(BitcoinImplementationType::Python, false);
    let bare = percentiles(effort.calls, &|| alone.get_block_height().is_ok());
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
        let with = percentiles(effort.calls, &|| shadow.get_block_height().is_ok());
        let [p50, p99] = [0, 1].map(|index| with[index].saturating_sub(bare[index]));
        results.tell(Figure {
            work: format!("shadow mode adds to a call{scene}"),
            measured: format!("p50 {p50} ns, p99 {p99} ns"),
            reach: "p50 ≤ 250 ns, p99 ≤ 1 µs",
            is_reached: p50 <= 250 && p99 <= 1_000,
        });
    }
    let plain = percentiles(effort.calls, &|| alone.get_transaction("id").is_ok());
    let shadow = shadow(false, Box::new(FullDisk), off_path())?;
    let with = percentiles(effort.calls, &|| shadow.get_transaction("id").is_ok());
    let [p50, p99] = [0, 1].map(|index| with[index].saturating_sub(plain[index]));
    results.tell(Figure {
        work: "shadow mode adds to a call with a transaction of two inputs".to_owned(),
        measured: format!("p50 {p50} ns, p99 {p99} ns"),
        reach: "",
        is_reached: true,
    });
    Ok(())
}

/// Comparisons a second on one worker, offered on another thread, into a real log.
fn comparisons(effort: &Effort, results: &mut Results) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log");
    let settings = OffPath {
        workers: 1,
        drain: Duration::from_mins(1),
        ..off_path()
    };
    let sink = FileSink::with(&path, rotation())?;
    let shadow = shadow(false, Box::new(sink), settings)?;
    let offer = |calls: usize| {
        for call in 0..calls {
            black_box(shadow.get_block_height().is_ok());
            while call % 1024 == 0 && shadow.status().is_some_and(|it| it.queued > 1 << 19) {
                thread::yield_now();
            }
        }
    };
    offer(effort.comparisons / 10);
    let early = resident();
    let started = Instant::now();
    offer(effort.comparisons);
    while shadow.status().is_some_and(|it| it.queued > 0) {
        thread::sleep(Duration::from_micros(100));
    }
    let rate = a_second(effort.comparisons, started.elapsed());
    let late = resident();
    let books = shadow.books();
    drop(shadow);
    let counts: Counts = books.counts();
    if !counts.close() {
        return Err(format!("the books do not close: {counts:?}").into());
    }
    results.tell(Figure {
        work: format!("comparisons by one worker, {} heights", effort.comparisons),
        measured: format!("{:.2} M a second", rate / 1e6),
        reach: "≥ 1 M a second",
        is_reached: rate >= 1e6,
    });
    let dropped: u64 = counts.left_out.values().sum();
    results.tell(Figure {
        work: format!("memory over {} compared calls", counts.total_offered()),
        measured: format!(
            "{} MiB after a tenth, {} MiB at the end; {dropped} left out, {} lines lost, all counted",
            early >> 20,
            late >> 20,
            counts.lost_lines
        ),
        reach: "flat",
        is_reached: late <= early + (16 << 20),
    });
    Ok(())
}

/// Lines written a second, and read.
fn log_and_analysis(effort: &Effort, results: &mut Results) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log");
    let sink = FileSink::with(&path, rotation())?;
    let lines = lines();
    let started = Instant::now();
    for number in 0..effort.lines {
        while sink.write(&lines[number % lines.len()]).is_err() {
            thread::yield_now();
        }
    }
    if !sink.flush(Duration::from_mins(1)) || sink.lost_lines() > 0 {
        return Err("the log lost lines".into());
    }
    let rate = a_second(effort.lines, started.elapsed());
    drop(sink);
    results.tell(Figure {
        work: format!("lines written to the log, {} matches", effort.lines),
        measured: format!("{:.2} M a second", rate / 1e6),
        reach: "≥ 1 M a second",
        is_reached: rate >= 1e6,
    });
    let started = Instant::now();
    let mut analysis = Analysis::default();
    analysis.read_file(&path, &mut |_| {})?;
    let took = started.elapsed();
    black_box(analysis.finish());
    let rate = a_second(effort.lines, took);
    let started = Instant::now();
    let counted = Command::new("wc").arg("-l").arg(&path).output()?;
    let wc = started.elapsed();
    if !counted.status.success() {
        return Err("wc could not count the lines".into());
    }
    let times = took.as_secs_f64() / wc.as_secs_f64();
    results.tell(Figure {
        work: format!("lines analysed, {} MiB", fs::metadata(&path)?.len() >> 20),
        measured: format!(
            "{:.2} M a second, {times:.1} times as long as `wc -l`",
            rate / 1e6
        ),
        reach: "≥ 1 M a second",
        is_reached: rate >= 1e6,
    });
    Ok(())
}

/// One file, however long it gets.
fn rotation() -> Rotation {
    Rotation {
        max_file_bytes: 1 << 40,
        ..Rotation::default()
    }
}

/// Lines as shadow mode writes them, of many different questions.
fn lines() -> Vec<Line> {
    let sink = Arc::new(btc::shadow::sink::MemorySink::default());
    let shadow = Shadow::new(
        Side::new(BitcoinImplementationType::Python, false),
        Side::new(BitcoinImplementationType::Rust, false),
        Policy::default(),
        Box::new(Arc::clone(&sink)),
        true,
    );
    for number in 0..10_000 {
        black_box(shadow.get_transaction(&number.to_string()).is_ok());
    }
    drop(shadow);
    let lines = sink.lines().into_iter();
    lines
        .filter(|line| matches!(line.event, btc::shadow::record::Event::Comparison(_)))
        .collect()
}

fn resident() -> u64 {
    memory::of_this_process().map_or(0, |memory| memory.rss_bytes)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
fn a_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
