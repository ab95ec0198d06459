//! `Lines`: the lines of a file of any length, each in bounded memory.

use std::io::{self, BufRead, Read};

/// The longest line that is read; of a longer one, only the beginning.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Reads line by line, and knows where it is.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    number: u64,
    offset: u64,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextLine {
    /// Its number, from 1.
    pub number: u64,
    /// Its bytes with its end, at most [`MAX_LINE_BYTES`].
    pub bytes: Vec<u8>,
    /// Where it begins, in bytes.
    pub start: u64,
    /// Where the next one begins.
    pub end: u64,
    /// Whether the rest of it was left out.
    pub is_too_long: bool,
    /// Whether a line end follows, so that nothing can be added to it.
    pub is_ended: bool,
}

impl<R: BufRead> Lines<R> {
    /// The lines of a reader that stands at its beginning.
    pub fn new(reader: R) -> Self {
        Self::from(reader, 0, 0)
    }

    /// The lines of a reader that stands after so many lines, with so many bytes.
    pub fn from(reader: R, number: u64, offset: u64) -> Self {
        Self {
            reader,
            number,
            offset,
        }
    }

    /// The next line; none at the end.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn next_line(&mut self) -> io::Result<Option<TextLine>> {
        let mut bytes = Vec::new();
        let limit = MAX_LINE_BYTES as u64;
        let taken = self
            .reader
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut bytes)?;
        if taken == 0 {
            return Ok(None);
        }
        let start = self.offset;
        self.number += 1;
        self.offset += taken as u64;
        let mut is_ended = bytes.ends_with(b"\n");
        let mut is_too_long = false;
        if taken == MAX_LINE_BYTES && !is_ended {
            let rest = self.reader.by_ref().skip_to_line_end()?;
            is_too_long = rest.bytes > 0;
            is_ended = rest.is_ended;
            self.offset += rest.bytes;
        }
        Ok(Some(TextLine {
            number: self.number,
            bytes,
            start,
            end: self.offset,
            is_too_long,
            is_ended,
        }))
    }
}

struct Skipped {
    bytes: u64,
    is_ended: bool,
}

trait SkipLine: BufRead {
    /// Reads up to the line's end without keeping anything.
    fn skip_to_line_end(&mut self) -> io::Result<Skipped> {
        let mut bytes = 0;
        loop {
            let buffer = match self.fill_buf() {
                Ok(buffer) => buffer,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => return Err(cause),
            };
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(buffer.len(), |end| end + 1);
            bytes += taken as u64;
            self.consume(taken);
            if taken == 0 || end.is_some() {
                return Ok(Skipped {
                    bytes,
                    is_ended: end.is_some(),
                });
            }
        }
    }
}

impl<R: BufRead> SkipLine for R {}
