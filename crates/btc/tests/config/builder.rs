//! A configuration made in code is the one that the same variables give.

use btc::BitcoinImplementationType::{Python, Rust};
use btc::config::{
    PythonSettings, RolloutConfig, RolloutLimits, ShadowConfig, VARIABLES, WalletSettings,
};
use btc::{Config, Credentials, ErrorKind, Network, NodeConfig, Secret};

use crate::sources::environment;

#[test]
fn nothing_set_in_code_is_nothing_set_at_all() {
    let built = Config::builder().build().expect("allowed");
    assert_eq!(built, environment(&[]));
}

#[test]
fn a_configuration_in_code_is_that_of_the_same_variables() {
    let mut node = NodeConfig::new(Network::Signet);
    node.credentials = Credentials::UserPassword {
        user: "alice".to_owned(),
        password: Secret::new("hunter2".to_owned()),
    };
    let python = PythonSettings {
        backend: Some("m:C".to_owned()),
        is_worker: true,
        ..PythonSettings::default()
    };
    let built = Config::builder()
        .implementation(Python)
        .node(node)
        .shadow(ShadowConfig::new("/logs/a.log"))
        .python(python)
        .wallet(WalletSettings::new("/w"))
        .call_log("/calls")
        .build()
        .expect("allowed");
    let read = environment(&[
        ("PRIMARY_IMPL", "python"),
        ("BITCOIN_NETWORK", "signet"),
        ("BITCOIN_RPC_USER", "alice"),
        ("BITCOIN_RPC_PASSWORD", "hunter2"),
        ("SHADOW_MODE", "true"),
        ("LOG_FILE", "/logs/a.log"),
        ("PYTHON_BACKEND", "m:C"),
        ("PYTHON_MODE", "worker"),
        ("WALLET_DIR", "/w"),
        ("CALL_LOG", "/calls"),
    ]);
    assert_eq!(built, read);
    assert!(!format!("{built:?}").contains("hunter2"));
}

#[test]
fn a_configuration_in_code_is_checked_like_any_other() {
    let rollout = || RolloutConfig {
        file: "/rollout.json".into(),
        key: None,
        limits: RolloutLimits::default(),
        is_overruled: false,
    };
    let built = Config::builder().rollout(rollout()).build();
    assert_eq!(
        built.expect("allowed"),
        environment(&[("ROLLOUT_FILE", "/rollout.json")])
    );
    let refused = Config::builder().rollout(rollout()).implementation(Rust);
    let error = refused.build().expect_err("the file says who answers");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let mut node = NodeConfig::new(Network::Regtest);
    node.url = "https://node:1".to_owned();
    let error = Config::builder().node(node).build().expect_err("no TLS");
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

/// Nothing of the environment reaches a configuration that is made in code.
#[test]
fn a_configuration_in_code_reads_no_environment() {
    let program = std::env::current_exe().expect("this test");
    let mut child = std::process::Command::new(program);
    child.args([
        "--exact",
        "builder::nothing_set_in_code_is_nothing_set_at_all",
    ]);
    for variable in VARIABLES {
        child.env(variable.name, "not allowed");
    }
    assert!(child.output().expect("it runs").status.success());
}
