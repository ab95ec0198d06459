//! A node that lies, over every implementation: nonsense is never taken for an answer.

use std::time::Duration;

use bitcoin::consensus::encode;
use bitcoin::hex::DisplayHex;
use bitcoin::{Amount, Block};
use btc::{BitcoinInterface, BitcoinResult, ErrorKind};
use btc_tests::{
    Backend, FakeNode, Fault, Outcome, Reply, Request, Suite, bounded, failure, healthy, only,
};
use serde_json::{Value, json};

const NONSENSE: ErrorKind = ErrorKind::InvalidResponse;

const LIES: &[(&str, Fault)] = &[
    ("not_json_rpc", not_json_rpc),
    ("not_http", not_http),
    ("wrong_types", wrong_types),
    ("another_block", another_block),
    ("another_transaction", another_transaction),
    ("another_txid_after_broadcast", another_txid),
    ("absurd_fee_rates", fee_rates),
    ("absurd_mempools", mempools),
    ("unknown_error_codes", error_codes),
];

pub(crate) fn add(suite: &mut Suite) {
    for backend in Backend::REAL {
        for (name, lie) in LIES {
            suite.add(format!("hostile::{name}::{}", backend.name()), move || {
                bounded(Duration::from_secs(30), name, move || lie(backend))
            });
        }
    }
}

fn genesis() -> Block {
    bitcoin::blockdata::constants::genesis_block(bitcoin::Network::Regtest)
}

/// What each body leads to, at connect and later.
fn not_json_rpc(backend: Backend) -> Outcome {
    let bodies: [(u16, &[u8]); 14] = [
        (200, b""),
        (200, b"<html>It works!</html>"),
        (200, b"null"),
        (200, b"7"),
        (200, b"\"7\""),
        (200, b"[]"),
        (200, b"[7]"),
        (200, b"{}"),
        (200, b"{\"result\": 7"),
        (200, b"\xff\xfe\x00"),
        (200, b"{\"result\": \"\xff\"}"),
        (404, b"<html>Not found</html>"),
        (500, b"Internal error"),
        (302, b""),
    ];
    let node = FakeNode::start(healthy);
    let bitcoin = backend.connect(&node.config())?;
    for (index, (status, body)) in bodies.into_iter().enumerate() {
        let what = format!("{status} {}", String::from_utf8_lossy(body));
        node.set(move |_| Reply::Http(status, body.to_vec()));
        failure(bitcoin.get_block_height(), NONSENSE, &what);
        // A worker takes long to start, and passes on what the others do.
        if backend != Backend::PythonWorker || index < 2 {
            failure(backend.connect(&node.config()), NONSENSE, &what);
        }
    }
    Ok(())
}

fn not_http(backend: Backend) -> Outcome {
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"\x00\x01\x02\x03\x04\x05\x06\x07",
        b"HTTP/1.1 abc\r\n\r\n",
    ] {
        let node = FakeNode::start(move |_| Reply::Bytes(bytes.to_vec()));
        let what = String::from_utf8_lossy(bytes);
        failure(backend.connect(&node.config()), NONSENSE, &what);
    }
    Ok(())
}

fn wrong_types(backend: Backend) -> Outcome {
    let hash = "00".repeat(32);
    let node = FakeNode::start(healthy);
    let bitcoin = backend.connect(&node.config())?;
    for wrong in [
        json!(null),
        json!(-1),
        json!(4_294_967_296_u64),
        json!(1.5),
        json!("7"),
        json!(true),
        json!([7]),
        json!({"height": 7}),
    ] {
        let what = wrong.to_string();
        let calls = [
            (
                "getblockcount",
                (|bitcoin, _| bitcoin.get_block_height().map(drop)) as Call,
            ),
            ("getrawtransaction", |bitcoin, hash| {
                bitcoin.get_transaction(hash).map(drop)
            }),
            ("getblock", |bitcoin, hash| {
                bitcoin.get_block(hash).map(drop)
            }),
        ];
        for (method, call) in calls {
            node.set(only(method, Reply::Result(wrong.clone())));
            // REST would be asked first and has no types.
            let answer = call(&*bitcoin, &hash);
            failure(answer, NONSENSE, &format!("{method} {what}"));
        }
    }
    Ok(())
}

type Call = fn(&dyn BitcoinInterface, &str) -> BitcoinResult<()>;

/// A block in REST's form and in that of RPC.
fn block(bytes: Vec<u8>) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    move |request| match request.method.as_str() {
        "" => Reply::Http(200, bytes.clone()),
        "getblock" => Reply::Result(json!(bytes.to_lower_hex_string())),
        _ => healthy(request),
    }
}

