//! The embedded interpreter: the only place that attaches to it.

use std::sync::Arc;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::config::PythonConfig;
use crate::convert;
use crate::environment;
use crate::lanes::{Carrier, Ender, Factory};

/// A `btc_legacy.host.Host` with the configured class started in it.
#[derive(Clone)]
pub(crate) struct Host {
    handle: Arc<Handle>,
}

/// The host's method that answers a request; `None` only while it is dropped.
struct Handle(Option<Py<PyAny>>);

impl Drop for Handle {
    /// Lets go of the class while attached. Otherwise it would stay, with what it holds, such as
    /// a wallet's lock, until somebody attaches the next time.
    fn drop(&mut self) {
        let held = self.0.take();
        Python::try_attach(|_| drop(held));
    }
}

impl Host {
    /// Starts the interpreter if this is the first time, and the class.
    pub(crate) fn start(config: &PythonConfig) -> BitcoinResult<Self> {
        let operation = Operation::Connect;
        // The interpreter aborts the whole process when it cannot find its library.
        if std::env::var_os("PYTHONHOME").is_some() {
            let message = "PYTHONHOME is set, which breaks an embedded interpreter; unset it";
            return Err(BitcoinError::new(
                ErrorKind::Configuration,
                operation,
                message,
            ));
        }
        let host = Python::attach(|py| -> BitcoinResult<Self> {
            let packages = environment::site_packages(config, py.version_info().minor)?;
            let make = || -> PyResult<Py<PyAny>> {
                py.import("site")?.call_method1("addsitedir", (packages,))?;
                let path = py.import("sys")?.getattr("path")?;
                for folder in config.search_path.iter().chain(&config.package_dir).rev() {
                    // As text: the import system passes over path objects.
                    let folder = folder.as_os_str();
                    if !path.contains(folder)? {
                        path.call_method1("insert", (0, folder))?;
                    }
                }
                let host = py.import("btc_legacy.host")?.getattr("Host")?.call0()?;
                host.getattr("handle").map(Bound::unbind)
            };
            let handle = make().map_err(|cause| cannot_start(py, &cause))?;
            Ok(Self {
                handle: Arc::new(Handle(Some(handle))),
            })
        })?;
        convert::check_started(&host.handle(operation, &convert::start_request(config)?)?)?;
        Ok(host)
    }

    /// Runs one request on this thread.
    pub(crate) fn handle(&self, operation: Operation, request: &[u8]) -> BitcoinResult<Vec<u8>> {
        Python::attach(|py| {
            let handle = self
                .handle
                .0
                .as_ref()
                .expect("taken only when it is dropped");
            let answer = handle.call1(py, (PyBytes::new(py, request),));
            let bytes = answer.and_then(|answer| answer.bind(py).extract::<Vec<u8>>());
            bytes.map_err(|cause| {
                let message = "the Python host failed, which it never should";
                BitcoinError::new(ErrorKind::Internal, operation, message)
                    .with_context("python", cause.to_string())
            })
        })
    }
}

fn cannot_start(py: Python<'_>, cause: &PyErr) -> BitcoinError {
    let message = if cause.is_instance_of::<PyImportError>(py) {
        "the package btc_legacy or one it needs is missing; run `cargo xtask setup`, or install \
         it into the environment that PYTHON_VENV names"
    } else {
        "the Python side cannot be started"
    };
    BitcoinError::new(ErrorKind::Configuration, Operation::Connect, message)
        .with_context("python", cause.to_string())
}

impl Carrier for Host {
    fn carry(&mut self, operation: Operation, request: &[u8]) -> BitcoinResult<Vec<u8>> {
        self.handle(operation, request)
    }
}

impl Factory for Host {
    fn make(&self) -> (Box<dyn Carrier>, Ender) {
        // Nothing can end a call inside the interpreter; the lane is given up instead.
        (Box::new(self.clone()), Box::new(|| {}))
    }
}
