//! `NodeSeed`: the 64 bytes that all keys of a node follow from, and the sealed file of a node that has its own.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use age::{Decryptor, scrypt};
use bitcoin::hashes::{Hash as _, HashEngine as _, Hmac, HmacEngine, sha256};
use bitcoin::secp256k1::rand::RngCore as _;
use bitcoin::secp256k1::rand::rngs::OsRng;
use btc_iface::Secret;
use btc_iface::lightning::{LightningError, LightningErrorKind as Kind, LightningResult, Preimage};
use zeroize::Zeroizing;

use crate::error::{error, storage};

/// The name of the sealed seed in the node's directory.
pub const SEED_FILE: &str = "seed.age";
/// scrypt's work as a power of two, as age's own program has it: about a second.
pub const DEFAULT_WORK_FACTOR: u8 = 18;
/// A file that demands more work than this is not ours.
const MAX_WORK_FACTOR: u8 = 20;
const SEED_BYTES: usize = 64;
/// Far more than a sealed seed takes.
const MAX_FILE_BYTES: u64 = 16 << 10;

/// The 64 bytes that all keys of a node follow from; never printed, wiped when dropped.
///
/// They **are** the master of the node's wallet: give a child of an application's words, never the words'
/// own seed, so that the two wallets do not share coins.
#[derive(Clone)]
pub struct NodeSeed(Zeroizing<[u8; SEED_BYTES]>);

impl NodeSeed {
    /// Takes the bytes over.
    pub fn from_bytes(bytes: Zeroizing<[u8; SEED_BYTES]>) -> Self {
        Self(bytes)
    }

    /// Makes a new one from the operating system's randomness.
    ///
    /// # Errors
    /// `Internal`: no randomness.
    pub fn generate() -> LightningResult<Self> {
        let mut bytes = Zeroizing::new([0; SEED_BYTES]);
        OsRng
            .try_fill_bytes(&mut *bytes)
            .map_err(|cause| error(Kind::Internal, format!("no randomness: {cause}")))?;
        Ok(Self(bytes))
    }

    pub(crate) fn expose(&self) -> &[u8; SEED_BYTES] {
        &self.0
    }

    /// Tells one seed from another without saying anything about it.
    pub(crate) fn fingerprint(&self) -> String {
        let tag = self.keyed(b"fingerprint", &[]);
        tag[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The preimage of a payment without an invoice: the same key gives the same one, so that the
    /// payment has one hash over crashes and repetitions.
    pub(crate) fn keysend_preimage(&self, key: &str) -> Preimage {
        Preimage::from_bytes(self.keyed(b"keysend", key.as_bytes()))
    }

    fn keyed(&self, purpose: &[u8], data: &[u8]) -> [u8; 32] {
        let mut engine = HmacEngine::<sha256::Hash>::new(self.expose());
        engine.input(b"btc-lightning/");
        engine.input(purpose);
        engine.input(b"/");
        engine.input(data);
        Hmac::from_engine(engine).to_byte_array()
    }
}

impl fmt::Debug for NodeSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeSeed(***)")
    }
}

/// A node's own seed, encrypted with a passphrase in [`SEED_FILE`].
#[derive(Debug, Clone)]
pub struct SealedSeed(PathBuf);

impl SealedSeed {
    /// The one in that directory.
    pub fn at(directory: &Path) -> Self {
        Self(directory.join(SEED_FILE))
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.0.exists()
    }

    /// Makes a new seed and writes it. It is on disk, for its owner only, before it is answered.
    ///
    /// # Errors
    /// `Configuration`: there is one already, or the passphrase is empty. `Storage`: it cannot be
    /// written.
    pub fn create(&self, passphrase: &Secret, work_factor: u8) -> LightningResult<NodeSeed> {
        if passphrase.expose().is_empty() {
            return Err(error(
                Kind::Configuration,
                "an empty passphrase protects nothing",
            ));
        }
        // Before the second of work that sealing takes; what decides is the link at the end.
        if fs::symlink_metadata(&self.0).is_ok() {
            return Err(self.is_taken());
        }
        let seed = NodeSeed::generate()?;
        let mut recipient = scrypt::Recipient::new(age_secret(passphrase));
        recipient.set_work_factor(work_factor.clamp(1, MAX_WORK_FACTOR));
        let sealed = age::encrypt(&recipient, seed.expose()).map_err(|cause| {
            error(
                Kind::Internal,
                format!("the seed cannot be sealed: {cause}"),
            )
        })?;
        match self.write(&sealed) {
            Ok(()) => Ok(seed),
            Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Err(self.is_taken()),
            Err(cause) => Err(storage(cause)),
        }
    }

    fn is_taken(&self) -> LightningError {
        let message = format!(
            "{} is there already; it is not overwritten",
            self.0.display()
        );
        error(Kind::Configuration, message)
    }

