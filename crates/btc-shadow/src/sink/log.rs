//! `Log`: the files of a log on disk, as one writer among others sees them.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::compress;
use super::queue::Chunk;
use super::rotation::{self, Identity, Rotation};
use super::runs::Runs;
use crate::private;

/// How long another writer may keep the file to itself before it is written to all the same.
const LOCK_WITHIN: Duration = Duration::from_secs(1);

/// The file that is written to.
///
/// Several processes may write to one log. Each batch of whole lines is appended under a lock on
/// the file (`flock`), and only if the path still leads to it: when it was moved or deleted, the
/// file that is there now is opened, or made. Who holds the lock may rotate. A lock that is not
/// to be had within a second, as when its owner was stopped, is done without: a batch is one
/// append, which the system does not mix with another, but nobody rotates then. Where the file
/// system has no locks at all, each one rotates on its own: the bound holds, and several writers
/// may number files apart.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    rotation: Rotation,
    /// A file that can be moved, not a device or a pipe.
    is_regular: bool,
    /// The last write failed and left a part of a line.
    is_torn: bool,
    /// Those whose start is in the log.
    runs: Runs,
    files: u64,
}

/// How the file is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Alone,
    /// There are no locks here.
    Unlocked,
    /// Another one has it.
    Shared,
}

impl Log {
    /// Opens the file for appending and makes its folder if need be. A line that was left
    /// unfinished is ended.
    pub(super) fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let (path, file) = resolve(path)?;
        let is_regular = file.metadata()?.is_file();
        let mut log = Self {
            path,
            file,
            rotation,
            is_regular,
            is_torn: false,
            runs: Runs::default(),
            files: 0,
        };
        log.end_torn_line()?;
        Ok(log)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How often the file was another one up to now.
    pub(super) fn files(&self) -> u64 {
        self.files
    }

    pub(super) fn compresses(&self) -> bool {
        self.is_regular && self.rotation.compress
    }

    /// Appends what is left of the lines, to further files where one is full, and notes in the
    /// chunk how far it came, which is to the end of a line.
    pub(super) fn append(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        while !chunk.rest().is_empty() {
            let (written, outcome) = self.append_some(chunk.rest());
            chunk.done += written;
            while let Some(mark) = chunk.take_mark() {
                self.runs.note(mark);
            }
            outcome?;
        }
        Ok(())
    }

    /// Mends what a process that was killed left behind. The next rotation does so, too, if this
    /// one cannot.
    pub(super) fn mend(&mut self) -> io::Result<()> {
        let max_files = self.rotation.max_files;
        self.alone(|path| {
            compress::clear(path)?;
            rotation::mend(path, max_files)
        })
    }

    /// Does something while no other writer changes the names of the files.
    pub(super) fn alone<T>(&mut self, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let hold = self.hold()?;
        let done = match hold {
            Hold::Alone | Hold::Unlocked => act(&self.path),
            Hold::Shared => Err(io::ErrorKind::WouldBlock.into()),
        };
        self.release(hold);
        done
    }

    fn append_some(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        let hold = match self.hold() {
            Ok(hold) => hold,
            Err(cause) => return (0, Err(cause)),
        };
        let outcome = self.append_held(lines, hold);
        self.release(hold);
        outcome
    }

    fn append_held(&mut self, lines: &[u8], hold: Hold) -> (usize, io::Result<()>) {
        let (head, fits) = match self.prepare(lines, hold) {
            Ok(Some(prepared)) => prepared,
            // A new file is there, which is to be held first.
            Ok(None) => return (0, Ok(())),
            Err(cause) => return (0, Err(cause)),
        };
        if !head.is_empty() {
            if let (_, Err(cause)) = self.write(&head, hold) {
                return (0, Err(cause));
            }
            self.runs.named();
        }
        let (written, outcome) = self.write(&lines[..fits], hold);
        if self.is_gone() {
            // Deleted between the look at the path and the write: they go to the next file.
            self.runs.turn_page();
            return (0, Ok(()));
        }
        (written, outcome)
    }

    /// What is to be written first, and how many bytes of the lines the file takes. None after it
    /// was rotated.
    fn prepare(&mut self, lines: &[u8], hold: Hold) -> io::Result<Option<(Vec<u8>, usize)>> {
        // The rest is for lines of their own.
        let half = usize::try_from(self.rotation.max_file_bytes / 2).unwrap_or(usize::MAX);
        let head = self.runs.head(half)?;
        if !self.is_regular || hold == Hold::Shared {
            return Ok(Some((head, lines.len())));
        }
        let length = self.file.metadata()?.len();
        let room = self.rotation.max_file_bytes.saturating_sub(length);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let fits = whole_lines(lines, room.saturating_sub(head.len()));
        if fits > 0 {
            return Ok(Some((head, fits)));
        }
        if length > 0 {
            rotation::shift(&self.path, self.rotation.max_files)?;
            self.reopen()?;
            return Ok(None);
        }
        // Longer than a file may be: on its own in one.
        Ok(Some((head, first_line(lines))))
    }

