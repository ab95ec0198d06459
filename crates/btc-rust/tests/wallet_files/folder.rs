//! Creating, opening and locking a wallet's folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use btc_iface::{AddressType, Chain, ErrorKind, Network};
use btc_rust::wallet::folder::{Folder, NewWallet, Origin, WALLET_JSON, create};
use btc_rust::wallet::secret::Protection;

use crate::child;
use crate::support::{
    RECEIVE, cheap, from_words, names, plain_wallet, refused, secret, wallet, watch_only,
};

/// The example of docs/wallet.md, with the accounts of its words.
const EXPECTED: &str = r#"{
  "format": 1,
  "network": "regtest",
  "fingerprint": "73c5da0a",
  "birthday": 0,
  "gap_limit": 20,
  "change_type": "p2wpkh",
  "accounts": [
    {
      "address_type": "p2pkh",
      "receive": "pkh([73c5da0a/44'/1'/0']tpub"#;

fn mode(path: &Path) -> u32 {
    let status = fs::metadata(path).expect("exists");
    status.permissions().mode() & 0o777
}

#[test]
fn a_wallet_from_words_has_its_files_and_nothing_else() {
    let new = from_words(Network::Regtest, cheap("open sesame"));
    let (parent, dir) = wallet(&new);
    assert_eq!(names(parent.path()), ["wallet"]);
    let expected = [
        "reservations.lock",
        "reservations.sqlite",
        "rust.lock",
        "secret.age",
        "wallet.json",
    ];
    assert_eq!(names(&dir), expected);
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("secret.age")), 0o600);
    let text = fs::read_to_string(dir.join(WALLET_JSON)).expect("readable");
    assert!(text.starts_with(EXPECTED), "{text}");

    let folder = Folder::open(&dir).expect("a new wallet");
    assert_eq!(folder.file().accounts.len(), 4);
    assert!(folder.has_secret());
    let address = folder.keyring().address(RECEIVE, 0).expect("a small index");
    assert_eq!(
        address.address,
        "bcrt1q6rz28mcfaxtmd6v789l9rrlrusdprr9pz3cppk"
    );
    let passphrase = secret("open sesame");
    let signer = folder.unlock(Some(&passphrase)).expect("right passphrase");
    assert_eq!(signer.accounts(), folder.file().accounts);
}

#[test]
fn nothing_is_there_after_a_refusal() {
    let parent = tempfile::tempdir().expect("a folder for the test");
    let dir = parent.path().join("wallet");
    let new = || from_words(Network::Regtest, Protection::PlainRegtestOnly);
    let refuse = |new: &NewWallet, said: &str| {
        refused(create(&dir, new), ErrorKind::InvalidInput, said);
        assert!(names(parent.path()).is_empty(), "{said}");
    };
    for gap_limit in [0, 1001] {
        let new = NewWallet { gap_limit, ..new() };
        refuse(&new, "gap limit");
    }
    let plain = from_words(Network::Signet, Protection::PlainRegtestOnly);
    refuse(&plain, "regtest only");
    refuse(&from_words(Network::Bitcoin, cheap("")), "empty");
    let too_much = Protection::Passphrase {
        passphrase: secret("a"),
        work_factor: 21,
    };
    refuse(&from_words(Network::Bitcoin, too_much), "work factor");
    let mut wrong = new();
    wrong.origin = Origin::Words {
        words: secret("abandon about"),
        bip39_passphrase: secret(""),
        protection: Protection::PlainRegtestOnly,
    };
    refuse(&wrong, "2 words");

    let missing = parent.path().join("missing").join("wallet");
    refused(
        create(&missing, &new()),
        ErrorKind::Configuration,
        "create it",
    );
    let root = create(Path::new("/"), &new());
    refused(root, ErrorKind::InvalidInput, "cannot be");
}

#[test]
fn what_is_there_is_never_touched() {
    let (parent, dir) = plain_wallet();
    let before = fs::read(dir.join("secret.txt")).expect("readable");
    let again = from_words(Network::Regtest, cheap("other"));
    refused(
        create(&dir, &again),
        ErrorKind::InvalidInput,
        "exists already",
    );
    assert_eq!(fs::read(dir.join("secret.txt")).expect("kept"), before);
    assert_eq!(names(parent.path()), ["wallet"]);

    let empty = parent.path().join("empty");
    fs::create_dir(&empty).expect("a new folder");
    refused(
        create(&empty, &again),
        ErrorKind::InvalidInput,
        "exists already",
    );
    let dangling = parent.path().join("link");
    std::os::unix::fs::symlink("nowhere", &dangling).expect("a new link");
    refused(
        create(&dangling, &again),
        ErrorKind::InvalidInput,
        "exists already",
    );
}

