//! The file of the books: whose it is, what is wrong with it, and a disk that is full.

use std::path::Path;

use btc_iface::{BitcoinError, ErrorKind, Network};
use btc_regtest::{Chain, Node};
use btc_rust::wallet::keys::{Keyring, Signer};
use btc_rust::wallet::ledger::Ledger;
use btc_rust::wallet::source::ChainSource;
use rusqlite::Connection;

use crate::wallet::{GAP, Wallet, keyring, pay, receive};

fn refused(path: &Path, keyring: &Keyring, birthday: u32, gap: u32, said: &str) -> BitcoinError {
    let error = Ledger::open(path, keyring, birthday, gap).expect_err(said);
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.message().contains(said), "{error}");
    assert!(error.message().contains("delete it"), "{error}");
    error
}

fn words(network: Network, passphrase: &str) -> Keyring {
    let signer = Signer::from_words(network, crate::wallet::WORDS, passphrase);
    Keyring::new(network, &signer.expect("right words").accounts()).expect("own output")
}

#[test]
fn books_of_another_wallet_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rust.sqlite");
    Ledger::open(&path, keyring(), 7, GAP).expect("new books");
    Ledger::open(&path, keyring(), 7, GAP).expect("the same books");
    refused(&path, keyring(), 8, GAP, "another birthday");
    refused(&path, keyring(), 7, GAP + 1, "another gap limit");
    refused(
        &path,
        &words(Network::Regtest, "x"),
        7,
        GAP,
        "another wallet",
    );
    refused(
        &path,
        &words(Network::Signet, ""),
        7,
        GAP,
        "another network",
    );
}

#[test]
fn books_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let damage = |name: &str, sql: &str, said: &str| {
        let path = folder.path().join(name);
        drop(Ledger::open(&path, keyring(), 0, GAP).expect("new books"));
        let connection = Connection::open(&path).expect("a file");
        connection.execute_batch(sql).expect(sql);
        drop(connection);
        refused(&path, keyring(), 0, GAP, said);
    };
    damage(
        "newer",
        "UPDATE meta SET value = 3 WHERE key = 'schema'",
        "newer version (schema 3, known 2)",
    );
    damage(
        "no schema",
        "DELETE FROM meta WHERE key = 'schema'",
        "damaged",
    );
    damage(
        "position",
        "UPDATE meta SET value = 'x' WHERE key = 'scanned_height'",
        "damaged",
    );
    damage("chain", "DELETE FROM bdk_blocks", "damaged");
    damage("hash", "UPDATE bdk_blocks SET block_hash = 'zz'", "damaged");
    damage("table", "DROP TABLE bdk_txs", "damaged");
    let path = folder.path().join("noise");
    std::fs::write(&path, vec![0x5a; 20_000]).expect("a file");
    refused(&path, keyring(), 0, GAP, "damaged");
}

#[test]
fn a_folder_that_is_not_there_is_an_error_that_says_so() {
    let error =
        Ledger::open(Path::new("/nowhere/rust.sqlite"), keyring(), 0, GAP).expect_err("no folder");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.message().contains("check the folder"), "{error}");
}

#[test]
fn a_full_disk_loses_nothing() {
    let node = Node::builder().start().expect("a node");
    let mut chain = Chain::new(&node, 1).expect("regtest");
    chain.mine(110).expect("blocks");
    let mut wallet = Wallet::new(&node, 0);
    let before = wallet.sync();
    let limit = |wallet: &mut Wallet, pages: i64| {
        let connection = wallet.ledger.store().connection();
        connection
            .pragma_update(None, "max_page_count", pages)
            .expect("a limit");
    };
    // The limit cannot be below what is there: no more pages.
    limit(&mut wallet, 1);
    for index in 0..10 {
        for _ in 0..6 {
            pay(&mut chain, receive(index), 20_000);
        }
        chain.mine(1).expect("a block");
    }
    let error = wallet
        .source
        .follow(&mut wallet.ledger)
        .expect_err("a full disk");
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    assert!(error.message().contains("no room on the disk"), "{error}");

    let other = Ledger::open(&wallet.path(), keyring(), 0, GAP).expect("books");
    assert_eq!(other.view().tip, before.tip, "all or nothing");
    drop(other);
    limit(&mut wallet, 1_000_000);
    assert_eq!(wallet.sync_right(&node).balance.confirmed_sat, 1_200_000);
}
