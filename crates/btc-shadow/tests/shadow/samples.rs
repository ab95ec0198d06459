//! Data that several tests need: a transaction, lines of a log.

use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::rust_bitcoin::{OutPoint, ScriptBuf, Txid, Witness, Wtxid};
use btc_iface::{
    BitcoinImplementationType, BitcoinTransaction, ErrorKind, Operation, TransactionInput,
    TransactionOutput,
};
use btc_shadow::Counts;
use btc_shadow::compare::RULES;
use btc_shadow::compare::{Difference, Verdict};
use btc_shadow::record::{
    Build, Comparison, Digest, Event, Line, Memory, RunId, Side, Start, Totals, VERSION,
};

/// A transaction with two inputs and two outputs, and nothing known beyond the bytes.
pub(crate) fn transaction() -> BitcoinTransaction {
    let input = |number: u8| TransactionInput {
        previous_output: OutPoint::new(Txid::from_byte_array([number; 32]), u32::from(number)),
        script_sig: ScriptBuf::from_bytes(vec![number]),
        sequence: u32::MAX,
        witness: Witness::from_slice(&[vec![number], vec![number; 2]]),
    };
    let output = |value_sat| TransactionOutput {
        value_sat,
        script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
    };
    BitcoinTransaction {
        txid: Txid::from_byte_array([7; 32]),
        wtxid: Wtxid::from_byte_array([8; 32]),
        version: 2,
        lock_time: 0,
        inputs: vec![input(1), input(2)],
        outputs: vec![output(1_000), output(2_000)],
        size: 200,
        weight: 600,
        fee_sat: None,
        block_hash: None,
        block_height: None,
    }
}

/// A line of the run `run`, a hexadecimal number.
pub(crate) fn line(run: &str, event: Event) -> Line {
    Line {
        version: VERSION,
        run: RunId(u32::from_str_radix(run, 16).expect("hexadecimal digits")),
        event,
    }
}

/// The start of a run.
pub(crate) fn start(log_all: bool) -> Event {
    let build = |implementation| Build {
        implementation,
        build: "0.1.0".to_owned(),
    };
    Event::Start(Start {
        time_ms: 1,
        primary: build(BitcoinImplementationType::Python),
        secondary: build(BitcoinImplementationType::Rust),
        log_all,
        rules: RULES,
        part: 1,
    })
}

/// A judged height; a mismatch differs in the height.
pub(crate) fn comparison(sequence: u64, verdict: Verdict) -> Event {
    let side = |implementation, duration_ns| Side {
        implementation,
        duration_ns,
        error: None,
        tips: None,
    };
    let differences = match verdict {
        Verdict::Mismatch => vec![difference("height")],
        _ => Vec::new(),
    };
    Event::Comparison(Comparison {
        sequence,
        time_ms: 2,
        operation: Operation::GetBlockHeight,
        verdict,
        input: Digest(0x0123_4567_89ab_cdef),
        primary: side(BitcoinImplementationType::Python, 2_000),
        secondary: Some(side(BitcoinImplementationType::Rust, 1_000)),
        rechecks: 0,
        differences,
        reason: None,
    })
}

/// A difference at this path.
pub(crate) fn difference(path: &str) -> Difference {
    Difference {
        path: path.to_owned(),
        primary: "1".to_owned(),
        secondary: "2".to_owned(),
        tip: false,
    }
}

/// Sets the kinds of error of both sides.
pub(crate) fn with_errors(
    event: Event,
    primary: Option<ErrorKind>,
    secondary: Option<ErrorKind>,
) -> Event {
    let Event::Comparison(mut comparison) = event else {
        unreachable!("only a comparison has sides");
    };
    comparison.primary.error = primary;
    if let Some(side) = &mut comparison.secondary {
        side.error = secondary;
    }
    Event::Comparison(comparison)
}

/// The counts of height calls, as a run writes them.
pub(crate) fn totals(offered: u64, verdicts: &[(Verdict, u64)]) -> Event {
    let operation = Operation::GetBlockHeight;
    Event::Totals(Totals {
        time_ms: 3,
        is_final: true,
        counts: Counts {
            offered: [(operation, offered)].into(),
            verdicts: [(operation, verdicts.iter().copied().collect())].into(),
            lost_lines: 0,
            ..Counts::default()
        },
    })
}

/// A line as it stands in a log.
pub(crate) fn text(line: &Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).expect("a line is plain data");
    text.push(b'\n');
    text
}

/// When synthetic runs begin, in milliseconds since 1970.
pub(crate) const BEGIN_MS: u64 = 1_760_000_000_000;

/// A whole run of the Rust build `build` that gives so many calls of each operation, all of
/// different inputs, and the memory of a process that does not grow. `change` may make anything of
/// a call.
pub(crate) fn evidence(
    run: u32,
    build: &str,
    calls: impl Fn(Operation) -> u64,
    change: impl Fn(&mut Comparison),
) -> Vec<Line> {
    let line = |event| Line {
        version: VERSION,
        run: RunId(run),
        event,
    };
    let mut began = start(true);
    if let Event::Start(start) = &mut began {
        start.time_ms = BEGIN_MS + u64::from(run);
        build.clone_into(&mut start.secondary.build);
    }
    let mut lines = vec![line(began)];
    let mut counts = Counts::default();
    let mut sequence = 0;
    for operation in Operation::CALLS {
        for number in 0..calls(operation) {
            sequence += 1;
            let kind = (number % 1_000 == 7).then_some(ErrorKind::NotFound);
            let event = with_errors(comparison(sequence, Verdict::Match), kind, kind);
            let Event::Comparison(mut comparison) = event else {
                unreachable!("only a comparison has sides");
            };
            comparison.operation = operation;
            comparison.time_ms = BEGIN_MS + sequence;
            comparison.input = Digest(sequence << 16 | u64::from(run));
            change(&mut comparison);
            *counts.offered.entry(operation).or_default() += 1;
            let verdicts = counts.verdicts.entry(operation).or_default();
            *verdicts.entry(comparison.verdict).or_default() += 1;
            lines.push(line(Event::Comparison(comparison)));
        }
    }
    lines.extend((0..60).map(|number| line(memory(number, 200_000_000 + number * 7_919 % 5))));
    lines.push(line(Event::Totals(Totals {
        time_ms: BEGIN_MS + sequence,
        is_final: true,
        counts,
    })));
    lines
}

/// The memory of the process that compares, in the minute `minute`.
pub(crate) fn memory(minute: u64, rss_bytes: u64) -> Event {
    Event::Memory(Memory {
        time_ms: BEGIN_MS + minute * 60_000,
        implementation: None,
        rss_bytes,
        peak_rss_bytes: rss_bytes,
        calls: minute,
    })
}
