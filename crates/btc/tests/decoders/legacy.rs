//! `btc_legacy`'s decoder and encoder in the embedded interpreter, many inputs a call.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use btc::BitcoinTransaction;
use btc::python::PythonConfig;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyModule};
use serde::Deserialize;

/// Runs the package's own functions; any exception but its own ends the test.
const CODE: &std::ffi::CStr = cr#"
import json

from btc_legacy.decode import decode_block, decode_transaction
from btc_legacy.encode import encode_transaction
from btc_legacy.errors import BitcoinError


def _each(call, items):
    answers = []
    for item in items:
        try:
            answers.append({"ok": call(item)})
        except BitcoinError as error:
            answers.append({"error": error.kind.value})
    return json.dumps(answers)


def transactions(raws):
    return _each(decode_transaction, raws)


def blocks(pairs):
    return _each(lambda pair: decode_block(*pair), pairs)


def encode(texts):
    return _each(lambda text: encode_transaction(json.loads(text)).hex(), texts)
"#;

/// A value, or the kind of the failure.
pub(crate) type Answer<T> = Result<T, String>;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wire<T> {
    Ok(T),
    Error(String),
}

/// Decodes transactions in Python.
pub(crate) fn transactions(raws: &[Vec<u8>]) -> Vec<Answer<BitcoinTransaction>> {
    Python::attach(|py| {
        let raws: Vec<_> = raws.iter().map(|raw| PyBytes::new(py, raw)).collect();
        answers(module(py).call_method1("transactions", (raws,)))
    })
}

/// Decodes blocks in Python, each with the hash that it should have.
pub(crate) fn blocks(raws: &[(Vec<u8>, String)]) -> Vec<Answer<Vec<BitcoinTransaction>>> {
    Python::attach(|py| {
        let pairs: Vec<_> = raws
            .iter()
            .map(|(raw, hash)| (PyBytes::new(py, raw), hash))
            .collect();
        answers(module(py).call_method1("blocks", (pairs,)))
    })
}

/// Encodes transactions in Python, to hexadecimal.
pub(crate) fn encode(transactions: &[BitcoinTransaction]) -> Vec<Answer<String>> {
    let texts: Vec<_> = transactions
        .iter()
        .map(|transaction| serde_json::to_string(transaction).expect("plain data"))
        .collect();
    Python::attach(|py| answers(module(py).call_method1("encode", (texts,))))
}

fn answers<T: serde::de::DeserializeOwned>(returned: PyResult<Bound<'_, PyAny>>) -> Vec<Answer<T>> {
    let text: String = returned
        .and_then(|text| text.extract())
        .expect("only the package's own exceptions are answers");
    let answers: Vec<Wire<T>> = serde_json::from_str(&text).expect("the package's own form");
    answers
        .into_iter()
        .map(|answer| match answer {
            Wire::Ok(value) => Ok(value),
            Wire::Error(kind) => Err(kind),
        })
        .collect()
}

fn module(py: Python<'_>) -> Bound<'_, PyModule> {
    static MODULE: OnceLock<Py<PyModule>> = OnceLock::new();
    if let Some(module) = MODULE.get() {
        return module.bind(py).clone();
    }
    let module = load(py).expect("the environment that `cargo xtask setup` makes");
    MODULE.get_or_init(|| module.unbind()).bind(py).clone()
}

fn load(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    let venv = env::var_os("PYTHON_VENV").map_or_else(PythonConfig::default_venv, PathBuf::from);
    let minor = py.version_info().minor;
    let packages = venv.join(format!("lib/python3.{minor}/site-packages"));
    py.import("site")?.call_method1("addsitedir", (packages,))?;
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../btc-python/python");
    let path = py.import("sys")?.getattr("path")?;
    path.call_method1("insert", (0, package.as_os_str()))?;
    PyModule::from_code(py, CODE, c"harness.py", c"harness")
}
