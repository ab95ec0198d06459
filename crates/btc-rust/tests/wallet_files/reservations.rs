//! Indices and coins: what is promised once is never promised again.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use bitcoin::hashes::Hash;
use bitcoin::{OutPoint, Txid};
use btc_iface::{AddressType, Chain, ErrorKind};
use btc_rust::wallet::reservations::{End, INDEX_END, Reservation, Reservations};
use rusqlite::Connection;

use crate::support::{CHANGE, RECEIVE, plain_wallet, refused};

const FILE: &str = "reservations.sqlite";
pub(crate) fn txid(number: u8) -> Txid {
    Txid::hash(&[number])
}

pub(crate) fn coin(number: u8) -> OutPoint {
    OutPoint::new(txid(0), number.into())
}

pub(crate) fn open(dir: &Path) -> Reservations {
    Reservations::open(dir).expect("a sound file")
}

/// The other implementation's view: plain SQLite.
pub(crate) fn other(dir: &Path) -> Connection {
    Connection::open(dir.join(FILE)).expect("a database")
}

#[test]
fn the_file_is_what_the_contract_says() {
    let (_parent, dir) = plain_wallet();
    let other = other(&dir);
    let columns = |table: &str| {
        let sql = "SELECT name || ' ' || type || ' ' || \"notnull\" || ' ' || pk \
                   FROM pragma_table_info(?1)";
        let mut statement = other.prepare(sql).expect("plain SQL");
        let rows = statement.query_map([table], |row| row.get::<_, String>(0));
        rows.expect("readable")
            .collect::<Result<Vec<_>, _>>()
            .expect("text")
    };
    assert_eq!(columns("meta"), ["key TEXT 0 1", "value TEXT 1 0"]);
    assert_eq!(
        columns("next_index"),
        [
            "address_type TEXT 1 1",
            "chain TEXT 1 2",
            "next INTEGER 1 0"
        ]
    );
    assert_eq!(
        columns("reserved"),
        [
            "txid TEXT 1 1",
            "vout INTEGER 1 2",
            "until_ms INTEGER 0 0",
            "span_ms INTEGER 0 0",
            "reason TEXT 1 0"
        ]
    );
    assert_eq!(
        columns("change_index"),
        [
            "address_type TEXT 1 1",
            "key_index INTEGER 1 2",
            "until_ms INTEGER 0 0",
            "span_ms INTEGER 0 0",
            "reason TEXT 1 3"
        ]
    );
    assert_eq!(columns("replaces"), ["token TEXT 1 1", "txid TEXT 1 2"]);
    assert_eq!(
        columns("payments"),
        [
            "txid TEXT 0 1",
            "token TEXT 1 0",
            "raw BLOB 1 0",
            "handed_over_ms INTEGER 1 0",
            "outcome TEXT 1 0",
            "next_broadcast_ms INTEGER 1 0",
            "abandoned_ms INTEGER 0 0",
            "settled_height INTEGER 0 0"
        ]
    );
    let text = |sql: &str| {
        other
            .query_row(sql, (), |row| row.get::<_, String>(0))
            .expect("one text")
    };
    assert_eq!(text("PRAGMA journal_mode"), "delete");
    assert_eq!(text("SELECT value FROM meta WHERE key = 'schema'"), "2");
}

#[test]
fn indices_go_up_and_survive() {
    let (_parent, dir) = plain_wallet();
    let mut reservations = open(&dir);
    assert_eq!(reservations.next_index(RECEIVE).expect("sound"), 0);
    assert_eq!(reservations.take_index(RECEIVE, 0).expect("sound"), 0);
    assert_eq!(reservations.take_index(RECEIVE, 7).expect("sound"), 7);
    assert_eq!(reservations.take_index(RECEIVE, 3).expect("sound"), 8);
    drop(reservations);
    let mut reservations = open(&dir);
    assert_eq!(reservations.next_index(RECEIVE).expect("sound"), 9);
    assert_eq!(reservations.next_index(CHANGE).expect("sound"), 0);
    let nested = (AddressType::P2shP2wpkh, Chain::Change);
    reservations.take_index(nested, 2).expect("sound");
    let all: Vec<_> = reservations
        .all_next()
        .expect("sound")
        .into_iter()
        .collect();
    assert_eq!(all, [(nested, 3), (RECEIVE, 9)]);
    let booking = reservations.begin(0).expect("nobody else writes");
    booking.set_next(RECEIVE, 4).expect("lower");
    assert_eq!(booking.next_index(RECEIVE).expect("sound"), 9, "never back");
}

