//! `Disk`: a small file system of its own, for tests of what a full disk does.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use tempfile::TempDir;

/// Why a test over a [`Disk`] is left out, where [`Disk::mount`] has none.
pub const NO_DISK: &str =
    "mounting a small disk takes root, or user namespaces that anyone may make (unshare)";

/// The program that makes a namespace in which this process may mount, and what it is told.
const UNSHARE: [&str; 3] = ["unshare", "--map-root-user", "--mount"];

/// Says to this program that it runs in a namespace, so that it does not begin again for ever.
const ENTERED: &str = "BTC_REGTEST_NAMESPACE";

/// An empty file system of a fixed size in memory; unmounted on drop.
#[derive(Debug)]
pub struct Disk(TempDir);

impl Disk {
    /// Mounts one of so many KiB; none where this process may not mount.
    ///
    /// # Errors
    /// No folder can be made to mount it on.
    pub fn mount(kib: u32) -> io::Result<Option<Self>> {
        let place = tempfile::tempdir()?;
        let is_mounted = succeeds(&mut mount(&[], place.path(), kib));
        Ok(is_mounted.then_some(Self(place)))
    }

    /// Its root.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes a file that leaves this many KiB free, to the page; removing it frees the rest.
    ///
    /// # Errors
    /// There is no room even for an empty file.
    pub fn fill(&self, free_kib: u64) -> io::Result<PathBuf> {
        let path = self.path().join("filler");
        let mut file = File::create(&path)?;
        while file.write_all(&[0; 1024]).is_ok() {}
        let length = file.metadata()?.len();
        file.set_len(length.saturating_sub(free_kib << 10))?;
        Ok(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmount = |options: &[&str]| {
            let mut command = Command::new("umount");
            succeeds(command.args(options).arg(self.path()))
        };
        // What is still open keeps the disk, which then goes with the last of it.
        if !unmount(&[]) && !unmount(&["--lazy"]) {
            tracing::warn!(disk = %self.path().display(), "the disk could not be unmounted");
        }
    }
}

/// Where this process may not mount but may in a user namespace, begins again in one, with the
/// same arguments; elsewhere does nothing. For the first line of a test program's `main`, before
/// there are threads or files.
pub fn enter_namespace() {
    let may_mount = |program: &[&str]| {
        tempfile::tempdir().is_ok_and(|place| succeeds(&mut mount(program, place.path(), 64)))
    };
    // A disk that is mounted for good is one that drop unmounts.
    if env::var_os(ENTERED).is_some()
        || Disk::mount(64).is_ok_and(|disk| disk.is_some())
        || !may_mount(&UNSHARE)
    {
        return;
    }
    let Ok(program) = env::current_exe().and_then(fs::canonicalize) else {
        return;
    };
    let [unshare, options @ ..] = UNSHARE;
    let error = Command::new(unshare)
        .args(options)
        .arg(program)
        .args(env::args_os().skip(1))
        .env(ENTERED, "1")
        .exec();
    tracing::warn!(%error, "no user namespace, although there was one before");
}

/// The command that mounts, run by `program` if there is one.
fn mount(program: &[&str], place: &Path, kib: u32) -> Command {
    let size = format!("size={kib}k");
    let words = ["mount", "-t", "tmpfs", "-o", &size, "tmpfs"];
    let mut words = program.iter().copied().chain(words);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).arg(place);
    command
}

fn succeeds(command: &mut Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
