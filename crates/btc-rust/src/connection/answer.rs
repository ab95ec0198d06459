//! One HTTP answer: a head, and its body by length, in chunks, or to the end of the connection.
//!
//! Strict, and bounded in memory whatever the other end sends; the Python side reads the same
//! answers and refuses the same (`btc_legacy/http.py`).

use std::io::{self, BufRead, BufReader, Read};

use super::head::{Body, Head, USUAL_HEAD_BYTES};
use super::{Answer, ExchangeError, classify, cut_off};

/// The longest line between chunks.
const MAX_LINE_BYTES: u64 = 8 << 10;
/// Room made on the sender's word alone.
const MAX_TRUSTED_BYTES: u64 = 8 << 20;

const BROKEN_CHUNK: ExchangeError = ExchangeError::Form("the answer's chunks are broken");

/// Reads one answer; returns it, and whether the connection can be used again. `buffer` keeps its
/// memory from one answer to the next. A body longer than `max_body_bytes`, what separates chunks
/// included, is refused without reading all of it.
pub(super) fn read(
    stream: &mut impl Read,
    buffer: &mut Vec<u8>,
    max_body_bytes: u64,
) -> Result<(Answer, bool), ExchangeError> {
    let (head, filled) = Head::read(stream, buffer)?;
    let start = &buffer[head.bytes..filled];
    let mut is_kept = head.is_kept;
    let body = match head.body {
        Body::Length(length) if length > max_body_bytes => {
            return Err(ExchangeError::TooLong(max_body_bytes));
        }
        Body::Length(length) => read_body(start, stream, length)?,
        Body::Chunks => {
            let (body, is_all) = read_chunks(start, stream, max_body_bytes)?;
            is_kept &= is_all;
            body
        }
        Body::ToClose => read_to_close(start, stream, max_body_bytes)?,
    };
    let answer = Answer {
        status: head.status,
        body,
    };
    Ok((answer, is_kept))
}

fn read_body(start: &[u8], stream: &mut impl Read, length: u64) -> Result<Vec<u8>, ExchangeError> {
    let Some(rest) = length.checked_sub(start.len() as u64) else {
        return Err(ExchangeError::Form(
            "the answer is longer than its head says",
        ));
    };
    let room = usize::try_from(length.min(MAX_TRUSTED_BYTES)).unwrap_or(0);
    let mut body = Vec::with_capacity(room);
    body.extend_from_slice(start);
    let read = stream.take(rest).read_to_end(&mut body).map_err(classify)?;
    if (read as u64) < rest {
        return Err(cut_off());
    }
    Ok(body)
}

fn read_to_close(
    start: &[u8],
    stream: &mut impl Read,
    max_body_bytes: u64,
) -> Result<Vec<u8>, ExchangeError> {
    let mut body = start.to_vec();
    let limit = (max_body_bytes + 1).saturating_sub(start.len() as u64);
    stream
        .take(limit)
        .read_to_end(&mut body)
        .map_err(classify)?;
    if body.len() as u64 > max_body_bytes {
        return Err(ExchangeError::TooLong(max_body_bytes));
    }
    Ok(body)
}

/// Returns the body, and whether nothing came behind it.
fn read_chunks(
    start: &[u8],
    stream: &mut impl Read,
    max_body_bytes: u64,
) -> Result<(Vec<u8>, bool), ExchangeError> {
    let wire = start.chain(stream).take(max_body_bytes.saturating_add(1));
    let mut wire = Wire {
        reader: BufReader::with_capacity(USUAL_HEAD_BYTES, wire),
        max_body_bytes,
    };
    let mut body = Vec::new();
    loop {
        let line = wire.line()?;
        // httparse takes an empty line for a size of 0.
        if !line.first().is_some_and(u8::is_ascii_hexdigit) {
            return Err(BROKEN_CHUNK);
        }
        let size = match httparse::parse_chunk_size(&line) {
            Ok(httparse::Status::Complete((used, size))) if used == line.len() => size,
            _ => return Err(BROKEN_CHUNK),
        };
        if size == 0 {
            break;
        }
        wire.data(size, &mut body)?;
        if wire.line()? != b"\r\n" {
            return Err(BROKEN_CHUNK);
        }
    }
    // Fields behind the last chunk say nothing that matters here.
    while wire.line()? != b"\r\n" {}
    Ok((body, wire.reader.buffer().is_empty()))
}

/// What arrives, up to the limit.
struct Wire<R> {
    reader: BufReader<io::Take<R>>,
    max_body_bytes: u64,
}

