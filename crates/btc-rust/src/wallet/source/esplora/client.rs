//! `Client`: requests to an Esplora server, with limits to each answer, and their errors as kinds.

use std::io;
use std::time::Duration;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Network, Operation};
use serde::de::DeserializeOwned;
use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Error, Proxy, ProxyProtocol};

use super::EsploraConfig;
use crate::wallet::source::server::Pace;
use crate::wallet::source::tls;

/// The most that an answer may have, in bytes: some of the largest transactions.
const MAX_ANSWER: u64 = 32 << 20;
/// How much of a refusal is read, in bytes, and kept, in characters.
const MAX_REFUSAL: u64 = 64 << 10;
const MAX_TEXT: usize = 200;
/// Connections that are kept: as many as there are requests at once.
const MAX_IDLE: usize = 4;

/// An Esplora server.
#[derive(Debug)]
pub(super) struct Client {
    /// Keeps connections.
    reads: Agent,
    /// Has a new one for each request.
    writes: Agent,
    /// Without a slash at its end.
    base: String,
    authority: String,
    pub(super) network: Network,
    pub(super) timeout: Duration,
    pub(super) pace: Pace,
}

/// What became of a request that must not be repeated.
pub(super) enum Sent {
    Answer(String),
    /// With the reason.
    Refused(String),
    /// It may have arrived.
    Unknown(BitcoinError),
}

impl Client {
    /// # Errors
    /// `Configuration`: another kind of URL or proxy, or a certificate file that cannot be used.
    pub(super) fn new(config: &EsploraConfig) -> BitcoinResult<Self> {
        let wrong = || {
            let message = "an Esplora server is given as https://host/path, or with http://";
            BitcoinError::new(ErrorKind::Configuration, Operation::Connect, message)
                .with_context("url", &config.url)
        };
        let uri: Uri = config.url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?.to_string();
        let is_known = matches!(uri.scheme_str(), Some("https" | "http"));
        if !is_known || uri.query().is_some() || authority.contains('@') {
            return Err(wrong());
        }
        let tls = match uri.scheme_str() {
            Some("https") => Some(secured(config)?),
            _ => None,
        };
        let proxy = proxy(config.proxy.as_deref())?;
        let agent = |max_idle| settings(config, tls.clone(), proxy.clone(), max_idle).new_agent();
        Ok(Self {
            reads: agent(MAX_IDLE),
            writes: agent(0),
            base: config.url.trim_end_matches('/').to_owned(),
            authority,
            network: config.network,
            timeout: config.timeout,
            pace: Pace::default(),
        })
    }

    /// `host:port` of the server, as it was given.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// An answer as bytes.
    ///
    /// # Errors
    /// `NotFound`: the server does not have it. `Unavailable`, `Timeout`, `InvalidResponse`.
    pub(super) fn bytes(&self, path: &str) -> BitcoinResult<Vec<u8>> {
        let get = || self.reads.get(format!("{}{path}", self.base)).call();
        // A kept connection may have ended meanwhile.
        let answer = get().or_else(|error| match error {
            Error::Io(cause) if is_end(&cause) => get(),
            error => Err(error),
        });
        let answer = answer.map_err(|cause| self.tell(cause))?;
        self.pace.count(self, 1)?;
        match answer.status().as_u16() {
            200 => self.body(answer, MAX_ANSWER),
            status => Err(self.refused(status, &self.reason(answer))),
        }
    }

    /// An answer as text.
    pub(super) fn text(&self, path: &str) -> BitcoinResult<String> {
        String::from_utf8(self.bytes(path)?).map_err(|_| self.none())
    }

