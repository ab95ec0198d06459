//! `Rotation`: how much disk a log may take, and the names of its older files.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

/// How much disk a log may take: `max_files` files of `max_file_bytes`.
///
/// A full `X.log` becomes `X.log.1`, that one `X.log.2`, and so on; the oldest is deleted. With
/// `compress`, older files become `X.log.1.gz` and so on, some time after; one more file is there
/// while that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The size of a file in bytes, at least [`MIN_FILE_BYTES`](Self::MIN_FILE_BYTES).
    pub max_file_bytes: u64,
    /// How many files there are at most, the current one among them; at least 2, or
    /// [`KEEP_ALL`](Self::KEEP_ALL).
    pub max_files: u32,
    /// Whether older files are compressed (gzip).
    pub compress: bool,
}

impl Default for Rotation {
    /// Eight files of 64 MiB, as they are.
    fn default() -> Self {
        Self {
            max_file_bytes: 64 << 20,
            max_files: 8,
            compress: false,
        }
    }
}

impl Rotation {
    /// For [`max_files`](Self::max_files): none is ever deleted.
    pub const KEEP_ALL: u32 = u32::MAX;
    /// The smallest size of a file, in bytes: room for the beginning and a few lines.
    pub const MIN_FILE_BYTES: u64 = 8 << 10;

    pub(super) fn check(&self) -> BitcoinResult<()> {
        if self.max_file_bytes >= Self::MIN_FILE_BYTES && self.max_files >= 2 {
            return Ok(());
        }
        let message = format!(
            "the comparison log cannot be rotated like this; set at least 2 files of {} bytes",
            Self::MIN_FILE_BYTES
        );
        Err(
            BitcoinError::new(ErrorKind::Configuration, Operation::Log, message)
                .with_context("max_file_bytes", self.max_file_bytes)
                .with_context("max_files", self.max_files),
        )
    }
}

/// The widest hole in the numbers that is closed.
const MAX_HOLE: u32 = 8;
/// The names that a number may stand for.
const NAMES: [fn(&Path, u32) -> PathBuf; 2] = [older, older_compressed];

/// A file as the system knows it, whatever its name: device and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }

    /// Of the file that has this name now; none when there is none or it cannot be seen.
    pub(super) fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|it| Self::of(&it))
    }
}

/// The name of the older file of this number, from 1.
pub(super) fn older(path: &Path, number: u32) -> PathBuf {
    with_suffix(path, &format!(".{number}"))
}

/// The same, compressed.
pub(super) fn older_compressed(path: &Path, number: u32) -> PathBuf {
    with_suffix(path, &format!(".{number}.gz"))
}

/// The name of a file that is being compressed.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    with_suffix(path, ".gz.tmp")
}

/// Makes room for a new file: each one takes the next number, the last ones are deleted.
///
/// Only the numbers from 1 without a hole, once it is [mended](mend), are a log's own: a file that
/// somebody named after a date is left alone.
pub(super) fn shift(path: &Path, max_files: u32) -> io::Result<()> {
    mend(path, max_files)?;
    for number in (1..=count(path)).rev() {
        for name in NAMES {
            let from = name(path, number);
            unless_missing(if number + 1 >= max_files {
                fs::remove_file(&from)
            } else {
                fs::rename(&from, name(path, number + 1))
            })?;
        }
    }
    fs::rename(path, older(path, 1))
}

/// Mends what a process left that was killed while it [shifted](shift) or compressed: closes
/// holes in the numbers, so that no file is forgotten beyond one, and keeps the plain one of a
/// file that is there twice, which is whole in any case.
///
/// A kill leaves a hole of one number. A wider one was made by hand, and is closed where the
/// numbers beyond it are such as the log gives.
pub(super) fn mend(path: &Path, max_files: u32) -> io::Result<()> {
    let mut next = 1;
    let is_next = |next: u32, number: &u32| {
        (*number <= next + 1 || *number < max_files) && is_there(path, *number)
    };
    while let Some(number) = (next..=next + MAX_HOLE).find(|number| is_next(next, number)) {
        if older(path, number).exists() {
            unless_missing(fs::remove_file(older_compressed(path, number)))?;
        }
        if number > next {
            for name in NAMES {
                unless_missing(fs::rename(name(path, number), name(path, next)))?;
            }
        }
        next += 1;
    }
    Ok(())
}

