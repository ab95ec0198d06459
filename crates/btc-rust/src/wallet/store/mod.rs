//! The books on disk: `rust.sqlite`, one transaction for everything that belongs together.

mod position;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bdk_chain::indexer::keychain_txout;
use bdk_chain::{ConfirmationBlockTime, Merge, local_chain, tx_graph};
use bitcoin::hashes::{Hash, HashEngine, sha256};
use btc_iface::types::network;
use btc_iface::{AddressType, BitcoinError, BitcoinResult, Chain, ErrorKind, Operation};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior};

pub use self::position::{InBlocks, Position};
use super::keys::{Keychain, Keyring};

/// The version of the tables; a higher one was written by a newer program.
const SCHEMA: u32 = 2;
/// How long a statement waits for another connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The indices that were given out: known here too, should the shared file be lost.
const PROMISED: &str = "CREATE TABLE promised (
    address_type TEXT NOT NULL, chain TEXT NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (address_type, chain)) STRICT";
/// What to do with a file that cannot be used.
const ADVICE: &str = "delete it and sync again: nothing is lost but labels";

type Graph = tx_graph::ChangeSet<ConfirmationBlockTime>;

/// What the file must have been made for: other answers would be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    network: &'static str,
    wallet: String,
    birthday: u32,
    gap_limit: u32,
}

impl Identity {
    /// That of a wallet with these descriptors.
    pub fn new(keyring: &Keyring, birthday: u32, gap_limit: u32) -> Self {
        let mut engine = sha256::Hash::engine();
        for (_, descriptor) in keyring.keychains() {
            engine.input(descriptor.to_string().as_bytes());
            engine.input(b"\n");
        }
        Self {
            network: network::name(keyring.network()),
            wallet: sha256::Hash::from_engine(engine).to_string(),
            birthday,
            gap_limit,
        }
    }
}

/// Everything the books hold, or what of it is new.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Content {
    /// Blocks of the chain.
    pub chain: local_chain::ChangeSet,
    /// Transactions and where they are.
    pub graph: Graph,
    /// How far each chain of keys is watched.
    pub index: keychain_txout::ChangeSet,
    /// One more than the highest index of each chain of keys that was given out.
    pub promised: BTreeMap<Keychain, u32>,
}

impl Content {
    /// Adds what came later.
    pub fn merge(&mut self, other: Self) {
        self.chain.merge(other.chain);
        self.graph.merge(other.graph);
        self.index.merge(other.index);
        self.promised.extend(other.promised);
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.chain.is_empty() && self.graph.is_empty() && self.index.is_empty()
    }
}

/// The open file.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the file, or makes it, and returns what is in it; no position means a new one.
    ///
    /// # Errors
    /// `Configuration`: the file is of another wallet, of a newer program, or damaged; the message
    /// says what to do. `Internal`: it cannot be read or written.
    pub fn open(
        path: &Path,
        identity: &Identity,
    ) -> BitcoinResult<(Self, Content, Option<Position>)> {
        let opened = Connection::open(path).and_then(|mut connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "full")?;
            let loaded = load(&mut connection, identity)?;
            Ok((connection, loaded))
        });
        let (connection, loaded) = opened.map_err(|cause| failed(path, cause))?;
        let store = Self {
            connection,
            path: path.to_owned(),
        };
        match loaded {
            Loaded::Content(content, position) => Ok((store, *content, position)),
            Loaded::Refused(reason) => Err(refused(path, &reason)),
        }
    }

    /// Writes what is new and the position, all or nothing, and waits until it is on disk.
    ///
    /// # Errors
    /// `Internal`: it cannot be written, as on a full disk; the file is as it was.
    pub fn commit(
        &mut self,
        content: &Content,
        position: &Position,
        promised: &BTreeMap<Keychain, u32>,
    ) -> BitcoinResult<()> {
        let written = (|| {
            let transaction = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            content.chain.persist_to_sqlite(&transaction)?;
            content.graph.persist_to_sqlite(&transaction)?;
            content.index.persist_to_sqlite(&transaction)?;
            position.write(&transaction)?;
            write_promised(&transaction, promised)?;
            transaction.commit()
        })();
        written.map_err(|cause| failed(&self.path, cause))
    }

    /// The connection, for other tables in the same file.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The error for books that contradict themselves.
    pub fn damaged(&self, reason: &str) -> BitcoinError {
        damaged(&self.path, reason)
    }

    /// What a failure of a statement on this file means.
    pub fn failure(&self, cause: rusqlite::Error) -> BitcoinError {
        failed(&self.path, cause)
    }
}

enum Loaded {
    Content(Box<Content>, Option<Position>),
    Refused(String),
}

fn load(connection: &mut Connection, identity: &Identity) -> rusqlite::Result<Loaded> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let has_meta: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta')",
        [],
        |row| row.get(0),
    )?;
    if !has_meta {
        create(&transaction, identity)?;
        transaction.commit()?;
        return Ok(Loaded::Content(Box::default(), None));
    }
    if let Some(reason) = mismatch(&transaction, identity)? {
        return Ok(Loaded::Refused(reason));
    }
    if read(&transaction, "schema")?.as_deref() == Some("1") {
        transaction.execute(PROMISED, [])?;
        write(&transaction, "schema", &SCHEMA.to_string())?;
    }
    let content = Content {
        chain: local_chain::ChangeSet::from_sqlite(&transaction)?,
        graph: Graph::from_sqlite(&transaction)?,
        index: keychain_txout::ChangeSet::from_sqlite(&transaction)?,
        promised: read_promised(&transaction)?,
    };
    let position = match Position::read(&transaction)? {
        Ok(position) => position,
        Err(key) => return Ok(Loaded::Refused(format!("is damaged at `{key}`"))),
    };
    transaction.commit()?;
    Ok(Loaded::Content(Box::new(content), position))
}

