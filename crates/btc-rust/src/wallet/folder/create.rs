//! Creating a wallet's folder: whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use bitcoin::bip32::Fingerprint;
use btc_iface::{AddressType, BitcoinError, BitcoinResult, ErrorKind, Network, Secret};

use super::{LOCK, WALLET_JSON, WalletFile};
use crate::wallet::fault;
use crate::wallet::keys::{Account, Signer, parse_words};
use crate::wallet::reservations;
use crate::wallet::secret::{self, Protection, WalletSecret};

/// What a wallet is created from.
#[derive(Debug)]
pub struct NewWallet {
    /// The network of its addresses.
    pub network: Network,
    /// The height of the first block that may pay it.
    pub birthday: u32,
    /// How many addresses beyond the last used one are watched, 1 to 1000.
    pub gap_limit: u32,
    /// The type of change outputs.
    pub change_type: AddressType,
    /// Where its keys come from.
    pub origin: Origin,
}

/// Where a wallet's keys come from.
#[derive(Debug)]
pub enum Origin {
    /// BIP39 words, from which the four accounts follow.
    Words {
        /// 12 to 24 English words.
        words: Secret,
        /// BIP39's passphrase; empty for none.
        bip39_passphrase: Secret,
        /// How both are kept on disk.
        protection: Protection,
    },
    /// Public descriptors; the wallet watches and never signs.
    WatchOnly {
        /// One account at least, each type once.
        accounts: Vec<Account>,
        /// The fingerprint of the master key; `None` takes what all descriptors name.
        fingerprint: Option<Fingerprint>,
    },
}

/// Creates the folder of a new wallet.
///
/// The parent folder must exist. What a creation left behind that was cut off, hidden folders
/// beside `dir`, is removed.
///
/// # Errors
/// `InvalidInput`: something is at `dir` already; wrong words or descriptors; a gap limit outside
/// 1 to 1000; a change type without an account; an empty passphrase; a secret in the clear
/// elsewhere than on regtest. `Configuration`: the parent folder is missing or may not be written.
/// `Internal`: the disk is full or failed.
///
/// # Effects
/// The folder, its files synchronised to disk; nothing on failure.
pub fn create(dir: &Path, new: &NewWallet) -> BitcoinResult<()> {
    let (file, secret) = prepare(new)?;
    let place = Place::of(dir)?;
    place.remove_leftovers();
    let draft = Draft::begin(&place)?;
    let json = file.to_json();
    write_synced(&draft.dir.join(WALLET_JSON), json.as_bytes(), 0o644)?;
    if let Some((secret, protection)) = secret {
        secret::write(&draft.dir, file.network, &secret, protection)?;
    }
    reservations::create(&draft.dir)?;
    draft.publish(&place)
}

/// Writes a new file and waits until it is on disk.
pub(in crate::wallet) fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> BitcoinResult<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|cause| fault::file(path, "write", cause))
}

type SecretToKeep<'a> = (WalletSecret, &'a Protection);

fn prepare(new: &NewWallet) -> BitcoinResult<(WalletFile, Option<SecretToKeep<'_>>)> {
    let file = |fingerprint, accounts| {
        WalletFile::new(
            new.network,
            fingerprint,
            new.birthday,
            new.gap_limit,
            new.change_type,
            accounts,
        )
    };
    match &new.origin {
        Origin::Words {
            words,
            bip39_passphrase,
            protection,
        } => {
            protection.check(new.network)?;
            let mnemonic = parse_words(words.expose())?;
            let signer =
                Signer::from_words(new.network, words.expose(), bip39_passphrase.expose())?;
            let secret = WalletSecret {
                // As the words are written: lower case, one space between them.
                words: Secret::new(mnemonic.to_string()),
                passphrase: bip39_passphrase.clone(),
            };
            let file = file(Some(signer.fingerprint()), signer.accounts())?;
            Ok((file, Some((secret, protection))))
        }
        Origin::WatchOnly {
            accounts,
            fingerprint,
        } => Ok((file(*fingerprint, accounts.clone())?, None)),
    }
}

