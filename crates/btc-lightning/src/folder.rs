//! `Folder`: the node's directory, for its owner only, held by one process.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use btc_iface::lightning::{LightningErrorKind, LightningResult};

use crate::error::{error, storage};

const LOCK: &str = "lock";

/// The directory, locked until this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    /// Makes the directory if it is not there, and takes its lock at once.
    pub(crate) fn take(path: &Path) -> LightningResult<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(storage)?;
        refuse_others(path)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))
            .map_err(storage)?;
        match file.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                lock: file,
            }),
            Err(TryLockError::WouldBlock) => Err(error(
                LightningErrorKind::Locked,
                format!(
                    "another process runs a node in {}; two on one directory would lose money",
                    path.display()
                ),
            )),
            Err(TryLockError::Error(cause)) => Err(storage(cause)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing would not be enough: a process that is being started has copies of open files.
        let _ = self.lock.unlock();
    }
}

/// A directory that others may read or write is not for keys.
#[cfg(unix)]
fn refuse_others(path: &Path) -> LightningResult<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = fs::metadata(path).map_err(storage)?.permissions().mode();
    let for_others = mode & 0o077;
    if for_others == 0 {
        return Ok(());
    }
    Err(error(
        LightningErrorKind::Configuration,
        format!(
            "others may enter {} (mode {:o}); run chmod 700 on it",
            path.display(),
            mode & 0o777
        ),
    ))
}

#[cfg(not(unix))]
fn refuse_others(path: &Path) -> LightningResult<()> {
    fs::metadata(path).map(drop).map_err(storage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let path = dir.path().join("node");
        let first = Folder::take(&path).expect("no process has it");
        let second = Folder::take(&path).expect_err("it is taken");
        assert_eq!(second.kind(), LightningErrorKind::Locked);
        drop(first);
        Folder::take(&path).expect("it was given back");
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().expect("a folder for the test");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("our own");
        let refused = Folder::take(dir.path()).expect_err("others may enter");
        assert_eq!(refused.kind(), LightningErrorKind::Configuration);
    }
}
