//! Failures of the node and what they become: each code, each status, each broken answer.

use std::time::Duration;

use btc_iface::{BitcoinError, BitcoinInterface, ErrorKind, NodeConfig, Operation};
use serde_json::{Value, json};

use crate::samples::{hex, transaction};
use crate::server::{Reply, Server};

/// The failure of one call of this method, answered so.
fn failure(
    method: &'static str,
    reply: impl Fn() -> Reply + Send + Sync + 'static,
    call: impl FnOnce(&dyn BitcoinInterface) -> Result<(), BitcoinError>,
) -> BitcoinError {
    let server = Server::start(move |request, _| (request.name == method).then(&reply));
    call(&server.connect()).expect_err("it is answered wrongly")
}

fn of_transaction(reply: impl Fn() -> Reply + Send + Sync + 'static) -> BitcoinError {
    let txid = transaction().txid.to_string();
    failure("getrawtransaction", reply, |bitcoin| {
        bitcoin.get_transaction(&txid).map(drop)
    })
}

fn of_height(reply: impl Fn() -> Reply + Send + Sync + 'static) -> BitcoinError {
    failure("getblockcount", reply, |bitcoin| {
        bitcoin.get_block_height().map(drop)
    })
}

#[test]
fn each_code_of_bitcoin_core_has_its_kind() {
    for (code, said, kind) in [
        (
            -5,
            "No such mempool or blockchain transaction",
            ErrorKind::NotFound,
        ),
        (
            -8,
            "parameter 1 must be hexadecimal",
            ErrorKind::InvalidInput,
        ),
        (-22, "TX decode failed", ErrorKind::InvalidInput),
        (-25, "bad-txns-inputs-missingorspent", ErrorKind::Rejected),
        (-26, "min relay fee not met", ErrorKind::Rejected),
        (-28, "Loading block index", ErrorKind::Unavailable),
        (-32601, "Method not found", ErrorKind::Unsupported),
        (-1, "Block not available (pruned data)", ErrorKind::NotFound),
        (
            -1,
            "Block not available (not fully downloaded)",
            ErrorKind::NotFound,
        ),
        (-1, "Block not found on disk", ErrorKind::NotFound),
        (-1, "something else", ErrorKind::InvalidResponse),
        (-32700, "Parse error", ErrorKind::InvalidResponse),
        (
            -9999,
            "a code of a later version",
            ErrorKind::InvalidResponse,
        ),
    ] {
        let error = of_transaction(move || Reply::Error(code, said));
        assert_eq!(error.kind(), kind, "{code} {said}");
        assert_eq!(error.operation(), Operation::GetTransaction);
        assert!(error.message().contains(said), "{error}");
        let context = error.context().iter();
        let codes: Vec<_> = context.filter(|(name, _)| name == "code").collect();
        assert_eq!(codes, [&("code".to_owned(), code.to_string())]);
    }
}

#[test]
fn each_status_without_an_answer_of_bitcoin_core_has_its_kind() {
    for (status, kind) in [
        (200, ErrorKind::InvalidResponse),
        (302, ErrorKind::InvalidResponse),
        (401, ErrorKind::Auth),
        (403, ErrorKind::Auth),
        (404, ErrorKind::InvalidResponse),
        (500, ErrorKind::InvalidResponse),
        (503, ErrorKind::Unavailable),
    ] {
        for body in ["", "Work queue depth exceeded", "<html>\u{1F980}</html>"] {
            let error = of_height(move || Reply::Http(status, body.into()));
            assert_eq!(error.kind(), kind, "{status} {body}: {error}");
            assert_eq!(error.operation(), Operation::GetBlockHeight);
        }
    }
}

#[test]
fn a_long_page_of_a_stranger_is_quoted_in_part() {
    let error = of_height(|| Reply::Http(404, "page ".repeat(10_000).into()));
    assert!(error.to_string().len() < 600, "{}", error.to_string().len());
}

#[test]
fn a_height_that_is_no_height_is_an_invalid_response() {
    for value in [
        json!("7"),
        json!(-1),
        json!(4_294_967_296_u64),
        json!(1.5),
        json!([7]),
        Value::Null,
    ] {
        let error = of_height(move || Reply::Result(value.clone()));
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{error}");
    }
}

#[test]
fn an_answer_to_another_request_is_an_invalid_response() {
    let other = json!({ "result": 7, "error": null, "id": "another" }).to_string();
    let error = of_height(move || Reply::Http(200, other.clone().into()));
    assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{error}");
}

#[test]
fn bytes_that_are_not_the_transaction_asked_for_are_an_invalid_response() {
    let whole = hex();
    let mut other = whole.clone();
    // Another version, and so another txid.
    other.replace_range(0..2, "07");
    for wrong in [
        String::new(),
        "zz".to_owned(),
        whole[1..].to_owned(),
        whole[2..].to_owned(),
        whole.clone() + "00",
        other,
    ] {
        let error = of_transaction(move || Reply::Result(json!({ "hex": wrong })));
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{error}");
    }
}

#[test]
fn a_transaction_is_in_the_block_it_is_confirmed_in() {
    let hash = "ab".repeat(32);
    for (more, found) in [
        (json!({}), None),
        (
            json!({ "blockhash": hash, "confirmations": 1 }),
            Some(&hash),
        ),
        (json!({ "blockhash": hash, "confirmations": 0 }), None),
        (json!({ "blockhash": hash, "confirmations": -1 }), None),
        (json!({ "blockhash": hash }), None),
    ] {
        let mut answer = more.clone();
        answer["hex"] = json!(hex());
        let server = Server::start(move |request, _| {
            (request.name == "getrawtransaction").then(|| Reply::Result(answer.clone()))
        });
        let txid = transaction().txid.to_string().to_uppercase();
        let read = server.connect().get_transaction(&txid).expect("known");
        assert_eq!(
            read.block_hash.map(|hash| hash.to_string()).as_ref(),
            found,
            "{more}"
        );
        assert_eq!(read.outputs, transaction().outputs);
    }
}

#[test]
fn what_is_no_hash_is_refused_without_asking_the_node() {
    let server = Server::start(|_, _| None);
    let bitcoin = server.connect();
    let long = "é".repeat(500);
    for wrong in [
        "",
        "00",
        &"0".repeat(63),
        &"g".repeat(64),
        &"0".repeat(66),
        &long,
    ] {
        let errors = [
            bitcoin.get_transaction(wrong).map(drop),
            bitcoin.get_block(wrong).map(drop),
        ];
        for error in errors {
            let error = error.expect_err("not a hash");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().len() < 400, "{error}");
        }
    }
    assert!(server.names().is_empty());
}

#[test]
fn a_node_that_says_nothing_is_a_timeout_and_is_asked_once() {
    let server =
        Server::start(|request, _| (request.name == "getblockcount").then_some(Reply::Silence));
    let config = NodeConfig {
        timeout: Duration::from_millis(300),
        ..server.config()
    };
    let bitcoin = server.connect_with(&config);
    let error = bitcoin.get_block_height().expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert_eq!(server.names(), ["getblockcount"]);
}

#[test]
fn without_a_wallet_its_operations_are_unsupported() {
    let server = Server::start(|_, _| None);
    let bitcoin = server.connect();
    let errors = [
        bitcoin
            .generate_address(btc_iface::AddressType::P2tr)
            .map(drop),
        bitcoin.create_transaction(Vec::new(), 1).map(drop),
        bitcoin.get_balance().map(drop),
    ];
    for error in errors {
        let error = error.expect_err("there is no wallet");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.message(), "no wallet is configured");
    }
    assert!(server.names().is_empty());
}
