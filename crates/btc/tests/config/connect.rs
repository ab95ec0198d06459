//! `connect` without a node, and for what a build does not have.

use btc::BitcoinImplementationType::{Python, Rust};
use btc::{Config, ErrorKind, Operation, connect, connect_fees, connect_to};

use crate::sources::environment;

fn check(result: Result<impl Sized, btc::BitcoinError>, word: &str) {
    let error = result.err().expect("there is nothing to connect to");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(error.operation(), Operation::Connect);
    assert!(error.message().contains(word), "{error}");
}

fn without_node(variables: &[(&str, &str)]) -> Config {
    let config = environment(variables);
    assert_eq!(config.node, None);
    config
}

#[test]
fn without_a_node_it_is_the_configuration_that_is_wrong() {
    for implementation in ["rust", "python"] {
        let config = without_node(&[("PRIMARY_IMPL", implementation)]);
        check(connect(&config), "BITCOIN_NETWORK");
        check(connect_fees(&config), "BITCOIN_NETWORK");
    }
    for implementation in [Rust, Python] {
        check(
            connect_to(&without_node(&[]), implementation),
            "BITCOIN_NETWORK",
        );
    }
}

#[cfg(feature = "shadow")]
#[test]
fn shadow_mode_without_a_node_says_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("a.log").display().to_string();
    let config = without_node(&[("SHADOW_MODE", "true"), ("LOG_FILE", &log)]);
    check(connect(&config), "BITCOIN_NETWORK");
    let unwritable = folder.path().display().to_string();
    let config = without_node(&[("SHADOW_MODE", "true"), ("LOG_FILE", &unwritable)]);
    let error = connect(&config).err().expect("nothing to connect to");
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

#[cfg(not(feature = "shadow"))]
#[test]
fn a_build_without_shadow_mode_names_the_feature() {
    check(
        connect(&without_node(&[("SHADOW_MODE", "true")])),
        "`shadow`",
    );
}

#[cfg(not(feature = "rust-bitcoin"))]
#[test]
fn a_build_without_rust_names_the_feature() {
    let config = environment(&[("BITCOIN_NETWORK", "regtest")]);
    check(connect_to(&config, Rust), "`rust-bitcoin`");
}

/// Python alone cannot decrypt the words: with a passphrase it must not come out as a wallet that
/// only watches.
#[cfg(all(feature = "python-bitcoin", not(feature = "wallet")))]
#[test]
fn a_passphrase_in_a_build_that_cannot_unlock_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("passphrase");
    std::fs::write(&file, "hunter2").expect("a new file");
    let file = file.display().to_string();
    for passphrase in [
        ("WALLET_PASSPHRASE", "hunter2"),
        ("WALLET_PASSPHRASE_FILE", file.as_str()),
    ] {
        let base = [("BITCOIN_NETWORK", "regtest"), ("WALLET_DIR", "/w")];
        let config = environment(&[&base[..], &[passphrase]].concat());
        check(connect_to(&config, Python), "WALLET_PASSPHRASE");
        check(connect_to(&config, Python), "`wallet`");
    }
}

/// Not answered as if no wallet were configured.
#[cfg(all(feature = "rust-bitcoin", not(feature = "wallet")))]
#[test]
fn a_build_without_the_wallet_names_the_feature() {
    let config = environment(&[
        ("BITCOIN_NETWORK", "regtest"),
        ("BITCOIN_RPC_URL", "http://127.0.0.1:1"),
        ("WALLET_DIR", "/w"),
    ]);
    check(connect_to(&config, Rust), "`wallet`");
}

#[cfg(not(feature = "python-bitcoin"))]
#[test]
fn a_build_without_python_names_the_feature() {
    let config = environment(&[("BITCOIN_NETWORK", "regtest")]);
    check(connect_to(&config, Python), "`python-bitcoin`");
}

#[cfg(feature = "rust-bitcoin")]
#[test]
fn a_node_that_is_not_there_is_unavailable() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let url = format!("http://127.0.0.1:{port}");
    let config = environment(&[("BITCOIN_NETWORK", "regtest"), ("BITCOIN_RPC_URL", &url)]);
    let error = connect_to(&config, Rust).err().expect("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
