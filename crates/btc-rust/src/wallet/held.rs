//! `Held`: an exclusive `flock` on a file that ends with this, whoever else has the file open.

use std::fs::{File, TryLockError};
use std::ops::Deref;

/// A locked file.
///
/// Closing it would not be enough: a process that is being started has copies of all open files
/// for a moment, and the lock would live on with them.
#[derive(Debug)]
pub(super) struct Held(File);

impl Held {
    /// Takes the lock at once, or gives the file back with the reason.
    pub(super) fn try_new(file: File) -> Result<Self, (File, TryLockError)> {
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(cause) => Err((file, cause)),
        }
    }
}

impl Deref for Held {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closed next, which does the same unless somebody has a copy.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_open_file_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let path = dir.path().join("lock");
        let open = || File::create(&path).expect("writable");
        let held = Held::try_new(open()).expect("nobody has it");
        let copy = held.try_clone().expect("room for another");
        Held::try_new(open()).expect_err("it is held");
        drop(held);
        Held::try_new(open()).expect("let go");
        drop(copy);
    }
}
