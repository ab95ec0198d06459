//! What holds when nothing is set, and that the table says the same.

use std::path::{Path, PathBuf};
use std::time::Duration;

use btc::config::{Limit, PythonSettings, VARIABLES};
use btc::{BitcoinImplementationType, Config, NodeConfig};

use crate::sources::environment;

/// The table's default of a variable.
fn default(name: &str) -> &'static str {
    let variable = VARIABLES.iter().find(|variable| variable.name == name);
    variable.expect(name).default
}

#[test]
fn nothing_set_is_a_configuration() {
    let config = environment(&[]);
    let implementation = if cfg!(feature = "rust-bitcoin") || cfg!(not(feature = "python-bitcoin"))
    {
        BitcoinImplementationType::Rust
    } else {
        BitcoinImplementationType::Python
    };
    let expected = Config {
        implementation,
        shadow: None,
        rollout: None,
        fallback: false,
        call_log: None,
        node: None,
        python: PythonSettings {
            backend: None,
            is_worker: false,
            venv: None,
            timeout: Limit::Default,
        },
        wallet: None,
        bitcoind_exe: None,
    };
    assert_eq!(config, expected);
}

#[test]
fn each_literal_default_of_the_table_is_what_holds_without_the_variable() {
    let literal = [
        "USE_RUST_BITCOIN",
        "SHADOW_MODE",
        "LOG_FILE",
        "LOG_ALL",
        "FALLBACK",
        "BITCOIN_RPC_TIMEOUT_SECS",
        "PYTHON_MODE",
    ];
    // Seen in every field at once: shadow mode on, and a node.
    let base = [("SHADOW_MODE", "true"), ("BITCOIN_NETWORK", "regtest")];
    for name in literal {
        let without: Vec<_> = base
            .iter()
            .copied()
            .filter(|(set, _)| *set != name)
            .collect();
        let mut with = without.clone();
        with.push((name, default(name)));
        if name == "USE_RUST_BITCOIN" && cfg!(not(feature = "rust-bitcoin")) {
            // The table speaks of a build with every feature.
            continue;
        }
        assert_eq!(environment(&without), environment(&with), "{name}");
    }
    let shadow = environment(&base).shadow.expect("shadow mode is on");
    assert_eq!(shadow.log_file, Path::new(default("LOG_FILE")));
    assert_eq!(Config::DEFAULT_LOG_FILE, default("LOG_FILE"));
    let timeout = NodeConfig::DEFAULT_TIMEOUT_SECS.to_string();
    assert_eq!(timeout, default("BITCOIN_RPC_TIMEOUT_SECS"));
}

#[cfg(feature = "python-bitcoin")]
#[test]
fn the_tables_python_defaults_are_the_implementations() {
    use btc::python::PythonConfig;
    assert_eq!(PythonConfig::DEFAULT_BACKEND, default("PYTHON_BACKEND"));
    let timeout = PythonConfig::DEFAULT_TIMEOUT_SECS.to_string();
    assert_eq!(timeout, default("PYTHON_TIMEOUT_SECS"));
}

#[cfg(feature = "rust-bitcoin")]
#[test]
fn the_primary_by_default_is_the_tables() {
    let implementation = environment(&[]).implementation;
    assert_eq!(implementation.as_str(), default("PRIMARY_IMPL"));
    let same = environment(&[("PRIMARY_IMPL", default("PRIMARY_IMPL"))]);
    assert_eq!(same, environment(&[]));
}

#[test]
fn every_variable_reaches_its_field() {
    let config = environment(&[
        ("PRIMARY_IMPL", "python"),
        ("USE_RUST_BITCOIN", "false"),
        ("SHADOW_MODE", "true"),
        ("LOG_FILE", "/logs/a.log"),
        ("LOG_ALL", "false"),
        ("CALL_LOG", "/logs/calls.jsonl"),
        ("BITCOIN_NETWORK", "signet"),
        ("BITCOIN_RPC_URL", "http://node:1234"),
        ("BITCOIN_RPC_COOKIE_FILE", "/node/.cookie"),
        ("BITCOIN_RPC_TIMEOUT_SECS", "7"),
        ("PYTHON_BACKEND", "a.b:C.D"),
        ("PYTHON_MODE", "worker"),
        ("PYTHON_VENV", "/venv"),
        ("PYTHON_TIMEOUT_SECS", "9"),
        ("BITCOIND_EXE", "/bin/bitcoind"),
    ]);
    assert_eq!(
        config.call_log.as_deref(),
        Some(Path::new("/logs/calls.jsonl"))
    );
    assert_eq!(config.implementation, BitcoinImplementationType::Python);
    let shadow = config.shadow.expect("shadow mode is on");
    assert_eq!(shadow.log_file, Path::new("/logs/a.log"));
    assert!(!shadow.log_all);
    let node = config.node.expect("a node");
    assert_eq!(node.network, btc::Network::Signet);
    assert_eq!(node.url, "http://node:1234");
    assert_eq!(
        node.credentials,
        btc::Credentials::CookieFile("/node/.cookie".into())
    );
    assert_eq!(node.timeout, Duration::from_secs(7));
    assert_eq!(config.python.backend.as_deref(), Some("a.b:C.D"));
    assert!(config.python.is_worker);
    assert_eq!(config.python.venv, Some(PathBuf::from("/venv")));
    assert_eq!(config.python.timeout, Limit::After(Duration::from_secs(9)));
    assert_eq!(config.bitcoind_exe, Some(PathBuf::from("/bin/bitcoind")));
}

#[test]
fn no_limit_of_time_is_written_as_zero() {
    let timeout = |text| environment(&[("PYTHON_TIMEOUT_SECS", text)]).python.timeout;
    assert_eq!(timeout("0"), Limit::None);
    assert_eq!(timeout("86400"), Limit::After(Duration::from_hours(24)));
}

#[test]
fn booleans_are_read_in_either_case_and_as_digits() {
    for (text, value) in [
        ("true", true),
        ("TRUE", true),
        ("True", true),
        ("1", true),
        ("false", false),
        ("False", false),
        ("0", false),
    ] {
        let config = environment(&[("SHADOW_MODE", text)]);
        assert_eq!(config.shadow.is_some(), value, "{text}");
    }
}

#[test]
fn every_variable_has_a_row_with_all_it_needs() {
    assert_eq!(VARIABLES.len(), 28);
    for variable in VARIABLES {
        assert!(!variable.default.is_empty() && !variable.help.is_empty());
        assert_eq!(variable.name, variable.name.to_ascii_uppercase());
    }
    let not_in_file: Vec<_> = VARIABLES
        .iter()
        .filter(|variable| !variable.in_file)
        .map(|variable| variable.name)
        .collect();
    assert_eq!(
        not_in_file,
        ["BITCOIN_RPC_PASSWORD", "WALLET_PASSPHRASE", "BTC_CONFIG"]
    );
}
