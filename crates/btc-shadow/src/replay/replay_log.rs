//! `ReplayLog`: the comparison log of a replay, which knows what is safely in it.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind};

use super::call_file::end_last_line;
use super::error;
use super::lines::Lines;
use super::state::LogAt;
use crate::analysis::Analysis;
use crate::private;
use crate::record::{Event, Line};
use crate::sink::Sink;

/// How long another replay may take to let go of the log.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_INTERVAL: Duration = Duration::from_millis(10);

/// Takes the lines of a replay. Unlike other logs it may make a comparison wait, and loses nothing:
/// what cannot be written ends the replay.
pub struct ReplayLog {
    path: PathBuf,
    start: u64,
    file: Mutex<BufWriter<File>>,
    /// Comparisons that came, whether or not they could be written.
    comparisons: AtomicU64,
}

impl ReplayLog {
    /// Opens the file for appending, for this replay alone, and makes its folder if need be.
    /// `before` is where a replay that goes on has begun in it.
    ///
    /// # Errors
    /// `Configuration`: it cannot be written, another replay writes to it, or what the earlier
    /// part of this replay has written is no longer there.
    pub fn open(path: &Path, before: Option<&LogAt>) -> BitcoinResult<Self> {
        let failed = |message: &str| {
            error(ErrorKind::Configuration, message).with_context("log", path.display())
        };
        let unwritable = "the comparison log cannot be written; name another place with --log";
        let is_gone = |end: u64| fs::metadata(path).map_or(true, |it| it.len() < end);
        if before.is_some_and(|before| is_gone(before.end)) {
            return Err(failed(
                "the comparison log of the replay's first part is gone; begin anew with --restart",
            ));
        }
        let open = || -> io::Result<File> {
            private::folder_of(path)?;
            let mut options = private::options(private::FILE_MODE);
            options.read(true).append(true).open(path)
        };
        let mut file = open().map_err(|cause| failed(unwritable).with_source(cause))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // One that was killed, or has just ended, may hold it for a moment.
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    thread::sleep(LOCK_INTERVAL);
                }
                Err(TryLockError::WouldBlock) => {
                    let message = "another replay writes to this comparison log; wait for it";
                    return Err(failed(message));
                }
                Err(TryLockError::Error(cause)) => {
                    return Err(failed(unwritable).with_source(cause));
                }
            }
        }
        let end = end_last_line(&mut file).and_then(|()| file.seek(SeekFrom::End(0)));
        let end = end.map_err(|cause| failed(unwritable).with_source(cause))?;
        Ok(Self {
            path: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
            start: before.map_or(end, |before| before.start),
            file: Mutex::new(BufWriter::with_capacity(1 << 16, file)),
            comparisons: AtomicU64::new(0),
        })
    }

    /// Brings all lines that came so far to the disk, and says where the log stands.
    ///
    /// # Errors
    /// `Unavailable`: they cannot be written.
    pub fn flush(&self) -> BitcoinResult<LogAt> {
        let mut file = self.file();
        let flush = |file: &mut BufWriter<File>| {
            file.flush()?;
            file.get_ref().sync_data()?;
            file.get_ref().metadata().map(|it| it.len())
        };
        let end = flush(&mut file).map_err(|cause| self.lost(cause))?;
        Ok(LogAt {
            path: self.path.clone(),
            start: self.start,
            end,
        })
    }

    /// Reads the replay's part of the log.
    ///
    /// # Errors
    /// `Unavailable`: it cannot be read.
    pub fn analyze(&self, progress: &mut dyn FnMut(u64)) -> BitcoinResult<Analysis> {
        self.flush()?;
        let name = self.path.display().to_string();
        let read = |progress: &mut dyn FnMut(u64)| -> io::Result<Analysis> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.start))?;
            let mut lines = Lines::from(BufReader::new(file), 0, self.start);
            let mut analysis = Analysis::default();
            while let Some(line) = lines.next_line()? {
                analysis.add_text(&name, line.number, &line.bytes);
                if line.number.is_multiple_of(4096) {
                    progress(line.end);
                }
            }
            Ok(analysis)
        };
        read(progress).map_err(|cause| {
            error(ErrorKind::Unavailable, "the comparison log cannot be read")
                .with_context("log", &name)
                .with_source(cause)
        })
    }

    /// Comparisons that came.
    pub(super) fn comparisons(&self) -> u64 {
        self.comparisons.load(Ordering::SeqCst)
    }

    fn lost(&self, cause: io::Error) -> BitcoinError {
        let message = "the comparison log can no longer be written; make room and go on";
        error(ErrorKind::Unavailable, message)
            .with_context("log", self.path.display())
            .with_source(cause)
    }

    fn file(&self) -> MutexGuard<'_, BufWriter<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for ReplayLog {
    fn write(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let mut file = self.file();
        let written = file.write_all(&text);
        if matches!(line.event, Event::Comparison(_)) {
            self.comparisons.fetch_add(1, Ordering::SeqCst);
        }
        written
    }
}
