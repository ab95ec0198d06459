//! An import of labels with their locks: both, or neither.
//!
//! Labels are in the wallet's books, locks in the reservations that both implementations share:
//! two files, each with transactions of its own. The books note which locks are to follow, in the
//! transaction that writes the labels; from then on the import counts, and what a crash leaves
//! undone is done at the next start.

use std::collections::BTreeMap;

use bitcoin::{OutPoint, Txid};
use btc_iface::{BitcoinError, BitcoinResult, Label, LabelKind};
use rusqlite::{Connection, OptionalExtension};

use super::{canonical, failed, import, name_of, transaction};
use crate::wallet::fault;
use crate::wallet::reservations::{Booking, Reservation};

/// Adds or replaces labels as [`import`] does, and locks and unlocks the coins whose `spendable`
/// says so: all of it, or nothing. Returns how many labels and locks changed. The last word on a
/// coin counts. What an earlier import left undone is to be [finished](finish_import) before.
/// `payment_of` names the open payment that spends a coin.
///
/// # Errors
/// `InvalidInput`: not a reference of its kind; a coin to lock is reserved, held, or an open
/// payment's. Those of [`Reservations`](crate::wallet::reservations::Reservations).
///
/// # Effects
/// Both files.
pub fn import_with_locks(
    books: &Connection,
    booking: Booking<'_>,
    payment_of: impl Fn(&OutPoint) -> Option<Txid>,
    labels: &[Label],
) -> BitcoinResult<usize> {
    let wanted = wanted_locks(labels)?;
    let reserved = booking.reserved()?;
    let is_locked = |coin: &OutPoint| reserved.get(coin).is_some_and(Reservation::is_lock);
    let changes: Vec<(OutPoint, bool)> = wanted
        .into_iter()
        .filter(|(coin, shall_lock)| is_locked(coin) != *shall_lock)
        .collect();
    if changes.is_empty() {
        drop(booking);
        return import(books, labels);
    }
    // Fails now, rather than when the labels count already.
    for (coin, shall_lock) in &changes {
        if let Some(payment) = payment_of(coin).filter(|_| *shall_lock) {
            return Err(held_by(coin, payment));
        }
    }
    apply(&booking, &changes)?;
    let before = rows(books, labels)?;
    let written = transaction(books, || {
        note(books, &changes)?;
        import(books, labels)
    })?;
    if let Err(error) = booking.commit() {
        // If this fails too, the next start finishes what was noted.
        transaction(books, || {
            forget(books)?;
            before.iter().try_for_each(|row| row.restore(books))
        })?;
        return Err(error);
    }
    if let Err(error) = forget(books) {
        tracing::warn!(%error, "locks that are set are still noted as to be set");
    }
    Ok(written + changes.len())
}

/// Whether an import was cut off, so that [`finish_import`] has something to do.
///
/// # Errors
/// Those of [`init`](super::init).
pub fn has_unfinished_import(books: &Connection) -> BitcoinResult<bool> {
    Ok(!noted(books)?.is_empty())
}

/// Does what an import left undone that was cut off. What is reserved, held or an open payment's by
/// now stays so; `payment_of` names that payment.
///
/// # Errors
/// Those of [`Reservations`](crate::wallet::reservations::Reservations).
///
/// # Effects
/// Both files.
pub fn finish_import(
    books: &Connection,
    booking: Booking<'_>,
    payment_of: impl Fn(&OutPoint) -> Option<Txid>,
) -> BitcoinResult<()> {
    let reserved = booking.reserved()?;
    let (changes, lost): (Vec<_>, Vec<_>) = noted(books)?.into_iter().partition(|it| {
        let (coin, shall_lock) = it;
        // To unlock is to release a lock, and nothing that took its place since.
        match reserved.get(coin) {
            Some(reservation) => reservation.is_lock(),
            None => *shall_lock && payment_of(coin).is_none(),
        }
    });
    for (coin, _) in lost.iter().filter(|(_, shall_lock)| *shall_lock) {
        tracing::warn!(%coin, "the coin was reserved since it was to be locked; it is not locked");
    }
    apply(&booking, &changes)?;
    booking.commit()?;
    forget(books)
}