    /// Writes whole lines, at once as long as the disk takes them, and returns how many bytes are
    /// in the file. A part of a line is taken back, or ended with the next write.
    fn write(&mut self, lines: &[u8], hold: Hold) -> (usize, io::Result<()>) {
        if self.is_torn {
            match self.file.write_all(b"\n") {
                Ok(()) => self.is_torn = false,
                Err(cause) => return (0, Err(cause)),
            }
        }
        let mut done = 0;
        while done < lines.len() {
            match self.file.write(&lines[done..]) {
                Ok(0) => return self.tear(lines, done, hold, io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return self.tear(lines, done, hold, cause),
            }
        }
        (done, Ok(()))
    }

    fn tear(
        &mut self,
        lines: &[u8],
        done: usize,
        hold: Hold,
        cause: io::Error,
    ) -> (usize, io::Result<()>) {
        let whole = whole_lines(lines, done);
        let part = (done - whole) as u64;
        if part > 0 {
            let is_taken_back = self.is_regular
                && hold == Hold::Alone
                && self.file.metadata().is_ok_and(|metadata| {
                    let length = metadata.len().saturating_sub(part);
                    self.file.set_len(length).is_ok()
                });
            self.is_torn = !is_taken_back;
        }
        (whole, Err(cause))
    }

    /// Takes the lock of the file that the path leads to.
    fn hold(&mut self) -> io::Result<Hold> {
        if !self.is_regular {
            return Ok(Hold::Shared);
        }
        let deadline = Instant::now() + LOCK_WITHIN;
        loop {
            if !self.is_at_path()? {
                self.reopen()?;
            }
            match self.file.try_lock() {
                Ok(()) if self.is_at_path()? => return Ok(Hold::Alone),
                Ok(()) => self.release(Hold::Alone),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(1));
                }
                // Its owner hangs.
                Err(TryLockError::WouldBlock) => return Ok(Hold::Shared),
                Err(TryLockError::Error(_)) => return Ok(Hold::Unlocked),
            }
        }
    }

    fn release(&self, hold: Hold) {
        if hold == Hold::Alone {
            // Fails where locks do not work, and then none was taken.
            let _ = self.file.unlock();
        }
    }

    fn is_at_path(&self) -> io::Result<bool> {
        let ours = Identity::of(&self.file.metadata()?);
        Ok(Identity::at(&self.path) == Some(ours))
    }

    fn is_gone(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let metadata = self.file.metadata();
        self.is_regular && metadata.is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// Opens what the path leads to now, or makes it anew with the mode of the one before: a
    /// user who could read that one continues to.
    fn reopen(&mut self) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let before = self.file.metadata();
        let mode = before.map_or(private::FILE_MODE, |it| it.mode() & 0o777);
        self.file = open(&self.path, mode)?;
        self.files += 1;
        self.is_regular = self.file.metadata()?.is_file();
        self.runs.turn_page();
        self.end_torn_line()
    }

    fn end_torn_line(&mut self) -> io::Result<()> {
        self.is_torn = false;
        if self.is_regular && self.file.seek(SeekFrom::End(0))? > 0 {
            let mut last = [0];
            self.file.seek(SeekFrom::End(-1))?;
            self.file.read_exact(&mut last)?;
            // Another one may just be writing it: an empty line harms nobody.
            if last != *b"\n" {
                self.file.write_all(b"\n")?;
            }
        }
        Ok(())
    }
}

/// Opens the file and finds its real path: behind a link, the file itself is rotated, and a change
/// of folder moves nothing. A device or a pipe keeps the path by which it was asked for.
fn resolve(path: &Path) -> io::Result<(PathBuf, File)> {
    let deadline = Instant::now() + LOCK_WITHIN;
    loop {
        let file = open(path, private::FILE_MODE)?;
        if !file.metadata()?.is_file() {
            return Ok((path.to_owned(), file));
        }
        match fs::canonicalize(path) {
            // Another writer has just moved it on.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && Instant::now() < deadline => {}
            found => return Ok((found?, file)),
        }
    }
}

fn open(path: &Path, mode: u32) -> io::Result<File> {
    private::folder_of(path)?;
    private::options(mode).read(true).append(true).open(path)
}

/// How many of the first bytes are whole lines.
fn whole_lines(lines: &[u8], limit: usize) -> usize {
    let lines = &lines[..limit.min(lines.len())];
    lines
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1)
}

fn first_line(lines: &[u8]) -> usize {
    lines
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(lines.len(), |end| end + 1)
}
