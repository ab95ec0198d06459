//! The wallet's folder: `wallet.json`, creation as a whole, the lock.

mod create;
mod file;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Secret};

pub(in crate::wallet) use self::create::write_synced;
pub use self::create::{NewWallet, Origin, create};
pub use self::file::WalletFile;
use crate::wallet::fault;
use crate::wallet::held::Held;
use crate::wallet::keys::{Keyring, Signer};
use crate::wallet::reservations::Reservations;
use crate::wallet::secret::{self, WalletSecret};

/// How many unused addresses in a row a wallet looks at by default, when it is made and when it is
/// restored from its words.
pub const RESTORE_GAP_LIMIT: u32 = 1_000;
/// The name of the file with what is public.
pub const WALLET_JSON: &str = "wallet.json";
/// The name of the Rust wallet's lock.
pub const LOCK: &str = "rust.lock";
/// The name of the Rust wallet's books.
pub const BOOKS: &str = "rust.sqlite";

/// How long a process that is closing the wallet is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(10);

/// A wallet's folder, with the Rust wallet's lock held until it is dropped.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    file: WalletFile,
    keyring: Keyring,
    _lock: Held,
}

impl Folder {
    /// Opens a wallet's folder for this process alone.
    ///
    /// # Errors
    /// `Configuration`: no wallet there, or `wallet.json` is damaged or of a newer version.
    /// `Unavailable`: it is open already; the message has the process id.
    ///
    /// # Effects
    /// `rust.lock` holds this process's id.
    pub fn open(dir: &Path) -> BitcoinResult<Self> {
        // Before the lock, so that a folder that is no wallet stays as it is.
        let (file, keyring) = WalletFile::read(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            file,
            keyring,
            _lock: lock(dir)?,
        })
    }

    /// Reads what is public of the wallet in this folder, whoever has it open.
    ///
    /// # Errors
    /// `Configuration`: as [`Folder::open`].
    pub fn peek(dir: &Path) -> BitcoinResult<(WalletFile, Keyring)> {
        WalletFile::read(dir)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is public and never changes.
    pub fn file(&self) -> &WalletFile {
        &self.file
    }

    /// The wallet's scripts.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Where the Rust wallet's books are, which may not exist yet.
    pub fn books(&self) -> PathBuf {
        self.dir.join(BOOKS)
    }

    /// Opens the shared reservations.
    ///
    /// # Errors
    /// As [`Reservations::open`].
    pub fn reservations(&self) -> BitcoinResult<Reservations> {
        Reservations::open(&self.dir)
    }

    /// Whether there is a secret to unlock.
    pub fn has_secret(&self) -> bool {
        secret::exists(&self.dir)
    }

    /// Reads the wallet's secret keys.
    ///
    /// # Errors
    /// As [`secret::unlock`].
    pub fn unlock(&self, passphrase: Option<&Secret>) -> BitcoinResult<Signer> {
        secret::unlock(&self.dir, &self.file, passphrase)
    }

    /// Reads the wallet's words, for a backup.
    ///
    /// # Errors
    /// As [`secret::unlock`].
    pub fn reveal(&self, passphrase: Option<&Secret>) -> BitcoinResult<WalletSecret> {
        secret::reveal(&self.dir, &self.file, passphrase)
    }
}

/// Reads a file of at most this many bytes.
pub(in crate::wallet) fn read_whole(path: &Path, max_bytes: u64) -> BitcoinResult<Vec<u8>> {
    // Large enough never to move, which would leave a copy of a secret behind.
    let capacity = usize::try_from(max_bytes).map_or(0, |max| max + 1);
    let mut bytes = Vec::with_capacity(capacity);
    File::open(path)
        .and_then(|file| file.take(max_bytes + 1).read_to_end(&mut bytes))
        .map_err(|cause| fault::file(path, "read", cause))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > max_bytes) {
        let what = format!("has more than {max_bytes} bytes");
        return Err(fault::damaged(path, &what, "restore it from a backup"));
    }
    Ok(bytes)
}

fn lock(dir: &Path) -> BitcoinResult<Held> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|cause| fault::file(&path, "open", cause))?;
    let deadline = Instant::now() + PATIENCE;
    let mut free = file;
    let held = loop {
        match Held::try_new(free) {
            Ok(held) => break held,
            Err((again, TryLockError::WouldBlock)) if Instant::now() < deadline => {
                free = again;
                thread::sleep(POLL);
            }
            Err((file, TryLockError::WouldBlock)) => return Err(in_use(dir, &file)),
            Err((_, TryLockError::Error(cause))) => return Err(fault::file(&path, "lock", cause)),
        }
    };
    let id = format!("{}\n", std::process::id());
    // The id is for people; a full disk must not keep the wallet shut.
    if let Err(cause) = held
        .set_len(0)
        .and_then(|()| (&*held).write_all(id.as_bytes()))
    {
        tracing::warn!(path = %path.display(), %cause, "cannot write the process id");
    }
    Ok(held)
}

fn in_use(dir: &Path, lock: &File) -> BitcoinError {
    const LONGEST_ID: u64 = 20;
    let mut id = String::new();
    // Without an id the message is poorer and right all the same.
    let _ = lock.take(LONGEST_ID).read_to_string(&mut id);
    let holder = match id.trim() {
        "" => "another process".to_owned(),
        id => format!("process {id}"),
    };
    let message = format!(
        "the wallet {} is open in {holder}; close it there first",
        dir.display()
    );
    fault::error(ErrorKind::Unavailable, message).with_context("process", id.trim())
}
