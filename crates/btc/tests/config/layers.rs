//! The environment over the file over the defaults.

use std::path::Path;

use btc::BitcoinImplementationType::{Python, Rust};
use btc::config::{Limit, VARIABLES};
use btc::{Config, Credentials, ErrorKind, Secret};

use crate::sources::{environment, file, printed, read};

#[test]
fn every_key_of_the_file_is_the_variables_name_in_lower_case() {
    let values = [
        ("USE_RUST_BITCOIN", "false"),
        ("SHADOW_MODE", "true"),
        ("PRIMARY_IMPL", "'python'"),
        ("LOG_FILE", "'/logs/a.log'"),
        ("LOG_ALL", "false"),
        ("LOG_MAX_MB", "1"),
        ("LOG_MAX_FILES", "2"),
        ("LOG_COMPRESS", "true"),
        ("SHADOW_INLINE", "true"),
        ("SHADOW_WORKERS", "1"),
        ("SHADOW_QUEUE", "10"),
        ("SHADOW_TIMEOUT_SECS", "3"),
        ("SHADOW_SAMPLING", "'10%'"),
        ("SHADOW_RECHECK_MS", "'1,2'"),
        ("BUILD_ID", "'a1b2'"),
        ("METRICS_ADDR", "'127.0.0.1:9332'"),
        ("CALL_LOG", "'/calls.jsonl'"),
        ("FALLBACK", "true"),
        ("ROLLOUT_FILE", "'/rollout.json'"),
        ("ROLLOUT_KEY", "'gateway-3'"),
        ("ROLLOUT_WINDOW_SECS", "5"),
        ("ROLLOUT_MIN_CALLS", "7"),
        ("ROLLOUT_MAX_FAILURES", "'0.5%'"),
        ("ROLLOUT_MAX_P99", "'300%'"),
        ("BITCOIN_NETWORK", "'testnet4'"),
        ("BITCOIN_RPC_URL", "'http://node:1'"),
        ("BITCOIN_RPC_USER", "'alice'"),
        ("BITCOIN_RPC_COOKIE_FILE", "'/cookie'"),
        ("BITCOIN_RPC_TIMEOUT_SECS", "3"),
        ("PYTHON_BACKEND", "'m:C'"),
        ("PYTHON_MODE", "'worker'"),
        ("PYTHON_VENV", "'/venv'"),
        ("PYTHON_TIMEOUT_SECS", "0"),
        ("WALLET_DIR", "'/wallet'"),
        ("WALLET_PASSPHRASE_FILE", "'/dev/null'"),
        ("WALLET_SELECTION", "'largest-first'"),
        ("MAX_FEE_RATE", "'500'"),
        ("WALLET_SOURCE", "'electrum'"),
        ("P2P_PEERS", "'host:1'"),
        ("P2P_PENDING_HOURS", "24"),
        ("ELECTRUM_URL", "'tcp://host:1'"),
        ("ELECTRUM_CERT_FILE", "'/server.pem'"),
        ("ELECTRUM_PROXY", "'127.0.0.1:9050'"),
        ("ESPLORA_URL", "'https://host/api'"),
        ("ESPLORA_CERT_FILE", "'/authority.pem'"),
        ("ESPLORA_PROXY", "'127.0.0.1:9050'"),
        ("BITCOIND_EXE", "'/bin/bitcoind'"),
    ];
    let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
    let in_file: Vec<_> = VARIABLES
        .iter()
        .filter(|variable| variable.in_file)
        .map(|variable| variable.name)
        .collect();
    assert_eq!(names, in_file);
    // User and cookie exclude each other; one file for each.
    for left_out in ["BITCOIN_RPC_USER", "BITCOIN_RPC_COOKIE_FILE"] {
        let (mut text, mut variables) = (String::new(), Vec::new());
        for (name, value) in values.iter().filter(|(name, _)| *name != left_out) {
            text.extend([&name.to_ascii_lowercase(), " = ", value, "\n"]);
            variables.push((*name, value.trim_matches('\'')));
        }
        let password = ("BITCOIN_RPC_PASSWORD", "hunter2");
        let more = [password];
        let more = if left_out == "BITCOIN_RPC_USER" {
            &[][..]
        } else {
            &more[..]
        };
        variables.extend(more);
        let from_file = read(more, Some(&text)).expect("allowed");
        assert_eq!(from_file, environment(&variables));
        assert_eq!(from_file.python.timeout, Limit::None);
        assert_eq!(from_file.implementation, Python);
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = "log_file = '/file.log'\nlog_all = false\nshadow_mode = true\n";
    let config = read(&[("LOG_FILE", "/environment.log")], Some(text)).expect("allowed");
    let shadow = config.shadow.expect("shadow mode is on");
    assert_eq!(shadow.log_file, Path::new("/environment.log"));
    assert!(!shadow.log_all, "the file wins over the default");
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let everything: Vec<_> = VARIABLES
        .iter()
        .map(|variable| (variable.name, ""))
        .collect();
    assert_eq!(environment(&everything), environment(&[]));
}

#[test]
fn an_empty_variable_unsets_what_the_file_says() {
    let text = "log_file = '/file.log'\nshadow_mode = true\n";
    let config = read(&[("LOG_FILE", "")], Some(text)).expect("allowed");
    let shadow = config.shadow.expect("as the file says");
    assert_eq!(shadow.log_file, Path::new(Config::DEFAULT_LOG_FILE));
    let config = read(&[("SHADOW_MODE", "")], Some(text)).expect("allowed");
    assert_eq!(config, environment(&[]));
    // Of a choice with two names, the one that is left counts.
    let text = "primary_impl = 'python'\nuse_rust_bitcoin = false\n";
    let config = read(&[("PRIMARY_IMPL", "")], Some(text)).expect("allowed");
    assert_eq!(config.implementation, Python);
    let text = "bitcoin_network = 'regtest'\nbitcoin_rpc_cookie_file = '/c'\n";
    let config = read(&[("BITCOIN_RPC_COOKIE_FILE", "")], Some(text)).expect("allowed");
    let node = config.node.expect("a node");
    assert_eq!(node.credentials, Credentials::None);
}

#[test]
fn what_excludes_another_setting_replaces_it_from_the_layer_above() {
    let file = "bitcoin_network = 'regtest'\nbitcoin_rpc_cookie_file = '/c'\n";
    let user = ("BITCOIN_RPC_USER", "alice");
    let password = ("BITCOIN_RPC_PASSWORD", "hunter2");
    let login = |variables: &[(&str, &str)], text: &str| {
        let node = read(variables, Some(text)).expect("allowed").node;
        node.expect("a node").credentials
    };
    let with_password = Credentials::UserPassword {
        user: "alice".to_owned(),
        password: Secret::new("hunter2".to_owned()),
    };
    assert_eq!(login(&[user, password], file), with_password);
    // The user may be the file's, beside a cookie further below.
    let cookie = ("BITCOIN_RPC_COOKIE_FILE", "/mine");
    let text = "bitcoin_network = 'regtest'\nbitcoin_rpc_user = 'alice'\n";
    assert_eq!(login(&[password], text), with_password);
    assert_eq!(
        login(&[cookie], text),
        Credentials::CookieFile("/mine".into())
    );
    // Half a login is no login, also where a cookie lies below.
    for half in [user, password] {
        let error = read(&[half], Some(file)).expect_err("one is missing");
        assert!(error.message().contains("belong together"), "{error}");
    }
    // In one layer they contradict each other.
    let text = format!("{file}bitcoin_rpc_user = 'alice'\n");
    let error = read(&[], Some(&text)).expect_err("both");
    assert!(error.message().contains("both set"), "{error}");

    let file = "wallet_dir = '/w'\nwallet_passphrase_file = '/does/not/exist'\n";
    let config = read(&[("WALLET_PASSPHRASE", "hunter2")], Some(file)).expect("allowed");
    let passphrase = config.wallet.expect("a folder").passphrase;
    assert_eq!(passphrase.expect("set").expose(), "hunter2");
}

#[test]
fn a_file_may_be_empty_or_full_of_comments() {
    for text in ["", "\n", "# nothing here\n"] {
        assert_eq!(file(text), environment(&[]));
    }
}

#[test]
fn the_upper_layer_names_the_implementation_by_either_variable() {
    let of = |variables: &[(&str, &str)], text| {
        read(variables, Some(text)).expect("allowed").implementation
    };
    assert_eq!(
        of(&[("USE_RUST_BITCOIN", "true")], "primary_impl = 'python'"),
        Rust
    );
    assert_eq!(
        of(&[("PRIMARY_IMPL", "python")], "use_rust_bitcoin = true"),
        Python
    );
    assert_eq!(of(&[], "use_rust_bitcoin = false"), Python);
    assert_eq!(
        of(&[("PRIMARY_IMPL", "rust"), ("USE_RUST_BITCOIN", "1")], ""),
        Rust
    );
}

#[test]
fn two_variables_of_one_layer_must_agree_on_the_implementation() {
    let environment = [("PRIMARY_IMPL", "python"), ("USE_RUST_BITCOIN", "true")];
    for result in [
        read(&environment, None),
        read(
            &[],
            Some("primary_impl = 'rust'\nuse_rust_bitcoin = false\n"),
        ),
    ] {
        let error = result.expect_err("they contradict each other");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let text = printed(&error);
        assert!(
            text.contains("PRIMARY_IMPL") && text.contains("USE_RUST_BITCOIN"),
            "{text}"
        );
    }
}
