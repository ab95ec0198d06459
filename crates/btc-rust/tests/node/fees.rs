//! Fee rates: the node's amounts in BTC/kvB become whole sat/vB.

use btc_iface::{BitcoinInterface, BitcoinResult, ErrorKind};
use serde_json::json;

use crate::server::{Reply, Server};

/// What a node's answer, written just so, is read as.
fn estimate(answer: impl Into<String>) -> BitcoinResult<u64> {
    let answer = answer.into();
    let server = Server::start(move |request, _| {
        (request.name == "estimatesmartfee").then(|| {
            assert_eq!(request.params, json!([6]));
            Reply::Text(answer.clone())
        })
    });
    server.connect().estimate_fee(6)
}

fn rate(text: &str) -> BitcoinResult<u64> {
    estimate(format!(r#"{{"feerate":{text},"blocks":6}}"#))
}

#[test]
fn a_rate_is_rounded_up_and_never_zero() {
    for (btc_per_kvb, sat_per_vb) in [
        ("0.00001000", 1),
        ("0.00001001", 2),
        ("0.00001999", 2),
        ("0.00002", 2),
        ("0.00000001", 1),
        ("0.1", 10_000),
        ("1", 100_000),
    ] {
        assert_eq!(
            rate(btc_per_kvb).expect(btc_per_kvb),
            sat_per_vb,
            "{btc_per_kvb}"
        );
    }
}

#[test]
fn what_is_no_rate_is_an_invalid_response() {
    for wrong in [
        "0",
        "21000001",
        "-0.00001",
        "true",
        "\"high\"",
        "0.000000001",
        "1e99",
        "[]",
    ] {
        let error = rate(wrong).expect_err(wrong);
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{wrong}");
    }
}

#[test]
fn no_estimate_is_not_found_with_the_nodes_reasons() {
    let said = "Insufficient data or no feerate found";
    let error = estimate(json!({ "errors": [said] }).to_string()).expect_err("none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains(said), "{error}");
    let error = estimate(r#"{"blocks":6}"#).expect_err("none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_target_of_no_block_is_refused_without_asking_the_node() {
    let server = Server::start(|_, _| None);
    let error = server.connect().estimate_fee(0).expect_err("the past");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(server.names().is_empty());
}
