//! Checks that the virtual environment is there and fits, before anything is started in it.

use std::path::{Path, PathBuf};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use crate::config::PythonConfig;

/// That the environment has packages for this minor version of Python 3.
pub(crate) fn check_packages(config: &PythonConfig, minor: u8) -> BitcoinResult<()> {
    let venv = existing(config)?;
    let packages = venv.join(format!("lib/python3.{minor}/site-packages"));
    if packages.is_dir() {
        return Ok(());
    }
    let message = format!(
        "the Python environment is not one for Python 3.{minor}, which btc is built with; run \
         `cargo xtask setup`, or set PYTHON_VENV to one that is"
    );
    Err(configuration(message, venv))
}

/// The environment's interpreter.
pub(crate) fn executable(config: &PythonConfig) -> BitcoinResult<PathBuf> {
    let venv = existing(config)?;
    let python = venv.join("bin/python");
    if python.exists() {
        return Ok(python);
    }
    let message = "the Python environment has no interpreter; run `cargo xtask setup`, or set \
                   PYTHON_VENV to a whole one";
    Err(configuration(message, venv))
}

fn existing(config: &PythonConfig) -> BitcoinResult<&Path> {
    if config.venv.is_dir() {
        return Ok(&config.venv);
    }
    let message = "there is no Python environment; run `cargo xtask setup`, or set PYTHON_VENV \
                   to one with the packages of requirements.txt";
    Err(configuration(message, &config.venv))
}

fn configuration(message: impl Into<String>, venv: &Path) -> BitcoinError {
    BitcoinError::new(ErrorKind::Configuration, Operation::Connect, message)
        .with_context("PYTHON_VENV", venv.display())
}
