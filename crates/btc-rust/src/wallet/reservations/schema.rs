//! The file's schema: making it, opening it, refusing what is damaged or newer.

use std::fs::{OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::{BitcoinResult, ErrorKind};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{LOCK, RESERVATIONS, failed};
use crate::wallet::fault;
use crate::wallet::held::Held;

/// The schema that this version writes, and the newest it reads.
const SCHEMA: u64 = 2;
/// How long another user of the file is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(1);
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS next_index (
        address_type TEXT NOT NULL, chain TEXT NOT NULL,
        next INTEGER NOT NULL, PRIMARY KEY (address_type, chain));
    CREATE TABLE IF NOT EXISTS reserved (
        txid TEXT NOT NULL, vout INTEGER NOT NULL,
        until_ms INTEGER, span_ms INTEGER,
        reason TEXT NOT NULL,
        PRIMARY KEY (txid, vout));
    INSERT INTO meta (key, value) VALUES ('schema', '2') ON CONFLICT DO NOTHING;";
/// What schema 2 has besides.
const PAYMENT_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS change_index (
        address_type TEXT NOT NULL, key_index INTEGER NOT NULL,
        until_ms INTEGER, span_ms INTEGER,
        reason TEXT NOT NULL,
        PRIMARY KEY (address_type, key_index, reason));
    CREATE TABLE IF NOT EXISTS replaces (
        token TEXT NOT NULL, txid TEXT NOT NULL, PRIMARY KEY (token, txid));
    CREATE TABLE IF NOT EXISTS payments (
        txid TEXT PRIMARY KEY, token TEXT NOT NULL,
        raw BLOB NOT NULL,
        handed_over_ms INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        next_broadcast_ms INTEGER NOT NULL,
        abandoned_ms INTEGER,
        settled_height INTEGER);";
/// From schema 1: every reservation there was granted for ten minutes.
const FROM_SCHEMA_1: &str = "
    ALTER TABLE reserved ADD COLUMN span_ms INTEGER;
    UPDATE reserved SET span_ms = 600000 WHERE until_ms IS NOT NULL;
    UPDATE meta SET value = '2' WHERE key = 'schema';";

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Changes a file that is there.
    Change,
    /// Makes a file that is missing or empty, and warns.
    Write,
    /// Makes the file.
    Create,
}

/// Makes the file in a wallet's new folder.
pub(in crate::wallet) fn create(dir: &Path) -> BitcoinResult<()> {
    let path = dir.join(RESERVATIONS);
    let session = open(&path, Access::Create)?;
    session
        .connection
        .close()
        .map_err(|(_, cause)| failed(&path, cause))
}

/// The open file, which nobody else has open meanwhile.
///
/// Both wallets may run in one process, each with a copy of SQLite of its own, and SQLite's locks
/// do not hold between two copies in one process. So the file is open under `flock` only, which
/// does hold there, and never for longer than one step takes.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Connection,
    // Released last.
    _lock: Held,
}

/// Opens the file, which was checked before, for one step.
pub(super) fn session(path: &Path, access: Access) -> BitcoinResult<Session> {
    let lock = wait_for(&path.with_file_name(LOCK))?;
    let connection = connect(path, access).map_err(|cause| failed(path, cause))?;
    Ok(Session {
        connection,
        _lock: lock,
    })
}

fn wait_for(path: &Path) -> BitcoinResult<Held> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|cause| fault::file(path, "open", cause))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Held::try_new(file) {
            Ok(held) => return Ok(held),
            Err((again, TryLockError::WouldBlock)) if Instant::now() < deadline => {
                file = again;
                thread::sleep(POLL);
            }
            Err((_, TryLockError::WouldBlock)) => {
                let message = format!(
                    "another process has held {LOCK} for {} s; try again",
                    PATIENCE.as_secs()
                );
                return Err(fault::error(ErrorKind::Unavailable, message));
            }
            Err((_, TryLockError::Error(cause))) => return Err(fault::file(path, "lock", cause)),
        }
    }
}

/// Opens the file and checks it whole; it is small.
pub(super) fn open(path: &Path, access: Access) -> BitcoinResult<Session> {
    let session = session(path, access)?;
    let failed = |cause| failed(path, cause);
    let connection = &session.connection;
    let health: String = connection
        .query_row("PRAGMA integrity_check(1)", (), |row| row.get(0))
        .map_err(failed)?;
    if health != "ok" {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        let cause = rusqlite::Error::SqliteFailure(code, Some(health));
        return Err(failed(cause));
    }
    let schema: String = connection
        .query_row("SELECT value FROM meta WHERE key = 'schema'", (), |row| {
            row.get(0)
        })
        .map_err(|cause| match cause {
            rusqlite::Error::QueryReturnedNoRows => failed(super::unreadable(
                0,
                "the schema's number is missing".to_owned(),
            )),
            cause => failed(cause),
        })?;
    match schema.parse::<u64>() {
        Ok(SCHEMA) => Ok(session),
        Ok(1) if access != Access::Read => {
            let sql = format!("BEGIN IMMEDIATE; {FROM_SCHEMA_1} {PAYMENT_TABLES} COMMIT;");
            connection.execute_batch(&sql).map_err(failed)?;
            Ok(session)
        }
        Ok(newer) if newer > SCHEMA => {
            let what = format!("has schema {newer}: a newer version wrote it");
            Err(fault::damaged(path, &what, "use that version"))
        }
        _ => Err(failed(super::unreadable(
            0,
            "the schema's number is wrong".to_owned(),
        ))),
    }
}

fn connect(path: &Path, access: Access) -> rusqlite::Result<Connection> {
    let mode = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Change => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Write | Access::Create => {
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
        }
    };
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    if matches!(access, Access::Write | Access::Create) {
        prepare(&connection, access)?;
    }
    Ok(connection)
}

/// Makes the tables of a new file; leaves one that has its schema as it is.
fn prepare(connection: &Connection, access: Access) -> rusqlite::Result<()> {
    let has_schema = connection
        .query_row("SELECT 1 FROM sqlite_schema LIMIT 1", (), |_| Ok(()))
        .optional()?
        .is_some();
    // Nobody else reads meanwhile, so that a write-ahead log would gain nothing.
    connection.query_row("PRAGMA journal_mode = DELETE", (), |_| Ok(()))?;
    if has_schema {
        return Ok(());
    }
    if access == Access::Write {
        tracing::warn!("the wallet's reservations are missing; making new ones");
    }
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {TABLES} {PAYMENT_TABLES} COMMIT;"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_on_disk_before_it_is_given() {
        const FULL: i64 = 2;
        let dir = tempfile::tempdir().expect("a folder for the test");
        create(dir.path()).expect("a new file");
        let path = dir.path().join(RESERVATIONS);
        let session = session(&path, Access::Change).expect("sound");
        let level: i64 = session
            .connection
            .query_row("PRAGMA synchronous", (), |row| row.get(0))
            .expect("a number");
        assert_eq!(level, FULL);
    }
}
