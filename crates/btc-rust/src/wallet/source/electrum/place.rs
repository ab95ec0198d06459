//! `Place`: where an Electrum server is, and the way to it; the library's errors as kinds.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::constants::genesis_block;
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Network, Operation};
use electrum_client::raw_client::RawClient;
use electrum_client::socks::Socks5Stream;
use electrum_client::{ElectrumApi, Error, Param};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::connection::Connection;
use super::guard::Guard;
use super::pin;

/// What servers of today and of long ago speak. Later versions change what we do not use.
const PROTOCOL: [&str; 2] = ["1.4", "1.4.3"];
/// How much of a server's text is kept.
const MAX_TEXT: usize = 200;

/// How an Electrum server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElectrumConfig {
    /// `tcp://host:port`, or `ssl://host:port` with TLS.
    pub url: String,
    /// The network that the server must be on.
    pub network: Network,
    /// The longest that the server may be silent; an answer that keeps coming may take longer.
    pub timeout: Duration,
    /// Certificates in PEM: with TLS, the server must have one of them, or one that they have
    /// signed for its name. `None`: one that the system trusts for its name.
    pub cert_file: Option<PathBuf>,
    /// `host:port` of a SOCKS5 proxy, such as Tor's. It resolves the server's name.
    pub proxy: Option<String>,
}

impl ElectrumConfig {
    /// A server without a proxy, with the certificates that the system trusts, and 30 seconds.
    pub fn new(url: &str, network: Network) -> Self {
        Self {
            url: url.to_owned(),
            network,
            timeout: Duration::from_secs(30),
            cert_file: None,
            proxy: None,
        }
    }
}

/// Where the server is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// `host:port`.
    pub(super) address: String,
    pub(super) network: Network,
    pub(super) timeout: Duration,
    host: String,
    port: u16,
    proxy: Option<String>,
    tls: Option<Tls>,
}

