//! The secret file: words, encrypted with a passphrase.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, scrypt};
use bip39::{Language, Mnemonic};
use bitcoin::bip32::Fingerprint;
use bitcoin::secp256k1::rand::RngCore;
use bitcoin::secp256k1::rand::rngs::OsRng;
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Network, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::fault;
use super::folder::{self, WalletFile};
use super::keys::{Keyring, Signer};

/// The name of the encrypted secret.
pub const SECRET_AGE: &str = "secret.age";
/// The name of the secret in the clear.
pub const SECRET_TXT: &str = "secret.txt";

/// The work that guessing a passphrase costs, as age's own program has it: scrypt with 2^18
/// rounds takes 256 MiB and about a second.
pub const DEFAULT_WORK_FACTOR: u8 = 18;
/// The most work that opening a secret may cost: 1 GiB and several seconds. A file that asks for
/// more is not ours.
pub const MAX_WORK_FACTOR: u8 = 20;

/// Far more than the words and a passphrase take.
const MAX_BYTES: u64 = 64 << 10;
const ADVICE: &str = "restore it from a backup, or create the wallet anew from its words";

/// How a secret is kept on disk.
#[derive(Debug, Clone)]
pub enum Protection {
    /// Encrypted with age, in `secret.age`.
    Passphrase {
        /// What unlocks it.
        passphrase: Secret,
        /// scrypt's work as a power of two, 1 to 20; 18 unless the secret guards nothing.
        work_factor: u8,
    },
    /// In the clear, in `secret.txt` with mode 0600. On regtest only.
    PlainRegtestOnly,
}

impl Protection {
    /// A passphrase with the usual work.
    pub fn passphrase(passphrase: Secret) -> Self {
        Self::Passphrase {
            passphrase,
            work_factor: DEFAULT_WORK_FACTOR,
        }
    }

    pub(super) fn check(&self, network: Network) -> BitcoinResult<()> {
        match self {
            Self::PlainRegtestOnly if network != Network::Regtest => Err(fault::invalid(
                "a secret in the clear is for regtest only; give a passphrase",
            )),
            Self::Passphrase { passphrase, .. } if passphrase.expose().is_empty() => {
                Err(fault::invalid("the passphrase is empty; give one"))
            }
            Self::Passphrase { work_factor, .. }
                if !(1..=MAX_WORK_FACTOR).contains(work_factor) =>
            {
                let message = format!("the work factor is from 1 to {MAX_WORK_FACTOR}");
                Err(fault::invalid(message))
            }
            Self::PlainRegtestOnly | Self::Passphrase { .. } => Ok(()),
        }
    }
}

/// A wallet's words and BIP39 passphrase; never printed, wiped when dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletSecret {
    /// 12 to 24 English words, one space between them.
    pub words: Secret,
    /// BIP39's passphrase; empty for none.
    pub passphrase: Secret,
}

impl WalletSecret {
    /// Derives the accounts' keys.
    ///
    /// # Errors
    /// `InvalidInput`: as [`Signer::from_words`].
    pub fn signer(&self, network: Network) -> BitcoinResult<Signer> {
        Signer::from_words(network, self.words.expose(), self.passphrase.expose())
    }
}

/// Makes new BIP39 words from the operating system's randomness.
///
/// # Errors
/// `InvalidInput`: a count other than 12, 15, 18, 21 or 24. `Internal`: no randomness.
pub fn generate_words(count: usize) -> BitcoinResult<Secret> {
    const BITS_PER_WORD: usize = 32;
    const WORDS_PER_GROUP: usize = 3;
    if !matches!(count, 12 | 15 | 18 | 21 | 24) {
        let message = format!("{count} words; BIP39 has 12, 15, 18, 21 or 24");
        return Err(fault::invalid(message));
    }
    let mut entropy = Zeroizing::new(vec![0; count / WORDS_PER_GROUP * BITS_PER_WORD / 8]);
    let random = OsRng.try_fill_bytes(&mut entropy);
    random.map_err(|cause| {
        let message = "the operating system gives no randomness";
        fault::error(ErrorKind::Internal, message).with_source(cause.to_string())
    })?;
    let mnemonic = Mnemonic::from_entropy_in(Language::English, &entropy)
        .map_err(|cause| fault::invalid("the words cannot be made").with_source(cause))?;
    Ok(Secret::new(mnemonic.to_string()))
}

