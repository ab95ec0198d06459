//! Fuzzes the reader of labels (BIP329): nothing panics, and what reads is written back the same.

#![no_main]

use btc::rust::wallet::labels::{format_jsonl, parse_jsonl};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    if let Ok(labels) = parse_jsonl(input) {
        let written = format_jsonl(&labels);
        assert_eq!(parse_jsonl(&written).expect("own output"), labels);
    }
});
