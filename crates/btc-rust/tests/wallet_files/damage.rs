//! Any flipped bit in any file: an error that has a kind, or no harm.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use btc_iface::{BitcoinError, ErrorKind, Network};
use btc_rust::wallet::folder::Folder;
use btc_rust::wallet::reservations::{Reservations, now_ms};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{CHANGE, RECEIVE, cheap, from_words, secret, wallet, watch_only};

/// The files of a wallet with something in each, closed.
static FILES: LazyLock<Vec<(OsString, Vec<u8>)>> = LazyLock::new(|| {
    let (_parent, dir) = wallet(&from_words(Network::Regtest, cheap("pass")));
    let mut reservations = Reservations::open(&dir).expect("a new wallet");
    reservations.take_index(RECEIVE, 5).expect("sound");
    reservations.take_index(CHANGE, 0).expect("sound");
    let txid = bitcoin::hashes::Hash::hash(b"a transaction");
    let booking = reservations.begin(now_ms()).expect("sound");
    for vout in 0..40 {
        let coin = bitcoin::OutPoint::new(txid, vout);
        booking.lock(coin).expect("sound");
    }
    booking.commit().expect("sound");
    drop(reservations);
    let entries = fs::read_dir(&dir).expect("there");
    let names = entries.map(|entry| entry.expect("readable").file_name());
    names
        .map(|name| (name.clone(), fs::read(dir.join(name)).expect("readable")))
        .collect()
});

fn copy() -> TempDir {
    let copy = tempfile::tempdir().expect("a folder for the test");
    for (name, bytes) in &*FILES {
        fs::write(copy.path().join(name), bytes).expect("room");
    }
    copy
}

/// A copy of the wallet in which one bit of one file is another.
fn damaged(name: &str, place: usize, bit: u8) -> TempDir {
    let copy = copy();
    let path = copy.path().join(name);
    let mut bytes = fs::read(&path).expect("there");
    let place = place % bytes.len();
    bytes[place] ^= 1 << bit;
    fs::write(&path, bytes).expect("room");
    copy
}

/// Whether the error tells the user of a file that is not what it should be.
fn is_told(error: &BitcoinError, name: &str) -> bool {
    error.kind() == ErrorKind::Configuration && error.message().contains(name)
}

fn use_reservations(dir: &Path) -> Result<(), BitcoinError> {
    let mut reservations = Reservations::open(dir)?;
    reservations.all_next()?;
    reservations.reserved(0)?;
    reservations.take_index(RECEIVE, 0)?;
    let txid = bitcoin::hashes::Hash::hash(b"a transaction");
    reservations.release(bitcoin::OutPoint::new(txid, 3))?;
    reservations.lock(bitcoin::OutPoint::new(txid, 99))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_flipped_bit_in_wallet_json_is_told_or_harmless(place: usize, bit in 0..8_u8) {
        let copy = damaged("wallet.json", place, bit);
        if let Err(error) = Folder::open(copy.path()) {
            prop_assert!(is_told(&error, "wallet.json"), "{}", error);
        }
    }

    #[test]
    fn a_flipped_bit_in_the_secret_never_opens_it(place: usize, bit in 0..8_u8) {
        let copy = damaged("secret.age", place, bit);
        let folder = Folder::open(copy.path()).expect("sound");
        let error = folder.unlock(Some(&secret("pass"))).expect_err("altered");
        let is_auth = error.kind() == ErrorKind::Auth;
        prop_assert!(is_auth || is_told(&error, "secret.age"), "{}", error);
    }

    #[test]
    fn a_flipped_bit_in_the_reservations_is_told_or_harmless(place: usize, bit in 0..8_u8) {
        let copy = damaged("reservations.sqlite", place, bit);
        if let Err(error) = use_reservations(copy.path()) {
            // An index beyond the end is a stored number like any other until it is used up.
            let is_exhausted = error.kind() == ErrorKind::InvalidInput;
            prop_assert!(is_exhausted || is_told(&error, "reservations.sqlite"), "{}", error);
        }
    }

    #[test]
    fn any_bytes_are_no_wallet(bytes: Vec<u8>) {
        let copy = copy();
        for name in ["wallet.json", "secret.age", "reservations.sqlite"] {
            fs::write(copy.path().join(name), &bytes).expect("room");
        }
        let error = Folder::open(copy.path()).expect_err("no wallet");
        prop_assert!(is_told(&error, "wallet.json"), "{}", error);
        // To SQLite the first few bytes of a file are a database without tables.
        if let Err(error) = Reservations::open(copy.path()) {
            prop_assert!(is_told(&error, "reservations.sqlite"), "{}", error);
        }
    }
}

#[test]
fn a_coin_that_the_index_does_not_find_is_told() {
    let copy = copy();
    let path = copy.path().join("reservations.sqlite");
    let mut bytes = fs::read(&path).expect("there");
    let txid: bitcoin::Txid = bitcoin::hashes::Hash::hash(b"a transaction");
    let txid = txid.to_string();
    let place = bytes
        .windows(txid.len())
        .position(|window| window == txid.as_bytes())
        .expect("reserved coins");
    bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
    fs::write(&path, bytes).expect("room");
    let error = Reservations::open(copy.path()).expect_err("damaged");
    assert!(is_told(&error, "reservations.sqlite"), "{error}");
}

#[test]
fn words_in_the_clear_are_checked_too() {
    let (_parent, dir) = wallet(&watch_only());
    let folder = Folder::open(&dir).expect("a new wallet");
    for text in [
        "",
        "{}",
        "{\"words\": \"abandon about\", \"passphrase\": \"\"}",
        "{\"words\": \"abandon\"",
        "abandon abandon",
    ] {
        let path = dir.join("secret.txt");
        fs::write(&path, text).expect("room");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, mode).expect("ours");
        let error = folder.unlock(None).expect_err(text);
        assert!(is_told(&error, "secret.txt"), "{error}");
        let told: Vec<_> = error.causes().map(ToString::to_string).collect();
        assert!(!format!("{error} {told:?}").contains("abandon"), "{error}");
    }
}
