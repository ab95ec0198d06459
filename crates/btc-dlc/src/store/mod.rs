//! The store: one SQLite file, one transaction for each change of a state, synced before a promise.

mod facts;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcoin::BlockHash;
use btc_iface::dlc::ContractId;
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

pub(crate) use self::facts::{Closing, Ending, Facts, Phase, Spent};
use crate::fault::{error, store};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS contracts (
    id BLOB PRIMARY KEY,
    version INTEGER NOT NULL,
    number INTEGER NOT NULL,
    facts TEXT NOT NULL,
    offer BLOB NOT NULL,
    accept BLOB,
    sign BLOB
);
CREATE TABLE IF NOT EXISTS blocks (height INTEGER PRIMARY KEY, hash TEXT NOT NULL);
";
const VERSION: &str = "1";
/// How long another process may hold the file.
const PATIENCE: Duration = Duration::from_secs(10);
/// No reorganisation is deeper: deeper ones are followed from the oldest block known.
pub(crate) const BLOCKS_KEPT: u32 = 1_000;

/// A contract as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: ContractId,
    version: i64,
    pub(crate) facts: Facts,
    pub(crate) offer: Vec<u8>,
    pub(crate) accept: Option<Vec<u8>>,
    pub(crate) sign: Option<Vec<u8>>,
}

impl Row {
    pub(crate) fn new(id: ContractId, facts: Facts, offer: Vec<u8>) -> Self {
        Self {
            id,
            version: 0,
            facts,
            offer,
            accept: None,
            sign: None,
        }
    }
}

