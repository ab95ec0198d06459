//! `Compression`: an older file becomes a gzip file, a slice at a time between writes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;

use super::rotation::{self, Identity};

/// How much is read at a time: a few milliseconds of work.
const SLICE_BYTES: usize = 128 << 10;

/// A file that is being compressed. Dropped before it is done, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Compression {
    source: File,
    identity: Identity,
    encoder: GzEncoder<File>,
    unfinished: PathBuf,
    read: u64,
    slice: Vec<u8>,
    /// The file that was made has its place, or is somebody else's by now.
    is_settled: bool,
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
        // Not truncated yet: it may be under way in another process.
        let target = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&unfinished)?;
        let is_ours = target.try_lock().is_ok();
        // Between the two, the other process may have given the file its final name.
        if !is_ours || Identity::at(&unfinished) != Some(Identity::of(&target.metadata()?)) {
            return Ok(None);
        }
        target.set_len(0)?;
        Ok(Some(Self {
            identity: Identity::of(&source.metadata()?),
            source,
            encoder: GzEncoder::new(target, flate2::Compression::new(4)),
            unfinished,
            read: 0,
            slice: vec![0; SLICE_BYTES],
            is_settled: false,
        }))
    }

    /// Compresses one slice; says whether the end has been reached.
    pub(super) fn step(&mut self) -> io::Result<bool> {
        let taken = self.source.read(&mut self.slice)?;
        self.encoder.write_all(&self.slice[..taken])?;
        self.read += taken as u64;
        Ok(taken == 0)
    }

    /// Puts the compressed file in the place of the other, after the end was reached. The names
    /// must not change meanwhile. It says no, and is to be stepped on, when the file has grown.
    pub(super) fn settle(&mut self, path: &Path) -> io::Result<bool> {
        if self.source.metadata()?.len() > self.read {
            return Ok(false);
        }
        self.encoder.try_finish()?;
        self.encoder.get_ref().sync_all()?;
        let is_it =
            |number: &u32| Identity::at(&rotation::older(path, *number)) == Some(self.identity);
        // It may have been deleted meanwhile, as the oldest.
        if let Some(number) = (1..=rotation::count(path)).find(is_it) {
            fs::rename(&self.unfinished, rotation::older_compressed(path, number))?;
            self.is_settled = true;
            fs::remove_file(rotation::older(path, number))?;
        }
        Ok(true)
    }
}

impl Drop for Compression {
    fn drop(&mut self) {
        if !self.is_settled {
            // Nothing depends on it: the next one begins anew.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}
