//! The HTTP server of a simulated node: a thread for each connection, kept open as Core keeps it.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::json::{Answer, RpcError, code};
use super::tap::{Call, Fate, Moment, Tap};
use super::world::World;
use super::{rest, rpc};

/// The longest request that is read: a full package in hexadecimal.
const MAX_BODY_BYTES: usize = 64 << 20;

/// What the node's threads share.
pub(super) struct Shared {
    pub(super) world: Mutex<World>,
    pub(super) tap: Mutex<Option<Tap>>,
    /// The value of the `Authorization` header that lets in.
    pub(super) login: Mutex<String>,
    /// Refuses every connection at once.
    pub(super) is_down: AtomicBool,
    is_over: AtomicBool,
    calls: AtomicU64,
    connections: Mutex<HashMap<u64, TcpStream>>,
}

/// A connection that is closed however its thread ends.
struct Open {
    shared: Arc<Shared>,
    number: u64,
    stream: TcpStream,
}

impl Drop for Open {
    fn drop(&mut self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.shared.connections().remove(&self.number);
    }
}

/// What a connection asked for.
struct Request {
    is_post: bool,
    path: String,
    login: Option<String>,
    is_last: bool,
    body: Vec<u8>,
}

/// What is written back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn text(status: u16, text: impl Into<String>) -> Self {
        let mut body = text.into();
        body.push_str("\r\n");
        Self {
            status,
            kind: "text/plain",
            body: body.into_bytes(),
        }
    }

    pub(super) fn bytes(body: Vec<u8>) -> Self {
        Self {
            status: 200,
            kind: "application/octet-stream",
            body,
        }
    }

    pub(super) fn json(status: u16, body: String) -> Self {
        Self {
            status,
            kind: "application/json",
            body: body.into_bytes(),
        }
    }

    fn empty(status: u16) -> Self {
        Self {
            status,
            kind: "text/plain",
            body: Vec::new(),
        }
    }
}

