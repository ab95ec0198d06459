//! How the node is logged in to, and what happens when it refuses.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bitcoin::base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use btc_iface::{BitcoinInterface, Credentials, ErrorKind, NodeConfig, Secret};
use btc_rust::RustBitcoin;
use serde_json::json;

use crate::samples::transaction;
use crate::server::{Reply, Request, Server};

fn header(pair: &str) -> String {
    format!("Basic {}", BASE64.encode(pair))
}

/// A node whose cookie is `__cookie__:` with a number that the test counts up.
fn node_with_cookie() -> (Server, Arc<AtomicU8>) {
    let number = Arc::new(AtomicU8::new(1));
    let theirs = Arc::clone(&number);
    let server = Server::start(move |request: &Request, _| {
        let number = theirs.load(Ordering::SeqCst);
        let cookie = header(&format!("__cookie__:{number}"));
        if request.authorization != Some(cookie) {
            return Some(Reply::Http(401, Vec::new()));
        }
        let txid = transaction().txid.to_string();
        (request.name == "sendrawtransaction").then(|| Reply::Result(json!(txid)))
    });
    (server, number)
}

fn write_cookie(path: &Path, number: u8) {
    fs::write(path, format!("__cookie__:{number}\n")).expect("a disk with room");
}

fn with_cookie(server: &Server, path: &Path) -> NodeConfig {
    NodeConfig {
        credentials: Credentials::CookieFile(path.to_owned()),
        ..server.config()
    }
}

#[test]
fn user_and_password_are_sent_as_basic_authorization() {
    let server = Server::start(|_, _| None);
    let config = NodeConfig {
        credentials: Credentials::UserPassword {
            user: "alice".to_owned(),
            password: Secret::new("päss:wörd".to_owned()),
        },
        ..server.config()
    };
    let bitcoin = server.connect_with(&config);
    bitcoin.get_block_height().expect("a height");
    let sent = server.requests()[0].authorization.clone();
    assert_eq!(sent, Some(header("alice:päss:wörd")));
}

#[test]
fn without_credentials_none_are_sent() {
    let server = Server::start(|_, _| None);
    server.connect().get_block_height().expect("a height");
    assert_eq!(server.requests()[0].authorization, None);
}

#[test]
fn a_wrong_password_fails_at_once_and_is_never_shown() {
    let server = Server::start(|_, _| Some(Reply::Http(401, Vec::new())));
    let config = NodeConfig {
        credentials: Credentials::UserPassword {
            user: "alice".to_owned(),
            password: Secret::new("hunter2".to_owned()),
        },
        ..server.config()
    };
    let error = RustBitcoin::connect(&config).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!(server.names(), ["getblockchaininfo"]);
    let encoded = BASE64.encode("alice:hunter2");
    let printed = format!("{error} {error:?}");
    assert!(
        !printed.contains("hunter2") && !printed.contains(&encoded),
        "{printed}"
    );
}

#[test]
fn a_new_cookie_is_read_once_after_a_refusal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(".cookie");
    write_cookie(&path, 1);
    let (server, number) = node_with_cookie();
    let bitcoin = server.connect_with(&with_cookie(&server, &path));
    // The node starts again.
    number.store(2, Ordering::SeqCst);
    write_cookie(&path, 2);
    assert_eq!(bitcoin.get_block_height().expect("let in again"), 7);
    assert_eq!(server.names(), ["getblockcount"; 2]);
    // The new cookie stays.
    assert_eq!(bitcoin.get_block_height().expect("let in"), 7);
    assert_eq!(server.names(), ["getblockcount"; 3]);
}

#[test]
fn a_broadcast_that_was_not_let_in_is_sent_with_the_new_cookie() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(".cookie");
    write_cookie(&path, 1);
    let (server, number) = node_with_cookie();
    let bitcoin = server.connect_with(&with_cookie(&server, &path));
    number.store(2, Ordering::SeqCst);
    write_cookie(&path, 2);
    let sent = bitcoin.broadcast_transaction(&transaction());
    assert_eq!(sent.expect("sent"), transaction().txid.to_string());
    assert_eq!(server.names(), ["sendrawtransaction"; 2]);
}

#[test]
fn an_old_cookie_fails_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(".cookie");
    write_cookie(&path, 1);
    let (server, number) = node_with_cookie();
    let bitcoin = server.connect_with(&with_cookie(&server, &path));
    number.store(2, Ordering::SeqCst);
    let error = bitcoin.get_block_height().expect_err("an old cookie");
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!(server.names(), ["getblockcount"]);
    // Another wrong one is tried once.
    write_cookie(&path, 9);
    let error = bitcoin.get_block_height().expect_err("a wrong cookie");
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!(server.names(), ["getblockcount"; 3]);
}
