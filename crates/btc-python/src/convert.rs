//! The one border where Python's answers become the interface's types.
//!
//! Requests and answers are JSON in both modes, so that both pass the same checks. The format is
//! in `python/README.md`; a transaction is written as serde writes `BitcoinTransaction`.

use btc_iface::types::network;
use btc_iface::{BitcoinError, BitcoinResult, Credentials, ErrorKind, Operation, Secret};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::PythonConfig;

/// The version of the format; the package answers `start` with its own.
pub(crate) const PROTOCOL: u32 = 2;

/// Room for a start request at once: a buffer that grows leaves what it held behind.
const START_BYTES: usize = 16 << 10;

/// An exception that a Python class raised.
#[derive(Debug, thiserror::Error)]
#[error("{python_type}: {message}")]
pub struct PythonException {
    /// The exception's class with its module.
    pub python_type: String,
    /// Its text.
    pub message: String,
    /// Where it was raised.
    #[source]
    pub traceback: Traceback,
}

/// The text of a Python traceback.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Traceback(pub String);

#[derive(Serialize)]
struct Request<P> {
    method: &'static str,
    params: P,
}

#[derive(Deserialize)]
struct Response<T> {
    ok: Option<T>,
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct WireError {
    kind: String,
    message: String,
    /// Absent in a host of an older version.
    #[serde(default)]
    context: Vec<(String, String)>,
    #[serde(default)]
    python_type: String,
    #[serde(default)]
    traceback: String,
}

#[derive(Serialize)]
struct Start<'a> {
    backend: &'a str,
    config: StartConfig<'a>,
}

#[derive(Serialize)]
struct StartConfig<'a> {
    network: &'static str,
    rpc_url: &'a str,
    rpc_user: Option<&'a str>,
    rpc_password: Option<&'a str>,
    rpc_cookie_file: Option<String>,
    timeout_secs: f64,
    wallet_dir: Option<String>,
    wallet_words: Option<&'a str>,
    wallet_passphrase: Option<&'a str>,
    /// In sat/vB.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_fee_rate: Option<u64>,
}

#[derive(Deserialize)]
struct Started {
    protocol: u32,
}

/// The request that names the class and its configuration, secrets included: wiped when dropped.
pub(crate) fn start_request(config: &PythonConfig) -> BitcoinResult<Zeroizing<Vec<u8>>> {
    let (user, password, cookie) = match &config.node.credentials {
        Credentials::UserPassword { user, password } => {
            (Some(user.as_str()), Some(password.expose()), None)
        }
        Credentials::CookieFile(path) => (None, None, Some(path.display().to_string())),
        _ => (None, None, None),
    };
    let wallet = config.wallet.as_ref();
    let start = Start {
        backend: &config.backend,
        config: StartConfig {
            network: network::name(config.node.network),
            rpc_url: &config.node.url,
            rpc_user: user,
            rpc_password: password,
            rpc_cookie_file: cookie,
            timeout_secs: config.node.timeout.as_secs_f64(),
            wallet_dir: wallet.map(|wallet| wallet.dir.display().to_string()),
            wallet_words: wallet.and_then(|wallet| wallet.words.as_ref().map(Secret::expose)),
            wallet_passphrase: wallet
                .and_then(|wallet| wallet.passphrase.as_ref().map(Secret::expose)),
            max_fee_rate: wallet.and_then(|wallet| wallet.max_fee_rate),
        },
    };
    let request = Request {
        method: "start",
        params: start,
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(START_BYTES));
    serde_json::to_writer(&mut *bytes, &request)
        .map_err(|cause| unwritable(Operation::Connect, cause))?;
    Ok(bytes)
}

/// Checks the answer to [`start_request`].
pub(crate) fn check_started(response: &[u8]) -> BitcoinResult<()> {
    let operation = Operation::Connect;
    let started: Started = decode_response(operation, response)?;
    if started.protocol == PROTOCOL {
        return Ok(());
    }
    let message = format!(
        "the package btc_legacy speaks protocol {}, this build {PROTOCOL}; install the package of \
         the same version",
        started.protocol
    );
    Err(BitcoinError::new(
        ErrorKind::Configuration,
        operation,
        message,
    ))
}

/// The request for one method of the class, on behalf of an operation.
pub(crate) fn call_request(
    operation: Operation,
    method: &'static str,
    params: impl Serialize,
) -> BitcoinResult<Vec<u8>> {
    encode(operation, &Request { method, params })
}

/// The request that lets the class close what it holds.
pub(crate) fn close_request() -> BitcoinResult<Vec<u8>> {
    call_request(Operation::Connect, "close", [(); 0])
}

/// Checks the answer to [`close_request`], which says nothing.
pub(crate) fn check_closed(response: &[u8]) -> BitcoinResult<()> {
    #[derive(Deserialize)]
    struct Closed {}
    decode_response::<Closed>(Operation::Connect, response).map(drop)
}

/// Whether an answer says that the work goes on when the same is asked again: what has been done
/// is kept, and other calls may come in between.
pub(crate) fn is_unfinished(response: &[u8]) -> bool {
    response == br#"{"unfinished":true}"#
}

