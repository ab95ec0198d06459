//! `FakeNode`: a server that answers what a test tells it to, and counts what it was asked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use btc::{Network, NodeConfig};
use serde_json::{Value, json};

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// The path, as in `/rest/block/…` or `/`.
    pub path: String,
    /// The RPC method; empty for REST.
    pub method: String,
    /// The RPC parameters.
    pub params: Value,
    /// The RPC call's id, which the answer repeats.
    pub id: Value,
}

/// What to answer.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An RPC result.
    Result(Value),
    /// An RPC result that is written just so.
    Text(String),
    /// An RPC error with Core's code and message.
    Error(i32, &'static str),
    /// A status and a body, whatever they are.
    Http(u16, Vec<u8>),
    /// These bytes instead of HTTP.
    Bytes(Vec<u8>),
    /// A promise of a thousand bytes of JSON, and ten of them.
    Truncated,
    /// Nothing: the connection is closed.
    Close,
    /// Nothing: the connection stays open.
    Silence,
    /// A valid start, then a byte now and then for ever.
    Drip,
}

type Answers = dyn Fn(&Request) -> Reply + Send + Sync;

struct State {
    answers: RwLock<Box<Answers>>,
    requests: Mutex<Vec<Request>>,
    is_over: AtomicBool,
}

/// The server, which ends when it is dropped.
pub struct FakeNode {
    address: SocketAddr,
    state: Arc<State>,
}

/// As a regtest node that is well answers at connect, with an empty mempool that takes 1 sat/vB and
/// more; other calls are unknown to it.
pub fn healthy(request: &Request) -> Reply {
    match request.method.as_str() {
        "getblockchaininfo" => Reply::Result(json!({"chain": "regtest", "blocks": 0})),
        "getmempoolinfo" => Reply::Result(json!({
            "bytes": 0, "mempoolminfee": 0.000_01, "minrelaytxfee": 0.000_01,
        })),
        "" => Reply::Http(404, Vec::new()),
        _ => Reply::Error(-32601, "Method not found"),
    }
}

/// As a healthy node but for this one method, and its REST twin if it is `getblock`.
pub fn only(
    method: &'static str,
    reply: Reply,
) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    move |request| {
        if request.method == method || (request.method.is_empty() && method == "getblock") {
            reply.clone()
        } else {
            healthy(request)
        }
    }
}

impl FakeNode {
    /// Starts a server on a free port.
    pub fn start(answers: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let state = Arc::new(State {
            answers: RwLock::new(Box::new(answers)),
            requests: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if theirs.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), theirs) = (stream, Arc::clone(&theirs)) else {
                    continue;
                };
                // A client that goes away ends its own connection only.
                thread::spawn(move || theirs.serve(&stream));
            }
        });
        Self { address, state }
    }

    /// From now on it answers so.
    pub fn set(&self, answers: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        let mut current = self
            .state
            .answers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Box::new(answers);
    }

    /// How to reach it, as a regtest node, with a short limit of time.
    pub fn config(&self) -> NodeConfig {
        NodeConfig {
            url: format!("http://{}", self.address),
            timeout: Duration::from_secs(2),
            ..NodeConfig::new(Network::Regtest)
        }
    }

    /// Everything it was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How often this RPC method was called.
    pub fn count(&self, method: &str) -> usize {
        self.requests()
            .iter()
            .filter(|request| request.method == method)
            .count()
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let request = read(stream)?;
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request.clone());
        let reply = {
            let answers = self.answers.read();
            answers.unwrap_or_else(PoisonError::into_inner)(&request)
        };
        match reply {
            Reply::Result(value) => {
                let body = json!({"result": value, "error": null, "id": request.id});
                http(stream, 200, body.to_string().as_bytes())
            }
            Reply::Text(text) => {
                let body = format!(r#"{{"result":{text},"error":null,"id":{}}}"#, request.id);
                http(stream, 200, body.as_bytes())
            }
            Reply::Error(code, message) => {
                let error = json!({"code": code, "message": message});
                let body = json!({"result": null, "error": error, "id": request.id});
                http(stream, 500, body.to_string().as_bytes())
            }
            Reply::Http(status, body) => http(stream, status, &body),
            Reply::Bytes(bytes) => (&*stream).write_all(&bytes),
            Reply::Truncated => {
                let start = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                             Content-Length: 1000\r\n\r\n{\"result\":";
                (&*stream).write_all(start.as_bytes())
            }
            Reply::Close => Ok(()),
            Reply::Silence => {
                self.until_over(|| Ok(()));
                Ok(())
            }
            Reply::Drip => {
                (&*stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")?;
                self.until_over(|| (&*stream).write_all(b" "));
                Ok(())
            }
        }
    }

    fn until_over(&self, step: impl Fn() -> io::Result<()>) {
        while !self.is_over.load(Ordering::Relaxed) && step().is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn read(stream: &TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let call: Value = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Request {
        path,
        method: call["method"].as_str().unwrap_or_default().to_owned(),
        params: call["params"].clone(),
        id: call["id"].clone(),
    })
}

fn http(mut stream: &TcpStream, status: u16, body: &[u8]) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