fn another_block(backend: Backend) -> Outcome {
    let honest = genesis();
    let hash = honest.block_hash();
    let bytes = encode::serialize(&honest);
    // First that the server is believed when it tells the truth.
    let node = FakeNode::start(block(bytes.clone()));
    let bitcoin = backend.connect(&node.config())?;
    assert_eq!(bitcoin.get_block(&hash.to_string())?.len(), 1);

    let other = encode::serialize(&bitcoin::blockdata::constants::genesis_block(
        bitcoin::Network::Signet,
    ));
    let mut amount = honest.clone();
    amount.txdata[0].output[0].value += Amount::ONE_SAT;
    let mut twice = honest.clone();
    twice.txdata.push(honest.txdata[0].clone());
    let mut empty = honest.clone();
    empty.txdata.clear();
    let count_at = 80;
    let with_count = |count: &[u8]| [&bytes[..count_at], count, &bytes[count_at + 1..]].concat();
    let lies: [(&str, Vec<u8>); 11] = [
        ("another block", other),
        ("another amount", encode::serialize(&amount)),
        ("a transaction twice", encode::serialize(&twice)),
        ("no transactions", encode::serialize(&empty)),
        ("nothing", Vec::new()),
        ("only a header", bytes[..count_at].to_vec()),
        ("one byte short", bytes[..bytes.len() - 1].to_vec()),
        ("one byte more", [&bytes[..], &[0]].concat()),
        ("two announced", with_count(&[2])),
        ("2^64 - 1 announced", with_count(&[0xff; 9])),
        ("zeros", vec![0; bytes.len()]),
    ];
    for (what, lie) in lies {
        node.set(block(lie));
        failure(bitcoin.get_block(&hash.to_string()), NONSENSE, what);
    }
    Ok(())
}

fn another_transaction(backend: Backend) -> Outcome {
    let honest = genesis().txdata[0].clone();
    let txid = honest.compute_txid().to_string();
    let hex = encode::serialize_hex(&honest);
    let truth = Reply::Result(json!({"hex": hex}));
    let node = FakeNode::start(only("getrawtransaction", truth));
    let bitcoin = backend.connect(&node.config())?;
    let answer = bitcoin.get_transaction(&txid)?;
    assert_eq!(answer.txid.to_string(), txid);

    let mut other = honest.clone();
    other.lock_time = bitcoin::absolute::LockTime::from_consensus(1);
    let lies: [(&str, Value); 10] = [
        ("another", json!({"hex": encode::serialize_hex(&other)})),
        ("nothing", json!({"hex": ""})),
        ("no hex", json!({"txid": txid})),
        ("not hex", json!({"hex": "zz".repeat(60)})),
        ("odd hex", json!({"hex": hex[1..]})),
        ("one byte short", json!({"hex": hex[..hex.len() - 2]})),
        ("one byte more", json!({"hex": format!("{hex}00")})),
        ("hex of another type", json!({"hex": 7})),
        (
            "a block hash that is none",
            json!({"hex": hex, "confirmations": 1, "blockhash": "00"}),
        ),
        (
            "a block hash of another type",
            json!({"hex": hex, "confirmations": 1, "blockhash": 7}),
        ),
    ];
    for (what, lie) in lies {
        node.set(only("getrawtransaction", Reply::Result(lie)));
        failure(bitcoin.get_transaction(&txid), NONSENSE, what);
    }
    Ok(())
}

fn another_txid(backend: Backend) -> Outcome {
    let transaction = btc_tests::to_plain(&genesis().txdata[0], None);
    let node = FakeNode::start(healthy);
    let bitcoin = backend.connect(&node.config())?;
    let lies = [json!("00".repeat(32)), json!("00"), json!(null), json!(7)];
    for (before, lie) in lies.into_iter().enumerate() {
        let what = lie.to_string();
        node.set(only("sendrawtransaction", Reply::Result(lie)));
        failure(bitcoin.broadcast_transaction(&transaction), NONSENSE, &what);
        assert_eq!(node.count("sendrawtransaction"), before + 1);
    }
    Ok(())
}

fn fee_rates(backend: Backend) -> Outcome {
    let node = FakeNode::start(healthy);
    let bitcoin = backend.connect(&node.config())?;
    // In BTC/kvB, as Core writes them, with the answer in sat/vB.
    for (feerate, expected) in [
        ("0.00001000", 1),
        ("0.00001001", 2),
        ("0.00000100", 1),
        ("0.00000001", 1),
        ("0.10000000", 10_000),
        ("1.00000000", 100_000),
        ("0.29999999", 30_000),
    ] {
        node.set(fee_rate(feerate));
        assert_eq!(bitcoin.estimate_fee(6)?, expected, "{feerate}");
    }
    for lie in [
        "0",
        "0.00000000",
        "-1",
        "-0.00001000",
        "1e400",
        "22000000",
        "\"0.00001000\"",
        "true",
        "[]",
        "{}",
    ] {
        node.set(fee_rate(lie));
        failure(bitcoin.estimate_fee(6), NONSENSE, lie);
    }
    Ok(())
}

