//! A roll-out and the fallback: what turns them on, what they turn on, and what contradicts them.

use std::path::Path;

use btc::BitcoinImplementationType::{Python, Rust};
use btc::{Config, ErrorKind};

use crate::sources::{environment, refused};

const FILE: (&str, &str) = ("ROLLOUT_FILE", "state/rollout.json");

#[test]
fn a_state_file_turns_shadow_mode_on_and_begins_with_python() {
    let config = environment(&[FILE]);
    let rollout = config.rollout.expect("it is named");
    assert_eq!(rollout.file, Path::new("state/rollout.json"));
    assert_eq!((rollout.key, rollout.is_overruled), (None, false));
    assert_eq!(config.implementation, Python);
    let shadow = config.shadow.expect("implied");
    assert_eq!(shadow.log_file, Path::new(Config::DEFAULT_LOG_FILE));
    assert!(!config.fallback);
    let config = environment(&[
        FILE,
        ("SHADOW_MODE", "true"),
        ("ROLLOUT_KEY", "gateway-3"),
        ("LOG_ALL", "false"),
    ]);
    assert!(!config.shadow.expect("as it says").log_all);
    let key = config.rollout.expect("it is named").key;
    assert_eq!(key.as_deref(), Some("gateway-3"));
}

#[cfg(feature = "shadow")]
#[test]
fn limits_are_the_judges_unless_they_are_set() {
    use std::time::Duration;

    use btc::config::VARIABLES;
    use btc::shadow::rollout::Limits;

    let limits = |variables: &[(&str, &str)]| {
        let config = environment(&[&[FILE], variables].concat());
        btc::rollout_limits(&config.rollout.expect("it is named"))
    };
    assert_eq!(limits(&[]), Limits::default());
    // What is configured like the table's default is the default.
    let names = [
        "ROLLOUT_WINDOW_SECS",
        "ROLLOUT_MIN_CALLS",
        "ROLLOUT_MAX_FAILURES",
        "ROLLOUT_MAX_P99",
    ];
    for name in names {
        let row = VARIABLES.iter().find(|variable| variable.name == name);
        let default = row.expect(name).default;
        let config = environment(&[FILE, (name, default)]);
        let rollout = config.rollout.expect("it is named");
        assert_ne!(rollout.limits, btc::config::RolloutLimits::default());
        assert_eq!(btc::rollout_limits(&rollout), Limits::default(), "{name}");
    }
    let set = limits(&[
        ("ROLLOUT_WINDOW_SECS", "5"),
        ("ROLLOUT_MIN_CALLS", "7"),
        ("ROLLOUT_MAX_FAILURES", "0.5%"),
        ("ROLLOUT_MAX_P99", "300%"),
    ]);
    let expected = Limits {
        window: Duration::from_secs(5),
        min_calls: 7,
        max_failures_per_mille: 5,
        max_p99_percent: 300,
        ..Limits::default()
    };
    assert_eq!(set, expected);
    // The ends of what is allowed.
    let ends = limits(&[
        ("ROLLOUT_MAX_FAILURES", "100%"),
        ("ROLLOUT_MAX_P99", "100%"),
    ]);
    assert_eq!(
        (ends.max_failures_per_mille, ends.max_p99_percent),
        (1000, 100)
    );
    assert_eq!(
        limits(&[("ROLLOUT_MAX_FAILURES", "0%")]).max_failures_per_mille,
        0
    );
    // A wrong one is refused, whether there is a roll-out or not.
    refused(&[("ROLLOUT_MAX_P99", "half")]);
}

#[test]
fn python_by_name_overrules_the_file() {
    for named in [("PRIMARY_IMPL", "python"), ("USE_RUST_BITCOIN", "false")] {
        let config = environment(&[FILE, named]);
        assert!(config.rollout.expect("it is named").is_overruled);
        assert_eq!(config.implementation, Python);
        assert!(config.shadow.is_some());
        let config = environment(&[FILE, named, ("SHADOW_MODE", "false")]);
        assert_eq!(config.shadow, None);
    }
}

#[test]
fn what_contradicts_it_is_refused() {
    let cases: [(&[(&str, &str)], &str); 3] = [
        (&[FILE, ("PRIMARY_IMPL", "rust")], "PRIMARY_IMPL"),
        (&[FILE, ("USE_RUST_BITCOIN", "true")], "USE_RUST_BITCOIN"),
        (&[FILE, ("SHADOW_MODE", "false")], "SHADOW_MODE"),
    ];
    for (variables, name) in cases {
        let error = refused(variables);
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let message = error.message();
        assert!(
            message.contains(name) && message.contains("ROLLOUT_FILE"),
            "{error}"
        );
    }
}

#[test]
fn the_fallback_is_on_its_own() {
    let config = environment(&[("FALLBACK", "true")]);
    assert!(config.fallback && config.shadow.is_none() && config.rollout.is_none());
    assert_eq!(environment(&[]).rollout, None);
    // A key alone is nothing.
    assert_eq!(environment(&[("ROLLOUT_KEY", "a")]).rollout, None);
    let implementation = environment(&[]).implementation;
    assert_eq!(config.implementation, implementation);
    if cfg!(feature = "rust-bitcoin") {
        assert_eq!(implementation, Rust);
    }
}

#[cfg(feature = "shadow")]
#[test]
fn without_a_node_nothing_is_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (state, log) = (path("rollout.json"), path("a.log"));
    let config = environment(&[("ROLLOUT_FILE", &state), ("LOG_FILE", &log)]);
    let error = btc::connect(&config).err().expect("nothing to connect to");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let config = environment(&[
        ("FALLBACK", "true"),
        ("SHADOW_MODE", "true"),
        ("LOG_FILE", &log),
    ]);
    btc::connect(&config).err().expect("nothing to connect to");
    let made = folder.path().read_dir().expect("ours").count();
    assert_eq!(made, 0);
    let none = btc::connect_rollout(&environment(&[]), btc::shadow::rollout::Limits::default());
    let error = none.err().expect("none is configured");
    assert!(error.message().contains("ROLLOUT_FILE"), "{error}");
}

#[cfg(not(feature = "shadow"))]
#[test]
fn a_build_without_them_names_the_feature() {
    for variables in [&[FILE][..], &[("FALLBACK", "true")]] {
        let error = btc::connect(&environment(variables)).err();
        let error = error.expect("not built");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains("`shadow`"), "{error}");
    }
}
