//! `Compression`: an older file becomes a gzip file, a slice at a time between writes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;

use super::rotation::{self, Identity};
use crate::private;

/// How much is read at a time: a few milliseconds of work.
const SLICE_BYTES: usize = 128 << 10;

/// How often a name is tried that others give away at the same moment.
const ATTEMPTS: u32 = 8;

/// A file that is being compressed. Dropped before it is done, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Compression {
    source: File,
    identity: Identity,
    encoder: GzEncoder<File>,
    unfinished: PathBuf,
    read: u64,
    slice: Vec<u8>,
}

impl Compression {
    /// Begins with the oldest file that is not compressed, if there is any and no other process
    /// has begun with one.
    pub(super) fn begin(path: &Path) -> io::Result<Option<Self>> {
        let mut numbers = (1..=rotation::count(path)).rev();
        let Some(number) = numbers.find(|number| rotation::older(path, *number).exists()) else {
            return Ok(None);
        };
        let source = File::open(rotation::older(path, number))?;
        let unfinished = rotation::unfinished(path);
        let Some(target) = own(&unfinished, true)? else {
            return Ok(None);
        };
        target.set_len(0)?;
        target.set_permissions(source.metadata()?.permissions())?;
        Ok(Some(Self {
            identity: Identity::of(&source.metadata()?),
            source,
            encoder: GzEncoder::new(target, flate2::Compression::new(4)),
            unfinished,
            read: 0,
            slice: vec![0; SLICE_BYTES],
        }))
    }

    /// Compresses one slice, and makes the file whole after the last one; says whether it is.
    pub(super) fn step(&mut self) -> io::Result<bool> {
        let taken = self.source.read(&mut self.slice)?;
        if taken > 0 {
            self.encoder.write_all(&self.slice[..taken])?;
            self.read += taken as u64;
            return Ok(false);
        }
        self.encoder.try_finish()?;
        // Before it takes the place of the other, and while nobody waits for the names.
        self.encoder.get_ref().sync_all()?;
        Ok(true)
    }

    /// Puts the compressed file, which is whole, in the place of the other. The names must not
    /// change meanwhile. It says no when that is not to be: the other has grown or is gone, or
    /// somebody took the unfinished one away.
    pub(super) fn settle(self, path: &Path) -> io::Result<bool> {
        let is_it =
            |number: &u32| Identity::at(&rotation::older(path, *number)) == Some(self.identity);
        // It may have been deleted meanwhile, as the oldest.
        let Some(number) = (1..=rotation::count(path)).find(is_it) else {
            return Ok(false);
        };
        let has_grown = self.source.metadata()?.len() > self.read;
        // What has the name now might be another's, and half done.
        if has_grown || !is_at(&self.unfinished, self.encoder.get_ref())? {
            return Ok(false);
        }
        fs::rename(&self.unfinished, rotation::older_compressed(path, number))?;
        fs::remove_file(rotation::older(path, number))?;
        Ok(true)
    }
}

impl Drop for Compression {
    fn drop(&mut self) {
        // Settled, or taken away, it does not have the name any more.
        if is_at(&self.unfinished, self.encoder.get_ref()).unwrap_or(false) {
            // Nothing depends on it: the next one begins anew.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

/// Deletes what a compression left that was killed.
pub(super) fn clear(path: &Path) -> io::Result<()> {
    let unfinished = rotation::unfinished(path);
    match own(&unfinished, false) {
        // Under its lock: no other begins with it.
        Ok(Some(_target)) => fs::remove_file(&unfinished),
        Ok(None) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(cause),
    }
}

/// The file of this name under a lock; none while another process has it, or without locks.
fn own(unfinished: &Path, create: bool) -> io::Result<Option<File>> {
    for _ in 0..ATTEMPTS {
        // Not truncated: it may be under way in another process.
        let target = private::options(private::FILE_MODE)
            .write(true)
            .create(create)
            .truncate(false)
            .open(unfinished)?;
        if target.try_lock().is_err() {
            return Ok(None);
        }
        // Between the two, the other process may have given the file its final name.
        if is_at(unfinished, &target)? {
            return Ok(Some(target));
        }
    }
    Ok(None)
}

fn is_at(path: &Path, file: &File) -> io::Result<bool> {
    Ok(Identity::at(path) == Some(Identity::of(&file.metadata()?)))
}

#[cfg(test)]
mod tests {
    use flate2::read::MultiGzDecoder;

    use super::*;

    /// A log with one older file, and a compression of it that has read all.
    fn compressed() -> (tempfile::TempDir, PathBuf, Compression) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        fs::write(rotation::older(&path, 1), "one\n").expect("a new file");
        fs::write(rotation::unfinished(&path), "what was left by another").expect("a new file");
        let mut compression = Compression::begin(&path)
            .expect("a folder that can be written")
            .expect("a file to be compressed");
        while !compression.step().expect("a disk with room") {}
        (folder, path, compression)
    }

    fn unpacked(path: &Path) -> String {
        let file = File::open(path).expect("there");
        io::read_to_string(MultiGzDecoder::new(file)).expect("a whole gzip file")
    }

    #[test]
    fn a_compressed_file_takes_the_place_of_the_other_wherever_that_is_now() {
        let (_folder, path, compression) = compressed();
        fs::rename(rotation::older(&path, 1), rotation::older(&path, 2)).expect("there");
        fs::write(rotation::older(&path, 1), "two\n").expect("a new file");
        // As a kill leaves it that comes before the plain one is deleted.
        fs::write(rotation::older_compressed(&path, 2), "half").expect("a new file");
        assert!(compression.settle(&path).expect("a whole file"));
        assert_eq!(unpacked(&rotation::older_compressed(&path, 2)), "one\n");
        assert!(!rotation::older(&path, 2).exists());
        assert!(rotation::older(&path, 1).exists());
        assert!(!rotation::unfinished(&path).exists());
    }

    #[test]
    fn another_file_of_the_unfinished_ones_name_is_never_taken_for_it() {
        for is_settled in [true, false] {
            let (_folder, path, compression) = compressed();
            let unfinished = rotation::unfinished(&path);
            fs::remove_file(&unfinished).expect("there");
            fs::write(&unfinished, "half").expect("a new file");
            if is_settled {
                assert!(!compression.settle(&path).expect("a file"));
            } else {
                drop(compression);
            }
            assert!(rotation::older(&path, 1).exists());
            assert!(!rotation::older_compressed(&path, 1).exists());
            assert_eq!(fs::read(&unfinished).expect("still there"), b"half");
        }
    }

    #[test]
    fn a_file_that_grew_meanwhile_stays() {
        let (_folder, path, compression) = compressed();
        fs::write(rotation::older(&path, 1), "one\ntwo\n").expect("there");
        assert!(!compression.settle(&path).expect("a file"));
        assert!(rotation::older(&path, 1).exists());
        assert!(!rotation::older_compressed(&path, 1).exists());
        assert!(!rotation::unfinished(&path).exists());
    }

    #[test]
    fn one_at_a_time_and_what_a_kill_left_is_cleared() {
        let (_folder, path, compression) = compressed();
        let other = Compression::begin(&path).expect("a folder");
        assert!(other.is_none());
        clear(&path).expect("a folder");
        assert!(rotation::unfinished(&path).exists(), "it is under way");
        drop(compression);
        assert!(!rotation::unfinished(&path).exists());
        fs::write(rotation::unfinished(&path), "half").expect("a new file");
        clear(&path).expect("a folder");
        assert!(!rotation::unfinished(&path).exists());
        clear(&path).expect("nothing to do");
    }
}
