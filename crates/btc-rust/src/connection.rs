//! Kept HTTP connections to one node: a request is one write, its answer is read into one buffer.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest head of an answer.
const MAX_HEAD_BYTES: usize = 8 << 10;
/// More header fields than Bitcoin Core or a proxy in front of it sends.
const MAX_FIELDS: usize = 64;
/// Twice the threads that Bitcoin Core serves at once by default.
const MAX_IDLE: usize = 32;
/// Connections that are kept before the first is used again.
const MIN_IDLE: usize = 2;
/// A socket's timeout is set anew when it is off by more than this.
const TIMEOUT_SLACK: Duration = Duration::from_millis(200);

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("the connection failed")]
    Connection(#[source] io::Error),
    #[error("the time is over")]
    Timeout,
    #[error("the answer is not HTTP")]
    Head(#[from] httparse::Error),
    #[error("{0}")]
    Form(&'static str),
    #[error("the answer is longer than {0} bytes")]
    TooLong(u64),
}

/// A status and its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as one line of text, for an error message.
    pub(crate) fn text(&self) -> String {
        const MAX_CHARS: usize = 200;
        String::from_utf8_lossy(&self.body)
            .trim()
            .chars()
            .take(MAX_CHARS)
            .collect()
    }
}

/// The connections that are kept for reuse.
pub(crate) struct Connections {
    authority: String,
    timeout: Duration,
    idle: Mutex<VecDeque<Connection>>,
}

impl Connections {
    pub(crate) fn new(authority: &str, timeout: Duration) -> Self {
        Self {
            authority: authority.to_owned(),
            timeout,
            idle: Mutex::default(),
        }
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The longest an exchange may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends a request, head and body in one piece, and reads the answer. `is_fresh` leaves the
    /// kept connections alone, whose other end may be gone. An answer with a body longer than
    /// `max_body_bytes` is refused without reading all of it.
    pub(crate) fn exchange(
        &self,
        request: &[u8],
        is_fresh: bool,
        max_body_bytes: u64,
    ) -> Result<Answer, ExchangeError> {
        let deadline = Instant::now() + self.timeout;
        let kept = if is_fresh { None } else { self.rested() };
        let mut connection = match kept {
            Some(connection) => connection,
            None => Connection::open(&self.authority, deadline)?,
        };
        let exchanged = connection.exchange(request, deadline, max_body_bytes);
        if matches!(exchanged, Err(ExchangeError::Connection(_))) {
            // What broke one connection has probably broken the others too.
            self.idle().clear();
        }
        let (answer, is_kept) = exchanged?;
        if is_kept {
            let mut idle = self.idle();
            if idle.len() < MAX_IDLE {
                idle.push_back(connection);
            }
        }
        Ok(answer)
    }

    /// The connection that has rested longest, if another one stays behind.
    ///
    /// Bitcoin Core 31 may still be busy with a connection whose answer has just arrived; a
    /// request that follows at once then waits for up to 50 ms. Taking turns avoids that.
    fn rested(&self) -> Option<Connection> {
        let mut idle = self.idle();
        if idle.len() < MIN_IDLE {
            return None;
        }
        idle.pop_front()
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Connection {
    stream: TcpStream,
    write_limit: Duration,
    read_limit: Duration,
}

/// What a head says about the rest.
struct Head {
    status: u16,
    bytes: usize,
    body_bytes: Option<u64>,
    is_kept: bool,
}

impl Connection {
    fn open(authority: &str, deadline: Instant) -> Result<Self, ExchangeError> {
        let addresses = authority
            .to_socket_addrs()
            .map_err(ExchangeError::Connection)?;
        let mut last = io::Error::from(ErrorKind::NotFound);
        for address in addresses {
            match TcpStream::connect_timeout(&address, left(deadline)?) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(classify)?;
                    return Ok(Self {
                        stream,
                        write_limit: Duration::ZERO,
                        read_limit: Duration::ZERO,
                    });
                }
                Err(cause) => last = cause,
            }
        }
        Err(classify(last))
    }

    /// Returns the answer, and whether the connection can be used again.
    fn exchange(
        &mut self,
        request: &[u8],
        deadline: Instant,
        max_body_bytes: u64,
    ) -> Result<(Answer, bool), ExchangeError> {
        let limit = left(deadline)?;
        if limit.abs_diff(self.write_limit) > TIMEOUT_SLACK {
            self.stream
                .set_write_timeout(Some(limit))
                .map_err(classify)?;
            self.write_limit = limit;
        }
        self.stream.write_all(request).map_err(classify)?;
        let mut buffer = [0; MAX_HEAD_BYTES];
        let mut filled = 0;
        let head = loop {
            let read = self.read(&mut buffer[filled..], deadline)?;
            if read == 0 {
                return Err(ExchangeError::Connection(ErrorKind::UnexpectedEof.into()));
            }
            filled += read;
            match Head::parse(&buffer[..filled])? {
                Some(head) => break head,
                None if filled == MAX_HEAD_BYTES => {
                    return Err(ExchangeError::Form("the answer's head is too long"));
                }
                None => {}
            }
        };
        let start = &buffer[head.bytes..filled];
        let body = match head.body_bytes {
            Some(length) if length > max_body_bytes => {
                return Err(ExchangeError::TooLong(max_body_bytes));
            }
            Some(length) => self.read_body(start, length, deadline)?,
            None => self.read_to_close(start, deadline, max_body_bytes)?,
        };
        let answer = Answer {
            status: head.status,
            body,
        };
        Ok((answer, head.is_kept))
    }

    fn read_body(
        &mut self,
        start: &[u8],
        length: u64,
        deadline: Instant,
    ) -> Result<Vec<u8>, ExchangeError> {
        /// Room made on the sender's word alone.
        const MAX_TRUSTED: u64 = 8 << 20;
        let Some(rest) = length.checked_sub(start.len() as u64) else {
            return Err(ExchangeError::Form(
                "the answer is longer than its head says",
            ));
        };
        let room = usize::try_from(length.min(MAX_TRUSTED)).unwrap_or(0);
        let mut body = Vec::with_capacity(room);
        body.extend_from_slice(start);
        let reader = Deadlined {
            connection: self,
            deadline,
        };
        let read = reader.take(rest).read_to_end(&mut body).map_err(classify)?;
        if (read as u64) < rest {
            return Err(ExchangeError::Connection(ErrorKind::UnexpectedEof.into()));
        }
        Ok(body)
    }

    fn read_to_close(
        &mut self,
        start: &[u8],
        deadline: Instant,
        max_body_bytes: u64,
    ) -> Result<Vec<u8>, ExchangeError> {
        let mut body = start.to_vec();
        let reader = Deadlined {
            connection: self,
            deadline,
        };
        let limit = (max_body_bytes + 1).saturating_sub(start.len() as u64);
        reader
            .take(limit)
            .read_to_end(&mut body)
            .map_err(classify)?;
        if body.len() as u64 > max_body_bytes {
            return Err(ExchangeError::TooLong(max_body_bytes));
        }
        Ok(body)
    }

    /// One read within the deadline.
    fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, ExchangeError> {
        let limit = left(deadline)?;
        if limit.abs_diff(self.read_limit) > TIMEOUT_SLACK {
            self.stream
                .set_read_timeout(Some(limit))
                .map_err(classify)?;
            self.read_limit = limit;
        }
        loop {
            match self.stream.read(buffer) {
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                read => return read.map_err(classify),
            }
        }
    }
}

/// A connection as a reader that keeps to a deadline, however slowly the bytes drip.
struct Deadlined<'c> {
    connection: &'c mut Connection,
    deadline: Instant,
}

impl Read for Deadlined<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.connection
            .read(buffer, self.deadline)
            .map_err(|cause| match cause {
                ExchangeError::Connection(cause) => cause,
                _ => ErrorKind::TimedOut.into(),
            })
    }
}