fn encode(operation: Operation, request: &impl Serialize) -> BitcoinResult<Vec<u8>> {
    serde_json::to_vec(request).map_err(|cause| unwritable(operation, cause))
}

fn unwritable(operation: Operation, cause: serde_json::Error) -> BitcoinError {
    let message = "the request cannot be written as JSON";
    BitcoinError::new(ErrorKind::Internal, operation, message).with_source(cause)
}

/// Reads an answer of the Python side: a value of the operation's type, or an exception.
///
/// # Errors
/// The exception's kind, with [`PythonException`] as the source. `InvalidResponse`: anything that
/// is not such an answer.
pub fn decode_response<T: DeserializeOwned>(
    operation: Operation,
    response: &[u8],
) -> BitcoinResult<T> {
    let response: Response<T> = serde_json::from_slice(response).map_err(|cause| {
        let message = "the Python class returned something of another type or form";
        BitcoinError::new(ErrorKind::InvalidResponse, operation, message).with_source(cause)
    })?;
    match (response.ok, response.error) {
        (Some(value), None) => Ok(value),
        (None, Some(error)) => Err(exception(operation, error)),
        _ => {
            let message = "the Python side answered neither a value nor an error";
            Err(BitcoinError::new(
                ErrorKind::InvalidResponse,
                operation,
                message,
            ))
        }
    }
}

fn exception(operation: Operation, error: WireError) -> BitcoinError {
    let kind = ErrorKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == error.kind)
        .unwrap_or(ErrorKind::Internal);
    let mut message = error.message.clone();
    if message.is_empty() {
        message = format!("the Python class raised {}", error.python_type);
    }
    let without_context =
        BitcoinError::new(kind, operation, message).with_source(PythonException {
            python_type: error.python_type,
            message: error.message,
            traceback: Traceback(error.traceback),
        });
    let context = error.context.into_iter();
    context.fold(without_context, |told, (name, value)| {
        told.with_context(name, value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_is_an_invalid_response() {
        for wrong in [
            r#"{"ok": "7"}"#,
            r#"{"ok": -1}"#,
            r#"{"ok": 4294967296}"#,
            r#"{"ok": 1.5}"#,
            r#"{"ok": null}"#,
            r#"{"ok": true}"#,
            r#"{"ok": NaN}"#,
            r#"{"ok": 1, "error": {"kind": "timeout", "message": ""}}"#,
            "{}",
            "[]",
            "",
            "\u{0}",
        ] {
            let error = decode_response::<u32>(Operation::GetBlockHeight, wrong.as_bytes())
                .expect_err(wrong);
            assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{wrong}");
        }
        let height = decode_response::<u32>(Operation::GetBlockHeight, br#"{"ok": 7}"#);
        assert_eq!(height.expect("a height"), 7);
    }

    #[test]
    fn an_exception_keeps_its_type_and_traceback() {
        let text = br#"{"error": {"kind": "not_found", "message": "no such tx",
            "python_type": "builtins.IndexError", "traceback": "Traceback: line 1"}}"#;
        let error = decode_response::<u32>(Operation::GetTransaction, text).expect_err("an error");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
        assert_eq!(
            causes,
            ["builtins.IndexError: no such tx", "Traceback: line 1"]
        );
    }

    #[test]
    fn the_context_of_an_exception_becomes_the_errors() {
        let text = br#"{"error": {"kind": "rejected", "message": "not enough",
            "context": [["missing_sat", "7"]]}}"#;
        let error =
            decode_response::<u32>(Operation::CreateTransaction, text).expect_err("an error");
        assert_eq!(
            error.context(),
            [("missing_sat".to_owned(), "7".to_owned())]
        );
    }

    #[test]
    fn a_start_request_has_the_secrets_and_fits_its_buffer() {
        let mut config = PythonConfig::new(
            btc_iface::NodeConfig::new(btc_iface::Network::Regtest),
            crate::PythonMode::Embedded,
        );
        config.wallet = Some(crate::PythonWallet {
            dir: "/wallet".into(),
            words: Some(Secret::new(["abandon"; 24].join(" "))),
            passphrase: Some(Secret::new("\u{1}".repeat(100))),
            max_fee_rate: Some(5_000),
        });
        let request = start_request(&config).expect("plain data");
        assert_eq!(request.capacity(), START_BYTES);
        let sent: serde_json::Value = serde_json::from_slice(&request).expect("JSON");
        let settings = &sent["params"]["config"];
        assert_eq!(settings["wallet_dir"], "/wallet");
        assert_eq!(settings["wallet_words"], ["abandon"; 24].join(" "));
        assert_eq!(settings["wallet_passphrase"], "\u{1}".repeat(100));
        assert_eq!(settings["max_fee_rate"], 5_000);
        assert!(!format!("{config:?}").contains("abandon"));
    }

    #[test]
    fn a_kind_of_a_newer_version_is_internal() {
        let text = br#"{"error": {"kind": "quantum", "message": "m"}}"#;
        let error = decode_response::<u32>(Operation::GetBalance, text).expect_err("an error");
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
}
