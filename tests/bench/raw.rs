//! The limit to measure against: a keep-alive socket, one write, and reads into one buffer.
//!
//! Two sockets take turns, as in the transport of btc-rust: on one, Bitcoin Core 31 now and then
//! lets a request wait for 50 ms.

use std::io::{Read, Write};
use std::net::TcpStream;

use btc::bitcoin::base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::Outcome;

/// A connection that knows just enough of HTTP for this node's answers.
pub(crate) struct RawHttp {
    streams: [TcpStream; 2],
    host: String,
    authorization: String,
    buffer: Vec<u8>,
}

impl RawHttp {
    /// Connects to `http://host:port` with a cookie's `user:password`.
    pub(crate) fn connect(url: &str, cookie: &str) -> Outcome<Self> {
        let host = url.trim_start_matches("http://").to_owned();
        let open = || -> Outcome<TcpStream> {
            let stream = TcpStream::connect(&host)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        Ok(Self {
            streams: [open()?, open()?],
            host,
            authorization: format!("Basic {}", BASE64.encode(cookie.trim())),
            buffer: vec![0; 8 << 20],
        })
    }

    /// The request for a REST resource.
    pub(crate) fn get_request(&self, path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host).into_bytes()
    }

    /// The request for a JSON-RPC call.
    pub(crate) fn post_request(&self, body: &str) -> Vec<u8> {
        format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            self.authorization,
            body.len()
        )
        .into_bytes()
    }

    /// One round trip; the answer's body stays in the buffer.
    pub(crate) fn round_trip(&mut self, request: &[u8]) -> Outcome<&[u8]> {
        self.streams.swap(0, 1);
        let stream = &mut self.streams[0];
        stream.write_all(request)?;
        let mut filled = 0;
        let head = loop {
            let read = stream.read(&mut self.buffer[filled..])?;
            if read == 0 {
                return Err("the node closed the connection".into());
            }
            filled += read;
            if let Some(at) = self.buffer[..filled]
                .windows(4)
                .position(|w| w == b"\r\n\r\n")
            {
                break at + 4;
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head])?;
        if !text.starts_with("HTTP/1.1 200") {
            return Err(format!("the node answered {}", text.lines().next().unwrap_or("")).into());
        }
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .ok_or("an answer without a length")?
            .parse()?;
        if head + length > filled {
            stream.read_exact(&mut self.buffer[filled..head + length])?;
        }
        Ok(&self.buffer[head..head + length])
    }
}
