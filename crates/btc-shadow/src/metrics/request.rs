//! One request over HTTP/1.1: its head is read within bounds, and answered once.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::Metrics;

/// The longest head of a request.
const MAX_HEAD_BYTES: usize = 8 << 10;
/// How long a request may take to arrive, from the first byte to the last, and the answer to go.
const WITHIN: Duration = Duration::from_secs(2);
/// What is read and thrown away after an answer, so that it arrives.
const MAX_LEFT_BYTES: usize = 64 << 10;

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers one request and closes the connection. Who is too slow gets no answer.
pub(super) fn answer(connection: &mut TcpStream, metrics: &Metrics) {
    let deadline = Instant::now() + WITHIN;
    let answer = match read_head(connection, deadline) {
        Ok(head) => respond(&head, metrics),
        Err(Refused::TooLong) => Answer::new("431 Request Header Fields Too Large"),
        Err(Refused::Gone) => return,
    };
    // A peer that has gone does not want it any more.
    let _ = send(connection, &answer.text(), Instant::now() + WITHIN);
    close(connection, deadline);
}

/// Says that too many ask at once.
pub(super) fn refuse(connection: &mut TcpStream) {
    let answer = Answer::new("503 Service Unavailable");
    let _ = connection.set_nonblocking(true);
    // A new connection has room for so little.
    let _ = connection.write(answer.text().as_bytes());
}

enum Refused {
    TooLong,
    Gone,
}

fn read_head(connection: &mut TcpStream, deadline: Instant) -> Result<Vec<u8>, Refused> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let read = read_before(connection, &mut piece, deadline);
        let Ok(read @ 1..) = read else {
            return Err(Refused::Gone);
        };
        // The end may lie across two pieces.
        let from = head.len().saturating_sub(3);
        head.extend_from_slice(&piece[..read]);
        if let Some(end) = head[from..].windows(4).position(|it| it == b"\r\n\r\n") {
            head.truncate(from + end);
            if head.len() <= MAX_HEAD_BYTES {
                return Ok(head);
            }
        }
        if head.len() > MAX_HEAD_BYTES {
            return Err(Refused::TooLong);
        }
    }
}

fn read_before(
    connection: &mut TcpStream,
    piece: &mut [u8],
    deadline: Instant,
) -> io::Result<usize> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        connection.set_read_timeout(Some(left))?;
        match connection.read(piece) {
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
    /// Only the head was asked for.
    is_head: bool,
}

impl Answer {
    fn new(status: &'static str) -> Self {
        Self {
            status,
            kind: TEXT,
            body: format!("{status}\n"),
            is_head: false,
        }
    }

    fn text(&self) -> String {
        let Self {
            status, kind, body, ..
        } = self;
        let allow = if status.starts_with("405") {
            "Allow: GET, HEAD\r\n"
        } else {
            ""
        };
        let length = body.len();
        let body = if self.is_head { "" } else { body };
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}"
        )
    }
}

fn respond(head: &[u8], metrics: &Metrics) -> Answer {
    let first = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = str::from_utf8(first).unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Answer::new("400 Bad Request");
    };
    if !version.starts_with("HTTP/1.") {
        return Answer::new("400 Bad Request");
    }
    if method != "GET" && method != "HEAD" {
        return Answer::new("405 Method Not Allowed");
    }
    let mut answer = match target.split('?').next() {
        Some("/metrics") => Answer {
            status: "200 OK",
            kind: METRICS,
            body: metrics.render(),
            is_head: false,
        },
        Some("/healthz") => Answer::new("200 OK"),
        _ => Answer::new("404 Not Found"),
    };
    answer.is_head = method == "HEAD";
    answer
}

fn send(connection: &mut TcpStream, text: &str, deadline: Instant) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        connection.set_write_timeout(Some(left))?;
        match connection.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => rest = &rest[written..],
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

/// Closed with something unread, the connection is reset, and the answer may be lost on its way.
fn close(connection: &mut TcpStream, deadline: Instant) {
    let _ = connection.shutdown(Shutdown::Write);
    let mut piece = [0; 4096];
    let mut left = MAX_LEFT_BYTES;
    while let Ok(read @ 1..) = read_before(connection, &mut piece, deadline) {
        let Some(rest) = left.checked_sub(read) else {
            return;
        };
        left = rest;
    }
}
