//! The lines of recorded calls: what is written is read, and what is hostile is refused.

use std::io::Cursor;

use btc_iface::rust_bitcoin::Txid;
use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::{AddressType, ErrorKind};
use btc_shadow::replay::{Call, Entry, Lines, MAX_LINE_BYTES, Methods, RecordedCall};
use proptest::prelude::*;

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
        prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
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
    let long = format!(
        r#"{{"method":"get_balance","time_ms":"{}"}}"#,
        "é".repeat(100_000)
    );
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
        (&long, "invalid type"),
    ] {
        let error = parse(line).expect_err(line);
        assert!(error.contains(reason), "{line}: {error}");
        assert!(
            !error.contains(char::is_control) && error.chars().count() < 300,
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
