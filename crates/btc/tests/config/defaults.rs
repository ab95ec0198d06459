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
    assert_eq!(config.implementation, implementation);
    assert!(config.shadow.is_none() && config.rollout.is_none() && !config.fallback);
    assert!(config.call_log.is_none() && config.node.is_none() && config.wallet.is_none());
    assert_eq!(config.python, PythonSettings::default());
    assert_eq!(config.python.timeout, Limit::Default);
    assert_eq!(config.bitcoind_exe, None);
}

#[test]
fn each_literal_default_of_the_table_is_what_holds_without_the_variable() {
    let literal = [
        "USE_RUST_BITCOIN",
        "SHADOW_MODE",
        "LOG_FILE",
        "LOG_ALL",
        "LOG_COMPRESS",
        "SHADOW_INLINE",
        "SHADOW_RECHECK_MS",
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

#[cfg(feature = "shadow")]
#[test]
fn the_tables_bounds_of_shadow_mode_are_its_own() {
    use btc::shadow::OffPath;
    use btc::shadow::sink::Rotation;
    let of = |name: &'static str| -> u64 { default(name).parse().expect("a number") };
    let off_path = OffPath::default();
    assert_eq!(off_path.workers as u64, of("SHADOW_WORKERS"));
    assert_eq!(off_path.queue_calls as u64, of("SHADOW_QUEUE"));
    assert_eq!(off_path.timeout.as_secs(), of("SHADOW_TIMEOUT_SECS"));
    let rotation = Rotation::default();
    assert_eq!(rotation.max_file_bytes >> 20, of("LOG_MAX_MB"));
    assert_eq!(u64::from(rotation.max_files), of("LOG_MAX_FILES"));
    // What is configured like the default is the default.
    let set = |name| (name, default(name));
    let config = environment(&[
        ("SHADOW_MODE", "true"),
        set("SHADOW_WORKERS"),
        set("SHADOW_QUEUE"),
        set("SHADOW_TIMEOUT_SECS"),
        set("SHADOW_SAMPLING"),
    ]);
    let shadow = config.shadow.expect("shadow mode is on");
    assert_eq!(btc::off_path(&shadow).expect("bounds"), off_path);
}

#[cfg(feature = "shadow")]
#[test]
fn a_sample_of_an_unknown_operation_is_refused_by_its_variable() {
    let config = environment(&[("SHADOW_MODE", "true"), ("SHADOW_SAMPLING", "get_blok=5%")]);
    let shadow = config.shadow.expect("shadow mode is on");
    let error = btc::off_path(&shadow).expect_err("no such operation");
    assert_eq!(error.kind(), btc::ErrorKind::Configuration);
    assert!(error.message().contains("SHADOW_SAMPLING"), "{error}");
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
        ("LOG_MAX_MB", "3"),
        ("LOG_MAX_FILES", "4"),
        ("LOG_COMPRESS", "true"),
        ("SHADOW_INLINE", "true"),
        ("SHADOW_WORKERS", "5"),
        ("SHADOW_QUEUE", "6"),
        ("SHADOW_TIMEOUT_SECS", "7"),
        ("SHADOW_SAMPLING", "8%"),
        ("SHADOW_RECHECK_MS", "9, 10"),
        ("BUILD_ID", "a1b2c3d"),
        ("METRICS_ADDR", "127.0.0.1:9332"),
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
    assert!(!shadow.log_all && shadow.log_compress && shadow.is_inline);
    assert_eq!(shadow.log_max_bytes, Some(3 << 20));
    assert_eq!(shadow.log_max_files, Some(4));
    assert_eq!((shadow.workers, shadow.queue), (Some(5), Some(6)));
    assert_eq!(shadow.timeout, Some(Duration::from_secs(7)));
    assert_eq!(shadow.sampling.as_deref(), Some("8%"));
    assert_eq!(shadow.recheck_after_ms, [9, 10]);
    assert_eq!(shadow.build_id.as_deref(), Some("a1b2c3d"));
    let metrics = shadow.metrics.map(|address| address.to_string());
    assert_eq!(metrics.as_deref(), Some("127.0.0.1:9332"));
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
    assert_eq!(VARIABLES.len(), 50);
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
