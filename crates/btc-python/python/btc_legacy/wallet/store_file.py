"""`python.sqlite` as a file: its tables, and older ones, which are made anew."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from btc_legacy.wallet.database import SqliteFile, run, transaction
from btc_legacy.wallet.keys import Keychain

FILE = SqliteFile(
    "python.sqlite", schema=2, remedy="delete it, and the wallet follows the chain again"
)

_TABLES = """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE blocks (height INTEGER PRIMARY KEY, hash BLOB NOT NULL);
    CREATE TABLE used (
        address_type TEXT NOT NULL, chain TEXT NOT NULL,
        highest INTEGER NOT NULL, PRIMARY KEY (address_type, chain));
    CREATE TABLE promised (
        address_type TEXT NOT NULL, chain TEXT NOT NULL,
        next INTEGER NOT NULL, PRIMARY KEY (address_type, chain));
    CREATE TABLE read_with (
        address_type TEXT NOT NULL, chain TEXT NOT NULL,
        size INTEGER NOT NULL, PRIMARY KEY (address_type, chain));
    CREATE TABLE coins (
        txid BLOB NOT NULL, vout INTEGER NOT NULL, value_sat INTEGER NOT NULL,
        address_type TEXT NOT NULL, chain TEXT NOT NULL, key_index INTEGER NOT NULL,
        height INTEGER NOT NULL, is_coinbase INTEGER NOT NULL,
        spent_height INTEGER, spent_by BLOB, PRIMARY KEY (txid, vout));
    CREATE INDEX coins_by_height ON coins (height);
    CREATE INDEX coins_by_spent_height ON coins (spent_height);
    CREATE TABLE pending (txid BLOB PRIMARY KEY, raw BLOB NOT NULL);
    CREATE TABLE scripts (
        address_type TEXT NOT NULL, chain TEXT NOT NULL, key_index INTEGER NOT NULL,
        script BLOB NOT NULL, PRIMARY KEY (address_type, chain, key_index)) WITHOUT ROWID;
"""

# Came later than the schema, of which they are no part: an older version passes over them.
_LATER = (
    "CREATE TABLE IF NOT EXISTS others (txid BLOB PRIMARY KEY, marks BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS inputs (txid BLOB NOT NULL, vout INTEGER NOT NULL, "
    "spent_height INTEGER NOT NULL, spent_by BLOB NOT NULL, PRIMARY KEY (txid, vout)) "
    "WITHOUT ROWID",
)

# A meta value: whether the first scan is over.
FIRST_SCAN, RUNNING, DONE = "first_scan", "running", "done"


class StoreFile:
    """The database, open until `close` or the end of the object."""

    def __init__(self, folder: Path, wallet_id: str) -> None:
        """Opens the file, or makes a new one for this wallet; one of an older version, too."""
        with FILE.failures_named():
            self._database = sqlite3.connect(
                folder / FILE.name, isolation_level=None, check_same_thread=False
            )
            # Also when the object is let go of: a connection is part of a cycle of its own.
            self.close = weakref.finalize(self, self._database.close)
            try:
                self._open(wallet_id)
            except BaseException:
                self.close()
                raise

    def _open(self, wallet_id: str) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        # What a failure of power takes is learned again.
        self._database.execute("PRAGMA synchronous = NORMAL")
        tables = self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = [name for (name,) in tables]
        if not names or FILE.schema_of(self._database) < FILE.schema:
            self._create(wallet_id, names)
        for table in _LATER:
            self._database.execute(table)
        if self._meta("wallet") != wallet_id:
            raise FILE.damaged("it was made for another wallet.json")

    def _create(self, wallet_id: str, old: Iterable[str]) -> None:
        with self._change():
            for name in old:
                self._database.execute(f'DROP TABLE "{name}"')
            run(self._database, _TABLES)
            self._write_meta("schema", str(FILE.schema))
            self._write_meta("wallet", wallet_id)
            self._write_meta(FIRST_SCAN, RUNNING)

    @contextmanager
    def _change(self) -> Iterator[None]:
        with FILE.failures_named(), transaction(self._database):
            yield

    def _by_keychain(self, query: str) -> dict[Keychain, int]:
        rows = self._database.execute(query)
        return {Keychain(address_type, chain): number for address_type, chain, number in rows}

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        with FILE.failures_named():
            row: tuple[Any, ...] | None = self._database.execute(query, values).fetchone()
        return row

    def _write_meta(self, key: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _delete_meta(self, key: str) -> None:
        self._database.execute("DELETE FROM meta WHERE key = ?", (key,))

    def _meta(self, key: str) -> str:
        row = self._row("SELECT value FROM meta WHERE key = ?", key)
        if row is None:
            raise FILE.damaged(f"it has no {key}")
        return str(row[0])

    def _height(self, key: str) -> int | None:
        row = self._row("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else int(row[0])
