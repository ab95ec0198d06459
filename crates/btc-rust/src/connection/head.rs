//! The head of an HTTP answer: what it says of the body and of the connection.

use std::io::Read;

use super::{ExchangeError, classify, cut_off};

/// The longest head of an answer, with those of interim answers before it.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// What a head fits into unless a proxy adds much to it.
pub(super) const USUAL_HEAD_BYTES: usize = 8 << 10;
/// As many fields as Python's `http.client` reads.
const MAX_FIELDS: usize = 99;

const HEAD_TOO_LONG: ExchangeError = ExchangeError::Form("the answer's head is too long");

/// What a head says about the rest.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) bytes: usize,
    pub(super) body: Body,
    pub(super) is_kept: bool,
}

/// Where the body ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    Chunks,
    ToClose,
}

impl Head {
    /// Reads a head, past interim answers; returns it and how much of the buffer is filled.
    pub(super) fn read(
        stream: &mut impl Read,
        buffer: &mut Vec<u8>,
    ) -> Result<(Self, usize), ExchangeError> {
        if buffer.len() < USUAL_HEAD_BYTES {
            buffer.resize(USUAL_HEAD_BYTES, 0);
        }
        let (mut filled, mut interim) = (0, 0);
        loop {
            if filled == buffer.len() {
                let room = (2 * filled).min(MAX_HEAD_BYTES);
                if room == filled {
                    return Err(HEAD_TOO_LONG);
                }
                buffer.resize(room, 0);
            }
            let read = stream.read(&mut buffer[filled..]).map_err(classify)?;
            let is_line = buffer[filled..filled + read].contains(&b'\n');
            filled += read;
            // However slowly it drips, it is looked at once more for each line only.
            if (is_line || read == 0)
                && let Some(head) = Self::find(buffer, &mut filled, &mut interim)?
            {
                return Ok((head, filled));
            }
            if read == 0 {
                return Err(cut_off());
            }
        }
    }

    /// The head in what has arrived; takes the heads of interim answers out.
    fn find(
        buffer: &mut [u8],
        filled: &mut usize,
        interim: &mut usize,
    ) -> Result<Option<Self>, ExchangeError> {
        const CONTINUE: u16 = 100;
        while let Some(head) = Self::parse(&buffer[..*filled])? {
            if *interim + head.bytes > MAX_HEAD_BYTES {
                return Err(HEAD_TOO_LONG);
            }
            if head.status != CONTINUE {
                return Ok(Some(head));
            }
            *interim += head.bytes;
            buffer.copy_within(head.bytes..*filled, 0);
            *filled -= head.bytes;
        }
        Ok(None)
    }

    /// The head at the front of what has arrived, or nothing when more must come.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, ExchangeError> {
        // httparse passes over empty lines in front, as many as there are.
        if bytes.first().is_some_and(|byte| b"\r\n".contains(byte)) {
            return Err(ExchangeError::Head(httparse::Error::Version));
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = response.parse(bytes)? else {
            return Ok(None);
        };
        let status = response.code.unwrap_or(0);
        let (mut length_said, mut is_chunked) = (None, false);
        let mut is_kept = response.version == Some(1);
        for field in response.headers {
            if field.name.eq_ignore_ascii_case("content-length") {
                let length = std::str::from_utf8(field.value)
                    .ok()
                    .filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()))
                    .and_then(|text| text.parse().ok())
                    .ok_or(ExchangeError::Form("the answer's length is not a number"))?;
                if length_said.replace(length).is_some() {
                    return Err(ExchangeError::Form("the answer has two lengths"));
                }
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                if is_chunked || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(ExchangeError::Form(
                        "the answer comes in another transfer encoding than chunks",
                    ));
                }
                is_chunked = true;
            } else if field.name.eq_ignore_ascii_case("connection") {
                is_kept &= !field.value.eq_ignore_ascii_case(b"close");
            }
        }
        let body = match (is_chunked, length_said) {
            // No body, whatever else is said (RFC 9110, 15.3.5 and 15.4.5).
            _ if matches!(status, 100..=199 | 204 | 304) => Body::Length(0),
            // Chunks go before a length, and who sends both is not to be trusted with a second
            // answer (RFC 9112, 6.1).
            (true, length) => {
                is_kept &= length.is_none();
                Body::Chunks
            }
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::ToClose,
        };
        is_kept &= body != Body::ToClose;
        Ok(Some(Self {
            status,
            bytes: length,
            body,
            is_kept,
        }))
    }
}
