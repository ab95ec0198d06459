//! The decorator that records live calls.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use btc_iface::BitcoinImplementationType::Rust;
use btc_iface::{AddressType, BitcoinInterface, ErrorKind, Operation};
use btc_shadow::replay::{Call, CallLog, Entry, Methods};
use tempfile::TempDir;

use crate::double::{Double, failure};
use crate::samples::transaction;

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
