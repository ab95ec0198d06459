//! `State`: how far a replay got, in a file that is replaced whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use btc_iface::rust_bitcoin::BlockHash;
use btc_iface::{BitcoinImplementationType, BitcoinResult, ErrorKind};
use serde::{Deserialize, Serialize};

use super::error;
use super::source::Tally;

/// The version of the states written here.
const VERSION: u32 = 1;
/// Twenty bad lines and a thousand files take less.
const MAX_BYTES: u64 = 4 << 20;

/// How far a replay got: all before the position is compared and in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// Whether everything was replayed.
    pub is_finished: bool,
    /// Whose answers came first.
    pub primary: BitcoinImplementationType,
    /// Whether calls that reserve something were made.
    pub with_effects: bool,
    /// The comparison log.
    pub log: LogAt,
    /// What is replayed, and the position in it.
    pub input: Input,
    /// What became of the calls so far.
    pub tally: Tally,
}

/// A replay's part of a comparison log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogAt {
    /// The file.
    pub path: PathBuf,
    /// Where the replay's lines begin, in bytes.
    pub start: u64,
    /// How long the file was.
    pub end: u64,
}

/// What is replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Recorded calls.
    Files(FilesAt),
    /// A range of the chain.
    Blocks(BlocksAt),
}

/// A position in files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesAt {
    /// The files.
    pub files: Vec<FileMark>,
    /// Which of them is read.
    pub index: usize,
    /// Bytes of it that are done.
    pub offset: u64,
    /// Lines of it that are done.
    pub line: u64,
    /// The last of them.
    pub last: Option<LineMark>,
}

/// What tells a file from another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMark {
    /// Where it is.
    pub path: PathBuf,
    /// How long it was.
    pub size: u64,
    /// How many bytes of its beginning the digest covers.
    pub head_bytes: u64,
    /// Their SHA-256.
    pub head_sha256: String,
}

/// What tells a line from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineMark {
    /// Where it begins, in bytes.
    pub start: u64,
    /// How many bytes the digest covers.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: String,
}

/// A position in a range of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlocksAt {
    /// The first height.
    pub first: u32,
    /// The last height.
    pub last: u32,
    /// How many transactions of each block are read on their own; none for all.
    pub transactions: Option<usize>,
    /// The hash of the first block, which tells one chain from another.
    pub first_hash: BlockHash,
    /// Blocks that are done, from the first one on.
    pub done: u32,
    /// The hash of the last one.
    pub last_hash: Option<BlockHash>,
}

impl State {
    /// A replay that has done nothing yet.
    pub fn new(
        primary: BitcoinImplementationType,
        with_effects: bool,
        log: LogAt,
        input: Input,
    ) -> Self {
        Self {
            version: VERSION,
            is_finished: false,
            primary,
            with_effects,
            log,
            input,
            tally: Tally::default(),
        }
    }

    /// Reads a state; none if there is no such file.
    ///
    /// # Errors
    /// `Configuration`: it cannot be read, is damaged, or a newer version wrote it.
    pub fn read(path: &Path) -> BitcoinResult<Option<Self>> {
        let failed = |message: &str| {
            error(ErrorKind::Configuration, message).with_context("state", path.display())
        };
        let mut text = Vec::new();
        match File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text)) {
            Ok(_) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => {
                return Err(failed("the replay's state cannot be read").with_source(cause));
            }
        }
        let damaged = "the replay's state is damaged; begin anew with --restart";
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|cause| failed(damaged).with_source(cause))?;
        if value.get("version").and_then(serde_json::Value::as_u64) != Some(VERSION.into()) {
            let message = "another version wrote the replay's state; begin anew with --restart";
            return Err(failed(message));
        }
        let state = serde_json::from_value(value);
        state
            .map(Some)
            .map_err(|cause| failed(damaged).with_source(cause))
    }

    /// Writes it in the place of what is there: beside it, to the disk, and renamed.
    ///
    /// # Errors
    /// `Configuration`: it cannot be written.
    pub fn write(&self, path: &Path) -> BitcoinResult<()> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".draft");
        let write = || -> io::Result<()> {
            let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            let mut file = File::create(&draft)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&draft, path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|cause| {
            let message = "the replay's state cannot be written; name another place with --resume";
            error(ErrorKind::Configuration, message)
                .with_context("state", path.display())
                .with_source(cause)
        })
    }
}
