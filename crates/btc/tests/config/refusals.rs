//! What is refused: each error names the variable and the values it takes, and no secret.

use btc::{ErrorKind, Operation};

use crate::sources::{printed, read, refused};

#[test]
fn a_wrong_value_names_the_variable_its_source_and_what_is_allowed() {
    each_is_refused(&[
        (
            "USE_RUST_BITCOIN",
            &["yes", "rust", " true", "2"],
            &["true", "false"],
        ),
        ("SHADOW_MODE", &["on", "tru"], &["true", "false"]),
        ("LOG_ALL", &["none"], &["true", "false"]),
        ("FALLBACK", &["python"], &["true", "false"]),
        ("LOG_MAX_MB", &["0", "1.5", "64M"], &["1", "1048576"]),
        ("LOG_MAX_FILES", &["1", "1001"], &["2", "1000"]),
        ("SHADOW_WORKERS", &["0", "65", "all"], &["1", "64"]),
        ("SHADOW_QUEUE", &["0", "-1", "16k"], &["1", "16777216"]),
        ("SHADOW_TIMEOUT_SECS", &["0", "3601", "30s"], &["1", "3600"]),
        ("SHADOW_INLINE", &["inline"], &["true", "false"]),
        ("LOG_COMPRESS", &["gzip"], &["true", "false"]),
        (
            "SHADOW_SAMPLING",
            &["0.5", "get_block", "10%,5"],
            &["10%", "get_block=10%"],
        ),
        (
            "SHADOW_RECHECK_MS",
            &["1s", "-1", "1,,2", "600001"],
            &["milliseconds"],
        ),
        (
            "METRICS_ADDR",
            &["9332", "0.0.0.0:9332", "localhost:9332", "127.0.0.1"],
            &["127.0.0.1:9332"],
        ),
        (
            "PRIMARY_IMPL",
            &["Rust", "pyhton", "both"],
            &["python", "rust"],
        ),
        (
            "BITCOIN_NETWORK",
            &["testnet", "Mainnet", "bitcoin", "regtest "],
            &["mainnet", "testnet3", "testnet4", "signet", "regtest"],
        ),
        (
            "BITCOIN_RPC_TIMEOUT_SECS",
            &["0", "3601", "-1", "1.5", "1s"],
            &["1", "3600"],
        ),
        (
            "PYTHON_MODE",
            &["Worker", "process"],
            &["embedded", "worker"],
        ),
        (
            "PYTHON_TIMEOUT_SECS",
            &["-1", "86401", "none"],
            &["0", "86400"],
        ),
        (
            "PYTHON_BACKEND",
            &[
                "module", ":C", "m:", "a b:C", "m:C:D", "1m:C", "m..n:C", "../m:C",
            ],
            &["module:Class"],
        ),
        ("PYTHON_BACKEND", &["m:C()"], &["module:Class"]),
    ]);
}

#[test]
fn a_wrong_limit_of_a_roll_out_is_refused_as_well() {
    each_is_refused(&[
        (
            "ROLLOUT_WINDOW_SECS",
            &["0", "86401", "1m", "1.5"],
            &["seconds", "1", "86400"],
        ),
        (
            "ROLLOUT_MIN_CALLS",
            &["0", "1000001", "-1"],
            &["1", "1000000"],
        ),
        (
            "ROLLOUT_MAX_FAILURES",
            &[
                "1",
                "%",
                ".5%",
                "1.%",
                "0.05%",
                "+1%",
                "100.1%",
                "101%",
                "4294967296%",
            ],
            &["0%", "100%", "0.5%"],
        ),
        (
            "ROLLOUT_MAX_P99",
            &["1.5", "150", "99%", "10001%", "%", "150.5%"],
            &["100%", "10000%"],
        ),
    ]);
}

#[test]
fn an_unknown_key_is_refused_and_the_known_ones_are_listed() {
    for text in [
        "log_fil = 'a'",
        "LOG_FILE = 'a'",
        "btc_config = 'a'",
        "[log]\nfile = 'a'",
    ] {
        let error = read(&[], Some(text)).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let text = error.to_string();
        assert!(
            text.contains("log_file") && text.contains("shadow_mode"),
            "{text}"
        );
        assert!(!text.contains("bitcoin_rpc_password"), "{text}");
    }
}

