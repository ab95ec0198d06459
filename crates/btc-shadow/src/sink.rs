//! Where the lines of a comparison log go.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use crate::record::Line;

/// Takes lines. A line that cannot be taken is an error, which shadow mode counts and survives.
pub trait Sink: Send + Sync {
    /// Takes one line.
    fn write(&self, line: &Line) -> io::Result<()>;

    /// Lines that were taken and lost afterwards.
    fn lost_lines(&self) -> u64 {
        0
    }
}

/// Appends lines to a file; each is handed to the system in one write before the call returns.
#[derive(Debug)]
pub struct FileSink {
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    file: File,
    /// Whether the last write failed, and may have left a part of its line.
    is_torn: bool,
}

impl FileSink {
    /// Opens the file for appending and makes its folder if need be. A line that an earlier run
    /// left unfinished is ended first, so that it spoils no other.
    ///
    /// # Errors
    /// `Configuration`: the file cannot be written.
    pub fn open(path: &Path) -> BitcoinResult<Self> {
        let open = || -> io::Result<File> {
            if let Some(folder) = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
            {
                fs::create_dir_all(folder)?;
            }
            let mut file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .open(path)?;
            if file.seek(SeekFrom::End(0))? > 0 {
                let mut last = [0];
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                }
            }
            Ok(file)
        };
        let file = open().map_err(|cause| {
            let message = "the comparison log cannot be written; set LOG_FILE to a path that can";
            BitcoinError::new(ErrorKind::Configuration, Operation::Log, message)
                .with_context("LOG_FILE", path.display())
                .with_source(cause)
        })?;
        Ok(Self {
            log: Mutex::new(Log {
                file,
                is_torn: false,
            }),
        })
    }
}

impl Sink for FileSink {
    fn write(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let mut log = lock(&self.log);
        if log.is_torn {
            // An empty line harms nobody.
            text.insert(0, b'\n');
        }
        let written = log.file.write_all(&text);
        log.is_torn = written.is_err();
        written
    }
}

/// Keeps lines in memory.
#[derive(Debug, Default)]
pub struct MemorySink {
    lines: Mutex<Vec<Line>>,
}

impl MemorySink {
    /// A copy of the lines so far.
    pub fn lines(&self) -> Vec<Line> {
        lock(&self.lines).clone()
    }
}

impl Sink for MemorySink {
    fn write(&self, line: &Line) -> io::Result<()> {
        lock(&self.lines).push(line.clone());
        Ok(())
    }
}

/// Hands each line to two sinks; fails when either does.
pub struct Tee<A, B>(pub A, pub B);

impl<A: Sink, B: Sink> Sink for Tee<A, B> {
    fn write(&self, line: &Line) -> io::Result<()> {
        self.0.write(line).and(self.1.write(line))
    }

    fn lost_lines(&self) -> u64 {
        self.0.lost_lines().saturating_add(self.1.lost_lines())
    }
}

impl<T: Sink + ?Sized> Sink for std::sync::Arc<T> {
    fn write(&self, line: &Line) -> io::Result<()> {
        (**self).write(line)
    }

    fn lost_lines(&self) -> u64 {
        (**self).lost_lines()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
