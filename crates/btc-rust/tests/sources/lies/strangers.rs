//! Answers that no Electrum server gives, and programs that are none.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::constants::genesis_block;
use btc_iface::{ErrorKind, Network};
use btc_rust::wallet::source::ChainSource as _;
use serde_json::{Value, json};

use crate::setup;
use crate::wallet::Pocket;

const SHORT: Duration = Duration::from_secs(2);

/// A server whose answers are made by a function of method and parameters; `None` hangs up.
fn fake(answer: impl Fn(&str, &Value) -> Option<Value> + Send + Sync + 'static) -> String {
    serve(move |stream| {
        let mut writer = stream.try_clone().expect("a second handle");
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let request: Value = serde_json::from_str(&line).expect("JSON");
            let method = request["method"].as_str().expect("a method");
            let Some(result) = answer(method, &request["params"]) else {
                return;
            };
            let line = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
            // In one piece, or each answer waits for an acknowledgement.
            let line = format!("{line}\n");
            if writer.write_all(line.as_bytes()).is_err() {
                return;
            }
        }
    })
}

fn serve(treat: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let treat = std::sync::Arc::new(treat);
        for stream in listener.incoming().flatten() {
            let treat = std::sync::Arc::clone(&treat);
            std::thread::spawn(move || treat(stream));
        }
    });
    format!("tcp://{address}")
}

