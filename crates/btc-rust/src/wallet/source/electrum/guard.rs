//! `Guard`: a connection that a server can neither keep waiting nor flood, with TLS or without.
//!
//! The client of the library reads whole lines without end, and goes on as long as something
//! comes. This bounds both, for each request. Time and bytes are counted below TLS, so that
//! records in small pieces, or without content, count as well.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// The longest line, in bytes: a history of some 300,000 transactions.
const MAX_LINE: usize = 32 << 20;
/// The most that may come after a request, in bytes.
const MAX_ANSWER: u64 = 256 << 20;
/// A server that sends at least so many bytes in a second may take longer than the timeout.
const MIN_RATE: u64 = 64 << 10;

/// A stream of lines with limits.
#[derive(Debug)]
pub(super) struct Guard {
    line: Line,
    length: usize,
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
        Self {
            line: Line::Plain(Paced::new(stream, timeout)),
            length: 0,
        }
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
        Ok(Self {
            line: Line::Tls(Box::new(StreamOwned::new(session, paced))),
            length: 0,
        })
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
        let count = match &mut self.line {
            Line::Plain(paced) => paced.read(into)?,
            Line::Tls(stream) => stream.read(into)?,
        };
        let end = into[..count].iter().rposition(|byte| *byte == b'\n');
        self.length = match end {
            Some(at) => count - at - 1,
            None => self.length + count,
        };
        if self.length > MAX_LINE {
            return Err(too_much());
        }
        Ok(count)
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
        let earned = Duration::from_secs(self.received / MIN_RATE);
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

fn too_much() -> Error {
    let message = "the server sends more than any answer holds";
    Error::new(ErrorKind::InvalidData, message)
}
