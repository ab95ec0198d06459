//! One setup at a time: the lock that keeps two of them from writing the same folder.

use std::fs::{self, File, TryLockError};

use crate::error::{Context, Result};
use crate::terminal::note;
use crate::workspace::Workspace;

/// Held until dropped; the system releases it when the process dies.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for its turn, and says so.
    pub(crate) fn take(workspace: &Workspace) -> Result<Self> {
        fs::create_dir_all(workspace.cache()).context(|| {
            format!(
                "cannot create {}; set XDG_CACHE_HOME to a folder that can be written",
                workspace.cache().display()
            )
        })?;
        let path = workspace.cache().join("setup.lock");
        let failed = || format!("cannot lock {}", path.display());
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .context(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                note("another setup is at work; waiting for it");
                file.lock().context(failed)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).context(failed),
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, TryLockError};

    use super::Lock;
    use crate::workspace::Workspace;

    #[test]
    fn the_lock_excludes_and_is_released() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let workspace = Workspace::at(folder.path(), &folder.path().join("cache"));
        let held = Lock::take(&workspace)?;
        let other = File::options()
            .append(true)
            .open(folder.path().join("cache/setup.lock"))?;
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        assert!(other.try_lock().is_ok());
        Ok(())
    }
}
