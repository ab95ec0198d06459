//! A pooled HTTP transport to Bitcoin Core, for JSON-RPC and REST, with explicit timeouts.
//!
//! Reads are retried on a connection of their own when the pooled one was lost; writes never are,
//! and never use a pooled connection whose end may already be gone.

use std::fmt;
use std::io::Read;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use crate::net::{NodeConnector, NodeResolver};
use bitcoin::base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use btc_iface::{Credentials, NodeConfig};
use jsonrpc::{Request, Response};
use ureq::http::{self, HeaderValue, header};
use ureq::{Agent, Body, BodyWithConfig};
use zeroize::Zeroizing;

/// The longest answer that is read: a full block in hexadecimal is 8 MB.
const MAX_ANSWER_BYTES: u64 = 32 << 20;
/// Waits before the second and the third attempt of a read.
const BACKOFF: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];
/// More threads than Bitcoin Core serves at once by default.
const MAX_IDLE_CONNECTIONS: usize = 32;
/// RPC methods without effect. Everything else is sent at most once.
const READS: [&str; 6] = [
    "estimatesmartfee",
    "getblock",
    "getblockchaininfo",
    "getblockcount",
    "getblockhash",
    "getrawtransaction",
];

/// Why no usable answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("no connection to the node")]
    Connection(#[source] ureq::Error),
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
    #[error("the answer cannot be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A status and its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as one line of text, for an error message.
    pub(crate) fn text(&self) -> String {
        const MAX_CHARS: usize = 200;
        String::from_utf8_lossy(&self.body)
            .trim()
            .chars()
            .take(MAX_CHARS)
            .collect()
    }
}

/// The transport. Cheap to clone: clones share connections and credentials.
#[derive(Clone)]
pub(crate) struct Http {
    shared: Arc<Shared>,
}

struct Shared {
    agent: Agent,
    base_url: String,
    rpc_url: String,
    timeout: Duration,
    credentials: Credentials,
    /// The header made of the credentials; replaced when the node has written a new cookie.
    authorization: RwLock<Option<HeaderValue>>,
}

