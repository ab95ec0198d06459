//! Locks of coins: what a user's lock must not take from others, nor its end.

use bitcoin::OutPoint;
use btc_iface::{BitcoinError, BitcoinTransaction, ErrorKind, Label, LabelKind, WalletInterface};
use btc_rust::wallet::RustWallet;
use btc_rust::wallet::reservations::{LOCKED, now_ms};
use rusqlite::Connection;

use crate::simulated::{Simulated, payee};

/// A label that locks a coin, or unlocks it.
fn spendable(coin: OutPoint, spendable: bool) -> Label {
    Label {
        kind: LabelKind::Output,
        reference: coin.to_string(),
        label: Some("savings".to_owned()),
        origin: None,
        spendable: Some(spendable),
    }
}

/// A payment that no node has, of a wallet that is closed.
fn missing(scene: &Simulated, wallet: RustWallet) -> BitcoinTransaction {
    let payment = wallet
        .create_transaction(vec![(payee(), 100_000)], 2)
        .expect("enough coins");
    wallet.broadcast_transaction(&payment).expect("taken");
    scene.node.restart(false).expect("it starts again");
    wallet.sync().expect("it is seen to be missing");
    drop(wallet);
    payment
}

/// What an import that was cut off has noted.
fn note(scene: &Simulated, coin: OutPoint, shall_lock: bool) {
    let books = Connection::open(scene.dir.join("rust.sqlite")).expect("books");
    let sql = "INSERT INTO locks_to_set VALUES (?1, ?2)";
    let noted = books.execute(sql, (coin.to_string(), shall_lock));
    assert_eq!(noted.expect("a table"), 1);
}

fn reserved_for(wallet: &RustWallet, coin: OutPoint) -> Option<String> {
    let coins = wallet.unspent().expect("books");
    let coin = coins.into_iter().find(|it| it.outpoint == coin);
    coin.expect("a coin of the wallet").reserved_for
}

#[track_caller]
fn refused_for(payment: &BitcoinTransaction, error: &BitcoinError) {
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let named = ("payment".to_owned(), payment.txid.to_string());
    assert!(error.context().contains(&named), "{error}");
}

#[test]
fn a_coin_of_a_missing_payment_is_not_locked() {
    // As `btc utxo lock` and `btc labels import` do: opened, and not followed; and after that.
    for is_followed in [false, true] {
        let (scene, wallet) = Simulated::funded(&[500_000]);
        let payment = missing(&scene, wallet);
        let held = payment.inputs[0].previous_output;
        let wallet = scene.open();
        if is_followed {
            wallet.sync().expect("followed");
        }
        refused_for(&payment, &wallet.lock(held).expect_err("it is held"));
        let imported = wallet.import_labels(&[spendable(held, false)]);
        refused_for(&payment, &imported.expect_err("it is held"));
        assert_eq!(
            wallet.labels().expect("books"),
            [],
            "neither label nor lock"
        );
        let txid = payment.txid.to_string();
        assert_eq!(reserved_for(&wallet, held), Some(txid));
    }
}

#[test]
fn a_coin_that_another_process_hands_over_is_not_locked() {
    let (scene, wallet) = Simulated::funded(&[500_000]);
    let payment = missing(&scene, wallet);
    let held = payment.inputs[0].previous_output;
    let wallet = scene.open();
    wallet.sync().expect("followed");
    assert_eq!(
        wallet.abandon(payment.txid).expect("missing"),
        [payment.txid]
    );
    // The other implementation has handed it over again, which only the shared file says.
    let shared = Connection::open(scene.dir.join("reservations.sqlite")).expect("a file");
    let opened = shared.execute("UPDATE payments SET abandoned_ms = NULL", ());
    assert_eq!(opened.expect("a table"), 1);
    drop(shared);
    refused_for(&payment, &wallet.lock(held).expect_err("it is held"));
    let imported = wallet.import_labels(&[spendable(held, false)]);
    refused_for(&payment, &imported.expect_err("it is held"));
}

#[test]
fn an_import_that_was_cut_off_does_not_lock_a_coin_of_a_payment() {
    let (scene, wallet) = Simulated::funded(&[500_000, 400_000]);
    let coins = wallet.unspent().expect("books");
    assert_eq!(coins, [], "not followed");
    wallet.sync().expect("followed");
    let free = wallet.unspent().expect("books");
    let free = free.into_iter().find(|it| it.value_sat == 400_000);
    let free = free.expect("it was paid").outpoint;
    let payment = missing(&scene, wallet);
    let held = payment.inputs[0].previous_output;
    note(&scene, held, true);
    note(&scene, free, true);
    let wallet = scene.open();
    assert_eq!(reserved_for(&wallet, free).as_deref(), Some(LOCKED));
    assert!(!wallet.unlock(held).expect("a sound file"), "no lock");
}

#[test]
fn an_import_that_was_cut_off_releases_locks_alone() {
    let (scene, wallet) = Simulated::funded(&[500_000, 400_000]);
    wallet.sync().expect("followed");
    let coins = wallet.unspent().expect("books");
    let [first, second] = [0, 1].map(|place: usize| coins[place].outpoint);
    wallet.lock(first).expect("free");
    wallet.lock(second).expect("free");
    drop(wallet);
    note(&scene, first, false);
    note(&scene, second, false);
    // Between the crash and the next start, the other implementation unlocked and held it.
    let shared = Connection::open(scene.dir.join("reservations.sqlite")).expect("a file");
    let sql = "UPDATE reserved SET reason = 'hold:swap', until_ms = ?3, span_ms = 600000
               WHERE txid = ?1 AND vout = ?2";
    let until_ms = now_ms() + 600_000;
    let held = shared.execute(sql, (first.txid.to_string(), first.vout, until_ms));
    assert_eq!(held.expect("a table"), 1);
    drop(shared);
    let wallet = scene.open();
    assert_eq!(reserved_for(&wallet, first).as_deref(), Some("hold:swap"));
    assert_eq!(reserved_for(&wallet, second), None);
}
