//! Blocks over REST, over RPC where REST is off, and the ways in which a node has none.

use bitcoin::consensus::encode::serialize;
use bitcoin::hex::DisplayHex as _;
use btc_iface::{BitcoinInterface, ErrorKind};
use serde_json::json;

use crate::samples::{block, transaction};
use crate::server::{Reply, Server};

/// A node that answers REST requests with this status and body, and has the block over RPC.
fn node(status: u16, body: impl Into<Vec<u8>>) -> Server {
    let body = body.into();
    let hex = serialize(&block()).to_lower_hex_string();
    Server::start(move |request, _| match request.name.as_str() {
        "getblock" => Some(Reply::Result(json!(hex))),
        path if path.starts_with("/rest/") => Some(Reply::Http(status, body.clone())),
        _ => None,
    })
}

fn rest() -> String {
    format!("/rest/block/{}.bin", block().block_hash())
}

#[test]
fn a_block_comes_over_rest_as_bytes() {
    let server = node(200, serialize(&block()));
    let hash = block().block_hash();
    let found = server.connect().get_block(&hash.to_string());
    let expected = btc_iface::BitcoinTransaction {
        block_hash: Some(hash),
        ..transaction()
    };
    assert_eq!(found.expect("a block"), [expected]);
    assert_eq!(server.names(), [rest()]);
    assert_eq!(server.requests()[0].authorization, None);
}

#[test]
fn without_rest_the_block_comes_over_rpc_and_rest_is_not_asked_again() {
    let server = node(404, "");
    let bitcoin = server.connect();
    for _ in 0..2 {
        let found = bitcoin.get_block(&block().block_hash().to_string());
        assert_eq!(found.expect("a block").len(), 1);
    }
    assert_eq!(server.names(), [rest().as_str(), "getblock", "getblock"]);
    assert_eq!(server.requests()[1].params[1], 0, "as bytes, not as JSON");
}

#[test]
fn a_block_that_rest_does_not_have_is_not_found_and_rest_stays_on() {
    let hash = block().block_hash();
    for said in [
        format!("{hash} not found\r\n"),
        format!("{hash} not available (pruned data)\r\n"),
        format!("{hash} not available (not fully downloaded)\r\n"),
    ] {
        let server = node(404, said.clone());
        let bitcoin = server.connect();
        for _ in 0..2 {
            let error = bitcoin.get_block(&hash.to_string()).expect_err(&said);
            assert_eq!(error.kind(), ErrorKind::NotFound, "{said}: {error}");
            assert!(error.to_string().contains(&hash.to_string()), "{error}");
        }
        assert_eq!(server.names(), [rest(), rest()], "{said}");
    }
}

#[test]
fn another_failure_of_rest_is_left_to_rpc() {
    for status in [400, 500, 503] {
        let server = node(status, "Service temporarily unavailable");
        let found = server
            .connect()
            .get_block(&block().block_hash().to_string());
        assert_eq!(found.expect("a block").len(), 1);
        assert_eq!(server.names(), [rest().as_str(), "getblock"], "{status}");
    }
}

#[test]
fn bytes_that_are_not_the_block_asked_for_are_an_invalid_response() {
    let whole = serialize(&block());
    let mut other_transaction = whole.clone();
    *other_transaction.last_mut().expect("not empty") ^= 1;
    let mut other_header = whole.clone();
    other_header[0] ^= 1;
    for (wrong, said) in [
        (Vec::new(), "not a consensus-serialised block"),
        (
            whole[..whole.len() - 1].to_vec(),
            "not a consensus-serialised block",
        ),
        ([whole, vec![0]].concat(), "1 bytes follow the block"),
        (other_header, "hashes to"),
        (other_transaction, "merkle root"),
        (vec![0; 4_000_001], "4,000,000"),
    ] {
        let server = node(200, wrong);
        let error = server
            .connect()
            .get_block(&block().block_hash().to_string())
            .expect_err(said);
        assert_eq!(error.kind(), ErrorKind::InvalidResponse);
        assert!(error.message().contains(said), "{said}: {error}");
    }
}

#[test]
fn a_height_beyond_the_tip_is_not_found() {
    let server = Server::start(|_, _| None);
    let error = server
        .connect()
        .get_block_hash(8)
        .expect_err("the tip is 7");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(server.names(), ["getblockcount"]);
}
