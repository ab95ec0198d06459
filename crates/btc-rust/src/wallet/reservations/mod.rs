//! Reserved indices and coins, shared with the other implementation.

mod booking;
mod payments;
mod schema;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::{OutPoint, Transaction, Txid};
use btc_iface::{AddressType, BitcoinError, BitcoinResult, Chain};
use rusqlite::{Connection, OptionalExtension};

pub use self::booking::{Booking, End};
pub use self::payments::{PaymentRow, token};
use self::schema::Access;
pub(super) use self::schema::create;
use super::fault;
use super::keys::Keychain;

/// The name of the file.
pub const RESERVATIONS: &str = "reservations.sqlite";
/// The name of the lock under which the file is open.
pub const LOCK: &str = "reservations.lock";
/// The reason of a user's lock.
pub const LOCKED: &str = "locked";
/// What the reason of a caller's own reservation begins with.
pub const HOLD: &str = "hold:";
/// What the key of the highest change index of a type in the table `meta` begins with.
const CHANGE_REACH: &str = "change_reach.";
/// The highest change index of each type that was ever reserved.
pub type ChangeReach = BTreeMap<AddressType, u32>;
/// One more than the highest index that can be derived without hardening (BIP32).
pub const INDEX_END: u32 = 1 << 31;

/// Why a coin is not spent by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// When it ends, in milliseconds of Unix time; `None`: when it is released.
    pub until_ms: Option<u64>,
    /// For how many milliseconds it was granted.
    pub span_ms: Option<u64>,
    /// The [`token`] of the transaction that spends the coin, [`LOCKED`], or [`HOLD`] and a
    /// caller's reason.
    pub reason: String,
}

impl Reservation {
    /// Whether a user locked the coin.
    pub fn is_lock(&self) -> bool {
        self.reason == LOCKED
    }
}

/// The next index of each chain and the reserved coins. Each method is one transaction: done and
/// on disk, or without effect.
///
/// All may fail with `Unavailable` when another process uses the file for longer than 5 s, `Internal`
/// when the disk is full or fails, and `Configuration` when the file is damaged.
#[derive(Debug)]
pub struct Reservations {
    path: PathBuf,
    access: Access,
}

impl Reservations {
    /// Opens the file in a wallet's folder. One that is missing is made anew, without a promise
    /// in it, since what it loses is no money: locks, reservations and the indices of addresses
    /// that were given out and never paid.
    ///
    /// # Errors
    /// `Configuration`: damaged, or a newer version wrote it.
    pub fn open(dir: &Path) -> BitcoinResult<Self> {
        let path = dir.join(RESERVATIONS);
        drop(schema::open(&path, Access::Write)?);
        Ok(Self {
            path,
            access: Access::Change,
        })
    }

    /// Opens the file for reading; what would write fails with `Configuration`.
    ///
    /// # Errors
    /// `Configuration`: missing, damaged, or a newer version wrote it.
    pub fn open_read_only(dir: &Path) -> BitcoinResult<Self> {
        let path = dir.join(RESERVATIONS);
        drop(schema::open(&path, Access::Read)?);
        Ok(Self {
            path,
            access: Access::Read,
        })
    }

    /// The next index of one chain; 0 if none was taken.
    pub fn next_index(&self, keychain: Keychain) -> BitcoinResult<u32> {
        self.read(|connection| next_index(connection, keychain))
    }

    /// The next index of each chain from which one was taken.
    pub fn all_next(&self) -> BitcoinResult<BTreeMap<Keychain, u32>> {
        self.read(all_next)
    }

    /// The highest change index of each type that was ever reserved.
    pub fn change_reach(&self) -> BitcoinResult<ChangeReach> {
        self.read(change_reach)
    }

    /// The coins reserved or locked at this time, in milliseconds of Unix time.
    pub fn reserved(&self, now_ms: u64) -> BitcoinResult<HashMap<OutPoint, Reservation>> {
        self.read(|connection| reserved(connection, now_ms))
    }

    /// Takes the next index of a chain that is at least this: nobody gets it again.
    ///
    /// # Errors
    /// `InvalidInput`: the chain has no index left.
    pub fn take_index(&mut self, keychain: Keychain, at_least: u32) -> BitcoinResult<u32> {
        let booking = self.begin(now_ms())?;
        let index = booking.next_index(keychain)?.max(at_least);
        booking.set_next(keychain, index.saturating_add(1))?;
        booking.commit()?;
        Ok(index)
    }

    /// Locks a coin until it is released. Asks about no payments: the wallet does that.
    pub fn lock(&mut self, coin: OutPoint) -> BitcoinResult<()> {
        let booking = self.begin(now_ms())?;
        booking.lock(coin)?;
        booking.commit()
    }

    /// Releases a coin; returns whether it was reserved or locked.
    pub fn release(&mut self, coin: OutPoint) -> BitcoinResult<bool> {
        let booking = self.begin(now_ms())?;
        let is_released = booking.release(coin)?;
        booking.commit()?;
        Ok(is_released)
    }

    /// Releases the coins reserved for the transaction with this [`token`]; returns how many. Locks
    /// stay.
    pub fn release_for(&mut self, token: Txid) -> BitcoinResult<usize> {
        let booking = self.begin(now_ms())?;
        let count = booking.release_for(token)?;
        booking.commit()?;
        Ok(count)
    }