#[derive(Debug, Clone)]
struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Place {
    /// # Errors
    /// `Configuration`: another kind of URL, or a certificate file that cannot be used.
    pub(super) fn new(config: &ElectrumConfig) -> BitcoinResult<Self> {
        let wrong = |message: &str| {
            BitcoinError::new(ErrorKind::Configuration, Operation::Connect, message)
                .with_context("url", &config.url)
        };
        let usage = "an Electrum server is given as tcp://host:port or ssl://host:port";
        let (is_tls, address) = match config.url.split_once("://") {
            Some(("tcp", address)) => (false, address),
            Some(("ssl", address)) => (true, address),
            _ => return Err(wrong(usage)),
        };
        let (host, port) = split(address).ok_or_else(|| wrong(usage))?;
        if let Some(proxy) = &config.proxy
            && split(proxy).is_none()
        {
            let message = "a proxy is given as host:port";
            return Err(wrong(message).with_context("proxy", proxy));
        }
        let tls = if is_tls {
            let name = ServerName::try_from(host.clone())
                .map_err(|cause| wrong("no certificate can have such a name").with_source(cause))?;
            let config = pin::client(config.cert_file.as_deref())?;
            Some(Tls { config, name })
        } else {
            None
        };
        Ok(Self {
            address: address.to_owned(),
            network: config.network,
            timeout: config.timeout,
            host,
            port,
            proxy: config.proxy.clone(),
            tls,
        })
    }

    /// Connects, agrees on a version, and checks the network.
    pub(super) fn open(&self) -> BitcoinResult<Connection> {
        let client = RawClient::from(self.guarded()?);
        let version = PROTOCOL.map(str::to_owned).to_vec();
        let name = concat!("btc/", env!("CARGO_PKG_VERSION")).to_owned();
        let params = [Param::String(name), Param::StringVec(version)];
        let answer = client
            .raw_call("server.version", params)
            .map_err(|cause| self.tell(cause))?;
        let software = match answer.get(0).and_then(|it| it.as_str()) {
            Some(software) => plain(software),
            None => return Err(self.tell(Error::InvalidResponse(answer))),
        };
        let first = client.block_header(0).map_err(|cause| self.tell(cause))?;
        if first.block_hash() != genesis_block(self.network).block_hash() {
            let message = "the Electrum server is on another network than the wallet; give the \
                           server of the wallet's network";
            return Err(
                BitcoinError::new(ErrorKind::Configuration, Operation::Connect, message)
                    .with_context("server", &self.address)
                    .with_context("its genesis block", first.block_hash()),
            );
        }
        Ok(Connection::new(client, software, self.clone()))
    }

    fn guarded(&self) -> BitcoinResult<Guard> {
        let stream = match &self.proxy {
            None => dial(&self.address, self.timeout).map_err(|cause| self.unreachable(cause))?,
            Some(proxy) => self.dial_through(proxy)?,
        };
        // Small requests that wait for their answers.
        let is_set = stream.set_nodelay(true);
        is_set.map_err(|cause| self.tell(cause.into()))?;
        match &self.tls {
            None => Ok(Guard::plain(stream, self.timeout)),
            Some(Tls { config, name }) => Guard::tls(stream, self.timeout, config, name)
                .map_err(|cause| self.tell_handshake(cause)),
        }
    }

    /// The name goes to the proxy as it is: no other server is asked for its address.
    fn dial_through(&self, proxy: &str) -> BitcoinResult<TcpStream> {
        let failed = |cause: std::io::Error| {
            let kind = match cause.kind() {
                std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => ErrorKind::Timeout,
                _ => ErrorKind::Unavailable,
            };
            let message = "the Electrum server cannot be reached through the proxy; check \
                           ELECTRUM_PROXY, and that the proxy and the server run";
            BitcoinError::new(kind, Operation::Connect, message)
                .with_context("server", &self.address)
                .with_context("proxy", proxy)
                .with_source(cause)
        };
        let address = proxy.to_socket_addrs().map_err(failed)?.next();
        let address: SocketAddr = address.ok_or_else(|| failed(no_address()))?;
        let target = (self.host.as_str(), self.port);
        let stream = Socks5Stream::connect(address, target, Some(self.timeout)).map_err(failed)?;
        Ok(stream.into_inner())
    }

    fn unreachable(&self, cause: std::io::Error) -> BitcoinError {
        let message = "the Electrum server cannot be reached; check its address, and that it runs";
        BitcoinError::new(ErrorKind::Unavailable, Operation::Connect, message)
            .with_context("server", &self.address)
            .with_source(cause)
    }

    fn tell_handshake(&self, cause: std::io::Error) -> BitcoinError {
        let flaw = cause
            .get_ref()
            .and_then(|it| it.downcast_ref::<rustls::Error>());
        let (kind, message) = match flaw {
            Some(rustls::Error::InvalidCertificate(_)) => (
                ErrorKind::Configuration,
                "the Electrum server's certificate is not trusted; if it is the right one, name \
                 its file in ELECTRUM_CERT_FILE",
            ),
            Some(_) => (
                ErrorKind::InvalidResponse,
                "the Electrum server does not speak TLS as expected; check the port, and whether \
                 it is one for tcp://",
            ),
            None => return self.tell(cause.into()),
        };
        BitcoinError::new(kind, Operation::Connect, message)
            .with_context("server", &self.address)
            .with_source(cause)
    }

    /// An error of the library as ours.
    pub(super) fn tell(&self, cause: Error) -> BitcoinError {
        let (kind, message) = match &cause {
            Error::IOError(cause) => of_stream(cause),
            Error::SharedIOError(cause) => of_stream(cause),
            Error::Protocol(_) => (ErrorKind::Rejected, "the Electrum server refuses"),
            Error::Mpsc | Error::CouldntLockReader => {
                (ErrorKind::Internal, "the Electrum client has failed")
            }
            _ => (
                ErrorKind::InvalidResponse,
                "the Electrum server answers what the protocol does not say; use another one",
            ),
        };
        let error =
            BitcoinError::new(kind, Operation::Sync, message).with_context("server", &self.address);
        // The library's texts hold whole answers of the server.
        match &cause {
            Error::Protocol(answer) => error.with_context("reason", reason(answer)),
            Error::IOError(_) | Error::SharedIOError(_) => error.with_source(cause),
            other => error.with_context("reason", plain(&other.to_string())),
        }
    }
}

/// The reason in an error of the protocol, which is an object or, with some servers, a text.
pub(super) fn reason(answer: &serde_json::Value) -> String {
    let message = answer.get("message").unwrap_or(answer);
    message
        .as_str()
        .map_or_else(|| plain(&message.to_string()), plain)
}

/// Text that a stranger chose, for a message.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_TEXT)
        .collect()
}

fn of_stream(cause: &std::io::Error) -> (ErrorKind, &'static str) {
    use std::io::ErrorKind as Io;
    match cause.kind() {
        Io::TimedOut | Io::WouldBlock => (
            ErrorKind::Timeout,
            "the Electrum server does not answer in time; allow more, or use another one",
        ),
        Io::InvalidData => (
            ErrorKind::InvalidResponse,
            "what comes from there is no Electrum server's answer; check the port",
        ),
        _ => (
            ErrorKind::Unavailable,
            "the connection to the Electrum server is lost; check that it runs",
        ),
    }
}

/// Connects to the first address of the name that answers.
fn dial(address: &str, timeout: Duration) -> std::io::Result<TcpStream> {
    let deadline = Instant::now() + timeout;
    let mut last = no_address();
    for address in address.to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(cause) => last = cause,
        }
    }
    Err(last)
}

fn no_address() -> std::io::Error {
    std::io::Error::other("the name has no address")
}

/// Host and port; the host of an IPv6 address without its brackets.
fn split(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    (!host.is_empty()).then(|| (host.to_owned(), port))
}
