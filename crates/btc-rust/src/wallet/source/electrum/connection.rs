//! `Connection`: a session with an Electrum server on the right network, and its errors as kinds.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bdk_electrum::electrum_client::raw_client::RawClient;
use bdk_electrum::electrum_client::{ElectrumApi, Error, Param};
use bitcoin::block::Header;
use bitcoin::constants::genesis_block;
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Network, Operation};

use super::guard::Guard;

/// The client of the library.
pub(super) type Client = Arc<RawClient<Guard>>;

/// What servers of today and of long ago speak. Later versions change what we do not use.
const PROTOCOL: [&str; 2] = ["1.4", "1.4.3"];
/// How much of a server's text is kept.
const MAX_TEXT: usize = 200;

/// Where the server is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// `host:port`.
    pub(super) address: String,
    pub(super) network: Network,
    pub(super) timeout: Duration,
}

/// An open session.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: Client,
    /// What the server calls itself.
    pub(super) software: String,
    network: Network,
}

impl Place {
    /// # Errors
    /// `Configuration`: not `tcp://host:port`.
    pub(super) fn new(url: &str, network: Network, timeout: Duration) -> BitcoinResult<Self> {
        let wrong = |message: &str| {
            BitcoinError::new(ErrorKind::Configuration, Operation::Connect, message)
                .with_context("url", url)
        };
        if url.starts_with("ssl://") {
            return Err(wrong(
                "TLS to an Electrum server is not built in; use tcp:// to a server of your own, \
                 or a tunnel (stunnel, ssh) to this one",
            ));
        }
        let address = url.strip_prefix("tcp://").unwrap_or_default();
        let port = address
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            return Err(wrong("an Electrum server is given as tcp://host:port"));
        }
        Ok(Self {
            address: address.to_owned(),
            network,
            timeout,
        })
    }

    /// Connects, agrees on a version, and checks the network.
    pub(super) fn open(&self) -> BitcoinResult<Connection> {
        let stream = self.dial()?;
        let client = RawClient::from(Guard::new(stream, self.timeout));
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
        Ok(Connection {
            client: Arc::new(client),
            software,
            network: self.network,
        })
    }

    fn dial(&self) -> BitcoinResult<TcpStream> {
        let deadline = Instant::now() + self.timeout;
        let mut last = std::io::Error::other("the name has no address");
        let addresses = self.address.to_socket_addrs();
        for address in addresses.map_err(|cause| self.tell(cause.into()))? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => {
                    // Small requests that wait for their answers.
                    return match stream.set_nodelay(true) {
                        Ok(()) => Ok(stream),
                        Err(cause) => Err(self.tell(cause.into())),
                    };
                }
                Err(cause) => last = cause,
            }
        }
        let message = "the Electrum server cannot be reached; check its address, and that it runs";
        Err(
            BitcoinError::new(ErrorKind::Unavailable, Operation::Connect, message)
                .with_context("server", &self.address)
                .with_source(last),
        )
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

impl Connection {
    /// The server's tip, whose header has the work that it claims.
    pub(super) fn tip(&self, place: &Place) -> BitcoinResult<BlockRef> {
        let found = self
            .client
            .block_headers_subscribe()
            .map_err(|cause| place.tell(cause))?;
        let height = u32::try_from(found.height).map_err(|_| self.lied("height"))?;
        self.check(&found.header)?;
        Ok(BlockRef {
            height,
            hash: found.header.block_hash(),
        })
    }

    /// Headers at these heights, each with the work that it claims.
    pub(super) fn headers(&self, place: &Place, heights: &[u32]) -> BitcoinResult<Vec<Header>> {
        let headers = self
            .client
            .batch_block_header(heights)
            .map_err(|cause| place.tell(cause))?;
        if headers.len() != heights.len() {
            return Err(self.lied("number of headers"));
        }
        headers.iter().try_for_each(|header| self.check(header))?;
        Ok(headers)
    }

    /// That the answer cannot be true.
    pub(super) fn lied(&self, what: &str) -> BitcoinError {
        let message = "the Electrum server's answers do not fit together; use another one";
        BitcoinError::new(ErrorKind::InvalidResponse, Operation::Sync, message)
            .with_context("what", what)
            .with_context("software", &self.software)
    }

    fn check(&self, header: &Header) -> BitcoinResult<()> {
        let target = header.target();
        let is_work = target <= self.network.params().max_attainable_target
            && header.validate_pow(target).is_ok();
        if is_work {
            Ok(())
        } else {
            Err(self.lied("work of a header"))
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
