//! `File`: which keys were paid, and what their coins are reserved for.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{OutPoint, ScriptBuf, Transaction};
use btc_iface::{BitcoinResult, ErrorKind};
use rusqlite::{Connection, TransactionBehavior, params};

use crate::fault::{error, invalid, store};
use crate::funding::FundingCoin;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS staged (
    number INTEGER PRIMARY KEY,
    txid TEXT,
    vout INTEGER,
    raw TEXT,
    reason TEXT,
    spent INTEGER NOT NULL DEFAULT 0,
    until_ms INTEGER,
    spending TEXT
);
";
/// What may be taken: `?2` is now.
const FREE: &str = "(spending IS NULL AND (reason IS NULL OR coalesce(until_ms <= ?2, 0)))";
/// How long another process may hold the file.
const PATIENCE: Duration = Duration::from_secs(10);

/// A coin that is staged and not spent.
pub(super) struct Staged {
    pub(super) number: u32,
    pub(super) coin: FundingCoin,
    /// Whether nothing has reserved it, and it was not sent back.
    pub(super) is_free: bool,
    /// The transaction that sends it back.
    pub(super) spending: Option<Transaction>,
}

/// The open file. Times are in milliseconds of Unix time.
pub(super) struct File {
    connection: Mutex<Connection>,
}

