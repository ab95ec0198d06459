//! A node made of a script: it answers each request as the test says and keeps what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use btc_iface::{Credentials, Network, NodeConfig};
use btc_rust::RustBitcoin;
use serde_json::{Value, json};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The connection it came on, counted from 0.
    pub(crate) connection: usize,
    /// The RPC method, or the path of a REST request.
    pub(crate) name: String,
    /// The RPC parameters.
    pub(crate) params: Value,
    /// The header of this name.
    pub(crate) authorization: Option<String>,
    id: Value,
}

/// What the node does with a request.
pub(crate) enum Reply {
    /// Answers an RPC call with a value.
    Result(Value),
    /// Answers an RPC call with a value that is written just so.
    Text(String),
    /// Answers an RPC call with an error of Bitcoin Core.
    Error(i32, &'static str),
    /// Answers with any status and body.
    Http(u16, Vec<u8>),
    /// Sends bytes as they are.
    Raw(Raw),
    /// Announces more bytes than it sends.
    Torn,
    /// Announces so many bytes and sends none.
    Announced(usize),
    /// Closes the connection.
    HangUp,
    /// Answers nothing until the client has gone.
    Silence,
}

type SendRaw = dyn Fn(&mut dyn Write, &[u8]) -> std::io::Result<()> + Send;

/// Bytes that take the place of an answer.
pub(crate) struct Raw {
    /// Sends them; gets what a good answer of 7 would have as its body.
    pub(crate) send: Box<SendRaw>,
    /// Whether the connection stays open behind them until the client has gone.
    pub(crate) is_left_open: bool,
}

type Script = dyn Fn(&Request, usize) -> Option<Reply> + Send + Sync;

/// The node. Its threads end with its connections.
pub(crate) struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Starts a node. The script gets each request and which one of its name it is, from 1; it
    /// leaves to the node what it says nothing about: a chain of regtest at height 7, no mempool.
    pub(crate) fn start(
        script: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let server = Self {
            port,
            requests: Arc::clone(&requests),
        };
        let script: Arc<Script> = Arc::new(script);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { return };
                let (script, requests) = (Arc::clone(&script), Arc::clone(&requests));
                thread::spawn(move || serve(stream, number, &*script, &requests));
            }
        });
        server
    }

    /// A node's configuration that leads here.
    pub(crate) fn config(&self) -> NodeConfig {
        NodeConfig {
            url: format!("http://127.0.0.1:{}", self.port),
            credentials: Credentials::None,
            timeout: Duration::from_secs(20),
            ..NodeConfig::new(Network::Regtest)
        }
    }

    /// Connects without a login; what was asked so far is forgotten.
    pub(crate) fn connect(&self) -> RustBitcoin {
        self.connect_with(&self.config())
    }

    /// Connects with this configuration; what was asked so far is forgotten.
    pub(crate) fn connect_with(&self, config: &NodeConfig) -> RustBitcoin {
        let bitcoin = RustBitcoin::connect(config).expect("the script lets it in");
        lock(&self.requests).clear();
        bitcoin
    }

    /// Everything that was asked.
    pub(crate) fn requests(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }

    /// The names of everything that was asked, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let requests = self.requests().into_iter();
        requests.map(|request| request.name).collect()
    }
}

fn serve(stream: TcpStream, number: usize, script: &Script, requests: &Mutex<Vec<Request>>) {
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader, number) {
        let nth = {
            let mut requests = lock(requests);
            requests.push(request.clone());
            let same = |seen: &&Request| seen.name == request.name;
            requests.iter().filter(same).count()
        };
        let reply = script(&request, nth).unwrap_or_else(|| usual(&request));
        let mut announced = None;
        let (status, mut body) = match reply {
            Reply::Result(value) => (200, envelope(&request, &value, &Value::Null)),
            Reply::Text(text) => {
                let body = format!(r#"{{"result":{text},"error":null,"id":{}}}"#, request.id);
                (200, body.into_bytes())
            }
            Reply::Error(code, message) => {
                let error = json!({ "code": code, "message": message });
                (500, envelope(&request, &Value::Null, &error))
            }
            Reply::Http(status, body) => (status, body),
            Reply::Raw(raw) => {
                let body = envelope(&request, &json!(7), &Value::Null);
                let sent = (raw.send)(&mut writer, &body).and_then(|()| writer.flush());
                if sent.is_ok() && raw.is_left_open {
                    let _ = reader.read(&mut [0]);
                }
                return;
            }
            Reply::Torn => {
                announced = Some(100);
                (200, b"{".to_vec())
            }
            Reply::Announced(length) => {
                announced = Some(length);
                (200, Vec::new())
            }
            Reply::HangUp => return,
            Reply::Silence => {
                // The client's end of the connection is what this waits for.
                let _ = reader.read(&mut [0]);
                return;
            }
        };
        let length = announced.unwrap_or(body.len());
        let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\n\r\n");
        let mut answer = head.into_bytes();
        answer.append(&mut body);
        if writer.write_all(&answer).is_err() || announced.is_some() {
            return;
        }
    }
}

fn usual(request: &Request) -> Reply {
    match request.name.as_str() {
        "getblockchaininfo" => Reply::Result(json!({ "chain": "regtest" })),
        "getblockcount" => Reply::Result(json!(7)),
        "getmempoolinfo" => Reply::Text(
            r#"{"bytes":0,"mempoolminfee":0.00000100,"minrelaytxfee":0.00000100}"#.to_owned(),
        ),
        _ => Reply::Error(-32601, "Method not found"),
    }
}

fn envelope(request: &Request, result: &Value, error: &Value) -> Vec<u8> {
    json!({ "result": result, "error": error, "id": request.id })
        .to_string()
        .into_bytes()
}

fn read(reader: &mut BufReader<TcpStream>, connection: usize) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let call: Value = serde_json::from_slice(&body).unwrap_or_default();
    Some(Request {
        connection,
        name: call["method"].as_str().map_or(path, str::to_owned),
        params: call["params"].clone(),
        authorization,
        id: call["id"].clone(),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
