//! `Seed`: the secret that the keys of all contracts of a store come from.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::hex::DisplayHex;
use bitcoin::secp256k1::SecretKey;
use bitcoin::secp256k1::rand::{RngCore, rngs::OsRng};
use btc_iface::dlc::{ContractId, Role};
use btc_iface::{BitcoinResult, ErrorKind};
use zeroize::Zeroize;

use crate::fault::{error, internal};

/// 32 secret bytes. With them and the store, its contracts can be settled.
#[derive(Clone)]
pub struct Seed([u8; 32]);

impl Drop for Seed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}

impl Seed {
    /// The seed of the caller's.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the seed from this file, or makes one from the system's randomness and writes it
    /// there, readable for its owner alone.
    ///
    /// # Errors
    /// `Configuration`: the file cannot be read or written, or does not hold 32 bytes.
    ///
    /// # Effects
    /// A new file is on disk before this returns.
    pub fn open_or_create(path: &Path) -> BitcoinResult<Self> {
        match fs::exists(path) {
            Ok(false) => Self::create(path),
            _ => Self::open(path),
        }
    }

    /// Reads the seed from this file.
    ///
    /// # Errors
    /// `Configuration`: the file is missing, cannot be read, or does not hold 32 bytes.
    pub fn open(path: &Path) -> BitcoinResult<Self> {
        let mut bytes = fs::read(path).map_err(|cause| unusable(path, cause))?;
        let seed = <[u8; 32]>::try_from(bytes.as_slice());
        bytes.zeroize();
        seed.map(Self).map_err(|_| {
            let message = "the seed of the contracts is damaged; restore it from a backup";
            error(ErrorKind::Configuration, message).with_context("file", path.display())
        })
    }

    fn create(path: &Path) -> BitcoinResult<Self> {
        let mut bytes = [0; 32];
        OsRng.fill_bytes(&mut bytes);
        let seed = Self(bytes);
        bytes.zeroize();
        // Complete under another name first: a crash never leaves half a seed behind.
        let draft = path.with_extension(format!("new.{}", std::process::id()));
        let written = write_private(&draft, &seed.0)
            .and_then(|()| fs::hard_link(&draft, path))
            .and_then(|()| fs::remove_file(&draft));
        match written {
            Ok(()) => {}
            // Another process was first: its seed counts.
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && path.exists() => {
                let _ = fs::remove_file(&draft);
                return Self::open_or_create(path);
            }
            Err(cause) => return Err(unusable(path, cause)),
        }
        if let Some(folder) = path.parent() {
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|cause| unusable(path, cause))?;
        }
        Ok(seed)
    }

    /// What tells this seed from another one and says nothing about it.
    pub(crate) fn fingerprint(&self) -> String {
        let tag = sha256::Hash::hash(b"btc-dlc/fingerprint");
        let mut engine = sha256::Hash::engine();
        for part in [tag.as_ref(), tag.as_ref(), &self.0[..]] {
            engine.input(part);
        }
        let digest = sha256::Hash::from_engine(engine).to_byte_array();
        digest[..8].to_lower_hex_string()
    }

    /// The key of one side in one contract's funding output.
    pub(crate) fn funding_key(&self, id: ContractId, role: Role) -> BitcoinResult<SecretKey> {
        self.derive(&format!("btc-dlc/funding/{}", role.as_str()), &id.0)
    }

    /// The key that a wallet without PSBT pays to.
    pub(crate) fn staging_key(&self, number: u32) -> BitcoinResult<SecretKey> {
        self.derive("btc-dlc/staging", &number.to_be_bytes())
    }

    /// The key of an oracle.
    pub(crate) fn oracle_key(&self) -> BitcoinResult<SecretKey> {
        self.derive("btc-dlc/oracle", &[])
    }

    fn derive(&self, tag: &str, data: &[u8]) -> BitcoinResult<SecretKey> {
        let tag = sha256::Hash::hash(tag.as_bytes());
        for counter in 0..=u8::MAX {
            let mut engine = sha256::Hash::engine();
            for part in [tag.as_ref(), tag.as_ref(), &self.0, data, &[counter][..]] {
                engine.input(part);
            }
            let mut digest = sha256::Hash::from_engine(engine).to_byte_array();
            let key = SecretKey::from_slice(&digest);
            digest.zeroize();
            if let Ok(key) = key {
                return Ok(key);
            }
        }
        Err(internal("no key can be derived"))
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn unusable(path: &Path, cause: io::Error) -> btc_iface::BitcoinError {
    let message = "the seed of the contracts cannot be read or written";
    error(ErrorKind::Configuration, message)
        .with_context("file", path.display())
        .with_source(cause)
}

/// Bytes from the system's randomness.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}
