//! `Guard`: a connection that a server can neither keep waiting nor flood.
//!
//! The client of the library reads whole lines without end, and goes on as long as something
//! comes. This bounds both, for each request.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The longest line, in bytes: a history of some 300,000 transactions.
const MAX_LINE: usize = 32 << 20;
/// The most that may come after a request, in bytes.
const MAX_ANSWER: u64 = 256 << 20;
/// A server that sends at least so many bytes in a second may take longer than the timeout.
const MIN_RATE: u64 = 64 << 10;

/// A stream of lines with limits.
#[derive(Debug)]
pub(super) struct Guard {
    stream: TcpStream,
    timeout: Duration,
    asked: Instant,
    received: u64,
    line: usize,
}

impl Guard {
    pub(super) fn new(stream: TcpStream, timeout: Duration) -> Self {
        Self {
            stream,
            timeout,
            asked: Instant::now(),
            received: 0,
            line: 0,
        }
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

impl Read for Guard {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        self.stream.set_read_timeout(Some(self.time_left()?))?;
        let count = self.stream.read(into)?;
        self.received += count as u64;
        let end = into[..count].iter().rposition(|byte| *byte == b'\n');
        self.line = match end {
            Some(at) => count - at - 1,
            None => self.line + count,
        };
        if self.line > MAX_LINE || self.received > MAX_ANSWER {
            let message = "the server sends more than any answer holds";
            return Err(Error::new(ErrorKind::InvalidData, message));
        }
        Ok(count)
    }
}

impl Write for Guard {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.asked = Instant::now();
        self.received = 0;
        self.stream.set_write_timeout(Some(self.timeout))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.stream.flush()
    }
}
