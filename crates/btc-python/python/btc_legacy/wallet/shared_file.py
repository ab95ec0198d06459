"""`reservations.sqlite` as a file: the lock it is open under, its schema, and older ones.

Both wallets may run in one process, each with a copy of SQLite of its own. SQLite's locks do not
hold between two copies in one process: both would write, and one would be lost. So the file is
only open while `reservations.lock` is held, which `flock` gives to one of them at a time.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.database import SqliteFile, run, transaction
from btc_legacy.wallet.folder import unlock

FILE = SqliteFile(
    "reservations.sqlite",
    schema=2,
    remedy="close the wallet everywhere and move this file out of the folder; the next start makes "
    "a new one without locks, reservations and the payments that no node has",
)
LOCK = "reservations.lock"

WAIT_SECS = 5.0
_POLL_SECS = 0.002

# The same tables and values as the Rust wallet's: whoever opens the file first makes it.
_TABLES = """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE next_index (
        address_type TEXT NOT NULL, chain TEXT NOT NULL,
        next INTEGER NOT NULL, PRIMARY KEY (address_type, chain));
    CREATE TABLE reserved (
        txid TEXT NOT NULL, vout INTEGER NOT NULL,
        until_ms INTEGER, span_ms INTEGER,
        reason TEXT NOT NULL,
        PRIMARY KEY (txid, vout));
    INSERT INTO meta (key, value) VALUES ('schema', '2');
"""
# Every reservation of schema 1 was granted for ten minutes.
_FROM_SCHEMA_1 = """
    ALTER TABLE reserved ADD COLUMN span_ms INTEGER;
    UPDATE reserved SET span_ms = 600000 WHERE until_ms IS NOT NULL;
    UPDATE meta SET value = '2' WHERE key = 'schema';
"""
_MORE_TABLES = """
    CREATE TABLE change_index (
        address_type TEXT NOT NULL, key_index INTEGER NOT NULL,
        until_ms INTEGER, span_ms INTEGER,
        reason TEXT NOT NULL,
        PRIMARY KEY (address_type, key_index, reason));
    CREATE TABLE replaces (
        token TEXT NOT NULL, txid TEXT NOT NULL, PRIMARY KEY (token, txid));
    CREATE TABLE payments (
        txid TEXT PRIMARY KEY, token TEXT NOT NULL,
        raw BLOB NOT NULL,
        handed_over_ms INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        next_broadcast_ms INTEGER NOT NULL,
        abandoned_ms INTEGER,
        settled_height INTEGER);
"""


class SharedFile:
    """The file, which is open for one step at a time."""

    def __init__(self, folder: Path) -> None:
        """Brings the file to this version's schema; makes one that is missing or empty anew.

        What a lost file takes with it is no money: locks, reservations, and indices of addresses
        that were given out and never paid, which this side's own file remembers, too.
        """
        self._path = folder / FILE.name
        self._lock = folder / LOCK
        with self._connected(may_create=True) as database:
            _upgrade(database)

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """The database, for as long as no one else has it."""
        with self._connected(may_create=False) as database:
            yield database

    @contextmanager
    def _connected(self, *, may_create: bool) -> Iterator[sqlite3.Connection]:
        with _held(self._lock), FILE.failures_named():
            if not may_create and not self._path.is_file():
                raise BitcoinError(
                    ErrorKind.CONFIGURATION,
                    f"{str(self._path)!r} is missing: close the wallet everywhere, and the next "
                    "start makes a new one",
                )
            database = sqlite3.connect(self._path, timeout=WAIT_SECS, isolation_level=None)
            with closing(database):
                database.execute("PRAGMA synchronous = FULL")
                yield database


def _upgrade(database: sqlite3.Connection) -> None:
    if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        # No one else reads meanwhile, so that a write-ahead log would gain nothing.
        database.execute("PRAGMA journal_mode = DELETE")
        with transaction(database):
            run(database, _TABLES + _MORE_TABLES)
    elif FILE.schema_of(database) == 1:
        with transaction(database):
            run(database, _FROM_SCHEMA_1 + _MORE_TABLES)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + WAIT_SECS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BitcoinError(
                        ErrorKind.UNAVAILABLE,
                        f"another process has held {LOCK} for {WAIT_SECS:.0f} s: try again",
                    ) from None
            time.sleep(_POLL_SECS)
        yield
    finally:
        unlock(descriptor)