/// Whether the folder has a secret.
pub fn exists(dir: &Path) -> bool {
    [SECRET_AGE, SECRET_TXT]
        .iter()
        .any(|name| dir.join(name).exists())
}

/// Whether the folder's secret needs a passphrase.
pub fn is_encrypted(dir: &Path) -> bool {
    dir.join(SECRET_AGE).exists()
}

/// Reads the secret and derives the wallet's keys from it.
///
/// # Errors
/// `Unsupported`: no secret, the wallet is watch-only. `Auth`: the passphrase is missing or wrong.
/// `Configuration`: the file is damaged, belongs to another wallet, demands too much work, may be
/// read by others, or holds a secret in the clear elsewhere than on regtest.
pub fn unlock(
    dir: &Path,
    wallet: &WalletFile,
    passphrase: Option<&Secret>,
) -> BitcoinResult<Signer> {
    Ok(open(dir, wallet, passphrase)?.1)
}

/// Reads the words themselves, for a backup.
///
/// # Errors
/// As [`unlock`].
pub fn reveal(
    dir: &Path,
    wallet: &WalletFile,
    passphrase: Option<&Secret>,
) -> BitcoinResult<WalletSecret> {
    Ok(open(dir, wallet, passphrase)?.0)
}

/// Writes the secret into a folder that has none.
pub(super) fn write(
    dir: &Path,
    network: Network,
    secret: &WalletSecret,
    protection: &Protection,
) -> BitcoinResult<()> {
    protection.check(network)?;
    let plain = Content::encode(secret);
    match protection {
        Protection::PlainRegtestOnly => {
            folder::write_synced(&dir.join(SECRET_TXT), &plain, SECRET_MODE)
        }
        Protection::Passphrase {
            passphrase,
            work_factor,
        } => {
            let mut recipient = scrypt::Recipient::new(age_secret(passphrase));
            recipient.set_work_factor(*work_factor);
            let sealed = age::encrypt(&recipient, &plain).map_err(|cause| {
                fault::error(ErrorKind::Internal, "the secret cannot be encrypted")
                    .with_source(cause)
            })?;
            folder::write_synced(&dir.join(SECRET_AGE), &sealed, SECRET_MODE)
        }
    }
}

/// For the owner alone.
const SECRET_MODE: u32 = 0o600;

/// What the file says, decrypted.
#[derive(Serialize, Deserialize)]
struct Content<W> {
    words: W,
    passphrase: W,
}

impl Content<&str> {
    fn encode(secret: &WalletSecret) -> Zeroizing<Vec<u8>> {
        let content = Content {
            words: secret.words.expose(),
            passphrase: secret.passphrase.expose(),
        };
        // Large enough never to move, which would leave a copy behind: each byte may become six.
        let length = 6 * (content.words.len() + content.passphrase.len()) + 64;
        let mut plain = Zeroizing::new(Vec::with_capacity(length));
        serde_json::to_writer(&mut *plain, &content).expect("two texts into memory");
        plain
    }
}

fn open(
    dir: &Path,
    wallet: &WalletFile,
    passphrase: Option<&Secret>,
) -> BitcoinResult<(WalletSecret, Signer)> {
    let (sealed, clear) = (dir.join(SECRET_AGE), dir.join(SECRET_TXT));
    let (path, plain) = match (sealed.exists(), clear.exists()) {
        (true, true) => {
            let advice = "find out which is the wallet's, and move the other away";
            return Err(fault::damaged(dir, "has two secrets", advice));
        }
        (true, false) => {
            let plain = decrypt(&sealed, passphrase)?;
            (sealed, plain)
        }
        (false, true) => {
            let plain = read_clear(&clear, wallet.network)?;
            (clear, plain)
        }
        (false, false) => {
            let message = "the wallet has no secret: it is watch-only; sign elsewhere";
            return Err(fault::error(ErrorKind::Unsupported, message));
        }
    };
    // serde_json's errors may quote what they read.
    let content: Content<String> = serde_json::from_slice(&plain)
        .map_err(|_| fault::damaged(&path, "holds no words", ADVICE))?;
    let secret = WalletSecret {
        words: Secret::new(content.words),
        passphrase: Secret::new(content.passphrase),
    };
    let signer = secret
        .signer(wallet.network)
        .map_err(|_| fault::damaged(&path, "holds wrong words", ADVICE))?;
    if !is_of_this_wallet(&signer, wallet)? {
        let what = "holds the words of another wallet than wallet.json describes";
        return Err(fault::damaged(&path, what, "bring the two files together"));
    }
    Ok((secret, signer))
}