/// That a coin cannot be locked, since a payment spends it.
pub(in crate::wallet) fn held_by(coin: &OutPoint, payment: Txid) -> BitcoinError {
    fault::invalid("the coin is that of a payment that is not confirmed")
        .with_context("coin", coin)
        .with_context("payment", payment)
}

/// Makes the table of the locks that are to follow, unless it is there.
pub(super) fn init(books: &Connection) -> BitcoinResult<()> {
    let sql = "CREATE TABLE IF NOT EXISTS locks_to_set (
        coin TEXT NOT NULL PRIMARY KEY, is_locked INTEGER NOT NULL)";
    books
        .execute_batch(sql)
        .map_err(|cause| failed(books, cause))
}

fn wanted_locks(labels: &[Label]) -> BitcoinResult<BTreeMap<OutPoint, bool>> {
    let mut wanted = BTreeMap::new();
    for label in labels.iter().filter(|it| it.kind == LabelKind::Output) {
        let coin = canonical(label.kind, &label.reference)?;
        if let (Some(spendable), Ok(coin)) = (label.spendable, coin.parse()) {
            wanted.insert(coin, !spendable);
        }
    }
    Ok(wanted)
}

fn apply(booking: &Booking<'_>, changes: &[(OutPoint, bool)]) -> BitcoinResult<()> {
    for (coin, shall_lock) in changes {
        if *shall_lock {
            booking.lock(*coin)?;
        } else {
            booking.release(*coin)?;
        }
    }
    Ok(())
}

fn note(books: &Connection, changes: &[(OutPoint, bool)]) -> BitcoinResult<()> {
    let write = || {
        let mut insert =
            books.prepare_cached("INSERT OR REPLACE INTO locks_to_set VALUES (?1, ?2)")?;
        changes.iter().try_for_each(|(coin, shall_lock)| {
            insert.execute((coin.to_string(), shall_lock)).map(|_| ())
        })
    };
    write().map_err(|cause| failed(books, cause))
}

fn noted(books: &Connection) -> BitcoinResult<Vec<(OutPoint, bool)>> {
    let read = || {
        let mut statement = books.prepare_cached("SELECT coin, is_locked FROM locks_to_set")?;
        let rows = statement.query_map((), |row| {
            let coin: String = row.get(0)?;
            let coin = coin.parse().map_err(|_| {
                let what = rusqlite::types::Type::Text;
                rusqlite::Error::InvalidColumnType(0, coin, what)
            })?;
            Ok((coin, row.get(1)?))
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(|cause| failed(books, cause))
}

fn forget(books: &Connection) -> BitcoinResult<()> {
    books
        .execute_batch("DELETE FROM locks_to_set")
        .map_err(|cause| failed(books, cause))
}

/// What the books say of one reference.
struct Row {
    kind: LabelKind,
    reference: String,
    content: Option<(String, Option<String>)>,
}

impl Row {
    fn restore(&self, books: &Connection) -> BitcoinResult<()> {
        let key = (name_of(self.kind), &self.reference);
        let write = || match &self.content {
            None => books
                .prepare_cached("DELETE FROM labels WHERE kind = ?1 AND ref = ?2")?
                .execute(key),
            Some((label, origin)) => books
                .prepare_cached("INSERT OR REPLACE INTO labels VALUES (?1, ?2, ?3, ?4)")?
                .execute((key.0, key.1, label, origin)),
        };
        write().map(|_| ()).map_err(|cause| failed(books, cause))
    }
}

fn rows(books: &Connection, labels: &[Label]) -> BitcoinResult<Vec<Row>> {
    labels
        .iter()
        .map(|label| {
            let reference = canonical(label.kind, &label.reference)?;
            let read = || {
                books
                    .prepare_cached(
                        "SELECT label, origin FROM labels WHERE kind = ?1 AND ref = ?2",
                    )?
                    .query_row((name_of(label.kind), &reference), |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })
                    .optional()
            };
            let content = read().map_err(|cause| failed(books, cause))?;
            Ok(Row {
                kind: label.kind,
                reference,
                content,
            })
        })
        .collect()
}
