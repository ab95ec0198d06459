//! Servers that lie about a payment which they are handed.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::Transaction;
use bitcoin::constants::genesis_block;
use btc_iface::{BitcoinError, ErrorKind, Network};
use btc_regtest::esplora::Answer;
use btc_regtest::{EsploraServer, Node};
use btc_rust::wallet::source::ChainSource as _;
use serde_json::{Value, json};

use super::strangers;
use crate::setup;

const SHORT: Duration = Duration::from_secs(2);

fn payment() -> Transaction {
    genesis_block(Network::Regtest).txdata[0].clone()
}

/// What an Electrum server's answer to a broadcast comes to.
fn over_electrum(answer: &Value) -> Result<(), BitcoinError> {
    let url = strangers::refusing("blockchain.transaction.broadcast", answer.clone());
    let electrum = setup::electrum(&url, Network::Regtest, SHORT).expect("it answers");
    electrum.broadcast(&payment()).map(drop)
}

/// What an Esplora server's answer to a broadcast comes to.
fn over_esplora(node: &Node, status: u16, text: &str) -> Result<(), BitcoinError> {
    let told: Arc<str> = text.into();
    let server = EsploraServer::start_with(node, move |path, honest| match path {
        "/tx" => Answer::refusal(status, &told),
        _ => honest,
    });
    let server = server.expect("a server");
    let esplora = setup::esplora(&server.url(), SHORT);
    esplora.broadcast(&payment()).map(drop)
}

#[test]
fn only_what_a_node_says_of_a_payment_refuses_it() {
    let node = Node::builder().start().expect("a node starts");
    let verdicts = [
        "the transaction was rejected by network rules.\n\nmin relay fee not met, 1 < 141",
        "sendrawtransaction RPC error: {\"code\":-26,\"message\":\"dust\"}",
        "bad-txns-inputs-missingorspent",
        "RPC error: code -25: something new",
    ];
    let others = [
        "",
        "server busy - request timed out",
        "excessive resource usage",
        "daemon error: no connection to bitcoind",
        "sendrawtransaction RPC error: {\"code\":-28,\"message\":\"Loading\"}",
    ];
    let verdicts = verdicts.map(|text| (text, ErrorKind::Rejected));
    let others = others.map(|text| (text, ErrorKind::Timeout));
    for (text, kind) in verdicts.into_iter().chain(others) {
        for answer in [
            json!({"error": {"code": 1, "message": text}}),
            json!({"error": text}),
        ] {
            let error = over_electrum(&answer).expect_err("no success");
            assert_eq!(error.kind(), kind, "{text}: {error}");
        }
        let error = over_esplora(&node, 400, text).expect_err("no success");
        assert_eq!(error.kind(), kind, "{text}: {error}");
    }
    for (code, kind) in [(-26, ErrorKind::Rejected), (2, ErrorKind::Timeout)] {
        let answer = json!({"error": {"code": code, "message": "something new"}});
        let error = over_electrum(&answer).expect_err("no success");
        assert_eq!(error.kind(), kind, "{code}: {error}");
    }
    for status in [404, 429, 500, 503] {
        let error = over_esplora(&node, status, "dust").expect_err("no success");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{status}: {error}");
    }
}

#[test]
fn a_false_txid_is_no_success_and_no_refusal() {
    let node = Node::builder().start().expect("a node starts");
    let txid = "11".repeat(32);
    for answer in [json!(txid), Value::Null, json!(7), json!("nonsense")] {
        let error = over_electrum(&json!({"result": answer})).expect_err("no success");
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{answer}");
    }
    for answer in [&txid, "", "nonsense"] {
        let error = over_esplora(&node, 200, answer).expect_err("no success");
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{answer}");
    }
}