    /// Reads the seed.
    ///
    /// # Errors
    /// `Configuration`: no seed, a wrong passphrase, or a damaged file.
    pub fn open(&self, passphrase: &Secret) -> LightningResult<NodeSeed> {
        let wrong = |what: String| error(Kind::Configuration, what);
        let path = self.0.display();
        let file = fs::File::open(&self.0)
            .map_err(|cause| wrong(format!("{path} cannot be read: {cause}")))?;
        let mut sealed = Vec::new();
        file.take(MAX_FILE_BYTES)
            .read_to_end(&mut sealed)
            .map_err(storage)?;
        let mut identity = scrypt::Identity::new(age_secret(passphrase));
        identity.set_max_work_factor(MAX_WORK_FACTOR);
        let refused = |cause: age::DecryptError| wrong(format!("{path} cannot be opened: {cause}"));
        let decryptor = Decryptor::new_buffered(&sealed[..]).map_err(refused)?;
        let mut reader = decryptor
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .map_err(refused)?;
        let mut bytes = Zeroizing::new([0; SEED_BYTES]);
        reader
            .read_exact(&mut *bytes)
            .map_err(|cause| wrong(format!("{path} holds no seed: {cause}")))?;
        if reader.read(&mut [0]).map_err(storage)? != 0 {
            return Err(wrong(format!("{path} holds more than a seed")));
        }
        Ok(NodeSeed(bytes))
    }

    /// Written beside, synced, then linked to its name, which fails where there is one: there is a
    /// whole seed or none, and never another in its place.
    fn write(&self, sealed: &[u8]) -> std::io::Result<()> {
        let (beside, mut file) = self.beside()?;
        let written = file
            .write_all(sealed)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::hard_link(&beside, &self.0));
        // Of a seed that is not at its place, nothing is left.
        let removed = fs::remove_file(&beside);
        written.and(removed)?;
        match self.0.parent() {
            Some(folder) => fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// A new file of this call alone.
    fn beside(&self) -> std::io::Result<(PathBuf, fs::File)> {
        let mut mark = [0; 8];
        OsRng
            .try_fill_bytes(&mut mark)
            .map_err(std::io::Error::other)?;
        let mark: String = mark.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.0.with_extension(format!("new-{mark}"));
        let mut options = OpenOptions::new();
        options.create_new(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        Ok((path, file))
    }
}

fn age_secret(passphrase: &Secret) -> SecretString {
    SecretString::from(passphrase.expose().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_seed_opens_with_its_passphrase_alone() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let sealed = SealedSeed::at(dir.path());
        let passphrase = Secret::new("correct horse".to_owned());
        let made = sealed.create(&passphrase, 1).expect("a new one");
        let read = sealed.open(&passphrase).expect("its own passphrase");
        assert_eq!(made.expose(), read.expose());
        assert!(sealed.open(&Secret::new("wrong".to_owned())).is_err());
        assert!(sealed.create(&passphrase, 1).is_err(), "not overwritten");
        assert_eq!(format!("{made:?}"), "NodeSeed(***)");
    }

    #[test]
    fn of_two_that_make_a_seed_at_once_one_wins_and_its_seed_is_on_disk() {
        let passphrase = Secret::new("correct horse".to_owned());
        for _ in 0..20 {
            let dir = tempfile::tempdir().expect("a folder for the test");
            let sealed = SealedSeed::at(dir.path());
            let gate = std::sync::Barrier::new(2);
            let make = || {
                gate.wait();
                sealed.create(&passphrase, 1)
            };
            let (one, other) = std::thread::scope(|scope| {
                let first = scope.spawn(make);
                let second = scope.spawn(make);
                (first.join().expect("ends"), second.join().expect("ends"))
            });
            let (won, lost) = match (one, other) {
                (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
                (one, other) => unreachable!("one wins, not {one:?} and {other:?}"),
            };
            assert_eq!(lost.kind(), Kind::Configuration);
            let read = sealed.open(&passphrase).expect("the winner's");
            assert_eq!(won.expose(), read.expose());
            let files = fs::read_dir(dir.path()).expect("a folder").count();
            assert_eq!(files, 1, "nothing is left beside it");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_seed_whose_place_leads_nowhere_for_now_is_not_replaced() {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let sealed = SealedSeed::at(dir.path());
        // A disk that is not mounted: the file is said not to exist.
        let away = dir.path().join("unmounted").join(SEED_FILE);
        std::os::unix::fs::symlink(&away, dir.path().join(SEED_FILE)).expect("a link");
        assert!(!sealed.exists());
        let refused = sealed.create(&Secret::new("correct horse".to_owned()), 1);
        assert_eq!(
            refused.expect_err("it is there").kind(),
            Kind::Configuration
        );
        let link = fs::read_link(dir.path().join(SEED_FILE)).expect("still a link");
        assert_eq!(link, away);
    }

    #[test]
    fn a_key_has_one_preimage() {
        let seed = NodeSeed::from_bytes(Zeroizing::new([7; 64]));
        let other = NodeSeed::from_bytes(Zeroizing::new([8; 64]));
        assert_eq!(seed.keysend_preimage("a"), seed.keysend_preimage("a"));
        assert_ne!(seed.keysend_preimage("a"), seed.keysend_preimage("b"));
        assert_ne!(seed.keysend_preimage("a"), other.keysend_preimage("a"));
        assert_ne!(seed.fingerprint(), other.fingerprint());
    }
}
