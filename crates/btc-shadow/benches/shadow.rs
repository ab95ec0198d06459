//! What shadow mode costs the caller, and how fast comparisons are worked off.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bitcoin::hashes::Hash;
use bitcoin::{OutPoint, ScriptBuf, Txid, Witness, Wtxid};
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinImplementationType, BitcoinInterface,
    BitcoinResult, BitcoinTransaction, ErrorKind, Operation, TransactionInput, TransactionOutput,
};
use btc_shadow::record::Line;
use btc_shadow::sink::Sink;
use btc_shadow::{OffPath, Policy, Sampling, Shadow};
use criterion::{Criterion, criterion_group, criterion_main};

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
            thread::sleep(Duration::from_secs(3600));
        }
    }
}

fn unsupported<T>(operation: Operation) -> BitcoinResult<T> {
    Err(BitcoinError::new(ErrorKind::Unsupported, operation, "not here"))
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

struct Nowhere {
    is_full: bool,
}

impl Sink for Nowhere {
    fn write(&self, line: &Line) -> io::Result<()> {
        black_box(line);
        if self.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

fn shadow(secondary_hangs: bool, is_full: bool, settings: OffPath) -> Shadow {
    let shadow = Shadow::new(
        Side::new(BitcoinImplementationType::Python, false),
        Side::new(BitcoinImplementationType::Rust, secondary_hangs),
        Policy::default(),
        Box::new(Nowhere { is_full }),
        true,
    );
    shadow.off_path(settings).expect("threads")
}

fn settings() -> OffPath {
    OffPath {
        drain: Duration::ZERO,
        queue_calls: 1 << 20,
        queue_bytes: 1 << 30,
        ..OffPath::default()
    }
}

/// Percentiles of single calls in nanoseconds, with and without shadow mode, each call on its own
/// as a caller makes it, at a rate that the comparisons can follow.
fn percentiles(name: &str, calls: usize, call: &dyn Fn()) {
    let mut durations = Vec::with_capacity(calls);
    for _ in 0..calls {
        let started = Instant::now();
        call();
        durations.push(started.elapsed());
        let pause = Instant::now();
        while pause.elapsed() < Duration::from_micros(4) {
            std::hint::spin_loop();
        }
    }
    durations.sort_unstable();
    let at = |percent: usize| durations[(calls - 1) * percent / 100].as_nanos();
    println!("{name:<52} p50 {:>6} ns  p99 {:>6} ns", at(50), at(99));
}

fn caller(criterion: &mut Criterion) {
    let alone = Side::new(BitcoinImplementationType::Python, false);
    let alone: Arc<dyn BitcoinInterface> = alone;
    let calls = 200_000;
    percentiles("get_block_height, primary alone", calls, &|| {
        black_box(alone.get_block_height().is_ok());
    });
    percentiles("get_transaction, primary alone", calls, &|| {
        black_box(alone.get_transaction("id").is_ok());
    });
    for (name, hangs, is_full) in [
        ("shadow on", false, false),
        ("shadow on, secondary hangs", true, false),
        ("shadow on, disk full", false, true),
    ] {
        let on: Arc<dyn BitcoinInterface> = Arc::new(shadow(hangs, is_full, settings()));
        percentiles(&format!("get_block_height, {name}"), calls, &|| {
            black_box(on.get_block_height().is_ok());
        });
        percentiles(&format!("get_transaction, {name}"), calls, &|| {
            black_box(on.get_transaction("id").is_ok());
        });
    }
    let mut group = criterion.benchmark_group("caller");
    group.bench_function("get_block_height/alone", |bencher| {
        bencher.iter(|| black_box(alone.get_block_height().is_ok()));
    });
    let none = OffPath {
        sampling: Sampling::parse("0%").expect("a share"),
        ..settings()
    };
    let left_out: Arc<dyn BitcoinInterface> = Arc::new(shadow(false, false, none));
    group.bench_function("get_block_height/left out of the sample", |bencher| {
        bencher.iter(|| black_box(left_out.get_block_height().is_ok()));
    });
    group.finish();
}

/// Comparisons a second on one worker, from a full queue to an empty one.
fn worker(_: &mut Criterion) {
    const CALLS: u32 = 500_000;
    let on = shadow(
        false,
        false,
        OffPath {
            workers: 1,
            drain: Duration::from_secs(60),
            ..settings()
        },
    );
    for height in [true, false] {
        let started = Instant::now();
        for _ in 0..CALLS {
            if height {
                black_box(on.get_block_height().is_ok());
            } else {
                black_box(on.get_transaction("id").is_ok());
            }
        }
        let offered = started.elapsed();
        while on.status().is_some_and(|status| status.queued > 0) {
            thread::sleep(Duration::from_micros(100));
        }
        let counts = on.books().counts();
        let dropped: u64 = counts.left_out.values().sum();
        println!(
            "{}: {CALLS} calls offered in {offered:?}, worked off after {:?}, {:.0} a second, {dropped} left out so far",
            if height { "get_block_height" } else { "get_transaction" },
            started.elapsed(),
            f64::from(CALLS) / started.elapsed().as_secs_f64(),
        );
    }
}

criterion_group!(benches, caller, worker);
criterion_main!(benches);
