//! The transport to Bitcoin Core, for JSON-RPC and REST: credentials, retries, and what is sent once.
//!
//! Reads are tried again on a new connection when a kept one was lost; writes are sent once, on a
//! connection of their own whose end cannot be gone already.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use bitcoin::base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use btc_iface::{Credentials, NodeConfig};
use jsonrpc::{Request, Response};
use zeroize::Zeroizing;

use crate::connection::{Answer, Connections, ExchangeError};

/// Waits before the second and the third attempt of a read.
const BACKOFF: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];
/// RPC methods without effect. Everything else is sent at most once.
const READS: [&str; 15] = [
    "estimatesmartfee",
    "getblock",
    "getblockchaininfo",
    "getblockcount",
    "getblockfilter",
    "getblockhash",
    "getblockheader",
    "getindexinfo",
    "getmempoolancestors",
    "getmempoolentry",
    "getmempoolinfo",
    "getpeerinfo",
    "getrawmempool",
    "getrawtransaction",
    "testmempoolaccept",
];
/// The longest answer that is read: a full block in hexadecimal is 8 MB.
const MAX_BODY_BYTES: u64 = 32 << 20;
/// The longest list of the mempool that is read: some 500,000 entries, twice what Bitcoin Core's
/// default limit of 300 MB of memory holds.
const MAX_MEMPOOL_BYTES: u64 = 256 << 20;

