//! `Fallback`: what goes to the other implementation, what never does, and what is counted.

use std::panic::resume_unwind;
use std::sync::Arc;

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::{AddressType, BitcoinError, BitcoinInterface, BitcoinResult, ErrorKind, Operation};
use btc_shadow::record::{self, Event};
use btc_shadow::sink::{MemorySink, Sink};
use btc_shadow::{Fallback, Journal};

use crate::double::{Double, FullDisk, failure};
use crate::samples::{line, start, transaction};

const READS: [Operation; 5] = [
    Operation::GetTransaction,
    Operation::GetBlock,
    Operation::GetBlockHeight,
    Operation::GetBalance,
    Operation::EstimateFee,
];
const WRITES: [Operation; 3] = [
    Operation::GenerateAddress,
    Operation::CreateTransaction,
    Operation::BroadcastTransaction,
];
const NO_ANSWER: [ErrorKind; 3] = [
    ErrorKind::Unavailable,
    ErrorKind::Timeout,
    ErrorKind::Internal,
];

struct Pair {
    fallback: Fallback,
    primary: Arc<Double>,
    other: Arc<Double>,
    sink: Arc<MemorySink>,
    journal: Arc<Journal>,
}

fn pair(
    primary: impl Fn(Operation, u64) -> BitcoinResult<u64> + Send + Sync + 'static,
    other: impl Fn(Operation, u64) -> BitcoinResult<u64> + Send + Sync + 'static,
) -> Pair {
    let primary = Arc::new(Double::new(Rust, primary));
    let other = Arc::new(Double::new(Python, other));
    let sink = Arc::new(MemorySink::default());
    let journal = Arc::new(Journal::new(sink.clone()));
    Pair {
        fallback: Fallback::new(primary.clone(), other.clone()).noted_in(journal.clone()),
        journal,
        primary,
        other,
        sink,
    }
}

/// Asks for an operation and reduces the answer to the double's number.
fn ask(side: &dyn BitcoinInterface, operation: Operation) -> BitcoinResult<u64> {
    let number = |text: String| text.parse().expect("a double's number");
    match operation {
        Operation::GetTransaction => Ok(side.get_transaction("id")?.outputs[0].value_sat),
        Operation::GetBlock => Ok(side.get_block("hash")?[0].outputs[0].value_sat),
        Operation::GetBlockHeight => side.get_block_height().map(u64::from),
        Operation::GenerateAddress => {
            let address = side.generate_address(AddressType::P2tr)?;
            Ok(number(address.address))
        }
        Operation::CreateTransaction => {
            let made = side.create_transaction(vec![("a".to_owned(), 1)], 1)?;
            Ok(made.outputs[0].value_sat)
        }
        Operation::BroadcastTransaction => side.broadcast_transaction(&transaction()).map(number),
        Operation::GetBalance => side.get_balance(),
        Operation::EstimateFee => side.estimate_fee(6),
        other => Err(BitcoinError::new(ErrorKind::Internal, other, "no call")),
    }
}

#[test]
fn an_answer_is_returned_and_nobody_else_is_asked() {
    let pair = pair(|_, _| Ok(5), |_, _| Ok(6));
    for operation in Operation::CALLS {
        assert_eq!(ask(&pair.fallback, operation).expect("it answers"), 5);
    }
    assert_eq!(pair.other.asked(), []);
    assert_eq!(pair.fallback.counts().total(), 0);
    assert!(pair.sink.lines().is_empty());
    assert_eq!(pair.fallback.implementation_type(), Rust);
}

#[test]
fn a_read_without_an_answer_goes_to_the_other_one_for_each_kind_and_operation() {
    for kind in ErrorKind::ALL {
        let pair = pair(
            move |operation, _| Err(failure(operation, kind)),
            |_, _| Ok(6),
        );
        for operation in READS {
            let answer = ask(&pair.fallback, operation);
            if NO_ANSWER.contains(&kind) {
                assert_eq!(answer.expect("the other one answers"), 6);
                assert_eq!(pair.other.calls(operation), 1, "{kind} {operation}");
            } else {
                assert_eq!(answer.expect_err("an answer of its own").kind(), kind);
                assert_eq!(pair.other.calls(operation), 0, "{kind} {operation}");
            }
            assert_eq!(pair.primary.calls(operation), 1);
            let answered = pair.fallback.counts().answered(operation);
            assert_eq!(answered, u64::from(NO_ANSWER.contains(&kind)));
        }
        assert_eq!(pair.fallback.implementation_type(), Rust);
    }
}

