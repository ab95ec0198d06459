//! `Booking`: one transaction on the reservations, from the look at them to the promise.

use std::collections::HashMap;
use std::path::Path;

use bitcoin::{OutPoint, Txid};
use btc_iface::{AddressType, BitcoinResult};
use rusqlite::OptionalExtension;

use super::schema::Session;
use super::{
    CHANGE_REACH, ChangeReach, HOLD, INDEX_END, LOCKED, Reservation, change_reach, clamped, failed,
    next_index, reserved, reserved_change,
};
use crate::wallet::fault;
use crate::wallet::keys::Keychain;

/// Rows whose time is over, by the time that is to be `?1`: ended, or of a clock that was ahead by
/// more than a minute. Less is the time that a caller waited for the file, or a clock corrected.
const OVER: &str = "until_ms IS NOT NULL AND (until_ms <= ?1 OR until_ms - span_ms > ?1 + 60000)";

/// A transaction under way: no one else writes until it is committed or dropped. Dropped, it has
/// no effect.
#[derive(Debug)]
pub struct Booking<'a> {
    pub(super) session: Session,
    pub(super) path: &'a Path,
    now_ms: u64,
}

/// Until when something is reserved, in milliseconds of Unix time, and how long that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    until_ms: u64,
    span_ms: u64,
}

