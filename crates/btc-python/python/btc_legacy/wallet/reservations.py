"""`reservations.sqlite`: what must not be promised twice, shared with the Rust wallet.

Both wallets may run in one process, each with a copy of SQLite of its own. SQLite's locks do not
hold between two copies in one process: both would write, and one would be lost. So the file is
only open while `reservations.lock` is held, which `flock` gives to one of them at a time.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.database import SqliteFile, transaction
from btc_legacy.wallet.folder import unlock
from btc_legacy.wallet.keys import HARDENED, Keychain, Place

FILE = SqliteFile("reservations.sqlite", schema=1, remedy="restore it")
LOCK = "reservations.lock"

HOLD_MS = 10 * 60 * 1000

WAIT_SECS = 5.0
_POLL_SECS = 0.002

_TAKE_INDEX = """
    INSERT INTO next_index (address_type, chain, next) VALUES (?, ?, ?)
    ON CONFLICT (address_type, chain) DO UPDATE SET next = max(next, excluded.next)
"""


class Reservations:
    """The next index of each chain, and the coins that are spoken for.

    Nothing is kept in memory: the other wallet writes too.
    """

    def __init__(self, folder: Path) -> None:
        """Checks that the file is there and of this version."""
        self._folder = folder
        self._path = folder / FILE.name
        with self._open() as database:
            FILE.check_schema(database)

    def next_indices(self) -> dict[Keychain, int]:
        """The first index of each chain that was never promised; 0 where there is none."""
        with self._open() as database:
            return _next_indices(database)

    def reserved(self) -> set[Outpoint]:
        """The coins that are spoken for now."""
        with self._open() as database:
            return _reserved(database)

    def take_index(self, keychain: Keychain, at_least: int) -> int:
        """Promises the next index of a chain, which is at least this one."""
        with self._open() as database, transaction(database):
            _clear_away(database)
            index = max(at_least, _next_indices(database).get(keychain, 0))
            if index >= HARDENED:
                raise BitcoinError(
                    ErrorKind.INVALID_INPUT,
                    f"the {keychain.chain} chain of type {keychain.address_type} has no index "
                    "left: use another address type",
                )
            database.execute(_TAKE_INDEX, (*keychain, index + 1))
        return index

    def take(self, coins: Iterable[Outpoint], change: Place | None, txid: str) -> bool:
        """Reserves coins and a change index for a transaction, all of them or nothing.

        False if another caller was faster with one of them.
        """
        wanted = set(coins)
        with self._open() as database, transaction(database):
            _clear_away(database)
            if wanted & _reserved(database):
                return False
            if change and _next_indices(database).get(change.keychain, 0) > change.index:
                return False
            until_ms = _now_ms() + HOLD_MS
            database.executemany(
                "INSERT INTO reserved (txid, vout, until_ms, reason) VALUES (?, ?, ?, ?)",
                [(coin.txid[::-1].hex(), coin.vout, until_ms, txid) for coin in sorted(wanted)],
            )
            if change:
                database.execute(_TAKE_INDEX, (*change.keychain, change.index + 1))
        return True

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The database, for as long as nobody else has it."""
        with _held(self._folder / LOCK), FILE.failures_named():
            if not self._path.is_file():
                raise BitcoinError(
                    ErrorKind.CONFIGURATION, f"{str(self._path)!r} is missing: restore it"
                )
            database = sqlite3.connect(self._path, timeout=WAIT_SECS, isolation_level=None)
            with closing(database):
                database.execute("PRAGMA synchronous = FULL")
                yield database


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


def _clear_away(database: sqlite3.Connection) -> None:
    """Deletes the reservations whose time is over."""
    database.execute("DELETE FROM reserved WHERE until_ms <= ?", (_now_ms(),))


def _next_indices(database: sqlite3.Connection) -> dict[Keychain, int]:
    rows = database.execute("SELECT address_type, chain, next FROM next_index")
    return {Keychain(address_type, chain): following for address_type, chain, following in rows}


def _reserved(database: sqlite3.Connection) -> set[Outpoint]:
    rows = database.execute(
        "SELECT txid, vout FROM reserved WHERE until_ms IS NULL OR until_ms > ?", (_now_ms(),)
    )
    return {Outpoint(bytes.fromhex(txid)[::-1], vout) for txid, vout in rows}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
