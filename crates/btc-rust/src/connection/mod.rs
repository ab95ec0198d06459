//! Kept HTTP connections to one node: a request is one write, its answer is read into one buffer.

mod answer;
mod head;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// Reads one HTTP answer, status and body, as the transport reads a node's: for fuzzing.
///
/// # Errors
/// What is no answer, is cut off, or has a body of more than `max_body_bytes`.
pub fn read_http_answer(
    mut bytes: &[u8],
    max_body_bytes: u64,
) -> Result<(u16, Vec<u8>), Box<dyn std::error::Error + Send + Sync>> {
    let (answer, _) = answer::read(&mut bytes, &mut Vec::new(), max_body_bytes)?;
    Ok((answer.status, answer.body))
}

struct Connection {
    stream: TcpStream,
    /// For heads of answers.
    buffer: Vec<u8>,
    write_limit: Duration,
    read_limit: Duration,
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
                        buffer: Vec::new(),
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
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut reader = Deadlined {
            connection: self,
            deadline,
        };
        let answer = answer::read(&mut reader, &mut buffer, max_body_bytes);
        self.buffer = buffer;
        answer
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

fn cut_off() -> ExchangeError {
    ExchangeError::Connection(ErrorKind::UnexpectedEof.into())
}