/// Where the folder shall be.
struct Place {
    dir: PathBuf,
    parent: PathBuf,
    /// How the names of drafts beside it begin.
    prefix: String,
}

impl Place {
    fn of(dir: &Path) -> BitcoinResult<Self> {
        let name = dir.file_name().and_then(|name| name.to_str());
        let (Some(name), Some(parent)) = (name, dir.parent()) else {
            let message = format!("{} cannot be a wallet's folder", dir.display());
            return Err(fault::invalid(message));
        };
        if fs::symlink_metadata(dir).is_ok() {
            return Err(taken(dir));
        }
        let here = Path::new(".");
        let parent = if parent.as_os_str().is_empty() {
            here
        } else {
            parent
        };
        if !parent.is_dir() {
            let message = format!("the folder {} is missing; create it", parent.display());
            return Err(fault::error(ErrorKind::Configuration, message));
        }
        Ok(Self {
            dir: dir.to_owned(),
            parent: parent.to_owned(),
            prefix: format!(".{name}.new-"),
        })
    }

    /// Removes the drafts of creations that ended early, and leaves those alone that still run:
    /// these hold the lock. Failing to is no reason not to create.
    fn remove_leftovers(&self) {
        let entries = fs::read_dir(&self.parent).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            if !name.to_str().is_some_and(|it| it.starts_with(&self.prefix)) {
                continue;
            }
            let path = entry.path();
            // Succeeds for an empty one only, whose owner did not get as far as the lock, or
            // notices and starts again.
            if fs::remove_dir(&path).is_ok() {
                continue;
            }
            if let Ok(lock) = File::open(path.join(LOCK))
                && lock.try_lock().is_ok()
                && let Err(cause) = fs::remove_dir_all(&path)
            {
                tracing::warn!(path = %path.display(), %cause, "cannot remove a leftover");
            }
        }
    }
}

/// A folder that is being filled, removed unless it is published. Its lock tells others that
/// somebody is at it.
struct Draft {
    dir: PathBuf,
    is_published: bool,
    _lock: File,
}

impl Draft {
    fn begin(place: &Place) -> BitcoinResult<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        // Another creation may take an empty draft for a leftover; that happens once at most.
        const ATTEMPTS: u32 = 3;
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..ATTEMPTS {
            let count = COUNTER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}{}-{count}", place.prefix, std::process::id());
            let dir = place.parent.join(name);
            match Self::at(dir) {
                Ok(draft) => return Ok(draft),
                Err(cause) => last = cause,
            }
        }
        Err(fault::file(&place.parent, "create a folder in", last))
    }

    fn at(dir: PathBuf) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(&dir)?;
        let path = dir.join(LOCK);
        let lock = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        lock.try_lock()?;
        let (ours, there) = (lock.metadata()?, fs::metadata(&path)?);
        if (ours.dev(), ours.ino()) != (there.dev(), there.ino()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Self {
            dir,
            is_published: false,
            _lock: lock,
        })
    }

    fn publish(mut self, place: &Place) -> BitcoinResult<()> {
        sync_folder(&self.dir)?;
        fs::rename(&self.dir, &place.dir).map_err(|cause| match cause.kind() {
            io::ErrorKind::AlreadyExists
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::NotADirectory => taken(&place.dir),
            _ => fault::file(&place.dir, "create", cause),
        })?;
        self.is_published = true;
        sync_folder(&place.parent)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_published
            && let Err(cause) = fs::remove_dir_all(&self.dir)
        {
            tracing::warn!(path = %self.dir.display(), %cause, "cannot remove a draft");
        }
    }
}

fn sync_folder(dir: &Path) -> BitcoinResult<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|cause| fault::file(dir, "synchronise", cause))
}

fn taken(dir: &Path) -> BitcoinError {
    let message = format!(
        "{} exists already; open it, or choose another folder",
        dir.display()
    );
    fault::invalid(message)
}