#[test]
fn a_value_of_a_wrong_type_in_the_file_is_refused() {
    for text in [
        "log_file = ['a']",
        "log_file = 1.5",
        "log_file = {}",
        "log_file = 2020-01-01",
    ] {
        let error = read(&[], Some(text)).expect_err(text);
        assert!(error.to_string().contains("`log_file`"), "{error}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_refused_and_the_cause_names_the_line() {
    let error = read(&[], Some("shadow_mode = true\nlog_file\n")).expect_err("broken");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("btc.toml"), "{error}");
    let text = printed(&error);
    assert!(text.contains("line 2"), "{text}");
}

#[test]
fn a_password_in_the_file_is_refused_and_never_shown() {
    for text in [
        "bitcoin_rpc_password = 'hunter2'",
        "bitcoin_rpc_password = 'hunter2",
        "bitcoin_rpc_password = hunter2",
        "bitcoin_rpc_password = \"hunter2\" x",
        "bitcoin_rpc_password = ['hunter2']",
        "bitcoin_rpc_password = 'hunter2'\nbitcoin_rpc_password = 'hunter2'",
    ] {
        let error = read(&[], Some(text)).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let text = printed(&error);
        assert!(!text.contains("hunter2"), "{text}");
    }
    let error = read(&[], Some("bitcoin_rpc_password = 'hunter2'")).expect_err("refused");
    assert!(error.message().contains("BITCOIN_RPC_PASSWORD"), "{error}");
}

#[test]
fn a_password_of_the_environment_is_in_no_error_whatever_else_is_wrong() {
    let password = ("BITCOIN_RPC_PASSWORD", "hunter2");
    for wrong in [
        ("BITCOIN_NETWORK", "wrong"),
        ("BITCOIN_RPC_URL", "wrong"),
        ("BITCOIN_RPC_TIMEOUT_SECS", "wrong"),
        ("SHADOW_MODE", "wrong"),
        ("PYTHON_MODE", "wrong"),
    ] {
        let text = printed(&refused(&[password, wrong]));
        assert!(!text.contains("hunter2"), "{text}");
    }
    let text = printed(&read(&[password], Some("broken")).expect_err("broken"));
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_value_is_shown_only_where_it_cannot_hold_a_password() {
    let wallet = ("WALLET_DIR", "/w");
    for (name, value) in [
        ("BITCOIN_RPC_URL", "http://alice:hunter2@node:1"),
        ("ELECTRUM_URL", "ssl://alice:hunter2@host:1"),
        ("ELECTRUM_PROXY", "alice:hunter2@host:1"),
        ("ESPLORA_URL", "https://alice:hunter2@host/api"),
        ("ESPLORA_PROXY", "alice:hunter2@host:1"),
    ] {
        let network = ("BITCOIN_NETWORK", "regtest");
        let text = printed(&refused(&[wallet, network, (name, value)]));
        assert!(text.contains(name) && !text.contains("hunter2"), "{text}");
        let text = format!(
            "wallet_dir = '/w'\nbitcoin_network = 'regtest'\n{} = '{value}'\n",
            name.to_ascii_lowercase()
        );
        let text = printed(&read(&[], Some(&text)).expect_err("refused"));
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_long_value_in_the_wrong_variable_is_not_shown_in_full() {
    let secret = "s".repeat(41);
    for name in [
        "USE_RUST_BITCOIN",
        "PRIMARY_IMPL",
        "LOG_ALL",
        "BITCOIN_NETWORK",
        "BITCOIN_RPC_TIMEOUT_SECS",
        "PYTHON_BACKEND",
        "PYTHON_MODE",
        "PYTHON_TIMEOUT_SECS",
    ] {
        let text = printed(&refused(&[(name, &secret)]));
        assert!(text.contains(name) && !text.contains(&secret), "{text}");
    }
}

/// Variables, values that they do not take, and what the error says of those that they do.
fn each_is_refused(cases: &[(&str, &[&str], &[&str])]) {
    for (name, wrong, allowed) in cases {
        for value in *wrong {
            let error = refused(&[(name, value)]);
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert_eq!(error.operation(), Operation::Configure);
            let text = error.to_string();
            let said = [&format!("{name}={value}"), "the environment"];
            for word in said.iter().copied().chain(allowed.iter().copied()) {
                assert!(text.contains(word), "{word} in {text}");
            }
            let text = format!("{} = \"{value}\"", name.to_ascii_lowercase());
            let error = read(&[], Some(&text)).expect_err("not allowed there either");
            assert!(error.to_string().contains("btc.toml"), "{error}");
        }
    }
}