/// Whether each descriptor of `wallet.json` gives the scripts of these keys, and names no other
/// master key. Without this, whoever can write that file could have addresses of their own given
/// out. The first script is enough: no other key derives the same one.
fn is_of_this_wallet(signer: &Signer, wallet: &WalletFile) -> BitcoinResult<bool> {
    let named = Keyring::new(wallet.network, &wallet.accounts)?;
    let own = Keyring::new(wallet.network, &signer.accounts())?;
    for (keychain, _) in named.keychains() {
        if named.script(keychain, 0)? != own.script(keychain, 0)? {
            return Ok(false);
        }
    }
    let mut masters = named.origins();
    masters.insert(wallet.fingerprint);
    let is_own = |master: Option<Fingerprint>| master.is_none_or(|it| it == signer.fingerprint());
    Ok(masters.into_iter().all(is_own))
}

fn decrypt(path: &Path, passphrase: Option<&Secret>) -> BitcoinResult<Zeroizing<Vec<u8>>> {
    let Some(passphrase) = passphrase else {
        let message = "the wallet's secret is encrypted; give its passphrase";
        return Err(fault::error(ErrorKind::Auth, message));
    };
    let sealed = folder::read_whole(path, MAX_BYTES)?;
    let mut identity = scrypt::Identity::new(age_secret(passphrase));
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let refused = |cause| refused(path, cause);
    let decryptor = Decryptor::new_buffered(&sealed[..]).map_err(refused)?;
    let mut reader = decryptor
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .map_err(refused)?;
    // The plain text is shorter than the file, so the buffer never moves.
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader
        .read_to_end(&mut plain)
        .map_err(|cause| refused(DecryptError::Io(cause)))?;
    Ok(plain)
}

fn refused(path: &Path, cause: DecryptError) -> BitcoinError {
    let made = match cause {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => fault::error(
            ErrorKind::Auth,
            "the passphrase of the wallet's secret is wrong; check capitals and layout",
        ),
        DecryptError::ExcessiveWork { required, .. } => {
            let what =
                format!("demands 2^{required} rounds of scrypt, more than 2^{MAX_WORK_FACTOR}");
            fault::damaged(path, &what, ADVICE)
        }
        DecryptError::UnknownFormat => fault::damaged(path, "is no age file of version 1", ADVICE),
        DecryptError::NoMatchingKeys => {
            fault::damaged(path, "is not encrypted with a passphrase", ADVICE)
        }
        _ => fault::damaged(path, "is damaged", ADVICE),
    };
    made.with_source(cause)
}

fn read_clear(path: &Path, network: Network) -> BitcoinResult<Zeroizing<Vec<u8>>> {
    if network != Network::Regtest {
        let advice = "create the wallet anew from its words, with a passphrase";
        let what = "is in the clear, which is for regtest only";
        return Err(fault::damaged(path, what, advice));
    }
    let status = fs::metadata(path).map_err(|cause| fault::file(path, "read", cause))?;
    if status.permissions().mode() & 0o077 != 0 {
        let advice = format!("run chmod 600 {}", path.display());
        return Err(fault::damaged(path, "may be read by others", &advice));
    }
    folder::read_whole(path, MAX_BYTES).map(Zeroizing::new)
}

fn age_secret(secret: &Secret) -> SecretString {
    SecretString::from(secret.expose().to_owned())
}
