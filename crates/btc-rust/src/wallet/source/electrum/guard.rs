//! `Guard`: a connection that a server can neither keep waiting nor flood, with TLS or without.
//!
//! The client of the library reads whole lines without end, and goes on as long as something
//! comes. This bounds both, for each request. Time and bytes are counted below TLS, so that
//! records in small pieces, or without content, count as well.
//!
//! The client panics at a line of JSON that is no object, and keeps every notification that comes.
//! So it is handed whole lines only: one that is no object ends the connection, and what is no
//! answer is dropped.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The longest line, in bytes: a history of some 300,000 transactions.
const MAX_LINE: usize = 32 << 20;
/// The most that may come after a request, in bytes.
const MAX_ANSWER: u64 = 256 << 20;
/// A server that sends at least so many bytes in a second may take longer than the timeout.
const MIN_RATE: u64 = 64 << 10;
/// How much longer, in seconds.
const MAX_EARNED: u64 = 600;

/// How much is read at once.
const STEP: usize = 16 << 10;

/// A stream of lines with limits.
#[derive(Debug)]
pub(super) struct Guard {
    line: Line,
    /// What has come of the next line.
    begun: Vec<u8>,
    /// Whole lines, and how much of them the client has.
    whole: Vec<u8>,
    taken: usize,
}

/// What shows whether a line is an answer: those do not name a method.
#[derive(Deserialize)]
struct Kind {
    method: Option<IgnoredAny>,
}

#[derive(Debug)]
enum Line {
    Plain(Paced),
    Tls(Box<StreamOwned<ClientConnection, Paced>>),
}

/// A connection with limits to each answer.
#[derive(Debug)]
struct Paced {
    stream: TcpStream,
    timeout: Duration,
    asked: Instant,
    received: u64,
}

impl Guard {
    pub(super) fn plain(stream: TcpStream, timeout: Duration) -> Self {
        Self::over(Line::Plain(Paced::new(stream, timeout)))
    }

    /// Agrees on TLS with the server.
    pub(super) fn tls(
        stream: TcpStream,
        timeout: Duration,
        config: &Arc<ClientConfig>,
        name: &ServerName<'static>,
    ) -> Result<Self> {
        let mut paced = Paced::new(stream, timeout);
        let session = ClientConnection::new(Arc::clone(config), name.clone());
        let mut session = session.map_err(Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut paced)?;
        }
        let stream = StreamOwned::new(session, paced);
        Ok(Self::over(Line::Tls(Box::new(stream))))
    }

    const fn over(line: Line) -> Self {
        Self {
            line,
            begun: Vec::new(),
            whole: Vec::new(),
            taken: 0,
        }
    }

    fn paced(&mut self) -> &mut Paced {
        match &mut self.line {
            Line::Plain(paced) => paced,
            Line::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Guard {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if self.taken == self.whole.len() {
            self.whole.clear();
            self.taken = 0;
        }
        let mut step = vec![0; STEP];
        while self.whole.is_empty() {
            let count = match &mut self.line {
                Line::Plain(paced) => paced.read(&mut step)?,
                Line::Tls(stream) => stream.read(&mut step)?,
            };
            if count == 0 {
                return Ok(0);
            }
            for piece in step[..count].split_inclusive(|byte| *byte == b'\n') {
                self.add(piece)?;
            }
        }
        let waiting = &self.whole[self.taken..];
        let count = waiting.len().min(into.len());
        into[..count].copy_from_slice(&waiting[..count]);
        self.taken += count;
        Ok(count)
    }
}

impl Guard {
    /// Adds to the line that has begun, and puts it to the others when it is whole and an answer.
    fn add(&mut self, piece: &[u8]) -> Result<()> {
        self.begun.extend_from_slice(piece);
        if self.begun.len() > MAX_LINE {
            return Err(too_much());
        }
        let first = self.begun.iter().find(|it| !it.is_ascii_whitespace());
        if first.is_some_and(|first| *first != b'{') {
            return Err(no_answer());
        }
        if !piece.ends_with(b"\n") {
            return Ok(());
        }
        let line = std::mem::take(&mut self.begun);
        let kind: Kind = serde_json::from_slice(&line).map_err(|_| no_answer())?;
        if kind.method.is_none() {
            self.whole.extend_from_slice(&line);
        }
        Ok(())
    }
}

impl Write for Guard {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        // Not below: TLS writes, too, when the server asks it to.
        self.paced().begin();
        match &mut self.line {
            Line::Plain(paced) => paced.write(bytes),
            Line::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match &mut self.line {
            Line::Plain(paced) => paced.flush(),
            Line::Tls(stream) => stream.flush(),
        }
    }
}

impl Paced {
    fn new(stream: TcpStream, timeout: Duration) -> Self {
        Self {
            stream,
            timeout,
            asked: Instant::now(),
            received: 0,
        }
    }

    /// A request begins.
    fn begin(&mut self) {
        self.asked = Instant::now();
        self.received = 0;
    }

    fn time_left(&self) -> Result<Duration> {
        let earned = Duration::from_secs((self.received / MIN_RATE).min(MAX_EARNED));
        let left = (self.timeout + earned).saturating_sub(self.asked.elapsed());
        if left.is_zero() {
            Err(Error::new(ErrorKind::TimedOut, "no answer in time"))
        } else {
            Ok(left)
        }
    }
}

impl Read for Paced {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        self.stream.set_read_timeout(Some(self.time_left()?))?;
        let count = self.stream.read(into)?;
        self.received += count as u64;
        if self.received > MAX_ANSWER {
            return Err(too_much());
        }
        Ok(count)
    }
}

impl Write for Paced {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.stream.set_write_timeout(Some(self.time_left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.flush()
    }
}

fn no_answer() -> Error {
    let message = "a line that is no object of JSON";
    Error::new(ErrorKind::InvalidData, message)
}

fn too_much() -> Error {
    let message = "the server sends more than any answer holds";
    Error::new(ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    /// What the client reads of this.
    fn read(sent: &str) -> Result<String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        listener.accept()?.0.write_all(sent.as_bytes())?;
        let mut text = String::new();
        let mut guard = Guard::plain(stream, Duration::from_secs(5));
        guard.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn notifications_are_dropped_and_answers_are_not() {
        let news = r#"{"jsonrpc":"2.0","method":"blockchain.headers.subscribe","params":[]}"#;
        let long = format!(r#" {{"id":2,"result":"{}"}}"#, "a".repeat(5 * STEP));
        let answers = [r#"{"id":1,"result":null}"#, &long];
        let sent = format!("{news}\n{}\n{news}\n{}\n{news}\n", answers[0], answers[1]);
        let told = read(&sent).expect("all is well");
        assert_eq!(told, format!("{}\n{}\n", answers[0], answers[1]));
    }

    #[test]
    fn a_line_that_is_no_object_is_an_error() {
        for line in [
            "[]", "5", "\"x\"", "true", "null", "", " [", "{\"a\"", "[{}]",
        ] {
            let error = read(&format!("{{}}\n{line}\n")).expect_err(line);
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{line}");
        }
    }
}
