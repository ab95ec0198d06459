//! `FileSource`: the recorded calls of files, read as a stream.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use btc_iface::rust_bitcoin::hashes::{Hash, HashEngine, sha256};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind};

use super::error;
use super::lines::{Lines, MAX_LINE_BYTES, TextLine};
use super::parse::{Entry, Methods};
use super::source::{Item, Source, Tally};
use super::state::{FileMark, FilesAt, Input, LineMark};

/// How much of a file's beginning tells it from another.
const HEAD_BYTES: u64 = 64 << 10;

/// How lines are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// The names that methods have beside our own.
    pub methods: Methods,
    /// Whether calls that reserve something are handed out. Those that send never are.
    pub with_effects: bool,
}

/// Hands out the calls of files, one file after the other.
pub struct FileSource {
    at: FilesAt,
    reading: Reading,
    lines: Option<Lines<Box<dyn BufRead + Send>>>,
    done: u64,
    has_grown: bool,
}

impl FileSource {
    /// The calls of these files, from the beginning.
    ///
    /// # Errors
    /// `NotFound`: no such file. `Configuration`: it cannot be read.
    pub fn open(paths: &[PathBuf], reading: Reading) -> BitcoinResult<Self> {
        let files: BitcoinResult<_> = paths.iter().map(|path| mark(path)).collect();
        let mut source = Self {
            at: FilesAt {
                files: files?,
                ..FilesAt::default()
            },
            reading,
            lines: None,
            done: 0,
            has_grown: false,
        };
        source.open_at_position()?;
        Ok(source)
    }

    /// The calls that a reader brings, from its beginning. Such a source cannot be resumed.
    pub fn of_reader(reader: impl BufRead + Send + 'static, name: &str, reading: Reading) -> Self {
        Self {
            at: FilesAt {
                files: vec![FileMark {
                    path: name.into(),
                    ..FileMark::default()
                }],
                ..FilesAt::default()
            },
            reading,
            lines: Some(Lines::new(Box::new(reader))),
            done: 0,
            has_grown: false,
        }
    }

    /// Goes on where a replay of the same files stopped, `done` lines of all files before.
    ///
    /// # Errors
    /// `InvalidInput`: these are other files, or they have changed other than by what was added.
    /// Also those of [`open`](Self::open).
    pub fn resume(
        paths: &[PathBuf],
        reading: Reading,
        at: &FilesAt,
        done: u64,
    ) -> BitcoinResult<Self> {
        if paths.len() != at.files.len() || at.index >= at.files.len().max(1) {
            return Err(another("there are more or fewer files"));
        }
        for (path, before) in paths.iter().zip(&at.files) {
            check(path, before)?;
        }
        if let (Some(last), Some(file)) = (&at.last, at.files.get(at.index)) {
            check_last_line(&file.path, last)?;
        }
        let mut source = Self {
            at: at.clone(),
            reading,
            lines: None,
            done,
            has_grown: false,
        };
        // They may have grown.
        source.at.files = paths
            .iter()
            .map(|path| mark(path))
            .collect::<Result<_, _>>()?;
        for (now, before) in source.at.files.iter_mut().zip(&at.files) {
            source.has_grown |= now.size > before.size;
            now.head_bytes = before.head_bytes;
            now.head_sha256.clone_from(&before.head_sha256);
        }
        source.open_at_position()?;
        Ok(source)
    }

    /// Whether the files have lines that were not there before.
    pub fn has_grown(&self) -> bool {
        self.has_grown
    }

    fn open_at_position(&mut self) -> BitcoinResult<()> {
        let Some(mark) = self.at.files.get(self.at.index) else {
            return Ok(());
        };
        let open = || -> io::Result<File> {
            let mut file = File::open(&mark.path)?;
            file.seek(SeekFrom::Start(self.at.offset))?;
            Ok(file)
        };
        let file = open().map_err(|cause| unreadable(&mark.path, cause))?;
        let reader: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(1 << 16, file));
        self.lines = Some(Lines::from(reader, self.at.line, self.at.offset));
        Ok(())
    }

    /// The next line, of this file or the next one.
    fn next_line(&mut self) -> BitcoinResult<Option<TextLine>> {
        loop {
            let Some(lines) = &mut self.lines else {
                return Ok(None);
            };
            let line = lines.next_line().map_err(|cause| {
                let path = self
                    .at
                    .files
                    .get(self.at.index)
                    .map(|file| file.path.as_path());
                unreadable(path.unwrap_or(Path::new("-")), cause)
            })?;
            if line.is_some() {
                return Ok(line);
            }
            self.lines = None;
            if self.at.index + 1 < self.at.files.len() {
                self.at = FilesAt {
                    files: std::mem::take(&mut self.at.files),
                    index: self.at.index + 1,
                    ..FilesAt::default()
                };
                self.open_at_position()?;
            }
        }
    }

    fn move_past(&mut self, line: &TextLine) {
        self.done += 1;
        // What may still be added to is read again after a resume.
        if line.is_ended {
            self.at.offset = line.end;
            self.at.line = line.number;
            self.at.last = Some(LineMark {
                start: line.start,
                bytes: line.bytes.len() as u64,
                sha256: sha256::Hash::hash(&line.bytes).to_string(),
            });
        }
    }
}

