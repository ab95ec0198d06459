//! `StateFile`: the state on disk, replaced whole or not at all, by one process at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind};

use super::state::{State, error};

/// How long another process may take for its change.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_INTERVAL: Duration = Duration::from_millis(5);
/// A hundred changes with the longest reasons take less.
const MAX_BYTES: u64 = 1 << 20;

/// The state file of a roll-out, which several processes may share.
///
/// A reader sees the state before a change or after it, whenever the writer is killed: it is
/// written beside its place, synchronised to disk and renamed, under an exclusive `flock` on a
/// file of its own (`NAME.lock`).
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
}

/// What tells one content of the file from the next without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl StateFile {
    /// The file at this path. Nothing is read or written yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        // A link is followed once, here, so that a rename replaces what it names and not the link;
        // and a program that changes its folder keeps the file.
        let found = fs::canonicalize(&path).or_else(|_| path::absolute(&path));
        Self {
            path: found.unwrap_or(path),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the state.
    ///
    /// # Errors
    /// `NotFound`: there is none. `Unsupported`: a newer version wrote it. `InvalidResponse`: it
    /// is damaged. `Unavailable`: it cannot be read.
    pub fn read(&self) -> BitcoinResult<State> {
        let mut text = Vec::new();
        let read =
            File::open(&self.path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text));
        read.map_err(|cause| {
            let (kind, message) = match cause.kind() {
                io::ErrorKind::NotFound => (ErrorKind::NotFound, "there is no state file"),
                _ => (ErrorKind::Unavailable, "the state file cannot be read"),
            };
            error(kind, message)
                .with_context("file", self.path.display())
                .with_source(cause)
        })?;
        if text.len() as u64 > MAX_BYTES {
            return Err(
                error(ErrorKind::InvalidResponse, "the state file is too long")
                    .with_context("file", self.path.display()),
            );
        }
        State::parse(&text).map_err(|cause| cause.with_context("file", self.path.display()))
    }

    /// Reads the state, or makes one in which Rust answers nothing.
    ///
    /// # Errors
    /// `Configuration`: the file is damaged, of a newer version, or cannot be read or made. The
    /// message says what to do.
    pub fn open(&self) -> BitcoinResult<State> {
        let opened = match self.read() {
            Err(absent) if absent.kind() == ErrorKind::NotFound => self.locked(|| {
                match self.read() {
                    // Another process was faster.
                    Err(absent) if absent.kind() == ErrorKind::NotFound => {
                        let state = State::new("the first start");
                        self.replace(&state).map(|()| state)
                    }
                    read => read,
                }
            }),
            read => read,
        };
        opened.map_err(|cause| self.configuration(cause))
    }

    /// Changes the state under the lock, and returns it before and after. What leaves it as it was
    /// writes nothing.
    ///
    /// # Errors
    /// Those of [`read`](Self::read) and of `change`. `Unavailable`: another process does not let
    /// go of the lock, or the file cannot be written.
    pub fn update(
        &self,
        change: impl FnOnce(&mut State) -> BitcoinResult<()>,
    ) -> BitcoinResult<(State, State)> {
        self.locked(|| self.change(self.read()?, change))
    }

    /// Has Python answer everything, also when the file is gone or damaged: then with a new state.
    /// A damaged file is kept as `NAME.damaged`.
    ///
    /// # Errors
    /// `Unsupported`: a newer version wrote the file. `Unavailable`: as in
    /// [`update`](Self::update), or it cannot be read.
    pub fn roll_back(&self, reason: &str) -> BitcoinResult<(State, State)> {
        let again = || State::new(&format!("the state file was gone or damaged: {reason}"));
        self.recover(again, |state| state.roll_back(reason))
    }

    /// Changes the state; a file that is gone or damaged is made `again` first.
    pub(crate) fn recover(
        &self,
        again: impl FnOnce() -> State,
        change: impl FnOnce(&mut State),
    ) -> BitcoinResult<(State, State)> {
        self.locked(|| {
            let (state, is_new) = match self.read() {
                Ok(state) => (state, false),
                Err(cause) if cause.kind() == ErrorKind::NotFound => (again(), true),
                Err(cause) if cause.kind() == ErrorKind::InvalidResponse => {
                    fs::rename(&self.path, self.beside("damaged"))
                        .map_err(|cause| self.unwritable(cause))?;
                    (again(), true)
                }
                Err(cause) => return Err(cause),
            };
            let before = state.clone();
            let (_, after) = self.change(state, |state| {
                change(state);
                Ok(())
            })?;
            if is_new && before == after {
                self.replace(&after)?;
            }
            Ok((before, after))
        })
    }

    /// What distinguishes the file's content now; nothing when it cannot be looked at.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        let found = fs::metadata(&self.path).ok()?;
        Some(Stamp {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    fn change(
        &self,
        mut state: State,
        change: impl FnOnce(&mut State) -> BitcoinResult<()>,
    ) -> BitcoinResult<(State, State)> {
        let before = state.clone();
        change(&mut state)?;
        if state != before {
            self.replace(&state)?;
        }
        Ok((before, state))
    }

    /// Writes the state in the place of what is there. The lock must be held.
    fn replace(&self, state: &State) -> BitcoinResult<()> {
        let draft = self.beside("draft");
        let write = || -> io::Result<()> {
            let mut text = serde_json::to_vec_pretty(state)?;
            text.push(b'\n');
            let mut file = File::create(&draft)?;
            if let Ok(before) = fs::metadata(&self.path) {
                file.set_permissions(before.permissions())?;
            }
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&draft, &self.path)?;
            File::open(self.folder())?.sync_all()
        };
        write().map_err(|cause| self.unwritable(cause))
    }

    /// Runs while no other process changes the state.
    fn locked<T>(&self, run: impl FnOnce() -> BitcoinResult<T>) -> BitcoinResult<T> {
        let path = self.beside("lock");
        fs::create_dir_all(self.folder()).map_err(|cause| self.unwritable(cause))?;
        // To lock it, reading is enough: it may have been made by another user.
        let lock = File::open(&path)
            .or_else(|_| {
                let mut options = File::options();
                options.read(true).append(true).create(true).open(&path)
            })
            .map_err(|cause| self.unwritable(cause))?;
        let started = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_PATIENCE => {
                    thread::sleep(LOCK_INTERVAL);
                }
                Err(TryLockError::WouldBlock) => {
                    let message = "another process is changing the state and does not come to an \
                                   end; look for one that is stopped";
                    return Err(
                        error(ErrorKind::Unavailable, message).with_context("lock", path.display())
                    );
                }
                Err(TryLockError::Error(cause)) => return Err(self.unwritable(cause)),
            }
        }
        let done = run();
        // Closing it would not be enough: a process that is being started has a copy for a moment.
        let _ = lock.unlock();
        done
    }

    fn folder(&self) -> &Path {
        let parent = self.path.parent();
        parent
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(ending);
        name.into()
    }

    fn unwritable(&self, cause: io::Error) -> BitcoinError {
        let message = "the state file cannot be written; it, its folder and its disk must allow it";
        error(ErrorKind::Unavailable, message)
            .with_context("file", self.path.display())
            .with_source(cause)
    }

    /// What keeps a program from starting, with what to do.
    fn configuration(&self, cause: BitcoinError) -> BitcoinError {
        let message = match cause.kind() {
            ErrorKind::Unsupported => {
                "the roll-out's state was written by a newer version; run that version, or set \
                 ROLLOUT_FILE to another path to begin again at 0 %"
            }
            ErrorKind::InvalidResponse => {
                "the roll-out's state is damaged; put a copy of it back, or begin again at 0 % \
                 (`btc rollout rollback`)"
            }
            _ => {
                "the roll-out's state cannot be read or written; set ROLLOUT_FILE to a path that \
                 can"
            }
        };
        error(ErrorKind::Configuration, message)
            .with_context("file", self.path.display())
            .with_source(cause)
    }
}
