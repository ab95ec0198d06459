//! Imports of labels with their locks: both, or neither.

use std::path::Path;
use std::thread;
use std::time::Duration;

use bitcoin::OutPoint;
use btc_iface::{BitcoinResult, ErrorKind, Label, LabelKind};
use btc_rust::wallet::labels;
use btc_rust::wallet::reservations::{End, RESERVATIONS, Reservation, Reservations, now_ms};
use rusqlite::Connection;

use crate::child;
use crate::reservations::coin;
use crate::support::{plain_wallet, refused};

pub(crate) const COINS: u8 = 20;

/// The books as the wallet has them open.
pub(crate) fn books(dir: &Path) -> Connection {
    let books = Connection::open(dir.join("rust.sqlite")).expect("a file of its own");
    labels::init(&books).expect("a new table");
    books
}

/// An import as a wallet without payments does it.
pub(crate) fn import_with_locks(
    books: &Connection,
    reservations: &mut Reservations,
    all: &[Label],
) -> BitcoinResult<usize> {
    finish_import(books, reservations)?;
    let booking = reservations.begin(now_ms())?;
    labels::import_with_locks(books, booking, |_| None, all)
}

/// What a wallet does at its start.
pub(crate) fn finish_import(
    books: &Connection,
    reservations: &mut Reservations,
) -> BitcoinResult<()> {
    if !labels::has_unfinished_import(books)? {
        return Ok(());
    }
    let booking = reservations.begin(now_ms())?;
    labels::finish_import(books, booking, |_| None)
}

/// A label with this text on each coin, which is locked or not.
pub(crate) fn all_coins(text: &str, spendable: bool) -> Vec<Label> {
    let label = |number| Label {
        kind: LabelKind::Output,
        reference: coin(number).to_string(),
        label: Some(text.to_owned()),
        origin: None,
        spendable: Some(spendable),
    };
    (0..COINS).map(label).collect()
}

/// The texts that the coins have, and how many of them are locked.
fn found(books: &Connection, reservations: &Reservations) -> (Vec<String>, usize) {
    let all = labels::get_all(books).expect("sound");
    let mut texts: Vec<String> = all.into_iter().filter_map(|label| label.label).collect();
    texts.sort();
    texts.dedup();
    let reserved = reservations.reserved(now_ms()).expect("sound");
    let locked = reserved.values().filter(|it| it.is_lock()).count();
    (texts, locked)
}

#[test]
fn labels_and_locks_are_imported_together() {
    let (_parent, dir) = plain_wallet();
    let (books, mut reservations) = (books(&dir), Reservations::open(&dir).expect("new"));
    let mut import = |all: &[Label]| import_with_locks(&books, &mut reservations, all);
    let count = usize::from(COINS);
    assert_eq!(import(&all_coins("a", false)).expect("sound"), 2 * count);
    assert_eq!(import(&all_coins("a", false)).expect("sound"), 0);
    assert_eq!(import(&all_coins("b", true)).expect("sound"), 2 * count);
    assert_eq!(found(&books, &reservations), (vec!["b".to_owned()], 0));
    // A lock without a label, and the last word on a coin counts.
    let mut bare = all_coins("x", true);
    for label in &mut bare {
        label.label = None;
    }
    bare.extend(bare.clone());
    bare[usize::from(COINS)].spendable = Some(false);
    let import = import_with_locks(&books, &mut reservations, &bare);
    assert_eq!(import.expect("sound"), 1);
    assert_eq!(found(&books, &reservations), (vec!["b".to_owned()], 1));
    // What is no output has no lock.
    let mut address = bare[0].clone();
    address.kind = LabelKind::Addr;
    address.spendable = Some(false);
    let import = import_with_locks(&books, &mut reservations, &[address]);
    assert_eq!(import.expect("sound"), 0);
}

#[test]
fn a_reservation_is_not_lifted_by_an_import() {
    let (_parent, dir) = plain_wallet();
    let (books, mut reservations) = (books(&dir), Reservations::open(&dir).expect("new"));
    let booking = reservations.begin(now_ms()).expect("free");
    let end = End::after(now_ms(), 600_000);
    let reserved = booking.reserve(&[coin(0)], end, crate::reservations::txid(1));
    reserved.and_then(|()| booking.commit()).expect("free");
    import_with_locks(&books, &mut reservations, &all_coins("a", true)).expect("sound");
    let reserved = reservations.reserved(now_ms()).expect("sound");
    assert!(reserved.get(&coin(0)).is_some_and(|it| !it.is_lock()));
}

