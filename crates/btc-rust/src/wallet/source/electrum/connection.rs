//! `Connection`: a session with an Electrum server on the right network, and its errors as kinds.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash;
use bitcoin::{Script, ScriptBuf, Transaction, TxMerkleNode, Txid};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Network, Operation};
use electrum_client::raw_client::RawClient;
use electrum_client::{ElectrumApi, Error, GetMerkleRes, Param};

use super::guard::Guard;
use crate::wallet::source::server::{Entry, HistoryServer, Proof};

/// Scripts, transactions or proofs asked for at once.
const BATCH: usize = 50;
/// A serialised block header.
const HEADER_BYTES: usize = 80;
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
    pub(super) client: RawClient<Guard>,
    /// What the server calls itself.
    pub(super) software: String,
    place: Place,
    is_lost: AtomicBool,
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
            client,
            software,
            place: self.clone(),
            is_lost: AtomicBool::new(false),
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
    /// Whether an answer failed for want of a connection.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    fn tell(&self, cause: Error) -> BitcoinError {
        let error = self.place.tell(cause);
        if error.kind() == ErrorKind::Unavailable {
            self.is_lost.store(true, Ordering::Relaxed);
        }
        error
    }

    /// An error of a request for something that the server had a moment ago.
    fn tell_missing(&self, cause: Error) -> BitcoinError {
        let error = self.tell(cause);
        if error.kind() != ErrorKind::Rejected {
            return error;
        }
        let message = "the Electrum server does not have it any more".to_owned();
        self.error(ErrorKind::NotFound, message).with_source(error)
    }
}

impl HistoryServer for Connection {
    const KIND: &'static str = "Electrum server";
    const HEADERS: u32 = 2016;

    fn network(&self) -> Network {
        self.place.network
    }

    fn tip(&self) -> BitcoinResult<(u32, Header)> {
        let found = self
            .client
            .block_headers_subscribe()
            .map_err(|cause| self.tell(cause))?;
        let height = u32::try_from(found.height).map_err(|_| self.lied("a height beyond all"))?;
        Ok((height, found.header))
    }

    fn headers(&self, start: u32, count: u32) -> BitcoinResult<Vec<Header>> {
        // The library's own call panics at a count that the bytes do not keep.
        let params = [start, count].map(Param::U32);
        let answer = self
            .client
            .raw_call("blockchain.block.headers", params)
            .map_err(|cause| self.tell(cause))?;
        let hex = answer.get("hex").and_then(|it| it.as_str());
        let headers = hex.and_then(|hex| {
            let (chunks, rest) = hex.as_bytes().as_chunks::<{ 2 * HEADER_BYTES }>();
            let headers = chunks.iter().map(|chunk| {
                let text = std::str::from_utf8(chunk).ok()?;
                deserialize_hex(text).ok()
            });
            headers
                .collect::<Option<Vec<Header>>>()
                .filter(|_| rest.is_empty())
        });
        headers.ok_or_else(|| self.lied("headers that are none"))
    }

    fn headers_at(&self, heights: &[u32]) -> BitcoinResult<Vec<Header>> {
        let headers = self
            .client
            .batch_block_header(heights)
            .map_err(|cause| self.tell_missing(cause))?;
        if headers.len() != heights.len() {
            return Err(self.lied("another number of headers"));
        }
        Ok(headers)
    }

    fn histories(
        &self,
        scripts: &[ScriptBuf],
        progress: &mut dyn FnMut(usize),
    ) -> BitcoinResult<Vec<Vec<Entry>>> {
        let mut histories = Vec::with_capacity(scripts.len());
        for some in scripts.chunks(BATCH) {
            let some: Vec<&Script> = some.iter().map(ScriptBuf::as_script).collect();
            let found = self
                .client
                .batch_script_get_history(some.iter().copied())
                .map_err(|cause| self.tell(cause))?;
            for history in found {
                let entries = history.into_iter().map(|entry| Entry {
                    txid: entry.tx_hash,
                    // 0 and -1 are the mempool, without and with unconfirmed inputs.
                    height: u32::try_from(entry.height)
                        .ok()
                        .filter(|height| *height > 0),
                });
                histories.push(entries.collect());
            }
            progress(histories.len());
        }
        Ok(histories)
    }

    fn transactions(&self, txids: &[Txid]) -> BitcoinResult<Vec<Transaction>> {
        let mut transactions = Vec::with_capacity(txids.len());
        for some in txids.chunks(BATCH) {
            let found = self.client.batch_transaction_get(some.iter());
            transactions.extend(found.map_err(|cause| self.tell_missing(cause))?);
        }
        Ok(transactions)
    }

    fn proofs(&self, confirmed: &[(Txid, u32)]) -> BitcoinResult<Vec<Proof>> {
        let mut proofs = Vec::with_capacity(confirmed.len());
        for some in confirmed.chunks(BATCH) {
            let some: Vec<(Txid, usize)> = some
                .iter()
                .map(|(txid, height)| (*txid, *height as usize))
                .collect();
            let found = self.client.batch_transaction_get_merkle(some.iter());
            let found = found.map_err(|cause| self.tell_missing(cause))?;
            proofs.extend(found.into_iter().map(proof));
        }
        Ok(proofs)
    }

    fn error(&self, kind: ErrorKind, message: String) -> BitcoinError {
        BitcoinError::new(kind, Operation::Sync, message)
            .with_context("server", &self.place.address)
            .with_context("software", &self.software)
    }
}

fn proof(answer: GetMerkleRes) -> Proof {
    let siblings = answer.merkle.into_iter().map(|mut bytes| {
        // In the order in which hashes are shown.
        bytes.reverse();
        TxMerkleNode::from_byte_array(bytes)
    });
    Proof {
        position: u64::try_from(answer.pos).unwrap_or(u64::MAX),
        siblings: siblings.collect(),
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