#[test]
fn a_write_never_fails_over() {
    for kind in ErrorKind::ALL {
        let pair = pair(
            move |operation, _| Err(failure(operation, kind)),
            |_, _| Ok(6),
        );
        for operation in WRITES {
            let error = ask(&pair.fallback, operation).expect_err("it fails");
            assert_eq!(error.kind(), kind);
            assert_eq!(error.message(), "as the test wants it");
            assert_eq!(pair.primary.calls(operation), 1);
            assert_eq!(pair.fallback.counts().unanswered(operation), 0);
        }
        assert_eq!(pair.other.asked(), []);
        assert_eq!(pair.fallback.counts().total(), 0);
    }
}

#[test]
fn a_panic_of_a_read_goes_to_the_other_one() {
    let pair = pair(
        |_, _| resume_unwind(Box::new("the primary breaks")),
        |_, _| Ok(6),
    );
    for operation in READS {
        assert_eq!(ask(&pair.fallback, operation).expect("answered"), 6);
    }
    assert_eq!(pair.fallback.counts().total(), 5);
}

#[test]
fn without_any_answer_the_first_error_is_returned_with_the_second() {
    for kind in ErrorKind::ALL {
        let pair = pair(
            |operation, _| Err(failure(operation, ErrorKind::Timeout)),
            move |operation, _| Err(failure(operation, kind)),
        );
        for operation in READS {
            let error = ask(&pair.fallback, operation).expect_err("nobody answers");
            assert_eq!(error.kind(), ErrorKind::Timeout);
            let context = error.context();
            assert_eq!(context.len(), 1, "{context:?}");
            assert_eq!(context[0].0, "python");
            assert!(context[0].1.starts_with(kind.as_str()), "{context:?}");
            assert_eq!(pair.fallback.counts().unanswered(operation), 1);
            assert_eq!(pair.fallback.counts().answered(operation), 0);
        }
    }
}

#[test]
fn two_panics_are_an_error() {
    let pair = pair(
        |_, _| resume_unwind(Box::new("the primary breaks")),
        |_, _| resume_unwind(Box::new("the other one breaks")),
    );
    let error = pair.fallback.get_balance().expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(error.operation(), Operation::GetBalance);
}

#[test]
fn each_is_a_line_of_the_log() {
    let pair = pair(
        |operation, _| Err(failure(operation, ErrorKind::Unavailable)),
        |operation, call| match call {
            1 => Ok(6),
            _ => Err(failure(operation, ErrorKind::NotFound)),
        },
    );
    // What comes before the run follows its first line.
    pair.fallback.get_balance().expect("answered");
    assert!(pair.sink.lines().is_empty());
    let begin = line("00c0ffee", start(true));
    pair.journal.write(&begin).expect("taken");
    pair.fallback.get_balance().expect_err("not answered");
    let lines = pair.sink.lines();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0], begin);
    for (line, is_answered) in lines.into_iter().skip(1).zip([true, false]) {
        assert_eq!((line.version, line.run), (record::VERSION, begin.run));
        let Event::Fallback(found) = line.event else {
            unreachable!("{line:?}");
        };
        assert!(found.time_ms > 0);
        let expected = record::Fallback {
            time_ms: found.time_ms,
            operation: Operation::GetBalance,
            failed: Rust,
            error: ErrorKind::Unavailable,
            is_answered,
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn a_log_that_takes_nothing_harms_nobody() {
    let double = |answer: BitcoinResult<u64>| {
        let answer = answer.map_err(|error| error.kind());
        let script = move |operation, _| answer.map_err(|kind| failure(operation, kind));
        Arc::new(Double::new(Python, script))
    };
    let broken = failure(Operation::GetBalance, ErrorKind::Timeout);
    let journal = Arc::new(Journal::new(Arc::new(FullDisk::default())));
    let fallback = Fallback::new(double(Err(broken)), double(Ok(6))).noted_in(journal.clone());
    let begin = line("00c0ffee", start(true));
    journal.write(&begin).expect_err("the disk is full");
    assert_eq!(fallback.get_balance().expect("answered"), 6);
    // The first line is the shadow's to count.
    assert_eq!(journal.lost_lines(), 1);
}

#[test]
fn without_a_run_only_some_lines_wait() {
    let journal = Arc::new(Journal::new(Arc::new(MemorySink::default())));
    let broken = |operation, _| Err(failure(operation, ErrorKind::Timeout));
    let double = || Arc::new(Double::new(Rust, broken));
    let fallback = Fallback::new(double(), double()).noted_in(journal.clone());
    for _ in 0..105 {
        fallback.get_balance().expect_err("nobody answers");
    }
    assert_eq!(journal.lost_lines(), 5);
}
