//! The embedded interpreter: the only place that attaches to it.

use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::config::PythonConfig;
use crate::convert;
use crate::environment;
use crate::lanes::{Carrier, Ender, Factory};
use crate::paths;

/// One thread at a time says where modules are looked for: the list is the process's.
static ARRANGING: Mutex<()> = Mutex::new(());

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
        // Taken before attaching: a thread that waits for it does not keep the interpreter.
        let arranging = ARRANGING.lock().unwrap_or_else(PoisonError::into_inner);
        let host = Python::attach(|py| -> BitcoinResult<Self> {
            environment::check_packages(config, py.version_info().minor)?;
            let make = || -> PyResult<Py<PyAny>> {
                let names = PyDict::new(py);
                py.run(&CString::new(paths::SOURCE)?, Some(&names), None)?;
                // As text: the import system passes over path objects.
                let arguments = PyTuple::new(py, paths::arguments(config))?;
                names.as_any().get_item("arrange")?.call1(arguments)?;
                py.import("btc_legacy.embedded")?.call_method0("quieten")?;
                let host = py.import("btc_legacy.host")?.getattr("Host")?.call0()?;
                host.getattr("handle").map(Bound::unbind)
            };
            let handle = make().map_err(|cause| cannot_start(py, &cause))?;
            Ok(Self {
                handle: Arc::new(Handle(Some(handle))),
            })
        })?;
        drop(arranging);
        convert::check_started(&host.handle(operation, &convert::start_request(config)?)?)?;
        Ok(host)
    }

    /// Lets the class close what it holds. A second time does nothing.
    pub(crate) fn close(&self) {
        let closed = convert::close_request()
            .and_then(|request| self.handle(Operation::Connect, &request))
            .and_then(|answer| convert::check_closed(&answer));
        if let Err(error) = closed {
            tracing::warn!("the Python class could not be closed: {error}");
        }
    }

    /// Runs one request on this thread, in as many pieces as it takes.
    pub(crate) fn handle_whole(
        &self,
        operation: Operation,
        request: &[u8],
    ) -> BitcoinResult<Vec<u8>> {
        loop {
            let answer = self.handle(operation, request)?;
            if !convert::is_unfinished(&answer) {
                return Ok(answer);
            }
        }
    }

    /// Runs one request on this thread; it may be left unfinished.
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
    fn make(&self) -> (Box<dyn Carrier>, Option<Ender>) {
        // Nothing can end a call inside the interpreter; the lane is given up instead.
        (Box::new(self.clone()), None)
    }
}
