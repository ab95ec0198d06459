//! The wallet's settings.

use std::time::Duration;

use btc::config::WalletSource;
use btc::{CoinSelection, ErrorKind, FeeRate};

use crate::sources::{environment as from, refused};

#[test]
fn no_folder_is_no_wallet() {
    let config = from(&[("WALLET_PASSPHRASE", "words"), ("WALLET_SOURCE", "p2p")]);
    assert_eq!(config.wallet, None);
}

#[test]
fn all_settings_arrive_and_the_passphrase_is_not_printed() {
    let config = from(&[
        ("WALLET_DIR", "/w"),
        ("WALLET_PASSPHRASE", "hunter2"),
        ("WALLET_SELECTION", "oldest-first"),
        ("MAX_FEE_RATE", "250"),
        ("WALLET_SOURCE", "p2p"),
        ("P2P_PEERS", "127.0.0.1:18444, [::1]:18444"),
        ("P2P_PENDING_HOURS", "24"),
    ]);
    let printed = format!("{config:?}");
    let wallet = config.wallet.expect("a folder is set");
    assert_eq!(wallet.dir.to_str(), Some("/w"));
    assert_eq!(wallet.selection, Some(CoinSelection::OldestFirst));
    assert_eq!(wallet.max_fee_rate, Some(FeeRate::from_sat_per_vb(250)));
    let peers = ["127.0.0.1:18444", "[::1]:18444"]
        .map(str::to_owned)
        .to_vec();
    let pending_for = Some(Duration::from_hours(24));
    assert_eq!(wallet.source, WalletSource::P2p { peers, pending_for });
    assert_eq!(wallet.passphrase.expect("set").expose(), "hunter2");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn an_electrum_server_is_reached_as_configured() {
    let wallet = [("WALLET_DIR", "/w"), ("WALLET_SOURCE", "electrum")];
    let source = |settings: &[(&str, &str)]| {
        let config = from(&[&wallet[..], settings].concat());
        config.wallet.expect("a folder is set").source
    };
    let plain = WalletSource::Electrum {
        url: "tcp://127.0.0.1:50001".to_owned(),
        cert_file: None,
        proxy: None,
    };
    assert_eq!(source(&[("ELECTRUM_URL", "tcp://127.0.0.1:50001")]), plain);
    let hidden = WalletSource::Electrum {
        url: "ssl://example.onion:50002".to_owned(),
        cert_file: Some("/c.pem".into()),
        proxy: Some("127.0.0.1:9050".to_owned()),
    };
    let settings = [
        ("ELECTRUM_URL", "ssl://example.onion:50002"),
        ("ELECTRUM_CERT_FILE", "/c.pem"),
        ("ELECTRUM_PROXY", "127.0.0.1:9050"),
    ];
    assert_eq!(source(&settings), hidden);
}

#[test]
fn an_esplora_server_is_reached_as_configured() {
    let config = from(&[
        ("WALLET_DIR", "/w"),
        ("WALLET_SOURCE", "esplora"),
        ("ESPLORA_URL", "https://example.org/api"),
        ("ESPLORA_CERT_FILE", "/c.pem"),
        ("ESPLORA_PROXY", "127.0.0.1:9050"),
    ]);
    let expected = WalletSource::Esplora {
        url: "https://example.org/api".to_owned(),
        cert_file: Some("/c.pem".into()),
        proxy: Some("127.0.0.1:9050".to_owned()),
    };
    assert_eq!(config.wallet.expect("a folder is set").source, expected);
}

#[test]
fn a_passphrase_file_is_read_without_its_last_line_break() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pass");
    std::fs::write(&path, "two words \n").expect("a file");
    let path = path.to_str().expect("a plain path");
    let config = from(&[("WALLET_DIR", "/w"), ("WALLET_PASSPHRASE_FILE", path)]);
    let passphrase = config.wallet.and_then(|wallet| wallet.passphrase);
    assert_eq!(passphrase.expect("set").expose(), "two words ");
}

#[test]
fn what_contradicts_or_cannot_be_used_is_refused_by_name() {
    let wallet = ("WALLET_DIR", "/w");
    for (settings, said) in [
        (
            vec![
                wallet,
                ("WALLET_PASSPHRASE", "a"),
                ("WALLET_PASSPHRASE_FILE", "/f"),
            ],
            "set one",
        ),
        (
            vec![wallet, ("WALLET_PASSPHRASE_FILE", "/does/not/exist")],
            "WALLET_PASSPHRASE_FILE",
        ),
        (
            vec![wallet, ("WALLET_SELECTION", "biggest")],
            "largest-first",
        ),
        (vec![wallet, ("MAX_FEE_RATE", "0")], "from 1 to 100000000"),
        (vec![wallet, ("MAX_FEE_RATE", "0.5")], "a whole number"),
        (
            vec![wallet, ("WALLET_SOURCE", "core-rpc")],
            "core, p2p, electrum or esplora",
        ),
        (vec![wallet, ("WALLET_SOURCE", "electrum")], "ELECTRUM_URL"),
        (vec![wallet, ("P2P_PEERS", "host")], "host:port"),
        (vec![wallet, ("P2P_PEERS", "a:1,,b:2")], "host:port"),
        (vec![wallet, ("P2P_PENDING_HOURS", "337")], "0 to 336"),
        (vec![wallet, ("ELECTRUM_URL", "host:50001")], "tcp://"),
        (
            vec![wallet, ("ELECTRUM_PROXY", "socks5://host:1")],
            "host:port",
        ),
    ] {
        let error = refused(&settings);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{settings:?}");
        assert!(error.message().contains(said), "{error}");
    }
}