/// A rate exactly as it stands in the text.
fn fee_rate(feerate: &'static str) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    let answer = format!(r#"{{"feerate": {feerate}, "blocks": 6}}"#);
    only("estimatesmartfee", Reply::Text(answer))
}

/// No estimate, and lies about the mempool that is looked at instead.
fn mempools(backend: Backend) -> Outcome {
    let node = FakeNode::start(healthy);
    let bitcoin = backend.connect(&node.config())?;
    let with = |info: String, entries: String| {
        move |request: &Request| match request.method.as_str() {
            "estimatesmartfee" => Reply::Result(json!({"errors": ["Insufficient data"]})),
            "getmempoolinfo" => Reply::Text(info.clone()),
            "getrawmempool" => Reply::Text(entries.clone()),
            _ => healthy(request),
        }
    };
    let info = |bytes: &str, mempool_min: &str, relay_min: &str| {
        format!(
            r#"{{"bytes": {bytes}, "mempoolminfee": {mempool_min}, "minrelaytxfee": {relay_min}}}"#
        )
    };
    let entry = |vsize: &str, base: &str| {
        format!(r#"{{"aa": {{"vsize": {vsize}, "fees": {{"base": {base}}}}}}}"#)
    };
    let full = || info("2000000", "0.00001000", "0.00001000");
    // First that the server is believed when it tells the truth.
    node.set(with(full(), entry("1000001", "0.07")));
    assert_eq!(bitcoin.estimate_fee(1)?, 7);
    let mut lies = Vec::new();
    for amount in [
        "-0.00000001",
        "21000000.00000001",
        "0.000000001",
        "1e400",
        "NaN",
        "null",
        "\"1\"",
        "true",
        "[]",
    ] {
        lies.push((info("0", amount, "0.00001000"), String::new()));
        lies.push((info("0", "0.00001000", amount), String::new()));
        lies.push((full(), entry("1000001", amount)));
    }
    for size in ["-1", "1.5", "1e400", "NaN", "null", "\"1\"", "true", "[]"] {
        lies.push((info(size, "0.00001000", "0.00001000"), String::new()));
        lies.push((full(), entry(size, "0.07")));
    }
    lies.push((full(), entry("0", "0.07")));
    lies.push((full(), entry("4294967296", "0.07")));
    for shape in [
        "null",
        "7",
        "[]",
        "\"aa\"",
        "{\"aa\": {}}",
        "{\"aa\": null}",
    ] {
        lies.push((full(), shape.to_owned()));
        lies.push((shape.to_owned(), String::new()));
    }
    for (info, entries) in lies {
        let what = format!("{info} {entries}");
        node.set(with(info, entries));
        failure(bitcoin.estimate_fee(1), NONSENSE, &what);
    }
    // Longer than anyone reads: refused for what it says of itself.
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 300 << 20);
    let honest = with(full(), String::new());
    node.set(move |request| match request.method.as_str() {
        "getrawmempool" => Reply::Bytes(head.clone().into_bytes()),
        _ => honest(request),
    });
    let error = failure(bitcoin.estimate_fee(1), NONSENSE, "too long");
    assert!(error.message().contains("268435456"), "{error}");
    Ok(())
}

fn error_codes(backend: Backend) -> Outcome {
    let node = FakeNode::start(healthy);
    let bitcoin = backend.connect(&node.config())?;
    for (code, kind) in [
        (-5, ErrorKind::NotFound),
        (-8, ErrorKind::InvalidInput),
        (-22, ErrorKind::InvalidInput),
        (-25, ErrorKind::Rejected),
        (-26, ErrorKind::Rejected),
        (-28, ErrorKind::Unavailable),
        (-32601, ErrorKind::Unsupported),
        (-1, NONSENSE),
        (-3, NONSENSE),
        (-7, NONSENSE),
        (-20, NONSENSE),
        (-32700, NONSENSE),
        (0, NONSENSE),
        (i32::MAX, NONSENSE),
    ] {
        node.set(only(
            "getblockcount",
            Reply::Error(code, "the node's words"),
        ));
        let error = failure(bitcoin.get_block_height(), kind, &code.to_string());
        assert!(error.message().contains("the node's words"), "{error}");
    }
    Ok(())
}
