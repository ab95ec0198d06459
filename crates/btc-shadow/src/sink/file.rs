//! `FileSink`: the comparison log in a file, written by a thread of its own.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use super::log::Log;
use super::queue::Queue;
use super::rotation::Rotation;
use super::writer::Writer;
use super::{Sink, text};
use crate::record::Line;

/// How long the end of a sink waits for a disk that hangs.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// What a thread keeps for its next line; a line that needs more gives it back.
const SCRATCH_BYTES: usize = 4 << 10;

/// Appends lines to a file, and rotates it.
///
/// - A line is put into a bounded buffer, and the call returns. A thread writes the buffer every
///   50 ms, or as soon as there are 256 KiB. What was taken in the last 50 ms is lost when the
///   process is killed; the file ends with a whole line then, or with one that is torn, which
///   the next one who opens it ends. Nothing is forced to the disk itself: when the machine
///   loses power, what the system had not written yet is lost as well.
/// - The disk may be full, slow, or hang: lines wait in the buffer (16 MiB, and as much again
///   with the thread), and are refused when there is no room. Where some were refused, a `gap`
///   line says how many as soon as there is room. The caller is never kept.
/// - A file that was deleted or moved is made anew for the next batch of lines. Each new file
///   begins with the `start` lines of the runs that are not over, of the eight at most that began
///   last, with the number of the file within the run.
/// - What a process that was killed left is mended by the next one: a number that it left out
///   among the older files is closed up, and a file that is there twice, compressed and not, is
///   compressed again.
/// - Several threads, sinks and processes may write to one file; a line is never torn by another.
///   With several, the one that finds the file full rotates it, and the others follow.
/// - A device or a pipe is written to as it is.
///
/// Dropped, it writes what it has and waits up to five seconds for that.
#[derive(Debug)]
pub struct FileSink {
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
}

/// What became of the lines of a sink: `accepted = written + lost + pending`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines that were taken, and `gap` lines of the sink's own.
    pub accepted: u64,
    /// Those in the log. The `start` lines that begin further files are not counted.
    pub written: u64,
    /// Those that could not be written until the sink was closed.
    pub lost: u64,
    /// Lines that were not taken, for want of room.
    pub refused: u64,
}

impl Tally {
    /// Lines that wait to be written.
    pub fn pending(&self) -> u64 {
        self.accepted - self.written - self.lost
    }
}

impl FileSink {
    /// Opens the file for appending, with the default rotation, and makes its folder if need be.
    /// A line that an earlier run left unfinished is ended first, so that it spoils no other.
    ///
    /// # Errors
    /// `Configuration`: the file cannot be written.
    pub fn open(path: &Path) -> BitcoinResult<Self> {
        Self::with(path, Rotation::default())
    }

    /// The same with another rotation.
    ///
    /// # Errors
    /// `Configuration`: the file cannot be written, or the rotation leaves it no room.
    pub fn with(path: &Path, rotation: Rotation) -> BitcoinResult<Self> {
        rotation.check()?;
        let start = || -> io::Result<Self> {
            let log = Log::open(path, rotation)?;
            let (queue, chunk) = Queue::new();
            let queue = Arc::new(queue);
            let writer = Writer {
                queue: Arc::clone(&queue),
                chunk,
                log,
            };
            let writer = thread::Builder::new()
                .name("shadow log".to_owned())
                .spawn(move || writer.run())?;
            Ok(Self {
                queue,
                writer: Some(writer),
            })
        };
        start().map_err(|cause| {
            let message = "the comparison log cannot be written; set LOG_FILE to a path that can";
            BitcoinError::new(ErrorKind::Configuration, Operation::Log, message)
                .with_context("LOG_FILE", path.display())
                .with_source(cause)
        })
    }

    /// What became of the lines so far.
    pub fn tally(&self) -> Tally {
        self.queue.tally()
    }

    /// Refuses lines from now on, writes those that it has, and says whether that came to an end
    /// in time. What could not be written is lost then.
    pub fn close(&self, within: Duration) -> bool {
        self.queue.close(within)
    }

    fn take(&self, scratch: &mut Vec<u8>, line: &Line) -> io::Result<()> {
        scratch.clear();
        text::append(scratch, line)?;
        let taken = self.queue.push(scratch, line);
        if scratch.capacity() > SCRATCH_BYTES {
            scratch.clear();
            scratch.shrink_to(SCRATCH_BYTES);
        }
        taken
    }
}

impl Sink for FileSink {
    fn write(&self, line: &Line) -> io::Result<()> {
        thread_local! {
            static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let taken = SCRATCH.try_with(|scratch| self.take(&mut scratch.borrow_mut(), line));
        // A thread that is ending has none any more.
        taken.unwrap_or_else(|_| self.take(&mut Vec::new(), line))
    }

    fn lost_lines(&self) -> u64 {
        self.queue.tally().lost
    }

    fn flush(&self, within: Duration) -> bool {
        self.queue.flush(within)
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        let is_over = self.queue.close(CLOSE_WITHIN);
        if let Some(writer) = self.writer.take().filter(|_| is_over) {
            // It has nothing to say any more.
            let _ = writer.join();
        }
    }
}
