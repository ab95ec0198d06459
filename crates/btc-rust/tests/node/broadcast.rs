//! Broadcast: what the node says, and what is refused before the node hears of it.

use bitcoin::hashes::Hash;
use bitcoin::{Txid, Wtxid};
use btc_iface::{BitcoinInterface, BitcoinResult, BitcoinTransaction, ErrorKind};
use serde_json::json;

use crate::samples::{hex, transaction};
use crate::server::{Reply, Server};

/// Sends the sample to a node that answers so, and to a question about it so.
fn send(
    sent: impl Fn() -> Reply + Send + Sync + 'static,
    looked_up: impl Fn() -> Reply + Send + Sync + 'static,
) -> (BitcoinResult<String>, Vec<String>) {
    let server = Server::start(move |request, _| match request.name.as_str() {
        "sendrawtransaction" => {
            assert_eq!(request.params, json!([hex()]));
            Some(sent())
        }
        "getrawtransaction" => Some(looked_up()),
        _ => None,
    });
    let result = server.connect().broadcast_transaction(&transaction());
    (result, server.names())
}

fn txid() -> String {
    transaction().txid.to_string()
}

fn unknown() -> Reply {
    Reply::Error(-5, "No such mempool or blockchain transaction")
}

#[test]
fn an_accepted_transaction_answers_its_txid() {
    let (result, names) = send(|| Reply::Result(json!(txid())), unknown);
    assert_eq!(result.expect("accepted"), txid());
    assert_eq!(names, ["sendrawtransaction"]);
}

#[test]
fn one_that_the_node_has_already_is_success() {
    let (result, names) = send(|| Reply::Error(-27, "already in chain"), unknown);
    assert_eq!(result.expect("in the chain"), txid());
    assert_eq!(names, ["sendrawtransaction"]);
    for (said, more) in [
        ("txn-already-in-mempool", json!({})),
        (
            "bad-txns-inputs-missingorspent",
            json!({ "blockhash": "ab".repeat(32), "confirmations": 3 }),
        ),
    ] {
        let known = move || {
            let mut answer = more.clone();
            answer["hex"] = json!(hex());
            Reply::Result(answer)
        };
        let (result, names) = send(move || Reply::Error(-25, said), known);
        assert_eq!(result.expect(said), txid());
        assert_eq!(names, ["sendrawtransaction", "getrawtransaction"]);
    }
}

#[test]
fn a_refusal_keeps_the_nodes_reason() {
    for code in [-25, -26] {
        let (result, _) = send(move || Reply::Error(code, "min relay fee not met"), unknown);
        let error = result.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(error.message().contains("min relay fee not met"), "{error}");
        assert!(error.to_string().contains(&txid()), "{error}");
    }
}

#[test]
fn a_transaction_known_only_off_the_active_chain_stays_refused() {
    let stale = || {
        let hash = "ab".repeat(32);
        Reply::Result(json!({ "hex": hex(), "blockhash": hash, "confirmations": 0 }))
    };
    let (result, _) = send(|| Reply::Error(-25, "missing inputs"), stale);
    assert_eq!(result.expect_err("refused").kind(), ErrorKind::Rejected);
}

#[test]
fn a_refusal_that_cannot_be_looked_into_is_no_refusal() {
    let (result, _) = send(
        || Reply::Error(-26, "txn-already-known"),
        || Reply::Error(-28, "Loading block index"),
    );
    let error = result.expect_err("unclear");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("txn-already-known"), "{error}");
}

#[test]
fn a_refusal_that_may_not_be_looked_into_does_not_read_as_if_nothing_was_sent() {
    let forbidden = || Reply::Http(403, Vec::new());
    let (result, _) = send(|| Reply::Error(-26, "txn-already-known"), forbidden);
    let error = result.expect_err("unclear");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("txn-already-known"), "{error}");
    let (result, _) = send(forbidden, unknown);
    assert_eq!(result.expect_err("not sent").kind(), ErrorKind::Auth);
}

#[test]
fn bytes_that_the_node_cannot_decode_are_invalid_input() {
    let (result, _) = send(|| Reply::Error(-22, "TX decode failed"), unknown);
    assert_eq!(result.expect_err("refused").kind(), ErrorKind::InvalidInput);
}

#[test]
fn another_txid_from_the_node_is_an_invalid_response() {
    for answer in [json!("ab".repeat(32)), json!("ab"), json!(true)] {
        let (result, _) = send(move || Reply::Result(answer.clone()), unknown);
        assert_eq!(
            result.expect_err("not its txid").kind(),
            ErrorKind::InvalidResponse
        );
    }
}

#[test]
fn what_cannot_be_sent_is_refused_without_asking_the_node() {
    let server = Server::start(|_, _| None);
    let bitcoin = server.connect();
    let wrong: [fn(&mut BitcoinTransaction); 5] = [
        |t| t.txid = Txid::all_zeros(),
        |t| t.wtxid = Wtxid::all_zeros(),
        |t| t.lock_time += 1,
        |t| t.inputs.clear(),
        |t| t.outputs.clear(),
    ];
    for change in wrong {
        let mut transaction = transaction();
        change(&mut transaction);
        let error = bitcoin
            .broadcast_transaction(&transaction)
            .expect_err("it is wrong");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    assert!(server.names().is_empty());
}
