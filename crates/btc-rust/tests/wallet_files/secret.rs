//! Unlocking: right and wrong passphrases, files that are not what they should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use btc_iface::{ErrorKind, Network};
use btc_rust::wallet::folder::{Folder, Origin};
use btc_rust::wallet::keys::parse_words;
use btc_rust::wallet::secret::{Protection, generate_words};

use crate::support::{WORDS, cheap, from_words, plain_wallet, refused, secret, wallet};

const PASSPHRASE: &str = "korrekt häst";

#[test]
fn the_passphrase_opens_the_secret_and_no_other_does() {
    let mut new = from_words(Network::Bitcoin, cheap(PASSPHRASE));
    new.origin = Origin::Words {
        words: secret(&format!("  {}\n", WORDS.replace(' ', "  "))),
        bip39_passphrase: secret("TREZOR\"\\\u{1}"),
        protection: cheap(PASSPHRASE),
    };
    let (_parent, dir) = wallet(&new);
    let folder = Folder::open(&dir).expect("a new wallet");
    let right = secret(PASSPHRASE);
    let revealed = folder.reveal(Some(&right)).expect("right");
    assert_eq!(revealed.words.expose(), WORDS, "as words are written");
    assert_eq!(revealed.passphrase.expose(), "TREZOR\"\\\u{1}");
    let signer = folder.unlock(Some(&right)).expect("right");
    assert_eq!(Some(signer.fingerprint()), folder.file().fingerprint);

    let wrong = secret("Korrekt häst");
    refused(folder.unlock(Some(&wrong)), ErrorKind::Auth, "is wrong");
    refused(folder.unlock(None), ErrorKind::Auth, "give its passphrase");
    let printed = format!("{new:?} {revealed:?} {signer:?}");
    for hidden in ["abandon", "TREZOR", "häst"] {
        assert!(!printed.contains(hidden), "{printed}");
    }
    let file = fs::read(dir.join("secret.age")).expect("readable");
    assert!(!String::from_utf8_lossy(&file).contains("abandon"));
}

#[test]
fn the_usual_protection_costs_what_ages_own_does() {
    let new = from_words(Network::Bitcoin, Protection::passphrase(secret(PASSPHRASE)));
    let (_parent, dir) = wallet(&new);
    let file = fs::read(dir.join("secret.age")).expect("readable");
    let head = String::from_utf8_lossy(&file);
    let line = head.lines().nth(1).expect("a recipient");
    assert!(
        line.starts_with("-> scrypt ") && line.ends_with(" 18"),
        "{line}"
    );
    let folder = Folder::open(&dir).expect("a new wallet");
    folder.unlock(Some(&secret(PASSPHRASE))).expect("right");
}

#[test]
fn a_file_that_demands_endless_work_is_refused() {
    let (_parent, dir) = wallet(&from_words(Network::Bitcoin, cheap(PASSPHRASE)));
    let folder = Folder::open(&dir).expect("a new wallet");
    let path = dir.join("secret.age");
    let file = fs::read(&path).expect("readable");
    let end = file.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let end = end.map(|(place, _)| place).nth(1).expect("a recipient");
    for factor in ["21", "30", "63", "64", "255"] {
        let mut hostile = file[..end - 1].to_vec();
        hostile.extend_from_slice(factor.as_bytes());
        hostile.extend_from_slice(&file[end..]);
        fs::write(&path, &hostile).expect("writable");
        let opened = folder.unlock(Some(&secret(PASSPHRASE)));
        refused(opened, ErrorKind::Configuration, "rounds of scrypt");
    }
}

#[test]
fn a_secret_in_the_clear_is_for_its_owner_and_for_regtest() {
    let (_parent, dir) = plain_wallet();
    let folder = Folder::open(&dir).expect("a new wallet");
    folder.unlock(None).expect("in the clear");
    let path = dir.join("secret.txt");
    let text = fs::read_to_string(&path).expect("readable");
    assert_eq!(
        text,
        format!("{{\"words\":\"{WORDS}\",\"passphrase\":\"\"}}")
    );
    for mode in [0o640, 0o604, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
        refused(folder.unlock(None), ErrorKind::Configuration, "chmod 600");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("ours");
    folder.unlock(None).expect("for its owner");

    // A wallet of another network into whose folder somebody copied it.
    let (_parent, other) = wallet(&from_words(Network::Signet, cheap(PASSPHRASE)));
    fs::remove_file(other.join("secret.age")).expect("there");
    fs::copy(&path, other.join("secret.txt")).expect("a free name");
    let opened = Folder::open(&other).expect("public part").unlock(None);
    refused(opened, ErrorKind::Configuration, "regtest only");
}

#[test]
fn the_secret_must_be_this_wallets() {
    let (_parent, dir) = plain_wallet();
    let mut other = from_words(Network::Regtest, cheap(PASSPHRASE));
    let words = generate_words(12).expect("randomness");
    other.origin = Origin::Words {
        words,
        bip39_passphrase: secret(""),
        protection: cheap(PASSPHRASE),
    };
    let (_other_parent, other) = wallet(&other);
    fs::copy(other.join("secret.age"), dir.join("secret.age")).expect("a free name");
    let folder = Folder::open(&dir).expect("public part");
    refused(folder.unlock(None), ErrorKind::Configuration, "two secrets");
    fs::remove_file(dir.join("secret.txt")).expect("there");
    let opened = folder.unlock(Some(&secret(PASSPHRASE)));
    let said = refused(opened, ErrorKind::Configuration, "another wallet");
    assert!(!said.contains("abandon"), "{said}");
}

#[test]
fn generated_words_are_right_and_new() {
    for count in [12, 15, 18, 21, 24] {
        let words = generate_words(count).expect("randomness");
        assert_eq!(words.expose().split(' ').count(), count);
        parse_words(words.expose()).expect("right");
        let again = generate_words(count).expect("randomness");
        assert_ne!(words.expose(), again.expose());
    }
    for count in [0, 11, 13, 25, usize::MAX] {
        refused(generate_words(count), ErrorKind::InvalidInput, "12, 15");
    }
}
