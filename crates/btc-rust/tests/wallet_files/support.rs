//! What the tests share: a wallet of well-known words, cheap protection, expected errors.

use std::fs;
use std::path::{Path, PathBuf};

use btc_iface::{AddressType, BitcoinResult, Chain, ErrorKind, Network, Secret};
use btc_rust::wallet::folder::{NewWallet, Origin, create};
use btc_rust::wallet::keys::{Keychain, Signer};
use btc_rust::wallet::secret::Protection;
use tempfile::TempDir;

pub(crate) const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon \
                                abandon abandon abandon about";
pub(crate) const RECEIVE: Keychain = (AddressType::P2wpkh, Chain::Receive);
pub(crate) const CHANGE: Keychain = (AddressType::P2wpkh, Chain::Change);

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// Encryption that costs next to nothing.
pub(crate) fn cheap(passphrase: &str) -> Protection {
    Protection::Passphrase {
        passphrase: secret(passphrase),
        work_factor: 2,
    }
}

pub(crate) fn from_words(network: Network, protection: Protection) -> NewWallet {
    NewWallet {
        network,
        birthday: 0,
        gap_limit: 20,
        change_type: AddressType::P2wpkh,
        origin: Origin::Words {
            words: secret(WORDS),
            bip39_passphrase: secret(""),
            protection,
        },
    }
}

pub(crate) fn watch_only() -> NewWallet {
    let signer = Signer::from_words(Network::Regtest, WORDS, "").expect("right words");
    NewWallet {
        origin: Origin::WatchOnly {
            accounts: signer.accounts(),
            fingerprint: None,
        },
        ..from_words(Network::Regtest, Protection::PlainRegtestOnly)
    }
}

/// A wallet on regtest with its secret in the clear.
pub(crate) fn plain_wallet() -> (TempDir, PathBuf) {
    wallet(&from_words(Network::Regtest, Protection::PlainRegtestOnly))
}

pub(crate) fn wallet(new: &NewWallet) -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().expect("a folder for the test");
    let dir = parent.path().join("wallet");
    create(&dir, new).expect("a new wallet");
    (parent, dir)
}

/// Expects a failure of this kind whose message says this.
#[track_caller]
pub(crate) fn refused<T>(result: BitcoinResult<T>, kind: ErrorKind, said: &str) -> String {
    let error = result.err().expect(said);
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(said), "{error}");
    error.to_string()
}

/// The names in a folder, in order.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a folder");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("readable").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
