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
    Build, Comparison, Digest, Event, Line, RunId, Side, Start, Totals, VERSION,
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
