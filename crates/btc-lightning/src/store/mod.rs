//! `Store`: everything the node keeps, in one SQLite file with a write-ahead log and group commit.
//!
//! One thread writes. It takes all that waits, applies it in the order in which it was asked for, and
//! commits it with one wait for the disk; only then does it answer. A write that was answered is
//! therefore on disk, and many at a time cost one wait.

mod kv;
mod writer;

use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

use self::writer::{Job, Reply};

/// The file in the node's directory.
const FILE: &str = "node.sqlite";
/// Marks the file as ours.
const APPLICATION_ID: i32 = 0x6274_636c;
/// Raised when the tables change.
const VERSION: i32 = 2;

/// The tables. `kv` is LDK's; the others are ours.
const SCHEMA: &str = "
CREATE TABLE kv (
    primary_ns TEXT NOT NULL, secondary_ns TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (primary_ns, secondary_ns, key)
) WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE peers (node_id TEXT PRIMARY KEY, address TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE journal (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, identity TEXT UNIQUE, digest TEXT NOT NULL,
    detail TEXT NOT NULL, is_handled INTEGER NOT NULL
);
CREATE TABLE intents (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, target TEXT NOT NULL, hash TEXT, payment_id TEXT,
    amount_msat INTEGER, max_fee_msat INTEGER, note TEXT, state TEXT NOT NULL, reason TEXT,
    attempts INTEGER NOT NULL, fee_msat INTEGER, preimage TEXT, prepared_height INTEGER NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    is_repeated INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE withdrawals (txid TEXT PRIMARY KEY, raw TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE names (payment_id TEXT PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX intents_by_hash ON intents (hash) WHERE hash IS NOT NULL;
CREATE UNIQUE INDEX intents_by_payment ON intents (payment_id) WHERE payment_id IS NOT NULL;
";

/// What version 1 lacks: the bytes of withdrawals that are not buried yet.
const FROM_VERSION_1: &str =
    "CREATE TABLE withdrawals (txid TEXT PRIMARY KEY, raw TEXT NOT NULL) WITHOUT ROWID;";

/// A failed read or write. After a failed write the store takes no other: what LDK believes to be
/// on disk must be there.
#[derive(Debug, Clone)]
pub struct StoreError(String);

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for StoreError {
    fn from(cause: rusqlite::Error) -> Self {
        Self(cause.to_string())
    }
}

/// The node's file. Cheap to clone; the writing thread ends with the last of them.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    jobs: Mutex<Option<Sender<Job>>>,
    reader: Mutex<Connection>,
    failed: Arc<OnceLock<String>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the file in that directory, or makes it. `on_failure` is called once, from the writing
    /// thread, when a write fails.
    ///
    /// # Errors
    /// The file cannot be made or read, is another program's, or is from a newer version.
    pub fn open(
        directory: &Path,
        on_failure: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let mut connection = Connection::open(&path)?;
        restrict(&path)?;
        prepare(&mut connection)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(&path, flags)?;
        reader.pragma_update(None, "query_only", true)?;
        let (jobs, waiting) = mpsc::channel();
        let failed = Arc::new(OnceLock::new());
        let told = Arc::clone(&failed);
        let writer = std::thread::Builder::new()
            .name("ln-store".to_owned())
            .spawn(move || {
                writer::run(connection, &waiting, |cause| {
                    if told.set(cause.to_owned()).is_ok() {
                        on_failure(cause);
                    }
                });
            })
            .map_err(|cause| StoreError(format!("no thread for the store: {cause}")))?;
        Ok(Self(Arc::new(Shared {
            jobs: Mutex::new(Some(jobs)),
            reader: Mutex::new(reader),
            failed,
            writer: Mutex::new(Some(writer)),
        })))
    }

    /// Runs a change of our tables; when this returns, it is on disk.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = Arc::new(Mutex::new(None));
        let place = Arc::clone(&result);
        let work = Box::new(move |connection: &Connection| {
            let value = change(connection)?;
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        });
        let (reply, answer) = mpsc::sync_channel(1);
        self.send(Job::Change(work, Reply::Blocking(reply)))?;
        match answer.recv() {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => return Err(StoreError(cause)),
            Err(_) => return Err(self.gone()),
        }
        let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(value.expect("a change that was committed has left its value"))
    }

    /// Runs a change without waiting for it; for what can be done again after a crash.
    pub(crate) fn write_later(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
    ) {
        let _ = self.send(Job::Change(Box::new(change), Reply::Unwanted));
    }

    /// Reads what is on disk.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let reader = self.0.reader.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(read(&reader)?)
    }

    /// Whether LDK has written nothing yet.
    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        self.read(|connection| {
            connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM kv)", [], |row| row.get(0))
        })
    }

    /// Forgets all that LDK has written; for a first start that came to nothing.
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        self.write(|connection| connection.execute("DELETE FROM kv", []).map(drop))
    }

    /// Waits for all that was asked for, and closes. Later writes fail.
    pub(crate) fn close(&self) {
        drop(self.jobs().take());
        let writer = self
            .0
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        match &*self.jobs() {
            Some(jobs) => jobs.send(job).map_err(|_| self.gone()),
            None => Err(self.gone()),
        }
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, Option<Sender<Job>>> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> StoreError {
        let cause = self.0.failed.get();
        StoreError(cause.map_or_else(|| "the store is closed".to_owned(), Clone::clone))
    }
}

/// A file that is made by SQLite may be read by others; this one holds channel keys.
#[cfg(unix)]
fn restrict(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt as _;

    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|cause| StoreError(format!("{}: {cause}", path.display())))
}

#[cfg(not(unix))]
fn restrict(_: &Path) -> Result<(), StoreError> {
    Ok(())
}

fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        let what = format!("the disk does not allow a write-ahead log (journal mode {mode})");
        return Err(StoreError(what));
    }
    // The log is on disk before a commit is answered.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let number = |name: &str| -> rusqlite::Result<i32> {
        connection.pragma_query_value(None, name, |row| row.get(0))
    };
    match (number("application_id")?, number("user_version")?) {
        (0, 0) => {
            let change = connection.transaction()?;
            change.execute_batch(SCHEMA)?;
            change.pragma_update(None, "application_id", APPLICATION_ID)?;
            change.pragma_update(None, "user_version", VERSION)?;
            Ok(change.commit()?)
        }
        (APPLICATION_ID, VERSION) => Ok(()),
        (APPLICATION_ID, 1) => {
            let change = connection.transaction()?;
            change.execute_batch(FROM_VERSION_1)?;
            change.pragma_update(None, "user_version", VERSION)?;
            Ok(change.commit()?)
        }
        (APPLICATION_ID, newer) => Err(StoreError(format!(
            "{FILE} is of version {newer}, this program knows {VERSION}; use the newer program"
        ))),
        _ => Err(StoreError(format!("{FILE} is not a Lightning node's file"))),
    }
}