#[test]
fn a_chain_ends() {
    let (_parent, dir) = plain_wallet();
    let mut reservations = open(&dir);
    let last = INDEX_END - 1;
    assert_eq!(reservations.take_index(RECEIVE, last).expect("one"), last);
    for at_least in [0, INDEX_END, u32::MAX] {
        let taken = reservations.take_index(RECEIVE, at_least);
        refused(taken, ErrorKind::InvalidInput, "no index left");
    }
    assert_eq!(reservations.take_index(CHANGE, 0).expect("another"), 0);
}

#[test]
fn a_booking_counts_when_it_is_committed() {
    let (_parent, dir) = plain_wallet();
    let mut reservations = open(&dir);
    let booking = reservations.begin(1000).expect("nobody else writes");
    booking
        .reserve(&[coin(1)], End::after(1000, 500), txid(9))
        .expect("free");
    booking.set_next(CHANGE, 1).expect("small");
    assert_eq!(booking.reserved().expect("sound").len(), 1);
    drop(booking);
    assert!(reservations.reserved(1000).expect("sound").is_empty());
    assert_eq!(reservations.next_index(CHANGE).expect("sound"), 0);

    let booking = reservations.begin(1000).expect("nobody else writes");
    booking
        .reserve(&[coin(1)], End::after(1000, 500), txid(9))
        .expect("free");
    booking.commit().expect("sound");
    drop(reservations);
    let expected = Reservation {
        until_ms: Some(1500),
        span_ms: Some(500),
        reason: txid(9).to_string(),
    };
    let found = open(&dir).reserved(1000).expect("sound");
    assert_eq!(found, HashMap::from([(coin(1), expected)]));
}

#[test]
fn a_coin_is_reserved_once_and_a_lock_outlives_it() {
    let (_parent, dir) = plain_wallet();
    let mut reservations = open(&dir);
    reservations.lock(coin(2)).expect("free");
    let booking = reservations.begin(1000).expect("nobody else writes");
    let coins = [coin(1), coin(2)];
    booking
        .reserve(&coins, End::after(1000, 1000), txid(7))
        .expect("free, on demand");
    let again = booking.reserve(&[coin(1)], End::after(1000, 2000), txid(8));
    let said = refused(again, ErrorKind::InvalidInput, "another transaction");
    assert!(said.contains(&coin(1).to_string()), "{said}");
    assert!(said.contains(&txid(7).to_string()), "{said}");
    booking
        .reserve(&[coin(1)], End::after(1000, 2000), txid(7))
        .expect("its own");
    booking.commit().expect("sound");

    assert_eq!(reservations.reserved(2999).expect("sound").len(), 2);
    let left = reservations.reserved(3000).expect("sound");
    assert_eq!(left.len(), 1, "the time is over");
    assert!(left[&coin(2)].is_lock());
    let booking = reservations.begin(3000).expect("nobody else writes");
    booking
        .reserve(&[coin(1)], End::after(3000, 1000), txid(8))
        .expect("free again");
    booking.commit().expect("sound");
    assert_eq!(
        reservations.release_for(txid(8)).expect("sound"),
        0,
        "long over"
    );
    assert!(reservations.release(coin(2)).expect("sound"));
    assert!(!reservations.release(coin(2)).expect("sound"));
}

#[test]
fn a_writer_deletes_what_is_over() {
    let (_parent, dir) = plain_wallet();
    let mut reservations = open(&dir);
    let booking = reservations.begin(0).expect("nobody else writes");
    booking
        .reserve(&[coin(1), coin(2)], End::after(0, 5), txid(1))
        .expect("free");
    booking.commit().expect("sound");
    let count = |dir: &Path| {
        other(dir)
            .query_row("SELECT count(*) FROM reserved", (), |row| {
                row.get::<_, i64>(0)
            })
            .expect("sound")
    };
    assert_eq!(count(&dir), 2);
    reservations.take_index(RECEIVE, 0).expect("sound");
    assert_eq!(count(&dir), 0);
}