/// The open file. Several processes may have it open; each change names what it changes from.
pub(crate) struct Store {
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path) -> BitcoinResult<Self> {
        let mut connection = Connection::open(path).map_err(store)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
                .map_err(store)?;
        }
        connection.busy_timeout(PATIENCE).map_err(store)?;
        // A commit is on the disk when it returns.
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            .map_err(store)?;
        let change = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(store)?;
        change.execute_batch(SCHEMA).map_err(store)?;
        let sql = "INSERT OR IGNORE INTO meta VALUES ('schema', ?1)";
        change.execute(sql, [VERSION]).map_err(store)?;
        let found: String = change
            .query_row("SELECT value FROM meta WHERE key = 'schema'", (), |row| {
                row.get(0)
            })
            .map_err(store)?;
        change.commit().map_err(store)?;
        if found != VERSION {
            let message =
                "the store of contracts is of another version; use the program that made it";
            return Err(error(ErrorKind::Configuration, message)
                .with_context("version", found)
                .with_context("expected", VERSION));
        }
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere leaves no half-made change: SQLite rolls it back.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(
        &self,
        run: impl FnOnce(&Transaction<'_>) -> BitcoinResult<T>,
    ) -> BitcoinResult<T> {
        let mut connection = self.connection();
        let change = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(store)?;
        let answer = run(&change)?;
        change.commit().map_err(store)?;
        Ok(answer)
    }

    /// The name of this store among those that reserve coins of one wallet.
    pub(crate) fn name(&self, fresh: &str) -> BitcoinResult<String> {
        self.change(|change| {
            let sql = "INSERT OR IGNORE INTO meta VALUES ('name', ?1)";
            change.execute(sql, [fresh]).map_err(store)?;
            change
                .query_row("SELECT value FROM meta WHERE key = 'name'", (), |row| {
                    row.get(0)
                })
                .map_err(store)
        })
    }

    /// The fingerprint of the seed that its contracts are of, if one was bound.
    pub(crate) fn seed(&self) -> BitcoinResult<Option<String>> {
        let sql = "SELECT value FROM meta WHERE key = 'seed'";
        let connection = self.connection();
        let found = connection.query_row(sql, (), |row| row.get(0)).optional();
        found.map_err(store)
    }

    /// Binds the store to the seed with this fingerprint, unless it is bound; returns whether it is
    /// bound to this one.
    pub(crate) fn bind_seed(&self, fingerprint: &str) -> BitcoinResult<bool> {
        let sql = "INSERT OR IGNORE INTO meta VALUES ('seed', ?1)";
        self.change(|change| change.execute(sql, [fingerprint]).map_err(store))?;
        Ok(self.seed()?.as_deref() == Some(fingerprint))
    }

    /// Adds a contract.
    pub(crate) fn insert(&self, row: &mut Row) -> BitcoinResult<()> {
        let facts = serde_json::to_string(&row.facts).map_err(store)?;
        let added = self.change(|change| {
            let sql = "INSERT OR IGNORE INTO contracts SELECT ?1, 1, \
                       1 + coalesce(max(number), 0), ?2, ?3, ?4, ?5 FROM contracts";
            let values = params![row.id.0, facts, row.offer, row.accept, row.sign];
            change.execute(sql, values).map_err(store)
        })?;
        if added == 0 {
            return Err(moved(row.id));
        }
        row.version = 1;
        Ok(())
    }

    /// Writes a changed contract, unless it was changed since it was read.
    pub(crate) fn update(&self, row: &mut Row) -> BitcoinResult<()> {
        let facts = serde_json::to_string(&row.facts).map_err(store)?;
        let changed = self.change(|change| {
            let sql = "UPDATE contracts SET version = version + 1, facts = ?3, accept = ?4, \
                       sign = ?5 WHERE id = ?1 AND version = ?2";
            let values = params![row.id.0, row.version, facts, row.accept, row.sign];
            change.execute(sql, values).map_err(store)
        })?;
        if changed == 0 {
            return Err(moved(row.id));
        }
        row.version += 1;
        Ok(())
    }

    /// One contract.
    pub(crate) fn get(&self, id: ContractId) -> BitcoinResult<Option<Row>> {
        let sql = "SELECT id, version, facts, offer, accept, sign FROM contracts WHERE id = ?1";
        let connection = self.connection();
        let row = connection
            .query_row(sql, [id.0], read)
            .optional()
            .map_err(store)?;
        row.map(parsed).transpose()
    }

    /// What is known about each contract that can be read without its messages, the newest first.
    pub(crate) fn all(&self) -> BitcoinResult<Vec<(ContractId, Facts)>> {
        let all = each(&self.connection())?.into_iter();
        Ok(all
            .filter_map(|(id, facts)| Some((id, facts.ok()?)))
            .collect())
    }

    /// The contracts that cannot be read, each with the reason.
    pub(crate) fn unreadable(&self) -> BitcoinResult<Vec<(ContractId, BitcoinError)>> {
        let all = each(&self.connection())?.into_iter();
        Ok(all
            .filter_map(|(id, facts)| Some((id, facts.err()?)))
            .collect())
    }

    /// The block that the chain was followed to.
    pub(crate) fn tip(&self) -> BitcoinResult<Option<(u32, BlockHash)>> {
        self.block_below(u32::MAX)
    }

    /// The block below this height that is known, the highest first.
    pub(crate) fn block_below(&self, height: u32) -> BitcoinResult<Option<(u32, BlockHash)>> {
        let sql = "SELECT height, hash FROM blocks WHERE height < ?1 ORDER BY height DESC LIMIT 1";
        let connection = self.connection();
        let found = connection
            .query_row(sql, [height], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?))
            })
            .optional()
            .map_err(store)?;
        found.map(block).transpose()
    }

    /// Takes back what was learned above this height: in one step with the contracts' facts.
    pub(crate) fn rewind(&self, height: u32) -> BitcoinResult<()> {
        self.change(|change| {
            change
                .execute("DELETE FROM blocks WHERE height > ?1", [height])
                .map_err(store)?;
            for (id, facts) in each(change)? {
                // What cannot be read stays as it is, and stops no other.
                let Ok(mut facts) = facts else {
                    continue;
                };
                let before = facts.clone();
                let above = |at: Option<u32>| at.is_some_and(|at| at > height);
                if above(facts.funding_height) {
                    facts.funding_height = None;
                    // Coins that were marked as spent may come back.
                    facts.is_released = false;
                }
                if above(facts.conflict_height) {
                    facts.conflict_height = None;
                }
                if facts
                    .spent
                    .as_ref()
                    .is_some_and(|spent| spent.height > height)
                {
                    facts.spent = None;
                }
                if facts != before {
                    write_facts(change, id, &facts)?;
                }
            }
            Ok(())
        })
    }

    /// Takes in one block: its hash, and what it changed, in one step.
    pub(crate) fn advance(
        &self,
        height: u32,
        hash: BlockHash,
        changes: &[(ContractId, Facts)],
    ) -> BitcoinResult<()> {
        self.change(|change| {
            let sql = "INSERT OR REPLACE INTO blocks VALUES (?1, ?2)";
            change
                .execute(sql, params![height, hash.to_string()])
                .map_err(store)?;
            let oldest = height.saturating_sub(BLOCKS_KEPT);
            change
                .execute("DELETE FROM blocks WHERE height < ?1", [oldest])
                .map_err(store)?;
            for (id, facts) in changes {
                // Only what a block says is taken over: the rest may have moved meanwhile.
                let mut current = facts_by_id(change, *id)?;
                current.funding_height = facts.funding_height;
                current.conflict_height = facts.conflict_height;
                current.spent.clone_from(&facts.spent);
                current.is_seen |= facts.is_seen;
                write_facts(change, *id, &current)?;
            }
            Ok(())
        })
    }
}