impl Head {
    /// The head at the front of what has arrived, or nothing when more must come.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, ExchangeError> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = response.parse(bytes)? else {
            return Ok(None);
        };
        let mut head = Self {
            status: response.code.unwrap_or(0),
            bytes: length,
            body_bytes: None,
            is_kept: response.version == Some(1),
        };
        for field in response.headers {
            if field.name.eq_ignore_ascii_case("content-length") {
                let length = std::str::from_utf8(field.value)
                    .ok()
                    .filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()))
                    .and_then(|text| text.parse().ok())
                    .ok_or(ExchangeError::Form("the answer's length is not a number"))?;
                if head.body_bytes.replace(length).is_some() {
                    return Err(ExchangeError::Form("the answer has two lengths"));
                }
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                // Bitcoin Core never does; a proxy in front of it can be told not to.
                return Err(ExchangeError::Form("the answer comes in chunks"));
            } else if field.name.eq_ignore_ascii_case("connection") {
                head.is_kept &= !field.value.eq_ignore_ascii_case(b"close");
            }
        }
        head.is_kept &= head.body_bytes.is_some();
        Ok(Some(head))
    }
}

/// The time that is left.
fn left(deadline: Instant) -> Result<Duration, ExchangeError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ExchangeError::Timeout);
    }
    Ok(left)
}

fn classify(cause: io::Error) -> ExchangeError {
    match cause.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => ExchangeError::Timeout,
        _ => ExchangeError::Connection(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_how_long_the_body_is_and_whether_the_connection_stays() {
        let head = |text: &str| Head::parse(text.as_bytes());
        let parsed = head("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .expect("a head")
            .expect("a whole one");
        assert_eq!(
            (parsed.status, parsed.bytes, parsed.body_bytes),
            (200, 38, Some(5))
        );
        assert!(parsed.is_kept);
        assert!(matches!(head("HTTP/1.1 200 OK\r\nContent-Le"), Ok(None)));
        for closed in [
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            let parsed = head(closed).expect("a head").expect("a whole one");
            assert!(!parsed.is_kept, "{closed}");
        }
        for broken in [
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(head(broken).is_err(), "{broken}");
        }
    }
}