/// How many older files there are.
pub(super) fn count(path: &Path) -> u32 {
    let first_hole = (1..u32::MAX).find(|number| !is_there(path, *number));
    first_hole.map_or(0, |number| number - 1)
}

fn is_there(path: &Path, number: u32) -> bool {
    NAMES.iter().any(|name| name(path, number).exists())
}

/// Another process may have been faster, where there are no locks.
fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|cause| match cause.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(cause),
    })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_move_on_and_the_last_ones_go() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        for name in [
            "log",
            "log.1",
            "log.2.gz",
            "log.3",
            "log.4.gz",
            "log.20260101",
        ] {
            fs::write(folder.path().join(name), name).expect("a new file");
        }
        shift(&path, 4).expect("a folder that can be written");
        assert_eq!(
            names(folder.path()),
            ["log.1", "log.2", "log.20260101", "log.3.gz"]
        );
        for (name, content) in [
            ("log.1", "log"),
            ("log.2", "log.1"),
            ("log.3.gz", "log.2.gz"),
        ] {
            let found = fs::read_to_string(folder.path().join(name)).expect("there");
            assert_eq!(found, content);
        }
    }

    #[test]
    fn what_a_crash_left_in_the_middle_is_no_obstacle() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        // The others had moved on, the current one had not.
        for name in ["log", "log.2"] {
            fs::write(folder.path().join(name), name).expect("a new file");
        }
        shift(&path, 4).expect("a folder that can be written");
        assert_eq!(names(folder.path()), ["log.1", "log.2"]);
        assert_eq!(count(&path), 2);
    }

    #[test]
    fn a_hole_that_a_kill_left_is_closed_and_nothing_is_beyond_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        let dated = "log.20260101";
        // Killed when 3 had moved on and 2 had not.
        for name in ["log", "log.1", "log.2.gz", "log.4", "log.5.gz", dated] {
            fs::write(folder.path().join(name), name).expect("a new file");
        }
        mend(&path, 4).expect("a folder that can be written");
        let mended = ["log", "log.1", "log.2.gz", dated, "log.3", "log.4.gz"];
        assert_eq!(names(folder.path()), mended);
        let moved = fs::read_to_string(folder.path().join("log.4.gz")).expect("there");
        assert_eq!(moved, "log.5.gz");
        // Fewer are wanted now: what was beyond the hole goes as well.
        shift(&path, 3).expect("a folder that can be written");
        assert_eq!(names(folder.path()), ["log.1", "log.2", dated]);
    }

    #[test]
    fn a_hole_that_somebody_made_is_closed_among_the_logs_own_numbers_only() {
        for (max_files, expected) in [
            (8, ["log.1", "log.2", "log.3"]),
            (5, ["log.1", "log.2", "log.7"]),
        ] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("log");
            for name in ["log.1", "log.4", "log.7"] {
                fs::write(folder.path().join(name), name).expect("a new file");
            }
            mend(&path, max_files).expect("a folder that can be written");
            assert_eq!(names(folder.path()), expected);
        }
    }

    #[test]
    fn of_a_file_that_is_there_twice_the_plain_one_is_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        for name in ["log", "log.1", "log.1.gz", "log.2.gz"] {
            fs::write(folder.path().join(name), name).expect("a new file");
        }
        shift(&path, 8).expect("a folder that can be written");
        assert_eq!(names(folder.path()), ["log.1", "log.2", "log.3.gz"]);
    }

    #[test]
    fn too_small_a_bound_is_refused() {
        for (max_file_bytes, max_files) in [(Rotation::MIN_FILE_BYTES - 1, 2), (1 << 20, 1)] {
            let rotation = Rotation {
                max_file_bytes,
                max_files,
                compress: false,
            };
            let error = rotation.check().expect_err("too small");
            assert_eq!(error.kind(), ErrorKind::Configuration);
        }
        assert!(Rotation::default().check().is_ok());
    }
}