#[test]
fn a_watch_only_wallet_watches() {
    let (_parent, dir) = wallet(&watch_only());
    assert_eq!(
        names(&dir),
        [
            "reservations.lock",
            "reservations.sqlite",
            "rust.lock",
            "wallet.json"
        ]
    );
    let folder = Folder::open(&dir).expect("a new wallet");
    assert!(!folder.has_secret());
    let fingerprint = folder.file().fingerprint.map(|it| it.to_string());
    assert_eq!(fingerprint.as_deref(), Some("73c5da0a"), "all name it");
    refused(folder.unlock(None), ErrorKind::Unsupported, "watch-only");
}

#[test]
fn a_watch_only_wallet_fits_its_descriptors() {
    let parent = tempfile::tempdir().expect("a folder for the test");
    let dir = parent.path().join("wallet");
    let with = |change: &dyn Fn(&mut NewWallet)| {
        let mut new = watch_only();
        change(&mut new);
        new
    };
    let contradicted = with(&|new| {
        if let Origin::WatchOnly { fingerprint, .. } = &mut new.origin {
            *fingerprint = Some([1, 2, 3, 4].into());
        }
    });
    refused(
        create(&dir, &contradicted),
        ErrorKind::InvalidInput,
        "not from 01020304",
    );
    let no_change = with(&|new| {
        if let Origin::WatchOnly { accounts, .. } = &mut new.origin {
            accounts.retain(|it| it.address_type == AddressType::P2tr);
        }
    });
    refused(create(&dir, &no_change), ErrorKind::InvalidInput, "change");

    let unnamed = with(&|new| {
        if let Origin::WatchOnly { accounts, .. } = &mut new.origin {
            accounts.retain(|it| it.address_type == AddressType::P2tr);
            let account = &mut accounts[0];
            for text in [&mut account.receive, &mut account.change] {
                *text = text.replace("[73c5da0a/86'/1'/0']", "");
            }
        }
        new.change_type = AddressType::P2tr;
    });
    create(&dir, &unnamed).expect("one account, no origin");
    let (file, keyring) = Folder::peek(&dir).expect("a new wallet");
    assert_eq!(file.fingerprint, None);
    let text = fs::read_to_string(dir.join(WALLET_JSON)).expect("readable");
    assert!(text.contains("\"fingerprint\": null"), "{text}");
    let other = keyring.address((AddressType::P2wpkh, Chain::Receive), 0);
    refused(other, ErrorKind::Unsupported, "no account");
}

#[test]
fn wallet_json_is_read_strictly_within_its_format() {
    let (_parent, dir) = plain_wallet();
    let path = dir.join(WALLET_JSON);
    let good = fs::read_to_string(&path).expect("readable");
    let read = |text: &str| {
        fs::write(&path, text).expect("writable");
        Folder::peek(&dir)
    };
    read(&good.replace("{\n  \"format\"", "{\"later\": [1], \"format\""))
        .expect("a further field within format 1");
    for (from, to, said) in [
        (
            "\"format\": 1",
            "\"format\": 2, \"accounts\": 7",
            "newer version",
        ),
        ("\"format\": 1", "\"format\": 0", "is damaged"),
        ("\"format\": 1", "\"format\": \"1\"", "is damaged"),
        ("\"regtest\"", "\"testnet\"", "is damaged"),
        ("\"gap_limit\": 20", "\"gap_limit\": 0", "gap limit"),
        ("\"birthday\": 0", "\"birthday\": -1", "is damaged"),
        ("\"birthday\": 0,", "", "is damaged"),
        ("73c5da0a\"", "01020304\"", "is damaged"),
        ("tpub", "xpub", "is damaged"),
        ("}", "", "is damaged"),
    ] {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from}");
        refused(read(&changed), ErrorKind::Configuration, said);
    }
    refused(read(""), ErrorKind::Configuration, "is damaged");
    let long = " ".repeat((1 << 20) + 1);
    refused(read(&long), ErrorKind::Configuration, "more than");
    fs::remove_file(&path).expect("there");
    refused(
        Folder::open(&dir),
        ErrorKind::Configuration,
        "does not exist",
    );
}

#[test]
fn a_folder_that_is_no_wallet_stays_as_it_is() {
    let parent = tempfile::tempdir().expect("a folder for the test");
    let opened = Folder::open(parent.path());
    refused(opened, ErrorKind::Configuration, "does not exist");
    assert!(names(parent.path()).is_empty());
}

#[test]
fn one_process_at_a_time_has_the_wallet_open() {
    let (_parent, dir) = plain_wallet();
    let mut other = child::spawn("hold", &dir);
    assert_eq!(other.line("holding"), "the wallet");
    let said = format!("is open in process {}", other.id());
    refused(Folder::open(&dir), ErrorKind::Unavailable, &said);
    Folder::peek(&dir).expect("reading takes no lock");
    other.kill();
    let mine = Folder::open(&dir).expect("the lock died with its owner");
    let id = fs::read_to_string(dir.join("rust.lock")).expect("readable");
    assert_eq!(id.trim(), std::process::id().to_string());
    refused(Folder::open(&dir), ErrorKind::Unavailable, id.trim());
    drop(mine);
    Folder::open(&dir).expect("closed before");
}
