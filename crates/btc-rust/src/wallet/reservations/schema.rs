//! The file's schema: making it, opening it, refusing what is damaged or newer.

use std::path::Path;
use std::time::Duration;

use btc_iface::BitcoinResult;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{RESERVATIONS, failed};
use crate::wallet::fault;

/// The schema that this version writes, and the newest it reads.
const SCHEMA: u64 = 1;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS next_index (
        address_type TEXT NOT NULL, chain TEXT NOT NULL,
        next INTEGER NOT NULL, PRIMARY KEY (address_type, chain));
    CREATE TABLE IF NOT EXISTS reserved (
        txid TEXT NOT NULL, vout INTEGER NOT NULL,
        until_ms INTEGER,
        reason TEXT NOT NULL,
        PRIMARY KEY (txid, vout));
    INSERT INTO meta (key, value) VALUES ('schema', '1') ON CONFLICT DO NOTHING;";

/// What a connection may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Makes a file that is missing or empty, and warns.
    Write,
    /// Makes the file.
    Create,
}

/// Makes the file in a wallet's new folder.
pub(in crate::wallet) fn create(dir: &Path) -> BitcoinResult<()> {
    let path = dir.join(RESERVATIONS);
    let connection = open(&path, Access::Create)?;
    // Closing moves what the -wal file holds into the file itself and synchronises it.
    connection
        .close()
        .map_err(|(_, cause)| failed(&path, cause))
}

/// Opens the file and checks it whole; it is small.
pub(super) fn open(path: &Path, access: Access) -> BitcoinResult<Connection> {
    let failed = |cause| failed(path, cause);
    let connection = connect(path, access).map_err(failed)?;
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
        Ok(SCHEMA) => Ok(connection),
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
        Access::Write | Access::Create => {
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
        }
    };
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    if access != Access::Read {
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
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    if mode != "wal" {
        tracing::warn!(
            mode,
            "the folder's file system offers SQLite no write-ahead log"
        );
    }
    if has_schema {
        return Ok(());
    }
    if access == Access::Write {
        tracing::warn!("the wallet's reservations are missing; making new ones");
    }
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} COMMIT;"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_on_disk_before_it_is_given() {
        const FULL: i64 = 2;
        let dir = tempfile::tempdir().expect("a folder for the test");
        create(dir.path()).expect("a new file");
        let connection = open(&dir.path().join(RESERVATIONS), Access::Write).expect("sound");
        let level: i64 = connection
            .query_row("PRAGMA synchronous", (), |row| row.get(0))
            .expect("a number");
        assert_eq!(level, FULL);
    }
}