impl Http {
    /// A transport to the node at `authority`; nothing is sent yet.
    pub(crate) fn new(config: &NodeConfig, authority: &str) -> Result<Self, TransportError> {
        let agent_config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(config.timeout))
            .max_idle_connections(MAX_IDLE_CONNECTIONS)
            .max_idle_connections_per_host(MAX_IDLE_CONNECTIONS)
            // A proxy in the environment must not see what is meant for the node.
            .proxy(None)
            .max_redirects(0)
            .user_agent("")
            .accept("")
            .build();
        let agent = Agent::with_parts(agent_config, NodeConnector, NodeResolver::default());
        let base_url = format!("http://{authority}");
        let shared = Shared {
            agent,
            rpc_url: format!("{base_url}/"),
            base_url,
            timeout: config.timeout,
            credentials: config.credentials.clone(),
            authorization: RwLock::new(authorization(&config.credentials)?),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Gets a REST resource, such as `/rest/chaininfo.json`; retried when the connection is lost.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, TransportError> {
        let url = format!("{}{path}", self.shared.base_url);
        with_retries(|first| {
            let request = self.shared.agent.get(&url);
            let request = if first {
                request
            } else {
                on_new_connection(request)
            };
            self.finish(request.call())
        })
    }

    /// Posts a JSON-RPC request. A write goes out on a new connection, once.
    fn post(&self, body: &[u8], is_read: bool) -> Result<Answer, TransportError> {
        if is_read {
            return with_retries(|first| self.post_once(body, first));
        }
        self.post_once(body, false)
    }

    fn post_once(&self, body: &[u8], pooled: bool) -> Result<Answer, TransportError> {
        let answer = self.post_authorized(body, pooled)?;
        if answer.status != 401 || !self.renew_cookie()? {
            return Ok(answer);
        }
        // Nothing was executed without a login, so a write may follow too.
        self.post_authorized(body, pooled)
    }

    fn post_authorized(&self, body: &[u8], pooled: bool) -> Result<Answer, TransportError> {
        let mut request = self
            .shared
            .agent
            .post(&self.shared.rpc_url)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(value) = &*self
            .shared
            .authorization
            .read()
            .unwrap_or_else(PoisonError::into_inner)
        {
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = if pooled {
            request
        } else {
            on_new_connection(request)
        };
        self.finish(request.send(body))
    }

    /// Reads the cookie file again; true if it has changed.
    fn renew_cookie(&self) -> Result<bool, TransportError> {
        if !matches!(self.shared.credentials, Credentials::CookieFile(_)) {
            return Ok(false);
        }
        let fresh = authorization(&self.shared.credentials)?;
        let mut current = self
            .shared
            .authorization
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let changed = *current != fresh;
        *current = fresh;
        Ok(changed)
    }

    fn finish(
        &self,
        sent: Result<http::Response<Body>, ureq::Error>,
    ) -> Result<Answer, TransportError> {
        let response = sent.map_err(|error| self.classify(error))?;
        let (parts, body) = response.into_parts();
        let announced = body.content_length().unwrap_or(0).min(MAX_ANSWER_BYTES);
        let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
        let limited: BodyWithConfig = body.into_with_config().limit(MAX_ANSWER_BYTES);
        limited
            .reader()
            .read_to_end(&mut bytes)
            .map_err(|error| self.classify(ureq::Error::from(error)))?;
        Ok(Answer {
            status: parts.status.as_u16(),
            body: bytes,
        })
    }

    fn classify(&self, error: ureq::Error) -> TransportError {
        match error {
            ureq::Error::Timeout(_) => TransportError::Timeout(self.shared.timeout),
            ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => {
                TransportError::Timeout(self.shared.timeout)
            }
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => {
                TransportError::Connection(error)
            }
            other => TransportError::Answer(Box::new(other)),
        }
    }
}

/// Makes a request ignore the connections that are kept for reuse.
fn on_new_connection<B>(request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
    request.config().max_idle_age(Duration::ZERO).build()
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

fn authorization(credentials: &Credentials) -> Result<Option<HeaderValue>, TransportError> {
    let pair = match credentials {
        Credentials::CookieFile(path) => match std::fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text.trim_end().to_owned()),
            // A node that does not run has no cookie: asking it without one says which it is.
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(TransportError::Cookie {
                    path: path.display().to_string(),
                    source,
                });
            }
        },
        Credentials::UserPassword { user, password } => {
            Zeroizing::new(format!("{user}:{}", password.expose()))
        }
        _ => return Ok(None),
    };
    let text = Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())));
    let mut value =
        HeaderValue::from_str(&text).map_err(|error| TransportError::Answer(Box::new(error)))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

impl jsonrpc::client::Transport for Http {
    fn send_request(&self, request: Request<'_>) -> Result<Response, jsonrpc::Error> {
        let body = serde_json::to_vec(&request)?;
        let answer = self
            .post(&body, READS.contains(&request.method))
            .map_err(|error| jsonrpc::Error::Transport(Box::new(error)))?;
        // Core answers errors of JSON-RPC 1 calls with status 500 and a JSON body.
        match serde_json::from_slice(&answer.body) {
            Ok(response) => Ok(response),
            Err(_) if matches!(answer.status, 401 | 403) => Err(jsonrpc::Error::Transport(
                Box::new(TransportError::Auth(answer.status)),
            )),
            Err(_) if answer.status != 200 => {
                let text = answer.text();
                let error = TransportError::Status {
                    status: answer.status,
                    text,
                };
                Err(jsonrpc::Error::Transport(Box::new(error)))
            }
            Err(error) => Err(jsonrpc::Error::Transport(Box::new(TransportError::Answer(
                Box::new(error),
            )))),
        }
    }

    fn send_batch(&self, requests: &[Request<'_>]) -> Result<Vec<Response>, jsonrpc::Error> {
        requests
            .iter()
            .map(|request| self.send_request(request.clone()))
            .collect()
    }

    fn fmt_target(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shared.base_url)
    }
}
