//! A connection to an Electrum server: one JSON request and one answer a line.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::NodeError;

/// The protocol spoken, which every server of today still knows.
const PROTOCOL: &str = "1.4";
const TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Session {
    stream: BufReader<TcpStream>,
    last_id: u64,
}

impl Session {
    /// Connects to a port of this machine and agrees on the protocol.
    pub(super) fn open(port: u16) -> Result<Self, NodeError> {
        let connect = || {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = connect().map_err(|error: std::io::Error| failed("connect", &error))?;
        let mut session = Self {
            stream: BufReader::new(stream),
            last_id: 0,
        };
        session.call("server.version", &[json!("btc-regtest"), json!(PROTOCOL)])?;
        Ok(session)
    }

    /// The answer to a request; notifications that come before it are dropped.
    pub(super) fn call(&mut self, method: &str, params: &[Value]) -> Result<Value, NodeError> {
        self.last_id += 1;
        let id = self.last_id;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let stream = self.stream.get_mut();
        writeln!(stream, "{request}").map_err(|error| failed(method, &error))?;
        loop {
            let mut line = String::new();
            let read = self.stream.read_line(&mut line);
            if read.map_err(|error| failed(method, &error))? == 0 {
                return Err(failed(method, &"it closed the connection"));
            }
            let mut answer: Value =
                serde_json::from_str(&line).map_err(|error| failed(method, &error))?;
            if answer["id"] != id {
                continue;
            }
            return match &answer["error"] {
                Value::Null => Ok(answer["result"].take()),
                error => Err(failed(method, error)),
            };
        }
    }
}

pub(super) fn failed(method: &str, reason: &dyn Display) -> NodeError {
    NodeError::Electrum {
        method: method.to_owned(),
        reason: reason.to_string(),
    }
}