fn create(transaction: &Transaction<'_>, identity: &Identity) -> rusqlite::Result<()> {
    transaction.execute(
        "CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT",
        [],
    )?;
    write(transaction, "schema", &SCHEMA.to_string())?;
    write(transaction, "network", identity.network)?;
    write(transaction, "wallet", &identity.wallet)?;
    write(transaction, "birthday", &identity.birthday.to_string())?;
    write(transaction, "gap_limit", &identity.gap_limit.to_string())?;
    transaction.execute(PROMISED, [])?;
    local_chain::ChangeSet::init_sqlite_tables(transaction)?;
    Graph::init_sqlite_tables(transaction)?;
    keychain_txout::ChangeSet::init_sqlite_tables(transaction)
}

/// Why the file is not for this wallet and this program.
fn mismatch(
    transaction: &Transaction<'_>,
    identity: &Identity,
) -> rusqlite::Result<Option<String>> {
    let schema = read(transaction, "schema")?.and_then(|text| text.parse::<u32>().ok());
    match schema {
        None => return Ok(Some("is damaged at `schema`".to_owned())),
        Some(schema) if schema > SCHEMA => {
            return Ok(Some(format!(
                "was written by a newer version (schema {schema}, known {SCHEMA}); update, or"
            )));
        }
        Some(_) => {}
    }
    for (key, expected, what) in [
        ("network", identity.network.to_owned(), "network"),
        ("wallet", identity.wallet.clone(), "wallet"),
        ("birthday", identity.birthday.to_string(), "birthday"),
        ("gap_limit", identity.gap_limit.to_string(), "gap limit"),
    ] {
        if read(transaction, key)?.as_ref() != Some(&expected) {
            return Ok(Some(format!("was made for another {what};")));
        }
    }
    Ok(None)
}

fn write_promised(
    transaction: &Transaction<'_>,
    promised: &BTreeMap<Keychain, u32>,
) -> rusqlite::Result<()> {
    for ((address_type, chain), next) in promised {
        transaction
            .prepare_cached(
                "INSERT INTO promised (address_type, chain, next) VALUES (?1, ?2, ?3)
                 ON CONFLICT (address_type, chain) DO UPDATE SET next = max(next, excluded.next)",
            )?
            .execute((address_type.as_str(), chain.as_str(), next))?;
    }
    Ok(())
}

fn read_promised(transaction: &Transaction<'_>) -> rusqlite::Result<BTreeMap<Keychain, u32>> {
    let mut statement = transaction.prepare("SELECT address_type, chain, next FROM promised")?;
    let rows = statement.query_map((), |row| {
        let (kind, chain): (String, String) = (row.get(0)?, row.get(1)?);
        let keychain = (
            kind.parse::<AddressType>().ok(),
            Chain::ALL.into_iter().find(|it| it.as_str() == chain),
        );
        let (Some(kind), Some(chain)) = keychain else {
            let cause = format!("unknown chain of keys {kind}/{chain}");
            let text = rusqlite::types::Type::Text;
            return Err(rusqlite::Error::FromSqlConversionFailure(
                0,
                text,
                cause.into(),
            ));
        };
        Ok(((kind, chain), row.get(2)?))
    })?;
    rows.collect()
}

fn write(transaction: &Transaction<'_>, key: &str, value: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
        .execute([key, value])
        .map(drop)
}

fn read(transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<Option<String>> {
    transaction
        .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
            row.get(0)
        })
        .optional()
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn refused(path: &Path, reason: &str) -> BitcoinError {
    let message = format!("`{}` {reason} {ADVICE}", name(path));
    BitcoinError::new(ErrorKind::Configuration, Operation::Wallet, message)
        .with_context("path", path.display())
}

fn damaged(path: &Path, reason: &str) -> BitcoinError {
    refused(path, &format!("is damaged ({reason});"))
}

fn failed(path: &Path, cause: rusqlite::Error) -> BitcoinError {
    use rusqlite::Error as Sqlite;
    let code = cause.sqlite_error_code();
    let is_damaged = matches!(
        code,
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    ) || matches!(
        cause,
        Sqlite::FromSqlConversionFailure(..)
            | Sqlite::IntegralValueOutOfRange(..)
            | Sqlite::InvalidColumnType(..)
    ) || matches!(&cause, Sqlite::SqliteFailure(_, Some(text))
        if text.starts_with("no such table") || text.starts_with("no such column"))
        || matches!(&cause, Sqlite::SqlInputError { msg, .. }
        if msg.starts_with("no such table") || msg.starts_with("no such column"));
    if is_damaged {
        return damaged(path, "its content cannot be read").with_source(cause);
    }
    let name = name(path);
    let message = match code {
        Some(ErrorCode::DiskFull) => format!(
            "there is no room on the disk for `{name}`; make some and ask again: nothing is lost"
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            format!("`{name}` cannot be opened for writing; check the folder and its permissions")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("`{name}` is in use by another program; close that and ask again")
        }
        _ => format!("`{name}` cannot be read or written; check the disk and ask again"),
    };
    BitcoinError::new(ErrorKind::Internal, Operation::Wallet, message)
        .with_context("path", path.display())
        .with_source(cause)
}