impl Source for FileSource {
    fn next_call(&mut self, tally: &mut Tally) -> BitcoinResult<Option<Item>> {
        while let Some(line) = self.next_line()? {
            self.move_past(&line);
            tally.read += 1;
            if line.bytes.trim_ascii().is_empty() && !line.is_too_long {
                continue;
            }
            let entry = if line.is_too_long {
                Err(format!("it is longer than {MAX_LINE_BYTES} bytes"))
            } else {
                Entry::parse(&line.bytes, &self.reading.methods)
            };
            match entry {
                Ok(Entry::Call(recorded)) => {
                    let operation = recorded.call.operation();
                    let is_made = !recorded.call.has_effect()
                        || self.reading.with_effects
                            && operation != btc_iface::Operation::BroadcastTransaction;
                    if is_made {
                        return Ok(Some(Item {
                            call: recorded.call,
                            place: line.number,
                        }));
                    }
                    tally.skip(operation);
                }
                Ok(Entry::Lost(count)) => {
                    tally.lost_calls = tally.lost_calls.saturating_add(count);
                }
                Err(what) => {
                    let file = self.at.files.get(self.at.index);
                    let file = file.map(|file| file.path.display().to_string());
                    tally.complain(&file.unwrap_or_default(), line.number, what);
                }
            }
        }
        Ok(None)
    }

    fn position(&self) -> Input {
        Input::Files(self.at.clone())
    }

    fn done(&self) -> u64 {
        self.done
    }
}

/// What tells this file from another.
fn mark(path: &Path) -> BitcoinResult<FileMark> {
    let mark = || -> io::Result<FileMark> {
        let path = path.canonicalize()?;
        let size = path.metadata()?.len();
        let head_bytes = size.min(HEAD_BYTES);
        Ok(FileMark {
            head_sha256: digest(&path, 0, head_bytes)?,
            path,
            size,
            head_bytes,
        })
    };
    mark().map_err(|cause| unreadable(path, cause))
}

/// That this is the file of before, or what it has grown to.
fn check(path: &Path, before: &FileMark) -> BitcoinResult<()> {
    let now = mark(path)?;
    if now.path != before.path {
        return Err(another("it is another path").with_context("file", path.display()));
    }
    if now.size < before.size {
        return Err(another("it is shorter now").with_context("file", path.display()));
    }
    let head = digest(path, 0, before.head_bytes).map_err(|cause| unreadable(path, cause))?;
    if head != before.head_sha256 {
        return Err(another("it begins with other lines").with_context("file", path.display()));
    }
    Ok(())
}

fn check_last_line(path: &Path, last: &LineMark) -> BitcoinResult<()> {
    let found = if last.bytes > MAX_LINE_BYTES as u64 {
        None
    } else {
        let digest = digest(path, last.start, last.bytes);
        Some(digest.map_err(|cause| unreadable(path, cause))?)
    };
    if found.as_deref() == Some(&last.sha256) {
        return Ok(());
    }
    Err(another("the last line that was done is another one").with_context("file", path.display()))
}

/// The SHA-256 of a part of a file.
fn digest(path: &Path, start: u64, bytes: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut engine = sha256::Hash::engine();
    let mut left = file.take(bytes);
    let mut buffer = [0; 8192];
    loop {
        match left.read(&mut buffer) {
            Ok(0) => return Ok(sha256::Hash::from_engine(engine).to_string()),
            Ok(count) => engine.input(&buffer[..count]),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
}

fn another(why: &str) -> BitcoinError {
    let message = format!(
        "the replay was begun on another input: {why}; give the same one, or begin anew with \
         --restart"
    );
    error(ErrorKind::InvalidInput, message)
}

fn unreadable(path: &Path, cause: io::Error) -> BitcoinError {
    let kind = match cause.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Configuration,
    };
    error(kind, "the recorded calls cannot be read")
        .with_context("file", path.display())
        .with_source(cause)
}