impl<R: Read> Wire<R> {
    /// One line with its end.
    fn line(&mut self) -> Result<Vec<u8>, ExchangeError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(MAX_LINE_BYTES);
        limited.read_until(b'\n', &mut line).map_err(classify)?;
        if line.ends_with(b"\r\n") {
            return Ok(line);
        }
        if line.ends_with(b"\n") || line.len() as u64 == MAX_LINE_BYTES {
            return Err(BROKEN_CHUNK);
        }
        Err(self.over())
    }

    fn data(&mut self, size: u64, body: &mut Vec<u8>) -> Result<(), ExchangeError> {
        if size > self.max_body_bytes {
            return Err(ExchangeError::TooLong(self.max_body_bytes));
        }
        let mut limited = (&mut self.reader).take(size);
        let read = limited.read_to_end(body).map_err(classify)?;
        if (read as u64) < size {
            return Err(self.over());
        }
        Ok(())
    }

    /// Why nothing more comes.
    fn over(&self) -> ExchangeError {
        if self.reader.get_ref().limit() == 0 {
            ExchangeError::TooLong(self.max_body_bytes)
        } else {
            cut_off()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u64 = 1 << 20;

    /// Bytes that arrive in pieces of this size, and then the end of the connection.
    struct Pieces<'a> {
        rest: &'a [u8],
        size: usize,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.size.min(buffer.len());
            (&mut self.rest).take(most as u64).read(buffer)
        }
    }

    fn read_in(bytes: &[u8], size: usize) -> Result<(Answer, bool), ExchangeError> {
        let mut stream = Pieces { rest: bytes, size };
        read(&mut stream, &mut Vec::new(), LIMIT)
    }

    fn body_of(text: &str) -> Result<(String, bool), ExchangeError> {
        let (answer, is_kept) = read_in(text.as_bytes(), 7)?;
        let body = String::from_utf8(answer.body).expect("the test's text");
        Ok((body, is_kept))
    }

    #[test]
    fn a_head_says_how_long_the_body_is_and_whether_the_connection_stays() {
        let (answer, is_kept) = read_in(
            b"HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nhello, and more",
            38 + 2,
        )
        .expect("an answer");
        assert_eq!((answer.status, &answer.body[..]), (500, &b"hello"[..]));
        assert!(is_kept);
        for (closed, body) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n",
                "",
            ),
            ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi"),
            ("HTTP/1.1 200 OK\r\n\r\nto the end", "to the end"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n\
                 2\r\nhi\r\n0\r\n\r\n",
                "hi",
            ),
        ] {
            let (read, is_kept) = body_of(closed).expect(closed);
            assert_eq!(read, body);
            assert!(!is_kept, "{closed}");
        }
        for broken in [
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ] {
            assert!(body_of(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn what_arrives_behind_the_last_chunk_ends_the_connection() {
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        assert_eq!(body_of(chunks).expect("chunks"), ("hi".to_owned(), true));
        let more = format!("{chunks}HTTP");
        let (answer, is_kept) = read_in(more.as_bytes(), 1000).expect("chunks");
        assert_eq!((&answer.body[..], is_kept), (&b"hi"[..], false));
    }

    fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let chunk = proptest::collection::vec(any::<u8>(), 1..300);
        proptest::collection::vec(chunk, 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn chunks_are_put_together_however_they_arrive(
            chunks in chunks(),
            padding in 0..40_000_usize,
            interim in 0..3_usize,
            size in 1..20_000_usize,
            cut in any::<prop::sample::Index>(),
        ) {
            let mut wire = b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n".repeat(interim);
            wire.extend(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nX-Padding: ");
            wire.extend(vec![b'x'; padding]);
            wire.extend(b"\r\n\r\n");
            for (number, chunk) in chunks.iter().enumerate() {
                let extension = if number % 3 == 0 { ";name=\"value\"" } else { "" };
                wire.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
                wire.extend(chunk);
                wire.extend(b"\r\n");
            }
            wire.extend(b"000\r\nX-Trailer: yes\r\n\r\n");
            let (answer, is_kept) = read_in(&wire, size).expect("sound chunks");
            prop_assert_eq!(answer.body, chunks.concat());
            prop_assert!(is_kept);
            // Cut anywhere, it is neither read nor taken for whole.
            let cut = cut.index(wire.len());
            let error = read_in(&wire[..cut], size).expect_err("cut off");
            prop_assert!(matches!(error, ExchangeError::Connection(_)), "{error}");
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            head in "(HTTP/1\\.[01] [0-9]{3}|[ -~]{0,9})( [a-z]{0,4})?",
            fields in "((Transfer-Encoding: chunked|Content-Length: [0-9]{1,3}|[ -~]{0,9})\r?\n){0,4}",
            body in "([0-9a-fA-F;\r\n]|\\PC){0,60}",
            size in 1..200_usize,
        ) {
            let text = format!("{head}\r\n{fields}\r\n{body}");
            if let Ok((answer, _)) = read_in(text.as_bytes(), size) {
                prop_assert!(answer.body.len() <= text.len());
            }
        }
    }
}