impl End {
    /// So many milliseconds from this time on.
    pub fn after(now_ms: u64, span_ms: u64) -> Self {
        Self {
            until_ms: now_ms.saturating_add(span_ms),
            span_ms,
        }
    }
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
        let now_ms = clamped(now_ms);
        booking.write(&format!("DELETE FROM reserved WHERE {OVER}"), [now_ms])?;
        booking.write(&format!("DELETE FROM change_index WHERE {OVER}"), [now_ms])?;
        Ok(booking)
    }

    /// The time that counts as now, in milliseconds of Unix time.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The coins reserved or locked now.
    pub fn reserved(&self) -> BitcoinResult<HashMap<OutPoint, Reservation>> {
        #[cfg(feature = "planted")]
        if crate::planted::is(crate::planted::Planted::TakesReserved) {
            return Ok(HashMap::new());
        }
        reserved(&self.session.connection, self.now_ms).map_err(|cause| failed(self.path, cause))
    }

    /// The next index of one chain.
    pub fn next_index(&self, keychain: Keychain) -> BitcoinResult<u32> {
        next_index(&self.session.connection, keychain).map_err(|cause| failed(self.path, cause))
    }

    /// The highest change index of this type that a transaction which is not handed over yet has.
    pub fn reserved_change(&self, address_type: AddressType) -> BitcoinResult<Option<u32>> {
        reserved_change(&self.session.connection, address_type, self.now_ms)
            .map_err(|cause| failed(self.path, cause))
    }

    /// The highest change index of each type that was ever reserved.
    pub fn change_reach(&self) -> BitcoinResult<ChangeReach> {
        change_reach(&self.session.connection).map_err(|cause| failed(self.path, cause))
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

    /// Reserves coins for the transaction with this token. A coin that is reserved for it already
    /// is reserved until then; one that a user locked, which is spent on demand only, stays
    /// locked.
    ///
    /// # Errors
    /// `InvalidInput`: a coin is reserved otherwise; the context names both.
    pub fn reserve(&self, coins: &[OutPoint], end: End, token: Txid) -> BitcoinResult<()> {
        let reason = token.to_string();
        for coin in coins {
            match self.reason(coin)? {
                Some(other) if other == LOCKED => continue,
                Some(other) if other != reason => return Err(taken(coin, &other)),
                _ => {}
            }
            self.put(coin, Some(end), &reason)?;
        }
        Ok(())
    }

    /// Reserves a change index for the transaction with this token.
    ///
    /// # Errors
    /// `InvalidInput`: the chain has no index left.
    pub fn reserve_change(
        &self,
        address_type: AddressType,
        index: u32,
        end: End,
        token: Txid,
    ) -> BitcoinResult<()> {
        if index >= INDEX_END {
            let message =
                format!("the change chain of type {address_type} has no index left; use another");
            return Err(fault::invalid(message));
        }
        #[cfg(feature = "planted")]
        if crate::planted::is(crate::planted::Planted::KeepsChangeIndex) {
            self.set_next((address_type, btc_iface::Chain::Change), index + 1)?;
        }
        self.write(
            "INSERT OR REPLACE INTO change_index (address_type, key_index, until_ms, span_ms, reason)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                address_type.as_str(),
                index,
                clamped(end.until_ms),
                clamped(end.span_ms),
                token.to_string(),
            ),
        )?;
        self.write(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value =
             max(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER))",
            (format!("{CHANGE_REACH}{address_type}"), index.to_string()),
        )?;
        Ok(())
    }

    /// Locks a coin until it is released.
    ///
    /// # Errors
    /// `InvalidInput`: the coin is reserved or held. A lock in its place would free it for others
    /// when it is released.
    pub fn lock(&self, coin: OutPoint) -> BitcoinResult<()> {
        if let Some(other) = self.reason(&coin)?.filter(|other| other != LOCKED) {
            return Err(taken(&coin, &other));
        }
        self.put(&coin, None, LOCKED)
    }

    /// Holds coins for a purpose of the caller's, until released if `end` is none.
    ///
    /// # Errors
    /// `InvalidInput`: a coin is reserved otherwise.
    pub fn hold(&self, coins: &[OutPoint], reason: &str, end: Option<End>) -> BitcoinResult<()> {
        let reason = format!("{HOLD}{reason}");
        for coin in coins {
            if let Some(other) = self.reason(coin)?.filter(|other| *other != reason) {
                return Err(taken(coin, &other));
            }
            self.put(coin, end, &reason)?;
        }
        Ok(())
    }

    /// Releases a coin; returns whether it was reserved or locked.
    pub fn release(&self, coin: OutPoint) -> BitcoinResult<bool> {
        let count = self.write(
            "DELETE FROM reserved WHERE txid = ?1 AND vout = ?2",
            (coin.txid.to_string(), coin.vout),
        )?;
        Ok(count > 0)
    }

    /// Releases what is reserved for the transaction with this token, and what it may replace if it
    /// was not handed over: what it replaced would be sent again. Returns how many coins. Locks
    /// stay.
    pub fn release_for(&self, token: Txid) -> BitcoinResult<usize> {
        let token = token.to_string();
        self.write(
            "DELETE FROM replaces WHERE token = ?1
                 AND NOT EXISTS (SELECT 1 FROM payments WHERE token = ?1)",
            [&token],
        )?;
        self.clear(&token)
    }

    /// Releases what is reserved for the transaction with this token; what it may replace stays.
    pub fn release_coins(&self, token: Txid) -> BitcoinResult<usize> {
        self.clear(&token.to_string())
    }

    /// Releases what is held for this reason of a caller's.
    pub fn release_hold(&self, reason: &str) -> BitcoinResult<usize> {
        self.clear(&format!("{HOLD}{reason}"))
    }

    /// Makes everything since the beginning count, on disk.
    pub fn commit(self) -> BitcoinResult<()> {
        let committed = self.session.connection.execute_batch("COMMIT");
        committed.map_err(|cause| failed(self.path, cause))
    }

    pub(super) fn clear(&self, reason: &str) -> BitcoinResult<usize> {
        self.write("DELETE FROM change_index WHERE reason = ?1", [reason])?;
        self.write("DELETE FROM reserved WHERE reason = ?1", [reason])
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

    fn put(&self, coin: &OutPoint, end: Option<End>, reason: &str) -> BitcoinResult<()> {
        self.write(
            "INSERT OR REPLACE INTO reserved (txid, vout, until_ms, span_ms, reason)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                coin.txid.to_string(),
                coin.vout,
                end.map(|end| clamped(end.until_ms)),
                end.map(|end| clamped(end.span_ms)),
                reason,
            ),
        )?;
        Ok(())
    }

    pub(super) fn write(&self, sql: &str, values: impl rusqlite::Params) -> BitcoinResult<usize> {
        self.session
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map_err(|cause| failed(self.path, cause))
    }
}

fn taken(coin: &OutPoint, by: &str) -> btc_iface::BitcoinError {
    let message =
        "the coin is reserved for another transaction; choose another coin, or release it";
    fault::invalid(message)
        .with_context("coin", coin)
        .with_context("reserved_for", by)
}