    /// An answer in JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, path: &str) -> BitcoinResult<T> {
        serde_json::from_slice(&self.bytes(path)?).map_err(|cause| self.none().with_source(cause))
    }

    /// Sends a text, at most once.
    ///
    /// # Errors
    /// `Unavailable`: it has certainly not arrived.
    pub(super) fn post(&self, path: &str, text: &str) -> BitcoinResult<Sent> {
        let url = format!("{}{path}", self.base);
        let answer = match self.writes.post(url).send(text) {
            Ok(answer) => answer,
            Err(cause) if is_before(&cause) => return Err(self.tell(cause)),
            Err(cause) => return Ok(Sent::Unknown(self.tell(cause))),
        };
        Ok(match answer.status().as_u16() {
            200 => match self.body(answer, MAX_REFUSAL) {
                Ok(body) => Sent::Answer(plain(&String::from_utf8_lossy(&body))),
                Err(error) => Sent::Unknown(error),
            },
            400 => Sent::Refused(self.reason(answer)),
            status => Sent::Unknown(self.refused(status, &self.reason(answer))),
        })
    }

    /// That this is no Esplora server.
    pub(super) fn none(&self) -> BitcoinError {
        let message = "what comes from there is no Esplora server's answer; check the URL";
        self.told(ErrorKind::InvalidResponse, message.to_owned())
    }

    pub(super) fn told(&self, kind: ErrorKind, message: String) -> BitcoinError {
        BitcoinError::new(kind, Operation::Sync, message).with_context("server", &self.base)
    }

    fn body(&self, answer: Response<Body>, limit: u64) -> BitcoinResult<Vec<u8>> {
        let body = answer.into_body().into_with_config().limit(limit);
        body.read_to_vec().map_err(|cause| self.tell(cause))
    }

    /// The text of a refusal.
    fn reason(&self, answer: Response<Body>) -> String {
        let body = self.body(answer, MAX_REFUSAL).unwrap_or_default();
        plain(String::from_utf8_lossy(&body).trim())
    }

    fn refused(&self, status: u16, reason: &str) -> BitcoinError {
        let (kind, message) = match status {
            404 => (ErrorKind::NotFound, "the Esplora server does not have it"),
            300..400 => (
                ErrorKind::InvalidResponse,
                "the Esplora server sends its clients elsewhere; give the URL where it is",
            ),
            429 | 500.. => (
                ErrorKind::Unavailable,
                "the Esplora server does not serve now; ask again later, or use another one",
            ),
            _ => (ErrorKind::Rejected, "the Esplora server refuses"),
        };
        self.told(kind, message.to_owned())
            .with_context("status", status)
            .with_context("reason", reason)
    }

    fn tell(&self, cause: Error) -> BitcoinError {
        let (kind, message) = match &cause {
            Error::Timeout(_) => (
                ErrorKind::Timeout,
                "the Esplora server does not answer in time; allow more, or use another one",
            ),
            Error::Rustls(rustls::Error::InvalidCertificate(_)) => of_certificate(),
            Error::Io(cause) if is_untrusted(cause) => of_certificate(),
            Error::Rustls(_) | Error::Tls(_) => (
                ErrorKind::InvalidResponse,
                "the Esplora server does not speak TLS as expected; check the URL",
            ),
            Error::Io(cause) if cause.kind() == io::ErrorKind::InvalidData => (
                ErrorKind::InvalidResponse,
                "the Esplora server's answer is broken; check the URL",
            ),
            Error::Io(_) | Error::HostNotFound | Error::ConnectionFailed => (
                ErrorKind::Unavailable,
                "the Esplora server cannot be reached; check ESPLORA_URL and ESPLORA_PROXY, and \
                 that it runs",
            ),
            Error::BodyExceedsLimit(_) => (
                ErrorKind::InvalidResponse,
                "the Esplora server sends more than any answer holds; use another one",
            ),
            _ => (
                ErrorKind::InvalidResponse,
                "what comes from there is no Esplora server's answer; check the URL",
            ),
        };
        self.told(kind, message.to_owned()).with_source(cause)
    }
}

fn settings(
    config: &EsploraConfig,
    tls: Option<TlsConfig>,
    proxy: Option<Proxy>,
    max_idle: usize,
) -> Config {
    let settings = Config::builder()
        .timeout_global(Some(config.timeout))
        // A redirect would tell another server what this one may know.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        // Not the environment's.
        .proxy(proxy)
        .user_agent(concat!("btc/", env!("CARGO_PKG_VERSION")))
        .https_only(tls.is_some())
        .max_idle_connections(max_idle)
        .max_idle_connections_per_host(max_idle);
    match tls {
        Some(tls) => settings.tls_config(tls).build(),
        None => settings.build(),
    }
}

fn secured(config: &EsploraConfig) -> BitcoinResult<TlsConfig> {
    let trusted = tls::trusted(config.cert_file.as_deref())?;
    let trusted: Vec<_> = trusted
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(tls::provider())
        .root_certs(RootCerts::new_with_certs(&trusted))
        .build())
}

/// A SOCKS5 proxy that is told names, not addresses.
fn proxy(address: Option<&str>) -> BitcoinResult<Option<Proxy>> {
    let Some(address) = address else {
        return Ok(None);
    };
    let wrong = || {
        let message = "a proxy is given as host:port";
        BitcoinError::new(ErrorKind::Configuration, Operation::Connect, message)
            .with_context("proxy", address)
    };
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let proxy = Proxy::builder(ProxyProtocol::Socks5h).host(host).port(port);
    proxy.build().map(Some).map_err(|_| wrong())
}

const fn of_certificate() -> (ErrorKind, &'static str) {
    (
        ErrorKind::Configuration,
        "the Esplora server's certificate is not trusted; if it is the right one, name the file \
         of what has signed it in ESPLORA_CERT_FILE",
    )
}

fn is_untrusted(cause: &io::Error) -> bool {
    let cause = cause.get_ref().and_then(|it| it.downcast_ref());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

/// Whether the connection had ended.
fn is_end(cause: &io::Error) -> bool {
    use io::ErrorKind as Io;
    matches!(
        cause.kind(),
        Io::UnexpectedEof | Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe
    )
}

/// Whether nothing was sent yet.
fn is_before(cause: &Error) -> bool {
    match cause {
        Error::HostNotFound | Error::ConnectionFailed | Error::Rustls(_) | Error::Tls(_) => true,
        Error::Timeout(at) => matches!(at, ureq::Timeout::Resolve | ureq::Timeout::Connect),
        Error::Io(cause) => cause.kind() == io::ErrorKind::ConnectionRefused || is_untrusted(cause),
        _ => false,
    }
}

/// Text that a stranger chose, for a message.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_TEXT)
        .collect()
}
