//! Fuzzes the reading of recorded calls, line by line.
//!
//! A line that is refused says why in a few words without control characters. A line that is read
//! means the same when it is written and read again, whichever names its method had.

#![no_main]

use std::io::Cursor;

use btc::shadow::replay::{Entry, FileSource, Lines, Methods, Reading, Source, Tally};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = Lines::new(Cursor::new(bytes));
    let (mut count, mut end) = (0, 0);
    while let Some(line) = lines.next_line().expect("memory can be read") {
        count += 1;
        assert_eq!((line.number, line.start), (count, end));
        end = line.end;
        match Entry::parse(&line.bytes, &Methods::of_core()) {
            Err(reason) => {
                assert!(
                    !reason.is_empty() && reason.chars().count() < 400,
                    "{reason}"
                );
                assert!(!reason.contains(char::is_control), "{reason:?}");
            }
            Ok(Entry::Lost(_)) => {}
            Ok(Entry::Call(call)) => {
                let written = call.to_line();
                let again = Entry::parse(&written, &Methods::default());
                assert_eq!(again, Ok(Entry::Call(call)));
            }
        }
    }
    assert_eq!(end, bytes.len() as u64);
    let reading = Reading {
        methods: Methods::of_core(),
        with_effects: true,
    };
    let mut source = FileSource::of_reader(Cursor::new(bytes.to_vec()), "fuzz", reading);
    let mut tally = Tally::default();
    let mut calls = 0;
    while let Some(item) = source.next_call(&mut tally).expect("memory can be read") {
        assert!(item.place <= count);
        calls += 1;
    }
    let skipped: u64 = tally.skipped.values().sum();
    assert!(calls + skipped + tally.bad_lines <= count && tally.read == count);
    assert!(tally.first_bad_lines.len() <= 20);
});
