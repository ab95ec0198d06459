//! `Booking`: one transaction on the reservations, from the look at them to the promise.

use std::collections::HashMap;
use std::path::Path;

use bitcoin::{OutPoint, Txid};
use btc_iface::BitcoinResult;
use rusqlite::OptionalExtension;

use super::schema::Session;
use super::{INDEX_END, LOCKED, Reservation, clamped, failed, next_index, reserved};
use crate::wallet::fault;
use crate::wallet::keys::Keychain;

/// A transaction under way: no one else writes until it is committed or dropped. Dropped, it has
/// no effect.
#[derive(Debug)]
pub struct Booking<'a> {
    session: Session,
    path: &'a Path,
    now_ms: u64,
}

impl<'a> Booking<'a> {
    pub(super) fn new(session: Session, path: &'a Path, now_ms: u64) -> BitcoinResult<Self> {
        let begun = session.connection.execute_batch("BEGIN IMMEDIATE");
        begun.map_err(|cause| failed(path, cause))?;
        // Closed without a commit, the session takes everything back.
        let booking = Self {
            session,
            path,
            now_ms,
        };
        booking.write(
            "DELETE FROM reserved WHERE until_ms IS NOT NULL AND until_ms <= ?1",
            [clamped(now_ms)],
        )?;
        Ok(booking)
    }

    /// The coins reserved or locked now.
    pub fn reserved(&self) -> BitcoinResult<HashMap<OutPoint, Reservation>> {
        reserved(&self.session.connection, self.now_ms).map_err(|cause| failed(self.path, cause))
    }

    /// The next index of one chain.
    pub fn next_index(&self, keychain: Keychain) -> BitcoinResult<u32> {
        next_index(&self.session.connection, keychain).map_err(|cause| failed(self.path, cause))
    }

    /// Stores the next index of a chain; a lower one than is stored changes nothing.
    ///
    /// # Errors
    /// `InvalidInput`: above 2^31, the chain has no index left.
    pub fn set_next(&self, (kind, chain): Keychain, next: u32) -> BitcoinResult<()> {
        if next > INDEX_END {
            let message = format!(
                "the {chain} chain of type {kind} has no index left; use another address type"
            );
            return Err(fault::invalid(message));
        }
        self.write(
            "INSERT INTO next_index (address_type, chain, next) VALUES (?1, ?2, ?3)
             ON CONFLICT (address_type, chain) DO UPDATE SET next = max(next, excluded.next)",
            (kind.as_str(), chain.as_str(), next),
        )?;
        Ok(())
    }

    /// Reserves coins for a transaction until this time, in milliseconds of Unix time. A coin that
    /// is reserved for it already is reserved until then; one that a user locked, which is spent
    /// on demand only, stays locked.
    ///
    /// # Errors
    /// `InvalidInput`: a coin is reserved for another transaction; the context names both.
    pub fn reserve(&self, coins: &[OutPoint], until_ms: u64, txid: Txid) -> BitcoinResult<()> {
        let reason = txid.to_string();
        for coin in coins {
            match self.reason(coin)? {
                Some(other) if other == LOCKED => continue,
                Some(other) if other != reason => {
                    let message = "the coin is reserved for another transaction; choose another \
                                   coin, or release it";
                    return Err(fault::invalid(message)
                        .with_context("coin", coin)
                        .with_context("reserved_for", other));
                }
                _ => {}
            }
            self.put(coin, Some(clamped(until_ms)), &reason)?;
        }
        Ok(())
    }

    /// Locks a coin until it is released; a reservation becomes a lock.
    pub fn lock(&self, coin: OutPoint) -> BitcoinResult<()> {
        self.put(&coin, None, LOCKED)
    }

    /// Releases a coin; returns whether it was reserved or locked.
    pub fn release(&self, coin: OutPoint) -> BitcoinResult<bool> {
        let count = self.write(
            "DELETE FROM reserved WHERE txid = ?1 AND vout = ?2",
            (coin.txid.to_string(), coin.vout),
        )?;
        Ok(count > 0)
    }

    /// Releases the coins reserved for a transaction; returns how many. Locks stay.
    pub fn release_for(&self, txid: Txid) -> BitcoinResult<usize> {
        self.write("DELETE FROM reserved WHERE reason = ?1", [txid.to_string()])
    }

    /// Makes everything since the beginning count, on disk.
    pub fn commit(self) -> BitcoinResult<()> {
        let committed = self.session.connection.execute_batch("COMMIT");
        committed.map_err(|cause| failed(self.path, cause))
    }

    fn reason(&self, coin: &OutPoint) -> BitcoinResult<Option<String>> {
        let read = || {
            self.session
                .connection
                .prepare_cached("SELECT reason FROM reserved WHERE txid = ?1 AND vout = ?2")?
                .query_row((coin.txid.to_string(), coin.vout), |row| row.get(0))
                .optional()
        };
        read().map_err(|cause| failed(self.path, cause))
    }

    fn put(&self, coin: &OutPoint, until_ms: Option<i64>, reason: &str) -> BitcoinResult<()> {
        self.write(
            "INSERT OR REPLACE INTO reserved (txid, vout, until_ms, reason)
             VALUES (?1, ?2, ?3, ?4)",
            (coin.txid.to_string(), coin.vout, until_ms, reason),
        )?;
        Ok(())
    }

    fn write(&self, sql: &str, values: impl rusqlite::Params) -> BitcoinResult<usize> {
        self.session
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map_err(|cause| failed(self.path, cause))
    }
}
