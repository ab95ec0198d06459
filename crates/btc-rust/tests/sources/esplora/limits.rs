//! Servers that are none, that flood or keep waiting, and answers that no Esplora server gives.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bitcoin::constants::genesis_block;
use btc_iface::{ErrorKind, Network};
use btc_regtest::esplora::Answer;
use btc_regtest::{Chain, EsploraServer, Node};
use btc_rust::wallet::source::ChainSource as _;
use btc_rust::wallet::source::esplora::{EsploraConfig, EsploraSource};

use super::{SHORT, attempt};
use crate::setup::node;
use crate::wallet::Pocket;

/// A server that treats each connection as it is told.
fn fake(treat: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let treat = std::sync::Arc::new(treat);
        for stream in listener.incoming().flatten() {
            let treat = std::sync::Arc::clone(&treat);
            std::thread::spawn(move || treat(stream));
        }
    });
    format!("http://{address}")
}

/// Reads a request, then sends this as often as it is taken.
fn says(head: &'static str, body: &'static [u8], pause: Duration) -> String {
    fake(move |stream| {
        let mut reader = BufReader::new(&stream);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
            line.clear();
        }
        let mut writer = &stream;
        let _ = writer.write_all(head.as_bytes());
        while !body.is_empty() && writer.write_all(body).is_ok() {
            std::thread::sleep(pause);
        }
        let _ = reader.read_to_end(&mut Vec::new());
    })
}

#[test]
fn wrong_addresses_are_told() {
    for url in [
        "tcp://127.0.0.1:1",
        "127.0.0.1:1",
        "https://",
        "https://me:secret@host",
        "https://host/?query",
        "",
    ] {
        let error = attempt(url, None, None).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{url}: {error}");
    }
    let missing = Some("/does/not/exist.pem".into());
    let error = attempt("https://localhost:1", missing, None).err();
    assert_eq!(error.expect("refused").kind(), ErrorKind::Configuration);
    let node = Node::builder().start().expect("a node starts");
    let server = EsploraServer::start(&node).expect("a server");
    let error = EsploraSource::connect(&EsploraConfig::new(&server.url(), Network::Signet));
    let error = error.err().expect("another network");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    // The node itself is not an Esplora server.
    let error = attempt(&node.rpc_url(), None, None).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{error}");
}

#[test]
fn servers_that_are_none_do_not_hang() {
    let ok = "HTTP/1.1 200 OK\r\n\r\n";
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    let elsewhere =
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let busy = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
    let slow = Duration::from_millis(100);
    let expected = [
        (
            says(ok, &[b'0'; 16_384], Duration::ZERO),
            ErrorKind::InvalidResponse,
        ),
        (
            says("", &[b'a'; 16_384], Duration::ZERO),
            ErrorKind::InvalidResponse,
        ),
        (
            says("HTTP/1.1 200 OK\r\n", b"a: b\r\n", Duration::ZERO),
            ErrorKind::InvalidResponse,
        ),
        (says(long, b"0", slow), ErrorKind::Timeout),
        (says("", b"", slow), ErrorKind::Timeout),
        (says(elsewhere, b"", slow), ErrorKind::InvalidResponse),
        (says(busy, b"", slow), ErrorKind::Unavailable),
        (fake(drop), ErrorKind::Unavailable),
    ];
    for (at, (url, kind)) in expected.into_iter().enumerate() {
        let begun = Instant::now();
        let error = attempt(&url, None, None).err().expect("no server");
        assert_eq!(error.kind(), kind, "{at}: {error:?}");
        assert!(begun.elapsed() < SHORT * 5, "{at}: {:?}", begun.elapsed());
    }
}

#[test]
fn answers_that_are_none_are_found_out() {
    let node = node();
    let mut chain = Chain::new(&node, 7).expect("a chain");
    chain.mine(3).expect("blocks");
    let genesis = genesis_block(Network::Regtest).block_hash();
    let block = |height: u64| {
        format!(
            r#"[{{"id":"{genesis}","height":{height},"version":1,"timestamp":1,"bits":1,
            "nonce":1,"merkle_root":"{}","previousblockhash":null}}]"#,
            "00".repeat(32)
        )
    };
    let entry = r#"{"txid":"","status":{"confirmed":true}}"#
        .replace("\"\"", &format!("\"{}\"", "11".repeat(32)));
    let endless = entry.replace("true", r#"true,"block_height":2"#);
    for (path, answer) in [
        ("/blocks", "[]".to_owned()),
        ("/blocks", "{}".to_owned()),
        ("/blocks", "nonsense".to_owned()),
        ("/blocks", "[".repeat(100_000)),
        ("/blocks", block(3)),
        ("/blocks", block(1 << 40)),
        ("/scripthash", "7".to_owned()),
        ("/scripthash", format!("[{entry}]")),
        ("/scripthash", format!("[{endless}]")),
    ] {
        let told = answer.clone();
        let server = EsploraServer::start_with(&node, move |asked, honest| {
            if asked.starts_with(path) {
                Answer::ok(told.clone())
            } else {
                honest
            }
        });
        let server = server.expect("a server");
        let esplora = attempt(&server.url(), None, None).expect("so far, so good");
        let mut pocket = Pocket::new("answers");
        let error = pocket.follow(&esplora).expect_err("a lie");
        let start = &answer[..answer.len().min(60)];
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{start}: {error}");
        assert!(pocket.log.is_empty());
    }
}

#[test]
fn a_broadcast_is_sent_once() {
    let node = node();
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = std::sync::Arc::clone(&sent);
    let server = EsploraServer::start_with(&node, move |path, honest| {
        if path == "/tx" {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            std::thread::sleep(SHORT * 2);
        }
        honest
    });
    let server = server.expect("a server");
    let esplora = attempt(&server.url(), None, None).expect("it answers");
    let transaction = genesis_block(Network::Regtest).txdata[0].clone();
    let error = esplora.broadcast(&transaction).expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.message().contains("outcome is unknown"), "{error}");
    assert_eq!(sent.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[test]
fn a_server_that_drips_over_many_answers_ends_in_an_error() {
    let node = node();
    let server = EsploraServer::start_with(&node, move |path, honest| {
        if path.starts_with("/scripthash") {
            std::thread::sleep(SHORT / 2);
        }
        honest
    });
    let server = server.expect("a server");
    let esplora = attempt(&server.url(), None, None).expect("it answers");
    let begun = Instant::now();
    let error = Pocket::new("drips").follow(&esplora).expect_err("too slow");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.message().contains("so slowly"), "{error}");
    assert!(begun.elapsed() < SHORT * 5, "{:?}", begun.elapsed());
}