    /// Releases what is held for this reason of a caller's; returns how many coins.
    pub fn release_hold(&mut self, reason: &str) -> BitcoinResult<usize> {
        let booking = self.begin(now_ms())?;
        let count = booking.release_hold(reason)?;
        booking.commit()?;
        Ok(count)
    }

    /// The payments that are not settled, by txid, and those that were settled above this height.
    pub fn payments(&self, above: i64) -> BitcoinResult<BTreeMap<Txid, PaymentRow>> {
        self.read(|connection| payments::open_payments(connection, above))
    }

    /// The transaction of a payment.
    pub fn payment_transaction(&self, txid: Txid) -> BitcoinResult<Option<Transaction>> {
        self.read(|connection| payments::payment_transaction(connection, txid))
    }

    /// The highest change index of this type that a transaction which is not handed over yet has,
    /// at this time in milliseconds of Unix time.
    pub fn reserved_change(
        &self,
        address_type: AddressType,
        now_ms: u64,
    ) -> BitcoinResult<Option<u32>> {
        self.read(|connection| reserved_change(connection, address_type, now_ms))
    }

    /// Begins a transaction that keeps other writers out until it is committed or dropped, so
    /// that a plan and its reservations are one step. Removes what ended by `now_ms`.
    pub fn begin(&mut self, now_ms: u64) -> BitcoinResult<Booking<'_>> {
        let session = schema::session(&self.path, self.access)?;
        Booking::new(session, &self.path, now_ms)
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> BitcoinResult<T> {
        let session = schema::session(&self.path, self.access)?;
        read(&session.connection).map_err(|cause| failed(&self.path, cause))
    }
}

/// The time now, in milliseconds of Unix time.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

fn next_index(connection: &Connection, (kind, chain): Keychain) -> rusqlite::Result<u32> {
    let next: Option<u32> = connection
        .prepare_cached("SELECT next FROM next_index WHERE address_type = ?1 AND chain = ?2")?
        .query_row((kind.as_str(), chain.as_str()), |row| row.get(0))
        .optional()?;
    in_range(next.unwrap_or(0))
}

fn all_next(connection: &Connection) -> rusqlite::Result<BTreeMap<Keychain, u32>> {
    let mut statement =
        connection.prepare_cached("SELECT address_type, chain, next FROM next_index")?;
    let rows = statement.query_map((), |row| {
        let kind: AddressType = parsed(row, 0)?;
        let name: String = row.get(1)?;
        let chain = Chain::ALL.into_iter().find(|it| it.as_str() == name);
        let chain = chain.ok_or_else(|| unreadable(1, format!("unknown chain `{name}`")))?;
        Ok(((kind, chain), in_range(row.get(2)?)?))
    })?;
    rows.collect()
}

fn reserved(
    connection: &Connection,
    now_ms: u64,
) -> rusqlite::Result<HashMap<OutPoint, Reservation>> {
    let mut statement = connection.prepare_cached(
        "SELECT txid, vout, until_ms, span_ms, reason FROM reserved
         WHERE until_ms IS NULL OR (until_ms > ?1 AND until_ms - span_ms <= ?1 + 60000)",
    )?;
    let rows = statement.query_map([clamped(now_ms)], |row| {
        let coin = OutPoint::new(parsed(row, 0)?, row.get(1)?);
        let reservation = Reservation {
            until_ms: row.get(2)?,
            span_ms: row.get(3)?,
            reason: row.get(4)?,
        };
        Ok((coin, reservation))
    })?;
    rows.collect()
}

fn reserved_change(
    connection: &Connection,
    address_type: AddressType,
    now_ms: u64,
) -> rusqlite::Result<Option<u32>> {
    connection
        .prepare_cached(
            "SELECT max(key_index) FROM change_index WHERE address_type = ?1
             AND (until_ms IS NULL OR (until_ms > ?2 AND until_ms - span_ms <= ?2 + 60000))",
        )?
        .query_row((address_type.as_str(), clamped(now_ms)), |row| row.get(0))
}

fn change_reach(connection: &Connection) -> rusqlite::Result<ChangeReach> {
    let mut statement =
        connection.prepare_cached("SELECT key, value FROM meta WHERE key LIKE ?1 || '%'")?;
    let rows = statement.query_map([CHANGE_REACH], |row| {
        let key: String = row.get(0)?;
        let kind = key.strip_prefix(CHANGE_REACH).unwrap_or_default();
        let kind: Option<AddressType> = kind.parse().ok();
        let kind = kind.ok_or_else(|| unreadable(0, format!("unknown key `{key}`")))?;
        Ok((kind, in_range(parsed(row, 1)?)?))
    })?;
    rows.collect()
}

/// SQLite's integers are signed; no time that matters exceeds them.
fn clamped(time_ms: u64) -> i64 {
    i64::try_from(time_ms).unwrap_or(i64::MAX)
}

fn in_range(next: u32) -> rusqlite::Result<u32> {
    if next > INDEX_END {
        return Err(rusqlite::Error::IntegralValueOutOfRange(0, next.into()));
    }
    Ok(next)
}

fn parsed<T>(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|cause: T::Err| unreadable(column, cause.to_string()))
}

fn unreadable(column: usize, cause: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, cause.into())
}

fn failed(path: &Path, cause: rusqlite::Error) -> BitcoinError {
    const ADVICE: &str = "close the wallet everywhere and move this file out of the folder; the next start makes a new one. Lost are locks, reservations and the \
         indices of addresses that were given out and never paid";
    fault::database(path, ADVICE, cause)
}