#[test]
fn an_import_that_cannot_lock_a_coin_changes_nothing() {
    let (_parent, dir) = plain_wallet();
    let (books, mut reservations) = (books(&dir), Reservations::open(&dir).expect("new"));
    import_with_locks(&books, &mut reservations, &all_coins("a", true)).expect("sound");
    let other = Connection::open(dir.join(RESERVATIONS)).expect("there");
    let bad = coin(COINS - 1).vout;
    let trigger = format!(
        "CREATE TRIGGER broken BEFORE INSERT ON reserved WHEN new.vout = {bad}
         BEGIN SELECT RAISE(ABORT, 'planted'); END"
    );
    other.execute_batch(&trigger).expect("a sound file");
    let import = import_with_locks(&books, &mut reservations, &all_coins("b", false));
    refused(import, ErrorKind::Configuration, "is damaged");
    assert_eq!(found(&books, &reservations), (vec!["a".to_owned()], 0));
    other.execute_batch("DROP TRIGGER broken").expect("ours");
    finish_import(&books, &mut reservations).expect("nothing is left");
    assert_eq!(found(&books, &reservations), (vec!["a".to_owned()], 0));
}

#[test]
fn an_import_with_a_wrong_label_locks_nothing() {
    let (_parent, dir) = plain_wallet();
    let (books, mut reservations) = (books(&dir), Reservations::open(&dir).expect("new"));
    let mut all = all_coins("a", false);
    all[3].reference = "nonsense".to_owned();
    let import = import_with_locks(&books, &mut reservations, &all);
    refused(import, ErrorKind::InvalidInput, "txid:n");
    assert_eq!(found(&books, &reservations), (Vec::new(), 0));
}

#[test]
fn locks_that_cannot_be_committed_take_the_labels_back() {
    let (_parent, dir) = plain_wallet();
    let (books, mut reservations) = (books(&dir), Reservations::open(&dir).expect("new"));
    import_with_locks(&books, &mut reservations, &all_coins("a", true)[..4]).expect("sound");
    let before = labels::get_all(&books).expect("sound");
    // Another program, such as one that makes a backup, reads: whoever reads keeps a commit out.
    let other = Connection::open(dir.join(RESERVATIONS)).expect("there");
    other
        .execute_batch("BEGIN; SELECT * FROM reserved")
        .expect("readable");
    let import = import_with_locks(&books, &mut reservations, &all_coins("b", false));
    refused(import, ErrorKind::Unavailable, "try again");
    assert_eq!(labels::get_all(&books).expect("sound"), before);
    other.execute_batch("ROLLBACK").expect("ours");
    finish_import(&books, &mut reservations).expect("nothing is left");
    assert_eq!(found(&books, &reservations), (vec!["a".to_owned()], 0));
    assert_eq!(labels::get_all(&books).expect("sound"), before);
}

#[test]
fn an_import_that_is_killed_is_whole_after_the_next_start() {
    const ROUNDS: u64 = 30;
    let (_parent, dir) = plain_wallet();
    let mut halves = 0;
    for round in 0..ROUNDS {
        let mut worker = child::spawn("import", &dir);
        worker.line("imported");
        thread::sleep(Duration::from_micros(round * 7919 % 40_000));
        worker.kill();
        let (books, mut reservations) = (books(&dir), Reservations::open(&dir).expect("sound"));
        let is_whole = |(texts, locked): (Vec<String>, usize)| {
            let [text] = texts.as_slice() else {
                return false;
            };
            locked == if text == "a" { usize::from(COINS) } else { 0 }
        };
        halves += u32::from(!is_whole(found(&books, &reservations)));
        finish_import(&books, &mut reservations).expect("sound");
        let found = found(&books, &reservations);
        assert!(is_whole(found.clone()), "{found:?}");
    }
    println!("{halves} of {ROUNDS} were finished at the next start");
}

#[test]
fn what_was_finished_is_not_done_again() {
    let (_parent, dir) = plain_wallet();
    let (books, mut reservations) = (books(&dir), Reservations::open(&dir).expect("new"));
    import_with_locks(&books, &mut reservations, &all_coins("a", false)).expect("sound");
    let first: OutPoint = coin(0);
    assert!(reservations.release(first).expect("sound"));
    finish_import(&books, &mut reservations).expect("nothing is left");
    let reserved = reservations.reserved(now_ms()).expect("sound");
    assert!(!reserved.get(&first).is_some_and(Reservation::is_lock));
}