impl Shared {
    pub(super) fn new(world: World, login: String) -> Self {
        Self {
            world: Mutex::new(world),
            tap: Mutex::new(None),
            login: Mutex::new(login),
            is_down: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            connections: Mutex::default(),
        }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        // Each call leaves the world whole, or a defect has been shown already.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls were answered so far.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Accepts connections until the node is over.
    pub(super) fn listen(self: &Arc<Self>, listener: TcpListener) {
        let shared = Arc::clone(self);
        thread::spawn(move || {
            for (number, stream) in (0..).zip(listener.incoming()) {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else {
                    continue;
                };
                if shared.is_down.load(Ordering::SeqCst) {
                    continue;
                }
                // Requests and answers are small: none is worth a wait for more.
                let _ = stream.set_nodelay(true);
                if let Ok(copy) = stream.try_clone() {
                    shared.connections().insert(number, copy);
                }
                let open = Open {
                    shared: Arc::clone(&shared),
                    number,
                    stream,
                };
                thread::spawn(move || {
                    // A client that goes away ends its own connection only.
                    let _ = open.shared.serve(&open.stream);
                });
            }
        });
    }

    /// Closes every connection.
    pub(super) fn hang_up(&self) {
        for (_, stream) in self.connections().drain() {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.hang_up();
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        let connections = self.connections.lock();
        connections.unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader)? {
            let Some(reply) = self.reply(&request) else {
                return Ok(());
            };
            write(stream, &reply, request.is_last)?;
            if request.is_last {
                return Ok(());
            }
        }
        Ok(())
    }

    /// None: the connection is closed without an answer.
    fn reply(&self, request: &Request) -> Option<Reply> {
        if request.path.starts_with("/rest/") {
            return self.rest(&request.path);
        }
        if !request.is_post {
            let text = "JSONRPC server handles only POST requests";
            return Some(Reply::text(405, text));
        }
        let is_let_in = {
            let login = self.login.lock().unwrap_or_else(PoisonError::into_inner);
            request.login.as_ref() == Some(&*login)
        };
        if !is_let_in {
            return Some(Reply::empty(401));
        }
        let Ok(asked) = serde_json::from_slice::<Value>(&request.body) else {
            let error = RpcError::new(code::PARSE, "Parse error");
            let (status, body) = envelope(&Value::Null, Err(error));
            return Some(Reply::json(status, body));
        };
        let Value::Array(batch) = &asked else {
            let (status, body) = self.call(&asked)?;
            return Some(Reply::json(status, body));
        };
        let mut bodies = Vec::with_capacity(batch.len());
        for asked in batch {
            bodies.push(self.call(asked)?.1);
        }
        Some(Reply::json(200, format!("[{}]", bodies.join(","))))
    }

    fn rest(&self, path: &str) -> Option<Reply> {
        let call = self.next_call(path);
        match self.tap(&call, Moment::Before) {
            Fate::Proceed => {}
            Fate::Drop => return None,
            Fate::Refuse(code, message) => {
                let text = format!("{message} ({code})");
                return Some(Reply::text(503, text));
            }
            Fate::Forbid => return Some(Reply::empty(403)),
        }
        let reply = rest::answer(&mut self.world(), path);
        match self.tap(&call, Moment::After) {
            Fate::Drop => None,
            _ => Some(reply),
        }
    }

    fn call(&self, asked: &Value) -> Option<(u16, String)> {
        let method = asked["method"].as_str().unwrap_or_default();
        let empty = Vec::new();
        let params = asked["params"].as_array().unwrap_or(&empty);
        let call = self.next_call(method);
        match self.tap(&call, Moment::Before) {
            Fate::Proceed => {}
            Fate::Drop => return None,
            Fate::Refuse(code, message) => {
                return Some(envelope(asked, Err(RpcError::new(code, message))));
            }
            Fate::Forbid => return Some((403, String::new())),
        }
        let answer = {
            let mut world = self.world();
            if world.warm_up_calls > 0 {
                world.warm_up_calls -= 1;
                Err(RpcError::new(code::WARM_UP, "Loading block index…"))
            } else {
                rpc::call(&mut world, method, params)
            }
        };
        if let Fate::Drop = self.tap(&call, Moment::After) {
            return None;
        }
        Some(envelope(asked, answer))
    }

    fn next_call(&self, name: &str) -> Call {
        Call {
            number: self.calls.fetch_add(1, Ordering::SeqCst),
            name: name.to_owned(),
        }
    }

    fn tap(&self, call: &Call, moment: Moment) -> Fate {
        let slot = || self.tap.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out while it runs: what it does may make calls of its own, which go their way.
        let Some(mut tap) = slot().take() else {
            return Fate::Proceed;
        };
        let fate = tap(call, moment);
        let mut slot = slot();
        if slot.is_none() {
            *slot = Some(tap);
        }
        fate
    }
}

/// The answer in the form of the JSON-RPC version that was asked in, with its HTTP status.
fn envelope(asked: &Value, answer: Answer) -> (u16, String) {
    #[derive(serde::Serialize)]
    struct Envelope<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        jsonrpc: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<Box<RawValue>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Value>,
        id: &'a Value,
    }
    let is_second = asked["jsonrpc"] == "2.0";
    let null = || (!is_second).then(|| RawValue::NULL.to_owned());
    let (status, result, error) = match answer {
        Ok(result) => (200, Some(result), (!is_second).then_some(Value::Null)),
        Err(error) => {
            let status = match error.code {
                _ if is_second => 200,
                code::METHOD_NOT_FOUND => 404,
                _ => 500,
            };
            (status, null(), Some(json!(error)))
        }
    };
    let envelope = Envelope {
        jsonrpc: is_second.then_some("2.0"),
        result,
        error,
        id: &asked["id"],
    };
    let mut body =
        serde_json::to_string(&envelope).expect("answers have texts as keys and no fallible parts");
    body.push('\n');
    (status, body)
}

fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let is_post = words.next() == Some("POST");
    let path = words.next().unwrap_or_default().to_owned();
    let mut is_last = words.next() != Some("HTTP/1.1");
    let mut login = None;
    let mut length = 0;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "authorization" => login = Some(value.to_owned()),
            "connection" if value.eq_ignore_ascii_case("close") => is_last = true,
            _ => {}
        }
    }
    if length > MAX_BODY_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request {
        is_post,
        path,
        login,
        is_last,
        body,
    }))
}

fn write(mut stream: &TcpStream, reply: &Reply, is_last: bool) -> io::Result<()> {
    let reason = match reply.status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    };
    let mut bytes = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
        reply.status,
        reply.kind,
        reply.body.len()
    )
    .into_bytes();
    if reply.status == 401 {
        bytes.extend_from_slice(b"WWW-Authenticate: Basic realm=\"jsonrpc\"\r\n");
    }
    if is_last {
        bytes.extend_from_slice(b"Connection: close\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&reply.body);
    stream.write_all(&bytes)
}
