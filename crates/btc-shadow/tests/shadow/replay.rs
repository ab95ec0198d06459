//! Recorded calls: their lines, the decorator that writes them, and replays over doubles.

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::rust_bitcoin::Txid;
use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::{AddressType, BitcoinError, BitcoinInterface, BitcoinResult, ErrorKind, Operation};
use btc_shadow::compare::Verdict;
use btc_shadow::replay::{
    Call, CallLog, Entry, FileSource, Input, Lines, MAX_LINE_BYTES, Methods, Reading, RecordedCall,
    ReplayLog, Settings, State, Tally, run,
};
use btc_shadow::{Policy, Shadow};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::double::{Double, failure};
use crate::samples::transaction;

fn calls() -> impl Strategy<Value = Call> {
    let types = prop::sample::select(AddressType::ALL.to_vec());
    let outputs = prop::collection::vec((".{0,20}", any::<u64>()), 0..4);
    prop_oneof![
        ".*".prop_map(|txid| Call::GetTransaction { txid }),
        any::<String>().prop_map(|hash| Call::GetBlock { hash }),
        Just(Call::GetBlockHeight),
        Just(Call::GetBalance),
        types.prop_map(|address_type| Call::GenerateAddress { address_type }),
        (outputs, any::<u64>()).prop_map(|(outputs, fee_rate_sat_per_vb)| {
            Call::CreateTransaction {
                outputs,
                fee_rate_sat_per_vb,
            }
        }),
        any::<[u8; 32]>().prop_map(|bytes| Call::BroadcastTransaction {
            txid: Txid::from_byte_array(bytes),
        }),
        any::<u8>().prop_map(|target_blocks| Call::EstimateFee { target_blocks }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_as_the_same_call(
        call in calls(),
        time_ms in any::<Option<u64>>(),
        key in any::<Option<String>>(),
    ) {
        let recorded = RecordedCall { call, time_ms, key };
        let line = recorded.to_line();
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let read = Entry::parse(&line, &Methods::default());
        prop_assert_eq!(read, Ok(Entry::Call(recorded)));
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_lose_its_place(bytes in any::<Vec<u8>>()) {
        let mut lines = Lines::new(Cursor::new(&bytes));
        let (mut end, mut whole) = (0, Vec::new());
        while let Some(line) = lines.next_line().expect("memory can be read") {
            prop_assert_eq!(line.start, end);
            end = line.end;
            let _ = Entry::parse(&line.bytes, &Methods::of_core());
            whole.extend(line.bytes);
        }
        prop_assert_eq!(whole, bytes);
    }
}

fn parse(line: &str) -> Result<Call, String> {
    match Entry::parse(line.as_bytes(), &Methods::of_core())? {
        Entry::Call(recorded) => Ok(recorded.call),
        Entry::Lost(count) => Err(format!("{count} lost")),
    }
}

#[test]
fn lines_of_other_programs_are_read() {
    let txid = || "aa".repeat(32);
    let get = Call::GetTransaction { txid: txid() };
    for line in [
        r#"{"method":"get_transaction","arguments":["TXID"]}"#,
        r#"{"method":"get_transaction","arguments":{"txid":"TXID","more":1},"user":"x"}"#,
        r#"{"jsonrpc":"1.0","id":7,"method":"getrawtransaction","params":["TXID",true,null]}"#,
        r#"  {"args":["TXID"],"method":"getrawtransaction"}  "#,
    ] {
        assert_eq!(
            parse(&line.replace("TXID", &txid())),
            Ok(get.clone()),
            "{line}"
        );
    }
    assert_eq!(
        parse(r#"{"method":"getblockcount"}"#),
        Ok(Call::GetBlockHeight)
    );
    let fee = Call::EstimateFee { target_blocks: 6 };
    let line = r#"{"method":"estimatesmartfee","params":{"conf_target":6,"mode":"unset"}}"#;
    assert_eq!(parse(line), Ok(fee));
    let pay = Call::CreateTransaction {
        outputs: vec![("a".to_owned(), 5)],
        fee_rate_sat_per_vb: 2,
    };
    for outputs in [
        r#"[["a",5]]"#,
        r#"{"a":5}"#,
        r#"[{"address":"a","value_sat":5}]"#,
    ] {
        let line = format!(r#"{{"method":"create_transaction","arguments":[{outputs},2]}}"#);
        assert_eq!(parse(&line), Ok(pay.clone()), "{outputs}");
    }
    let sent = transaction();
    let line = serde_json::json!({"method": "broadcast_transaction", "arguments": [sent]});
    let broadcast = Call::BroadcastTransaction { txid: sent.txid };
    assert_eq!(parse(&line.to_string()), Ok(broadcast));
    let own = Methods::default().with("gettx=get_transaction, n=get_block_height");
    let own = own.expect("two names");
    let line = br#"{"method":"n"}"#;
    let read = Entry::parse(line, &own);
    assert_eq!(read, Ok(Entry::Call(Call::GetBlockHeight.into())));
    for list in ["a", "a=b", "=get_block", "a=configure"] {
        let error = Methods::default().with(list).expect_err(list);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn hostile_lines_are_refused_with_a_reason() {
    let deep = "[".repeat(100_000);
    for (line, reason) in [
        ("", "not a recorded call"),
        ("[]", "not a recorded call"),
        ("{}", "no method"),
        (r#"{"method":"configure"}"#, "no method that is known"),
        ("{\"method\":\"\\u001b[31m\"}", "`?[31m`"),
        (r#"{"method":"get_transaction"}"#, "`txid` is missing"),
        (
            r#"{"method":"get_transaction","arguments":[5]}"#,
            "5 is no text",
        ),
        (
            r#"{"method":"get_transaction","arguments":"a"}"#,
            "neither a list",
        ),
        (
            r#"{"method":"get_transaction","arguments":["a","b"]}"#,
            "more arguments",
        ),
        (
            r#"{"method":"get_block_height","time_ms":-1}"#,
            "not a recorded call",
        ),
        (r#"{"method":"estimate_fee","arguments":[256]}"#, "256"),
        (
            r#"{"method":"estimate_fee","arguments":[-1]}"#,
            "whole number",
        ),
        (
            r#"{"method":"estimate_fee","arguments":[6.0]}"#,
            "whole number",
        ),
        (
            r#"{"method":"create_transaction","arguments":[[["a",0.1]],1]}"#,
            "whole number",
        ),
        (
            r#"{"method":"create_transaction","arguments":[[["a",18446744073709551616]],1]}"#,
            "whole number",
        ),
        (
            r#"{"method":"create_transaction","arguments":[[["a"]],1]}"#,
            "in satoshi",
        ),
        (
            r#"{"method":"generate_address","arguments":["p2wsh"]}"#,
            "p2wpkh",
        ),
        (
            r#"{"method":"broadcast_transaction","arguments":["00ff"]}"#,
            "hexadecimal",
        ),
        (
            r#"{"method":"get_balance","method":"get_balance"}"#,
            "duplicate",
        ),
        (r#"{"method":"get_block","arguments":["a"]"#, "EOF"),
        (&deep, "not a recorded call"),
    ] {
        let error = parse(line).expect_err(line);
        assert!(error.contains(reason), "{line}: {error}");
        assert!(
            !error.contains(char::is_control) && error.len() < 300,
            "{error:?}"
        );
    }
}

#[test]
fn a_line_without_end_takes_bounded_memory() {
    let long = MAX_LINE_BYTES * 3;
    let mut text = vec![b'x'; long];
    text.extend(b"\n{\"method\":\"get_balance\"}\nrest");
    let mut lines = Lines::new(Cursor::new(text));
    let mut next = || lines.next_line().expect("memory").expect("a line");
    let first = next();
    assert!(first.is_too_long && first.is_ended);
    assert_eq!(
        (first.bytes.len(), first.end),
        (MAX_LINE_BYTES, long as u64 + 1)
    );
    let second = next();
    assert_eq!(second.number, 2);
    assert!(Entry::parse(&second.bytes, &Methods::default()).is_ok());
    let third = next();
    assert!(!third.is_ended && !third.is_too_long);
    // One that fits exactly is whole.
    let mut exact = vec![b'y'; MAX_LINE_BYTES - 1];
    exact.push(b'\n');
    let line = Lines::new(Cursor::new(exact)).next_line().expect("memory");
    assert!(line.is_some_and(|line| !line.is_too_long && line.is_ended));
}

#[test]
fn live_calls_are_recorded_and_read_back_in_order() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("deep/calls.jsonl");
    let double = Arc::new(Double::new(Rust, |operation, _| match operation {
        Operation::GetBlock => Err(failure(operation, ErrorKind::NotFound)),
        _ => Ok(5),
    }));
    let log = CallLog::open(Arc::clone(&double) as _, &path).expect("a file");
    let counts = log.counts();
    let outputs = vec![("bcrt1q".to_owned(), 700)];
    btc_shadow::Rollout::with_key("customer-7", || log.get_transaction("a")).expect("answered");
    log.get_block("b")
        .expect_err("not found, as the test wants it");
    log.get_block_height().expect("answered");
    log.generate_address(AddressType::P2tr).expect("answered");
    log.create_transaction(outputs.clone(), 3)
        .expect("answered");
    log.broadcast_transaction(&transaction()).expect("answered");
    log.get_balance().expect("answered");
    log.estimate_fee(9).expect("answered");
    assert_eq!(double.asked().len(), 8);
    drop(log);
    assert_eq!((counts.recorded(), counts.lost()), (8, 0));
    let text = fs::read_to_string(&path).expect("it was written");
    let mut read = Vec::new();
    for line in text.lines() {
        let entry = Entry::parse(line.as_bytes(), &Methods::default()).expect(line);
        let Entry::Call(call) = entry else {
            unreachable!("{line}");
        };
        assert!(call.time_ms.is_some());
        let is_first = call.call.operation() == Operation::GetTransaction;
        assert_eq!(call.key.as_deref(), is_first.then_some("customer-7"));
        read.push(call.call);
    }
    let expected = [
        Call::GetTransaction {
            txid: "a".to_owned(),
        },
        Call::GetBlock {
            hash: "b".to_owned(),
        },
        Call::GetBlockHeight,
        Call::GenerateAddress {
            address_type: AddressType::P2tr,
        },
        Call::CreateTransaction {
            outputs,
            fee_rate_sat_per_vb: 3,
        },
        Call::BroadcastTransaction {
            txid: transaction().txid,
        },
        Call::GetBalance,
        Call::EstimateFee { target_blocks: 9 },
    ];
    assert_eq!(read, expected);
    // Nobody else may read who was paid.
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(&path)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn a_full_disk_costs_lines_and_no_call() {
    let double = Arc::new(Double::new(Rust, |_, _| Ok(5)));
    let log = CallLog::open(double, Path::new("/dev/full")).expect("it opens");
    let counts = log.counts();
    for _ in 0..50 {
        assert_eq!(log.get_balance().expect("answered"), 5);
    }
    drop(log);
    assert_eq!((counts.recorded(), counts.lost()), (0, 50));
}

/// A folder with a recorded log in it, and what a replay of it needs.
struct Bench {
    folder: TempDir,
    settings: Settings,
}

type Answer = dyn Fn(Operation, u64) -> BitcoinResult<u64> + Send + Sync;

impl Bench {
    fn new(lines: &[String]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        fs::write(folder.path().join("calls"), lines.concat()).expect("ours");
        Self {
            folder,
            settings: Settings {
                threads: 4,
                rate: None,
                checkpoint_every: Duration::from_millis(30),
            },
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replays with a primary that answers so, from a state if there is one.
    fn replay(&self, primary: Arc<Answer>, state: Option<&State>) -> (BitcoinResult<Tally>, State) {
        let files = [self.path("calls")];
        let reading = Reading::default();
        let source = match state.map(|state| &state.input) {
            Some(Input::Files(at)) => FileSource::resume(&files, reading, at, 0),
            _ => FileSource::open(&files, reading),
        };
        let source = source.expect("the same file");
        let before = state.map(|state| &state.log);
        let log = Arc::new(ReplayLog::open(&self.path("log"), before).expect("ours"));
        let shadow = Shadow::new(
            Arc::new(Double::new(Python, move |operation, n| {
                primary(operation, n)
            })),
            Arc::new(Double::new(Rust, |_, _| Ok(5))),
            Policy::default(),
            Box::new(Arc::clone(&log)),
            true,
        );
        let shadow = shadow.off_path(self.settings.off_path()).expect("threads");
        let mut kept = state.cloned().unwrap_or_else(|| {
            let position = btc_shadow::replay::Source::position(&source);
            State::new(Python, false, log.flush().expect("ours"), position)
        });
        let tally = kept.tally.clone();
        let ran = run(
            &shadow,
            &log,
            Box::new(source),
            tally,
            &self.settings,
            &mut |input, tally, log, is_end| {
                kept.input = input;
                kept.tally = tally.clone();
                kept.log = log;
                kept.is_finished = is_end;
                kept.write(&self.path("state"))
            },
            &mut |_| {},
        );
        drop(shadow);
        drop(log);
        let read = State::read(&self.path("state")).expect("whole");
        (ran, read.unwrap_or(kept))
    }
}

fn gets(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("{{\"method\":\"get_transaction\",\"arguments\":[\"{n:064}\"]}}\n"))
        .collect()
}

#[test]
fn a_replay_compares_every_call_and_makes_none_that_has_an_effect() {
    let mut lines = gets(500);
    lines.insert(
        3,
        "{\"method\":\"generate_address\",\"arguments\":[\"p2tr\"]}\n".to_owned(),
    );
    let sent = format!(
        "{{\"method\":\"broadcast_transaction\",\"arguments\":[\"{:064}\"]}}\n",
        1
    );
    lines.insert(5, sent);
    lines.insert(9, "{\"lost_calls\":4}\n".to_owned());
    lines.insert(10, "\n".to_owned());
    lines.insert(20, "nonsense\n".to_owned());
    lines.push("{\"method\":\"get_balance\"}".to_owned());
    let bench = Bench::new(&lines);
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&asked);
    let primary = move |operation, _| {
        seen.lock().expect("no panic").insert(operation);
        Ok(5)
    };
    let (tally, state) = bench.replay(Arc::new(primary), None);
    let tally = tally.expect("it comes to its end");
    assert!(state.is_finished);
    assert_eq!((tally.calls, tally.of(Verdict::Match)), (501, 501));
    assert_eq!((tally.read, tally.lost_calls), (506, 4));
    let skipped = [Operation::GenerateAddress, Operation::BroadcastTransaction];
    assert_eq!(
        tally.skipped,
        skipped.map(|operation| (operation, 1)).into()
    );
    assert_eq!((tally.bad_lines, tally.first_bad_lines[0].line), (1, 21));
    assert!(!tally.is_clean(), "a line could not be read");
    let expected = [
        Operation::GetTransaction,
        Operation::GetBlockHeight,
        Operation::GetBalance,
    ];
    assert_eq!(*asked.lock().expect("no panic"), expected.into());
}

#[test]
fn what_ends_early_goes_on_and_compares_all_at_least_once() {
    let bench = Bench::new(&gets(3000));
    let is_gone = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&is_gone);
    // The primary goes for good after a while, as a node that is stopped.
    let primary = move |operation, n| {
        std::thread::sleep(Duration::from_micros(300));
        if operation == Operation::GetTransaction && n > 1500 {
            gone.store(true, Ordering::SeqCst);
            return Err(failure(operation, ErrorKind::Auth));
        }
        Ok(5)
    };
    let (ran, state) = bench.replay(Arc::new(primary), None);
    assert_eq!(ran.map_err(|error| error.kind()), Err(ErrorKind::Auth));
    assert!(is_gone.load(Ordering::SeqCst) && !state.is_finished);
    let done = state.tally.calls;
    assert!(done > 0 && done <= 1500, "{done}");
    assert_eq!(
        state.tally.of(Verdict::Match),
        done,
        "what is told is compared"
    );
    let (ran, state) = bench.replay(Arc::new(|_, _| Ok(5)), Some(&state));
    let tally = ran.expect("it comes to its end");
    assert!(state.is_finished && tally.is_clean());
    assert_eq!((tally.calls, tally.compared()), (3000, 3000));
    // Each question is in the log.
    let log = fs::read_to_string(bench.path("log")).expect("ours");
    let inputs: BTreeSet<String> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter(|line| line["operation"] == "get_transaction" && line["verdict"] == "match")
        .map(|line| line["input"].to_string())
        .collect();
    assert_eq!(inputs.len(), 3000);
}

#[test]
fn a_primary_that_is_away_for_a_moment_is_asked_again() {
    let bench = Bench::new(&gets(200));
    let primary = |operation, n| match n {
        50..60 if operation == Operation::GetTransaction => {
            Err(failure(operation, ErrorKind::Unavailable))
        }
        _ => Ok(5),
    };
    let (ran, _) = bench.replay(Arc::new(primary), None);
    let tally = ran.expect("it came back");
    assert!(tally.is_clean(), "{tally:?}");
    assert_eq!((tally.retries, tally.of(Verdict::Match)), (10, 200));
}

#[test]
fn a_resume_on_another_file_is_refused_and_on_a_longer_one_goes_on() {
    let lines = gets(50);
    let bench = Bench::new(&lines);
    let (ran, state) = bench.replay(Arc::new(|_, _| Ok(5)), None);
    ran.expect("it comes to its end");
    let Input::Files(at) = &state.input else {
        unreachable!("files");
    };
    let files = [bench.path("calls")];
    let resume = || FileSource::resume(&files, Reading::default(), at, 50);
    assert!(!resume().expect("the same").has_grown());
    let refused = |text: String| {
        fs::write(&files[0], text).expect("ours");
        let error: BitcoinError = resume().err().expect("another file");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains("--restart"), "{error}");
    };
    refused(lines[..49].concat());
    refused(lines.concat().replacen("00\"", "01\"", 1));
    refused(gets(51)[1..].concat());
    fs::write(&files[0], gets(60).concat()).expect("ours");
    assert!(resume().expect("it has grown").has_grown());
    let (ran, _) = bench.replay(Arc::new(|_, _| Ok(5)), Some(&state));
    assert_eq!(ran.expect("it goes on").calls, 60);
    // A state that is damaged is no state.
    fs::write(bench.path("state"), "{").expect("ours");
    let error = State::read(&bench.path("state")).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Configuration);
}
