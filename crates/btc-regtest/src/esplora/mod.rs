//! `EsploraServer`: the part of Esplora's HTTP interface that a wallet follows the chain by, over a
//! private node, for tests of Esplora clients.

mod index;
mod routes;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bitcoincore_rpc::Client;

use crate::{Node, NodeError};
use index::Index;

/// More than a request of a client has.
const MAX_BODY: u64 = 8 << 20;

/// An answer of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status: 200, body }
    }

    /// A refusal with its reason.
    pub fn refusal(status: u16, reason: &str) -> Self {
        Self {
            status,
            body: reason.into(),
        }
    }
}

/// What is answered instead, to a path and with what would have been answered.
type Alter = dyn Fn(&str, Answer) -> Answer + Send + Sync;
/// What is answered to a path and a body without asking the node, if anything.
type Keep = dyn Fn(&str, &[u8]) -> Option<Answer> + Send + Sync;

/// An Esplora server over one [`Node`], in this process.
///
/// # Behavior
///
/// - It listens on a free port of 127.0.0.1, without TLS, and ends with its value; connections
///   that are open end with their clients.
/// - Each answer is of the node's chain and mempool at that moment; nothing has to be waited for.
/// - It has `/blocks`, `/blocks/:height`, `/block-height/:height`, `/scripthash/:hash/txs` and
///   `/scripthash/:hash/txs/chain/:txid`, `/tx/:txid/raw`, `/tx/:txid/merkle-proof` and `POST /tx`.
///   Transactions are told by txid and status alone.
/// - A node that was restarted has a new cookie: the server answers 503 from then on.
#[derive(Debug)]
pub struct EsploraServer {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl EsploraServer {
    /// Starts a server over a node, which needs no index for it.
    ///
    /// # Errors
    ///
    /// [`NodeError::Stopped`] when the node does not run, [`NodeError::Io`] without a port.
    pub fn start(node: &Node) -> Result<Self, NodeError> {
        Self::start_with(node, |_, honest| honest)
    }

    /// Starts a server that may say something else: `alter` gets each path with the honest answer
    /// and returns what is sent.
    ///
    /// # Errors
    ///
    /// As [`EsploraServer::start`].
    pub fn start_with(
        node: &Node,
        alter: impl Fn(&str, Answer) -> Answer + Send + Sync + 'static,
    ) -> Result<Self, NodeError> {
        Self::start_keeping(node, |_, _| None, alter)
    }

    /// Starts a server that may also keep a request to itself: what `keep` answers to a path and a
    /// body does not reach the node.
    ///
    /// # Errors
    ///
    /// As [`EsploraServer::start`].
    pub fn start_keeping(
        node: &Node,
        keep: impl Fn(&str, &[u8]) -> Option<Answer> + Send + Sync + 'static,
        alter: impl Fn(&str, Answer) -> Answer + Send + Sync + 'static,
    ) -> Result<Self, NodeError> {
        let place = Path::new("127.0.0.1:0");
        let failed = |cause| NodeError::io("listen on", place, cause);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let served = Arc::new(Served {
            client: node.client()?,
            index: Mutex::default(),
            keep: Box::new(keep),
            alter: Box::new(alter),
        });
        let ends = Arc::clone(&is_over);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    break;
                }
                let served = Arc::clone(&served);
                std::thread::spawn(move || served.talk(&stream));
            }
        });
        Ok(Self { address, is_over })
    }

    /// Where clients connect: `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for EsploraServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for the next client.
        let _ = TcpStream::connect(self.address);
    }
}

struct Served {
    client: Arc<Client>,
    index: Mutex<Index>,
    keep: Box<Keep>,
    alter: Box<Alter>,
}

impl Served {
    /// Answers the requests of one connection, until it ends or makes no sense.
    fn talk(&self, stream: &TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut reader = BufReader::new(stream);
        let mut writer = stream;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let mut words = line.split_whitespace();
            let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
            let mut length = 0;
            loop {
                line.clear();
                reader.read_line(&mut line).ok()?;
                let Some((name, value)) = line.trim().split_once(':') else {
                    break;
                };
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().ok()?;
                }
            }
            let mut body = Vec::new();
            if length > MAX_BODY {
                return None;
            }
            reader.by_ref().take(length).read_to_end(&mut body).ok()?;
            let told = (self.keep)(&path, &body);
            let Answer { status, body } =
                told.unwrap_or_else(|| (self.alter)(&path, self.answer(&method, &path, &body)));
            let head = format!(
                "HTTP/1.1 {status} -\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            writer.write_all(&[head.into_bytes(), body].concat()).ok()?;
        }
    }

    fn answer(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        // Each change of the index is of a whole block.
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = index
            .update(&self.client)
            .and_then(|()| routes::answer(&index, &self.client, method, path, body));
        answer.unwrap_or_else(|error| Answer::refusal(503, &error.to_string()))
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}