impl File {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> BitcoinResult<Self> {
        let connection = Connection::open(path).map_err(store)?;
        connection.busy_timeout(PATIENCE).map_err(store)?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            .map_err(store)?;
        connection.execute_batch(SCHEMA).map_err(store)?;
        add_column(&connection, "until_ms", "INTEGER")?;
        add_column(&connection, "spending", "TEXT")?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// One change that no other process is in the middle of.
    fn change<T>(
        &self,
        run: impl FnOnce(&rusqlite::Transaction<'_>) -> BitcoinResult<T>,
    ) -> BitcoinResult<T> {
        let mut connection = self.connection();
        let change = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(store)?;
        let answer = run(&change)?;
        change.commit().map_err(store)?;
        Ok(answer)
    }

    /// The coins that are staged and not spent.
    pub(super) fn staged(&self, now: u64) -> BitcoinResult<Vec<Staged>> {
        let connection = self.connection();
        let sql = format!(
            "SELECT number, vout, raw, {FREE}, spending FROM staged
             WHERE spent = ?1 AND raw NOT NULL"
        );
        let mut statement = connection.prepare(&sql).map_err(store)?;
        let rows = statement
            .query_map([0, milliseconds(now)], |row| {
                Ok((
                    row.get(0)?,
                    row.get::<_, u32>(1)?,
                    row.get::<_, String>(2)?,
                    row.get(3)?,
                    row.get::<_, Option<String>>(4)?,
                ))
            })
            .map_err(store)?;
        rows.map(|row| {
            let (number, vout, raw, is_free, spending) = row.map_err(store)?;
            let previous: Transaction = deserialize_hex(&raw).map_err(store)?;
            let coin = FundingCoin {
                outpoint: OutPoint::new(previous.compute_txid(), vout),
                previous,
                max_witness_len: 108,
                redeem_script: ScriptBuf::new(),
            };
            Ok(Staged {
                number,
                coin,
                is_free,
                spending: spending
                    .map(|raw| deserialize_hex(&raw).map_err(store))
                    .transpose()?,
            })
        })
        .collect()
    }

    /// The number of a new key.
    pub(super) fn add(&self) -> BitcoinResult<u32> {
        let sql = "INSERT INTO staged DEFAULT VALUES RETURNING number";
        let number = self.connection().query_row(sql, (), |row| row.get(0));
        number.map_err(store)
    }

    /// Takes note of the transaction that pays a key, with the place of its output.
    pub(super) fn pay(&self, number: u32, payment: &Transaction, vout: u32) -> BitcoinResult<()> {
        let sql = "UPDATE staged SET txid = ?2, vout = ?3, raw = ?4 WHERE number = ?1";
        let txid = payment.compute_txid().to_string();
        let values = params![number, txid, vout, serialize_hex(payment)];
        self.connection().execute(sql, values).map_err(store)?;
        Ok(())
    }

    /// Reserves the coins with these numbers, if all are free.
    pub(super) fn reserve(
        &self,
        numbers: &[u32],
        reason: &str,
        until: Option<u64>,
        now: u64,
    ) -> BitcoinResult<()> {
        let sql = format!(
            "UPDATE staged SET reason = ?3, until_ms = ?4 WHERE number = ?1 AND spent = 0 AND {FREE}"
        );
        let (until, now) = (until.map(milliseconds), milliseconds(now));
        self.change(|change| {
            for number in numbers {
                let values = params![number, now, reason, until];
                if change.execute(&sql, values).map_err(store)? == 0 {
                    let message = "another call took the coin; try again";
                    return Err(error(ErrorKind::Unavailable, message));
                }
            }
            Ok(())
        })
    }

    /// Gives these coins another end, if all are reserved for this reason, or free.
    pub(super) fn extend(
        &self,
        coins: &[OutPoint],
        reason: &str,
        until: Option<u64>,
        now: u64,
    ) -> BitcoinResult<()> {
        let sql = format!(
            "UPDATE staged SET reason = ?3, until_ms = ?4
             WHERE txid = ?1 AND vout = ?5 AND spent = 0 AND (spending IS NULL AND reason = ?3 OR {FREE})"
        );
        let (until, now) = (until.map(milliseconds), milliseconds(now));
        self.change(|change| {
            for coin in coins {
                let values = params![coin.txid.to_string(), now, reason, until, coin.vout];
                if change.execute(&sql, values).map_err(store)? == 0 {
                    let message = "a staged coin is not reserved for this contract any more";
                    return Err(invalid(message).with_context("coin", coin));
                }
            }
            Ok(())
        })
    }

    /// Releases what is reserved for this reason.
    pub(super) fn release(&self, reason: &str) -> BitcoinResult<()> {
        // What was spent in a block that left the chain is no more: the node decides.
        let sql = "UPDATE staged SET reason = NULL, until_ms = NULL, spent = 0 WHERE reason = ?1";
        self.connection().execute(sql, [reason]).map_err(store)?;
        Ok(())
    }

    /// Takes note that what is reserved for this reason is spent.
    pub(super) fn spent(&self, reason: &str) -> BitcoinResult<()> {
        let sql = "UPDATE staged SET spent = 1 WHERE reason = ?1";
        self.connection().execute(sql, [reason]).map_err(store)?;
        Ok(())
    }

    /// Takes note of the transaction that sends a coin back, before it leaves; returns whether
    /// nothing has reserved the coin meanwhile. From then on no contract gets it.
    pub(super) fn send_back(
        &self,
        number: u32,
        spending: &Transaction,
        now: u64,
    ) -> BitcoinResult<bool> {
        let sql = format!(
            "UPDATE staged SET spending = ?3 WHERE number = ?1 AND spent = 0
             AND (spending NOT NULL OR {FREE})"
        );
        let values = params![number, milliseconds(now), serialize_hex(spending)];
        let changed = self.change(|change| change.execute(&sql, values).map_err(store))?;
        Ok(changed > 0)
    }

    /// Takes back that this transaction sends a coin back.
    pub(super) fn keep(&self, number: u32, spending: &Transaction) -> BitcoinResult<()> {
        let sql = "UPDATE staged SET spending = NULL WHERE number = ?1 AND spending = ?2";
        let values = params![number, serialize_hex(spending)];
        self.change(|change| change.execute(sql, values).map_err(store))?;
        Ok(())
    }

    /// The reasons with this beginning that have no end.
    pub(super) fn endless(&self, prefix: &str) -> BitcoinResult<Vec<String>> {
        let connection = self.connection();
        let sql = "SELECT DISTINCT reason FROM staged
                   WHERE until_ms IS NULL AND substr(reason, 1, length(?1)) = ?1";
        let mut statement = connection.prepare(sql).map_err(store)?;
        let rows = statement.query_map([prefix], |row| row.get(0));
        let rows = rows.map_err(store)?;
        rows.collect::<Result<_, _>>().map_err(store)
    }
}

/// Adds a column to a file that was made before there was one.
fn add_column(connection: &Connection, name: &str, kind: &str) -> BitcoinResult<()> {
    let sql = "SELECT count(*) FROM pragma_table_info('staged') WHERE name = ?1";
    let is_there = || {
        let count = connection.query_row(sql, [name], |row| row.get::<_, u32>(0));
        count.map_err(store).map(|count| count > 0)
    };
    if is_there()? {
        return Ok(());
    }
    let sql = format!("ALTER TABLE staged ADD COLUMN {name} {kind}");
    match connection.execute(&sql, ()) {
        // Another process may have been faster.
        Err(_) if is_there()? => Ok(()),
        other => other.map(|_| ()).map_err(store),
    }
}

/// As SQLite counts.
fn milliseconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
