//! An environment that is not there, or not whole, is an error of configuration that says what to
//! do.

use std::path::Path;

use btc_iface::{ErrorKind, Network, NodeConfig, Operation};
use btc_python::{PythonBitcoin, PythonConfig, PythonMode};

fn check(venv: &Path, mode: PythonMode) {
    let config = PythonConfig {
        venv: venv.to_owned(),
        ..PythonConfig::new(NodeConfig::new(Network::Regtest), mode)
    };
    let error = PythonBitcoin::connect(&config)
        .err()
        .expect("no environment");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert_eq!(error.operation(), Operation::Connect);
    assert!(error.message().contains("cargo xtask setup"), "{error}");
    let venv = ("PYTHON_VENV".to_owned(), venv.display().to_string());
    assert!(error.context().contains(&venv), "{error}");
}

#[test]
fn without_an_environment_the_setup_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for mode in [PythonMode::Embedded, PythonMode::Worker] {
        check(&folder.path().join("missing"), mode);
    }
}

#[test]
fn an_environment_that_is_an_empty_folder_is_not_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for mode in [PythonMode::Embedded, PythonMode::Worker] {
        check(folder.path(), mode);
    }
}

#[test]
fn an_environment_of_another_python_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let packages = folder.path().join("lib/python3.1/site-packages");
    std::fs::create_dir_all(packages).expect("a disk with room");
    check(folder.path(), PythonMode::Embedded);
}

#[test]
fn the_defaults_are_those_of_the_table() {
    let node = NodeConfig::new(Network::Regtest);
    let embedded = PythonConfig::new(node.clone(), PythonMode::Embedded);
    assert_eq!(embedded.backend, "btc_legacy.backend:LegacyBackend");
    assert_eq!(embedded.max_lanes, 16);
    assert_eq!(embedded.timeout, Some(std::time::Duration::from_mins(1)));
    assert!(embedded.search_path.is_empty());
    let package = embedded
        .package_dir
        .expect("the package is beside the crate");
    assert!(package.join("btc_legacy/host.py").is_file());
    assert_eq!(PythonConfig::new(node, PythonMode::Worker).max_lanes, 4);
}