#[test]
fn writers_take_turns_and_no_index_is_given_twice() {
    const THREADS: usize = 4;
    const EACH: usize = 60;
    let (_parent, dir) = plain_wallet();
    let taken: Vec<u32> = thread::scope(|scope| {
        let work = || {
            let mut reservations = open(&dir);
            (0..EACH)
                .map(|_| reservations.take_index(RECEIVE, 0).expect("within 5 s"))
                .collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.flat_map(|taken| taken.expect("no panic")).collect()
    });
    let different: BTreeSet<_> = taken.iter().collect();
    assert_eq!(different.len(), THREADS * EACH);
    assert_eq!(taken.iter().max(), Some(&239));
}

#[test]
fn a_booking_keeps_everybody_else_waiting() {
    let (_parent, dir) = plain_wallet();
    let mut reservations = open(&dir);
    let second = open(&dir);
    let booking = reservations.begin(0).expect("nobody else is there");
    booking
        .reserve(&[coin(1)], End::after(0, 1000), txid(1))
        .expect("free");
    thread::scope(|scope| {
        let (started, start) = mpsc::channel();
        let waiting = scope.spawn(move || {
            started.send(()).expect("somebody waits");
            second.reserved(0).expect("its turn comes")
        });
        start.recv().expect("no panic");
        booking.commit().expect("sound");
        let seen = waiting.join().expect("no panic");
        assert!(seen.contains_key(&coin(1)), "what the first one promised");
    });
}

#[test]
fn a_writer_that_never_ends_is_told_of() {
    let (_parent, dir) = plain_wallet();
    let mut reservations = open(&dir);
    let other = other(&dir);
    other.execute_batch("BEGIN IMMEDIATE").expect("free");
    let taken = reservations.take_index(RECEIVE, 0);
    refused(taken, ErrorKind::Unavailable, "another process");
    other.execute_batch("ROLLBACK").expect("open");
    assert_eq!(reservations.take_index(RECEIVE, 0).expect("free"), 0);
}

#[test]
fn what_a_newer_version_wrote_is_refused() {
    let (_parent, dir) = plain_wallet();
    for (schema, said) in [("3", "newer version"), ("0", "damaged"), ("x", "damaged")] {
        let sql = "UPDATE meta SET value = ?1 WHERE key = 'schema'";
        other(&dir).execute(sql, [schema]).expect("sound");
        refused(Reservations::open(&dir), ErrorKind::Configuration, said);
    }
    other(&dir).execute("DELETE FROM meta", ()).expect("sound");
    let opened = Reservations::open(&dir);
    refused(opened, ErrorKind::Configuration, "is damaged");
    other(&dir).execute_batch("DROP TABLE meta").expect("sound");
    let opened = Reservations::open(&dir);
    refused(opened, ErrorKind::Configuration, "is damaged");
}

#[test]
fn rows_that_cannot_be_are_told_of() {
    let (_parent, dir) = plain_wallet();
    for sql in [
        "INSERT INTO reserved VALUES ('nonsense', 0, NULL, NULL, 'locked')",
        "INSERT INTO reserved VALUES (printf('%064d', 1), -1, NULL, NULL, 'locked')",
        "INSERT INTO reserved VALUES (printf('%064d', 1), 1, NULL, NULL, x'ff')",
        "INSERT INTO next_index VALUES ('p2wpkh', 'receive', -1)",
        "INSERT INTO next_index VALUES ('p2wpkh', 'receive', 2147483649)",
        "INSERT INTO next_index VALUES ('p2wpkh', 'sideways', 1)",
        "INSERT INTO next_index VALUES ('p2wsh', 'receive', 1)",
    ] {
        other(&dir).execute(sql, ()).expect("SQLite allows it");
        let reservations = open(&dir);
        let read = reservations.reserved(0).map(drop);
        let read = read.and_then(|()| reservations.all_next().map(drop));
        refused(read, ErrorKind::Configuration, "is damaged");
        other(&dir)
            .execute_batch("DELETE FROM reserved; DELETE FROM next_index")
            .expect("sound");
    }
}

#[test]
fn a_missing_file_is_made_anew_by_a_writer_only() {
    let (_parent, dir) = plain_wallet();
    open(&dir).take_index(RECEIVE, 4).expect("sound");
    fs::remove_file(dir.join(FILE)).expect("closed");
    let opened = Reservations::open_read_only(&dir);
    refused(opened, ErrorKind::Configuration, "cannot open");
    assert!(!dir.join(FILE).exists());
    assert_eq!(open(&dir).next_index(RECEIVE).expect("new"), 0);
    let nowhere = Reservations::open(&dir.join("nowhere"));
    refused(nowhere, ErrorKind::Configuration, "cannot open");
}

#[test]
fn a_reader_never_writes() {
    let (_parent, dir) = plain_wallet();
    open(&dir).take_index(RECEIVE, 4).expect("sound");
    let mut reader = Reservations::open_read_only(&dir).expect("sound");
    assert_eq!(reader.next_index(RECEIVE).expect("sound"), 5);
    let taken = reader.take_index(RECEIVE, 0);
    refused(taken, ErrorKind::Configuration, "cannot write");
    let locked = reader.lock(coin(1));
    refused(locked, ErrorKind::Configuration, "cannot write");
    assert_eq!(open(&dir).next_index(RECEIVE).expect("sound"), 5);
}