/// An honest server that answers one method with this instead, besides the request's number.
pub(super) fn refusing(refused: &'static str, answer: Value) -> String {
    serve(move |stream| {
        let mut writer = stream.try_clone().expect("a second handle");
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let request: Value = serde_json::from_str(&line).expect("JSON");
            let method = request["method"].as_str().expect("a method");
            let mut told = json!({"result": honest(method, &request["params"])});
            if method == refused {
                told = answer.clone();
            }
            told["id"] = request["id"].clone();
            if writer.write_all(format!("{told}\n").as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// What an honest server of an empty chain answers.
fn honest(method: &str, params: &Value) -> Option<Value> {
    let header = serialize_hex(&genesis_block(Network::Regtest).header);
    Some(match method {
        "server.version" => json!(["honest", "1.4"]),
        "blockchain.headers.subscribe" => json!({"height": 0, "hex": header}),
        "blockchain.block.header" => json!(header),
        "blockchain.block.headers" if params[0] == 0 => {
            json!({"hex": header, "count": 1, "max": 2016})
        }
        "blockchain.block.headers" => json!({"hex": "", "count": 0, "max": 2016}),
        "blockchain.scripthash.get_history" => json!([]),
        _ => return None,
    })
}

#[test]
fn an_honest_fake_is_followed() {
    let electrum = setup::electrum(&fake(honest), Network::Regtest, SHORT);
    let mut pocket = Pocket::new("fake");
    pocket
        .follow(&electrum.expect("it answers"))
        .expect("an empty chain");
    assert_eq!(pocket.log, "u");
}

#[test]
fn servers_that_lie_are_found_out() {
    let header = serialize_hex(&genesis_block(Network::Regtest).header);
    let txid = "aa".repeat(32);
    let coinbase = serialize_hex(&genesis_block(Network::Regtest).txdata[0]);
    // Each answers one method with something else.
    let lies = [
        (
            "blockchain.headers.subscribe",
            json!({"height": u32::MAX, "hex": header}),
        ),
        (
            "blockchain.headers.subscribe",
            json!({"height": u64::MAX, "hex": header}),
        ),
        (
            "blockchain.headers.subscribe",
            json!({"height": -1, "hex": header}),
        ),
        (
            "blockchain.headers.subscribe",
            json!({"height": 5, "hex": header}),
        ),
        ("blockchain.headers.subscribe", json!("nonsense")),
        ("blockchain.headers.subscribe", Value::Null),
        ("blockchain.scripthash.get_history", json!([{"height": 7}])),
        (
            "blockchain.scripthash.get_history",
            json!({"a": {"b": [1, 2, 3]}}),
        ),
        // A transaction that is then not what was announced.
        (
            "blockchain.scripthash.get_history",
            json!([{"height": 0, "tx_hash": txid}]),
        ),
    ];
    for (method, lie) in lies {
        let coinbase = coinbase.clone();
        let told = lie.clone();
        let url = fake(move |asked, params| {
            if asked == method {
                Some(told.clone())
            } else if asked == "blockchain.transaction.get" {
                Some(json!(coinbase))
            } else {
                honest(asked, params)
            }
        });
        let electrum = setup::electrum(&url, Network::Regtest, SHORT);
        let mut pocket = Pocket::new("lies");
        let error = pocket.follow(&electrum.expect("so far, so good"));
        let error = error.expect_err("a lie");
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{lie}: {error}");
        assert!(pocket.log.is_empty());
    }
}

#[test]
fn headers_that_are_none_are_found_out() {
    let genesis = genesis_block(Network::Regtest).header;
    let header = serialize_hex(&genesis);
    for lie in [
        Value::Null,
        json!("headers"),
        json!({"hex": 7, "count": 1, "max": 2016}),
        // A count that the bytes do not keep, half a header, too many, and no hexadecimal.
        json!({"hex": "", "count": 2016, "max": 2016}),
        json!({"hex": header[..80], "count": 1, "max": 2016}),
        json!({"hex": header.repeat(3_000), "count": 3_000, "max": 2016}),
        json!({"hex": "é".repeat(80), "count": 1, "max": 2016}),
    ] {
        let (told, tip) = (lie.clone(), header.clone());
        let url = fake(move |asked, params| match asked {
            "blockchain.headers.subscribe" => Some(json!({"height": 9, "hex": tip})),
            "blockchain.block.headers" => Some(told.clone()),
            _ => honest(asked, params),
        });
        let electrum = setup::electrum(&url, Network::Regtest, SHORT);
        let electrum = electrum.expect("so far, so good");
        let error = Pocket::new("headers").follow(&electrum).expect_err("a lie");
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{lie}: {error}");
        let error = electrum.tip().expect_err("a lie");
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{lie}: {error}");
    }
}

#[test]
fn servers_that_are_none_do_not_hang() {
    let noise = serve(|mut stream| while stream.write_all(&[0xff; 4096]).is_ok() {});
    let endless = serve(|mut stream| while stream.write_all(&[b'['; 8_192]).is_ok() {});
    let nested = serve(|mut stream| {
        let _ = writeln!(stream, "{}", "[".repeat(1_000_000));
        std::thread::sleep(SHORT);
    });
    let gone = serve(drop);
    let mute = serve(|stream| {
        std::thread::sleep(SHORT * 3);
        drop(stream);
    });
    let chatty = serve(|mut stream| {
        let news = json!({"jsonrpc": "2.0", "method": "news", "params": []});
        while writeln!(stream, "{news}").is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let expected = [
        (noise, ErrorKind::InvalidResponse),
        (endless, ErrorKind::InvalidResponse),
        (nested, ErrorKind::InvalidResponse),
        (gone, ErrorKind::Unavailable),
        (mute, ErrorKind::Timeout),
        (chatty, ErrorKind::Timeout),
    ];
    for (url, kind) in expected {
        let error = setup::electrum(&url, Network::Regtest, SHORT).err();
        let error = error.expect("no server");
        assert_eq!(error.kind(), kind, "{error}");
    }
}

/// A server that sends this line before its answers to one method.
fn with_a_line(line: &'static str, before: &'static str) -> String {
    serve(move |stream| {
        let mut writer = stream.try_clone().expect("a second handle");
        for asked in BufReader::new(stream).lines().map_while(Result::ok) {
            let request: Value = serde_json::from_str(&asked).expect("JSON");
            let method = request["method"].as_str().expect("a method");
            let result = honest(method, &request["params"]);
            let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
            let mut told = format!("{answer}\n");
            if method == before {
                told.insert_str(0, &format!("{line}\n"));
            }
            if writer.write_all(told.as_bytes()).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a_line_that_is_no_object_is_refused_at_any_time() {
    for line in ["[]", "5", "\"x\"", "true", "null", "", "[{}]"] {
        let url = with_a_line(line, "server.version");
        let error = setup::electrum(&url, Network::Regtest, SHORT).err();
        let error = error.expect("no server");
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{line}: {error}");
        for method in [
            "blockchain.headers.subscribe",
            "blockchain.scripthash.get_history",
        ] {
            let url = with_a_line(line, method);
            let electrum = setup::electrum(&url, Network::Regtest, SHORT).expect("so far");
            let error = Pocket::new("lines").follow(&electrum).expect_err("a lie");
            assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{line}: {error}");
        }
        let url = with_a_line(line, "blockchain.transaction.broadcast");
        let electrum = setup::electrum(&url, Network::Regtest, SHORT).expect("so far");
        let transaction = genesis_block(Network::Regtest).txdata[0].clone();
        let error = electrum.broadcast(&transaction).expect_err("a lie");
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{line}: {error}");
    }
}

#[test]
fn unconfirmed_transactions_without_end_are_fetched_in_part_and_once() {
    let coinbase = genesis_block(Network::Regtest).txdata[0].clone();
    let pool: Vec<bitcoin::Transaction> = (0..2_500)
        .map(|number| {
            let mut made_up = coinbase.clone();
            made_up.input[0].previous_output.vout = number;
            made_up
        })
        .collect();
    let txids: Vec<String> = pool
        .iter()
        .map(|it| it.compute_txid().to_string())
        .collect();
    let hexes: Vec<String> = pool.iter().map(serialize_hex).collect();
    let by_txid: HashMap<String, String> = txids.iter().cloned().zip(hexes).collect();
    let history: Vec<Value> = txids
        .iter()
        .map(|txid| json!({"height": 0, "tx_hash": txid}))
        .collect();
    let fetched = Arc::new(AtomicUsize::new(0));
    let (count, first) = (Arc::clone(&fetched), AtomicBool::new(true));
    let url = fake(move |method, params| match method {
        // One script has them all.
        "blockchain.scripthash.get_history" => {
            let is_first = first.swap(false, Ordering::SeqCst);
            Some(json!(if is_first {
                history.clone()
            } else {
                Vec::new()
            }))
        }
        "blockchain.headers.subscribe" => {
            first.store(true, Ordering::SeqCst);
            honest(method, params)
        }
        "blockchain.transaction.get" => {
            count.fetch_add(1, Ordering::SeqCst);
            Some(json!(by_txid[params[0].as_str()?]))
        }
        _ => honest(method, params),
    });
    let electrum = setup::electrum(&url, Network::Regtest, SHORT).expect("it answers");
    let mut pocket = Pocket::new("without end");
    for expected in [2_000, 2_500, 2_500] {
        pocket.follow(&electrum).expect("the scan ends");
        assert!(pocket.coins().is_empty());
        assert_eq!(fetched.load(Ordering::SeqCst), expected);
    }
}

#[test]
fn a_broadcast_is_sent_once() {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = std::sync::Arc::clone(&sent);
    let url = fake(move |method, params| {
        if method == "blockchain.transaction.broadcast" {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            return None;
        }
        honest(method, params)
    });
    let electrum = setup::electrum(&url, Network::Regtest, SHORT).expect("it answers");
    let transaction = genesis_block(Network::Regtest).txdata[0].clone();
    let error = electrum.broadcast(&transaction).expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.message().contains("outcome is unknown"), "{error}");
    assert_eq!(sent.load(std::sync::atomic::Ordering::SeqCst), 1);
}
