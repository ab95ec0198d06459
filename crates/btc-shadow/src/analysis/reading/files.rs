//! Files of a log, line by line, compressed or not.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};
use flate2::bufread::MultiGzDecoder;

/// The longest line that is read; a mismatch takes up to 2 KiB.
const MAX_LINE_BYTES: u64 = 1 << 20;
const BUFFER_BYTES: usize = 1 << 18;
/// How a file begins that gzip made.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file of a log, opened: its content, and how far the file itself was read.
pub(in crate::analysis) struct Opened {
    content: Box<dyn BufRead>,
    position: Rc<Cell<u64>>,
    is_compressed: bool,
}

/// Opens a file of a log. What gzip made is known by its first bytes, whatever it is called.
///
/// # Errors
/// `NotFound`: no such file. `Configuration`: it cannot be read.
pub(in crate::analysis) fn open(path: &Path) -> BitcoinResult<Opened> {
    let opened = || -> io::Result<Opened> {
        let position = Rc::new(Cell::new(0));
        let counted = Counted {
            file: File::open(path)?,
            position: Rc::clone(&position),
        };
        let mut content = BufReader::with_capacity(BUFFER_BYTES, counted);
        let is_compressed = content.fill_buf()?.starts_with(&GZIP);
        let content: Box<dyn BufRead> = if is_compressed {
            let plain = MultiGzDecoder::new(content);
            Box::new(BufReader::with_capacity(BUFFER_BYTES, plain))
        } else {
            Box::new(content)
        };
        Ok(Opened {
            content,
            position,
            is_compressed,
        })
    };
    opened().map_err(|cause| unreadable(path, cause))
}

/// Hands each line to `take`, with its number and its end; a line without one is the last. A line
/// that is too long is handed over cut. `progress` is told the bytes of the file that were read,
/// now and then and at the end; a compressed file counts as it lies on the disk.
///
/// Returns what is wrong with a compressed file that is damaged; what came before was handed over.
///
/// # Errors
/// `Configuration`: the file cannot be read any further.
pub(in crate::analysis) fn each_line(
    path: &Path,
    opened: Opened,
    progress: &mut dyn FnMut(u64),
    mut take: impl FnMut(u64, &[u8]),
) -> BitcoinResult<Option<String>> {
    const LINES_BETWEEN_PROGRESS: u64 = 4096;
    let Opened {
        mut content,
        position,
        is_compressed,
    } = opened;
    let (mut number, mut bytes) = (0_u64, 0);
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| -> io::Result<u64> {
        line.clear();
        let taken = content
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', line)? as u64;
        if taken == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
            return Ok(taken + content.skip_until(b'\n')? as u64);
        }
        Ok(taken)
    };
    loop {
        let taken = match next(&mut line) {
            Ok(taken) => taken,
            // The disk says so in other words.
            Err(cause) if is_compressed && is_damage(&cause) => {
                progress(position.get());
                let what = format!(
                    "the compressed file is damaged or cut off ({cause}); what comes before is read"
                );
                return Ok(Some(what));
            }
            Err(cause) => return Err(unreadable(path, cause)),
        };
        bytes += taken;
        let read = if is_compressed { position.get() } else { bytes };
        if taken == 0 {
            progress(read);
            return Ok(None);
        }
        number += 1;
        take(number, &line);
        if number.is_multiple_of(LINES_BETWEEN_PROGRESS) {
            progress(read);
        }
    }
}

fn is_damage(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

fn unreadable(path: &Path, cause: io::Error) -> BitcoinError {
    let kind = match cause.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Configuration,
    };
    BitcoinError::new(kind, Operation::Log, "the comparison log cannot be read")
        .with_context("file", path.display())
        .with_source(cause)
}

/// A file that counts what was read of it.
struct Counted {
    file: File,
    position: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.file.read(buffer)?;
        self.position.set(self.position.get() + taken as u64);
        Ok(taken)
    }
}
