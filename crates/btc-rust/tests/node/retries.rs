//! What is sent again and what never is.

use std::time::Duration;

use btc_iface::{BitcoinInterface, ErrorKind, NodeConfig};
use serde_json::json;

use crate::samples::transaction;
use crate::server::{Reply, Server};

#[test]
fn a_read_is_tried_three_times_when_the_connection_is_lost() {
    let server =
        Server::start(|request, _| (request.name == "getblockcount").then_some(Reply::HangUp));
    let bitcoin = server.connect();
    let error = bitcoin.get_block_height().expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let requests = server.requests();
    assert_eq!(server.names(), ["getblockcount"; 3]);
    // Each further attempt has a connection of its own.
    assert!(requests[1].connection > requests[0].connection);
    assert!(requests[2].connection > requests[1].connection);
}

#[test]
fn a_read_succeeds_at_its_third_attempt() {
    let server = Server::start(|request, nth| {
        (request.name == "getblockcount" && nth < 3).then_some(Reply::HangUp)
    });
    let bitcoin = server.connect();
    assert_eq!(bitcoin.get_block_height().expect("at last"), 7);
    assert_eq!(server.names(), ["getblockcount"; 3]);
}

#[test]
fn an_answer_that_breaks_off_is_read_again() {
    let server = Server::start(|request, nth| {
        (request.name == "getblockcount" && nth == 1).then_some(Reply::Torn)
    });
    let bitcoin = server.connect();
    assert_eq!(bitcoin.get_block_height().expect("at last"), 7);
    assert_eq!(server.names(), ["getblockcount"; 2]);
}

#[test]
fn every_read_is_repeated() {
    // Everything is refused once by closing the connection.
    let server = Server::start(|request, nth| match request.name.as_str() {
        "getblockchaininfo" => None,
        _ if nth == 1 => Some(Reply::HangUp),
        "getrawtransaction" => Some(Reply::Error(-5, "unknown")),
        "estimatesmartfee" => Some(Reply::Result(json!({ "blocks": 0 }))),
        "getmempoolinfo" => Some(Reply::Text(
            r#"{"bytes":9000000,"mempoolminfee":0.00001,"minrelaytxfee":0.00001}"#.to_owned(),
        )),
        "getrawmempool" => Some(Reply::Result(json!({}))),
        "getblockhash" => Some(Reply::Result(json!("ab".repeat(32)))),
        path if path.starts_with("/rest/") => Some(Reply::Http(404, b"page not here".to_vec())),
        "getblock" => Some(Reply::Error(-5, "unknown")),
        _ => None,
    });
    let bitcoin = server.connect();
    let hash = "ab".repeat(32);
    let missing = bitcoin.get_transaction(&hash).expect_err("unknown");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let missing = bitcoin.get_block(&hash).expect_err("unknown");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(bitcoin.estimate_fee(6).expect("a rate"), 1);
    assert_eq!(bitcoin.get_block_hash(3).expect("a hash").to_string(), hash);
    let rest = format!("/rest/block/{hash}.bin");
    for name in [
        "getrawtransaction",
        &rest,
        "getblock",
        "estimatesmartfee",
        "getmempoolinfo",
        "getrawmempool",
        "getblockcount",
        "getblockhash",
    ] {
        let names = server.names();
        let times = names.iter().filter(|asked| *asked == name).count();
        assert_eq!(times, 2, "{name} in {names:?}");
    }
}

#[test]
fn an_error_that_the_node_answers_is_not_asked_for_again() {
    for status in [401, 403, 404, 500, 503] {
        let server = Server::start(move |request, _| {
            (request.name == "getblockcount").then(|| Reply::Http(status, b"no".to_vec()))
        });
        let bitcoin = server.connect();
        bitcoin.get_block_height().expect_err("refused");
        assert_eq!(server.names(), ["getblockcount"], "{status}");
    }
}

#[test]
fn two_connections_are_kept_and_take_turns() {
    let server = Server::start(|_, _| None);
    let bitcoin = server.connect();
    for _ in 0..6 {
        bitcoin.get_block_height().expect("a height");
    }
    let connections: Vec<_> = server.requests().iter().map(|r| r.connection).collect();
    assert_ne!(connections[0], connections[1]);
    assert_eq!(connections, connections[..2].repeat(3));
}

#[test]
fn a_broadcast_is_sent_once_whatever_happens_to_it() {
    let replies: [(fn() -> Reply, ErrorKind); 6] = [
        (|| Reply::HangUp, ErrorKind::Unavailable),
        (|| Reply::Torn, ErrorKind::Unavailable),
        (|| Reply::Silence, ErrorKind::Timeout),
        (
            || Reply::Http(503, b"busy".to_vec()),
            ErrorKind::Unavailable,
        ),
        (|| Reply::Http(401, Vec::new()), ErrorKind::Auth),
        (|| Reply::Error(-28, "warming up"), ErrorKind::Unavailable),
    ];
    for (reply, kind) in replies {
        let server =
            Server::start(move |request, _| (request.name == "sendrawtransaction").then(reply));
        let config = NodeConfig {
            timeout: Duration::from_secs(1),
            ..server.config()
        };
        let bitcoin = server.connect_with(&config);
        let error = bitcoin
            .broadcast_transaction(&transaction())
            .expect_err("it failed");
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(server.names(), ["sendrawtransaction"], "{error}");
    }
}

#[test]
fn a_broadcast_does_not_use_a_connection_that_may_be_gone() {
    let txid = transaction().txid.to_string();
    let server = Server::start(move |request, _| {
        (request.name == "sendrawtransaction").then(|| Reply::Result(json!(txid)))
    });
    let bitcoin = server.connect();
    bitcoin.get_block_height().expect("a height");
    bitcoin
        .broadcast_transaction(&transaction())
        .expect("accepted");
    let requests = server.requests();
    assert!(requests[1].connection > requests[0].connection);
}
