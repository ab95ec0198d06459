//! Reservations under a clock that was set, and files of an earlier schema.

use bitcoin::OutPoint;
use btc_iface::AddressType;
use btc_rust::wallet::reservations::End;

use crate::reservations::{coin, open, other, txid};
use crate::support::{RECEIVE, plain_wallet};

#[test]
fn a_clock_that_was_ahead_leaves_no_reservation_for_years() {
    const YEARS: u64 = 10 * 365 * 86_400_000;
    let (_parent, dir) = plain_wallet();
    let mut reservations = open(&dir);
    let booking = reservations.begin(YEARS).expect("nobody else writes");
    let end = End::after(YEARS, 600_000);
    booking.reserve(&[coin(1)], end, txid(1)).expect("free");
    let hold = booking.hold(&[coin(2)], "contract", Some(End::after(YEARS, YEARS)));
    hold.expect("free");
    booking
        .reserve_change(AddressType::P2wpkh, 7, end, txid(1))
        .expect("free");
    booking.commit().expect("sound");
    assert_eq!(reservations.reserved(YEARS + 1).expect("sound").len(), 2);
    // Set back by a moment, or read before the wait for the file: nothing is lost.
    assert_eq!(
        reservations.reserved(YEARS - 60_000).expect("sound").len(),
        2
    );
    // Set back by more than a minute, no end is believed.
    assert_eq!(
        reservations.reserved(YEARS - 60_001).expect("sound").len(),
        0
    );
    let change = |now_ms| reservations.reserved_change(AddressType::P2wpkh, now_ms);
    assert_eq!(change(YEARS + 1).expect("sound"), Some(7));
    assert_eq!(change(1000).expect("sound"), None);
    let booking = reservations.begin(1000).expect("nobody else writes");
    booking
        .reserve(&[coin(1), coin(2)], End::after(1000, 1000), txid(2))
        .expect("free");
}

#[test]
fn a_file_of_the_first_schema_becomes_one_of_the_second() {
    let (_parent, dir) = plain_wallet();
    let first = "
        DROP TABLE payments; DROP TABLE replaces; DROP TABLE change_index; DROP TABLE reserved;
        CREATE TABLE reserved (
            txid TEXT NOT NULL, vout INTEGER NOT NULL, until_ms INTEGER, reason TEXT NOT NULL,
            PRIMARY KEY (txid, vout));
        UPDATE meta SET value = '1' WHERE key = 'schema';
        INSERT INTO next_index VALUES ('p2wpkh', 'receive', 5);";
    other(&dir).execute_batch(first).expect("plain SQL");
    let insert = "INSERT INTO reserved VALUES (?1, 1, ?2, ?3)";
    let rows = [
        (txid(1), Some(601_000), txid(2).to_string()),
        (txid(2), None, "locked".into()),
    ];
    for (coin, until_ms, reason) in rows {
        let values = (coin.to_string(), until_ms, reason);
        other(&dir).execute(insert, values).expect("plain SQL");
    }
    let reservations = open(&dir);
    let reserved = reservations.reserved(1000).expect("sound");
    assert_eq!(reserved.len(), 2);
    let first = &reserved[&OutPoint::new(txid(1), 1)];
    assert_eq!(
        (first.until_ms, first.span_ms),
        (Some(601_000), Some(600_000))
    );
    assert!(reserved[&OutPoint::new(txid(2), 1)].is_lock());
    assert_eq!(reservations.next_index(RECEIVE).expect("sound"), 5);
    assert!(reservations.payments(i64::MAX).expect("sound").is_empty());
    drop(reservations);
    open(&dir);
}