type Raw = (
    [u8; 32],
    i64,
    String,
    Vec<u8>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
);

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Raw> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
    ))
}

fn parsed((id, version, facts, offer, accept, sign): Raw) -> BitcoinResult<Row> {
    Ok(Row {
        id: ContractId(id),
        version,
        facts: Facts::from_json(&facts).map_err(store)?,
        offer,
        accept,
        sign,
    })
}

fn block((height, hash): (u32, String)) -> BitcoinResult<(u32, BlockHash)> {
    Ok((height, hash.parse().map_err(store)?))
}

type Each = (ContractId, BitcoinResult<Facts>);

/// Each contract, the newest first: one that cannot be read stops no other.
fn each(connection: &Connection) -> BitcoinResult<Vec<Each>> {
    let sql = "SELECT id, facts FROM contracts ORDER BY number DESC";
    let mut statement = connection.prepare_cached(sql).map_err(store)?;
    let rows = statement
        .query_map((), |row| Ok((row.get(0)?, row.get::<_, String>(1))))
        .map_err(store)?;
    rows.map(|row| {
        let (id, facts) = row.map_err(store)?;
        let facts = facts.map_err(store);
        let facts = facts.and_then(|facts| Facts::from_json(&facts).map_err(store));
        Ok((ContractId(id), facts))
    })
    .collect()
}

fn facts_by_id(change: &Transaction<'_>, id: ContractId) -> BitcoinResult<Facts> {
    let sql = "SELECT facts FROM contracts WHERE id = ?1";
    let text: String = change
        .query_row(sql, [id.0], |row| row.get(0))
        .map_err(store)?;
    Facts::from_json(&text).map_err(store)
}

fn write_facts(change: &Transaction<'_>, id: ContractId, facts: &Facts) -> BitcoinResult<()> {
    let text = serde_json::to_string(facts).map_err(store)?;
    let sql = "UPDATE contracts SET version = version + 1, facts = ?2 WHERE id = ?1";
    change.execute(sql, params![id.0, text]).map_err(store)?;
    Ok(())
}

fn moved(id: ContractId) -> BitcoinError {
    let message = "another call changed this contract at the same time; try again";
    error(ErrorKind::Unavailable, message).with_context("contract", id)
}