/// Why no usable answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("no connection to the node")]
    Connection(#[source] std::io::Error),
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    #[error("the node refused the credentials with HTTP status {0}")]
    Auth(u16),
    #[error("the cookie file `{path}` cannot be read")]
    Cookie {
        path: String,
        source: std::io::Error,
    },
    #[error("the node answered HTTP status {status}: {text}")]
    Status { status: u16, text: String },
    #[error("the answer to {method} is longer than the {max_bytes} bytes that are read")]
    TooLong { method: String, max_bytes: u64 },
    #[error("the answer cannot be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The transport. Cheap to clone: clones share connections and credentials.
#[derive(Clone)]
pub(crate) struct Http {
    shared: Arc<Shared>,
}

struct Shared {
    connections: Connections,
    credentials: Credentials,
    /// The head of a JSON-RPC request up to its length, with the credentials in it; made anew
    /// when the node has written a new cookie.
    rpc_head: RwLock<Zeroizing<Vec<u8>>>,
    /// How often it was made anew.
    renewals: AtomicU32,
}

impl Http {
    /// A transport to the node at `authority`; nothing is sent yet.
    pub(crate) fn new(config: &NodeConfig, authority: &str) -> Result<Self, TransportError> {
        let shared = Shared {
            connections: Connections::new(authority, config.timeout),
            credentials: config.credentials.clone(),
            rpc_head: RwLock::new(rpc_head(authority, &config.credentials)?),
            renewals: AtomicU32::new(0),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Gets a REST resource, such as `/rest/chaininfo.json`; retried when the connection is lost.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, TransportError> {
        let host = self.shared.connections.authority();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        with_retries(|is_first| self.exchange(path, request.as_bytes(), !is_first))
    }

    /// Posts a JSON-RPC request. A write goes out on a new connection, once.
    fn post(&self, method: &str, body: &[u8]) -> Result<Answer, TransportError> {
        if READS.contains(&method) {
            return with_retries(|is_first| self.post_once(method, body, !is_first));
        }
        self.post_once(method, body, true)
    }

    fn post_once(
        &self,
        method: &str,
        body: &[u8],
        is_fresh: bool,
    ) -> Result<Answer, TransportError> {
        let before = self.shared.renewals.load(Ordering::Acquire);
        let answer = self.post_authorized(method, body, is_fresh)?;
        if answer.status != 401 || !self.renew_cookie(before)? {
            return Ok(answer);
        }
        // Nothing was executed without a login, so a write may follow too.
        self.post_authorized(method, body, is_fresh)
    }

    fn post_authorized(
        &self,
        method: &str,
        body: &[u8],
        is_fresh: bool,
    ) -> Result<Answer, TransportError> {
        /// Room for the length's digits and the end of the head.
        const LENGTH_BYTES: usize = 16;
        let request = {
            let head = self
                .shared
                .rpc_head
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            let mut request =
                Zeroizing::new(Vec::with_capacity(head.len() + LENGTH_BYTES + body.len()));
            request.extend_from_slice(&head);
            request.extend_from_slice(body.len().to_string().as_bytes());
            request.extend_from_slice(b"\r\n\r\n");
            request.extend_from_slice(body);
            request
        };
        self.exchange(method, &request, is_fresh)
    }

    /// Reads the cookie file again; true if it has changed since so many renewals, also when it
    /// was another thread that noticed first.
    fn renew_cookie(&self, before: u32) -> Result<bool, TransportError> {
        if !matches!(self.shared.credentials, Credentials::CookieFile(_)) {
            return Ok(false);
        }
        let fresh = rpc_head(
            self.shared.connections.authority(),
            &self.shared.credentials,
        )?;
        let mut current = self
            .shared
            .rpc_head
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if *current != fresh {
            *current = fresh;
            self.shared.renewals.fetch_add(1, Ordering::Release);
        }
        Ok(self.shared.renewals.load(Ordering::Acquire) != before)
    }

    /// `what` is the RPC method or the REST path.
    fn exchange(
        &self,
        what: &str,
        request: &[u8],
        is_fresh: bool,
    ) -> Result<Answer, TransportError> {
        let connections = &self.shared.connections;
        let max_body_bytes = match what {
            "getrawmempool" => MAX_MEMPOOL_BYTES,
            _ => MAX_BODY_BYTES,
        };
        connections
            .exchange(request, is_fresh, max_body_bytes)
            .map_err(|cause| match cause {
                ExchangeError::Connection(cause) => TransportError::Connection(cause),
                ExchangeError::Timeout => TransportError::Timeout(connections.timeout()),
                ExchangeError::TooLong(max_bytes) => TransportError::TooLong {
                    method: what.to_owned(),
                    max_bytes,
                },
                other => TransportError::Answer(Box::new(other)),
            })
    }
}

/// Runs a read until it finds a connection; `attempt` is told whether it is the first.
fn with_retries(
    attempt: impl Fn(bool) -> Result<Answer, TransportError>,
) -> Result<Answer, TransportError> {
    let mut result = attempt(true);
    for wait in BACKOFF {
        match result {
            Err(TransportError::Connection(_)) => {
                thread::sleep(wait);
                result = attempt(false);
            }
            done => return done,
        }
    }
    result
}

fn rpc_head(
    authority: &str,
    credentials: &Credentials,
) -> Result<Zeroizing<Vec<u8>>, TransportError> {
    let pair = match credentials {
        Credentials::CookieFile(path) => read_cookie(path)?,
        Credentials::UserPassword { user, password } => {
            Some(Zeroizing::new(format!("{user}:{}", password.expose())))
        }
        _ => None,
    };
    let login = pair.map_or_else(Zeroizing::default, |pair| {
        let encoded = Zeroizing::new(BASE64.encode(pair.as_bytes()));
        Zeroizing::new(format!("Authorization: Basic {}\r\n", *encoded))
    });
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {authority}\r\n{}Content-Type: application/json\r\n\
         Content-Length: ",
        *login
    );
    Ok(Zeroizing::new(head.into_bytes()))
}

/// The `user:password` in the cookie file.
fn read_cookie(path: &Path) -> Result<Option<Zeroizing<String>>, TransportError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text.trim_end().to_owned()))),
        // A node that does not run has no cookie: asking it without one says which it is.
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TransportError::Cookie {
            path: path.display().to_string(),
            source,
        }),
    }
}

impl jsonrpc::client::Transport for Http {
    fn send_request(&self, request: Request<'_>) -> Result<Response, jsonrpc::Error> {
        let body = serde_json::to_vec(&request)?;
        let answer = self
            .post(request.method, &body)
            .map_err(|error| jsonrpc::Error::Transport(Box::new(error)))?;
        // Core answers errors of JSON-RPC 1 calls with status 500 and a JSON body.
        let error = match serde_json::from_slice::<Response>(&answer.body) {
            // An error may be one about a request that could not be read, without its id.
            Ok(response) if response.error.is_none() && response.id != request.id => {
                TransportError::Answer("it answers another request".into())
            }
            Ok(response) => return Ok(response),
            Err(_) if matches!(answer.status, 401 | 403) => TransportError::Auth(answer.status),
            Err(_) if answer.status != 200 => TransportError::Status {
                status: answer.status,
                text: answer.text(),
            },
            Err(cause) => TransportError::Answer(Box::new(cause)),
        };
        Err(jsonrpc::Error::Transport(Box::new(error)))
    }

    fn send_batch(&self, requests: &[Request<'_>]) -> Result<Vec<Response>, jsonrpc::Error> {
        requests
            .iter()
            .map(|request| self.send_request(request.clone()))
            .collect()
    }

    fn fmt_target(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shared.connections.authority())
    }
}
