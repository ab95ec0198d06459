"""`python.sqlite`: what the Python wallet learned from the chain, and can learn again."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.database import SqliteFile, transaction
from btc_legacy.wallet.keys import Keychain, Place
from btc_legacy.wallet.node import BlockRef

FILE = SqliteFile(
    "python.sqlite", schema=1, remedy="delete it, and the wallet follows the chain again"
)

_TABLES = """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE blocks (height INTEGER PRIMARY KEY, hash BLOB NOT NULL);
    CREATE TABLE used (
        address_type TEXT NOT NULL, chain TEXT NOT NULL,
        highest INTEGER NOT NULL, PRIMARY KEY (address_type, chain));
    CREATE TABLE coins (
        txid BLOB NOT NULL, vout INTEGER NOT NULL, value_sat INTEGER NOT NULL,
        address_type TEXT NOT NULL, chain TEXT NOT NULL, key_index INTEGER NOT NULL,
        height INTEGER NOT NULL, is_coinbase INTEGER NOT NULL,
        spent_height INTEGER, PRIMARY KEY (txid, vout));
    CREATE INDEX coins_by_height ON coins (height);
    CREATE INDEX coins_by_spent_height ON coins (spent_height);
"""

_FIRST_SCAN, _DONE = "first_scan", "done"


@dataclass(frozen=True)
class Coin:
    """A confirmed output of the wallet."""

    outpoint: Outpoint
    value_sat: int
    place: Place
    height: int
    is_coinbase: bool


@dataclass
class BlockEffect:
    """What a block does to the wallet."""

    block: BlockRef
    received: dict[Outpoint, Coin]
    spent: list[Outpoint]


class Store:
    """The blocks examined so far and the coins in them.

    Each change is one transaction of SQLite, and in memory only when it is on disk: a process may
    end at any point. The file is open until `close` or the end of the object.
    """

    def __init__(self, folder: Path, wallet_id: str) -> None:
        """Opens the file, or makes a new one for this wallet."""
        self._tip: BlockRef | None = None
        self._coins: dict[Outpoint, Coin] = {}
        self._used: dict[Keychain, int] = {}
        self._first_scan: int | None = None
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

    @property
    def coins(self) -> dict[Outpoint, Coin]:
        """The unspent outputs in the chain. Not to be changed."""
        return self._coins

    @property
    def used(self) -> dict[Keychain, int]:
        """The highest index of each chain that was ever seen. Not to be changed."""
        return self._used

    @property
    def tip(self) -> BlockRef | None:
        """The last block examined."""
        return self._tip

    def block_hash(self, height: int) -> str | None:
        """The hash of the block examined at this height."""
        with FILE.failures_named():
            row = self._database.execute(
                "SELECT hash FROM blocks WHERE height = ?", (height,)
            ).fetchone()
        return None if row is None else row[0].hex()

    @property
    def first_scan(self) -> int | None:
        """How many scripts were watched when the first scan was started, for the last time.

        None when that scan has come to its end.
        """
        return self._first_scan

    def note_used(self, used: Iterable[Place]) -> None:
        """Remembers that these places were seen."""
        used = list(used)
        with self._change():
            self._write_used(used)
        self._remember_used(used)

    def apply(self, effect: BlockEffect) -> None:
        """Adds a block on top of the last one."""
        used = [coin.place for coin in effect.received.values()]
        with self._change():
            self._database.execute(
                "INSERT INTO blocks (height, hash) VALUES (?, ?)",
                (effect.block.height, bytes.fromhex(effect.block.hash)),
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO coins VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                [
                    (
                        *coin.outpoint,
                        coin.value_sat,
                        *coin.place.keychain,
                        coin.place.index,
                        coin.height,
                        coin.is_coinbase,
                    )
                    for coin in effect.received.values()
                ],
            )
            self._database.executemany(
                "UPDATE coins SET spent_height = ? WHERE txid = ? AND vout = ?",
                [(effect.block.height, *outpoint) for outpoint in effect.spent],
            )
            self._write_used(used)
        self._remember_used(used)
        self._tip = effect.block
        self._coins.update(effect.received)
        for outpoint in effect.spent:
            del self._coins[outpoint]

    def undo_above(self, height: int) -> None:
        """Takes the blocks above this height back. What was used stays used."""
        with self._change():
            self._undo_above(height)
        self._load()

    def restart_first_scan(self, watched: int) -> None:
        """Takes all blocks back, so that the first scan starts with so many scripts watched."""
        with self._change():
            self._undo_above(-1)
            self._write_meta(_FIRST_SCAN, str(watched))
        self._load()

    def end_first_scan(self) -> None:
        """Remembers that the first scan has come to its end."""
        with self._change():
            self._write_meta(_FIRST_SCAN, _DONE)
        self._first_scan = None

    def _open(self, wallet_id: str) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        # What a failure of power takes is learned again.
        self._database.execute("PRAGMA synchronous = NORMAL")
        if self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            self._create(wallet_id)
        FILE.check_schema(self._database)
        if self._meta("wallet") != wallet_id:
            raise FILE.damaged("it was made for another wallet.json")
        self._load()

    def _create(self, wallet_id: str) -> None:
        with self._change():
            for statement in _TABLES.split(";"):
                self._database.execute(statement)
            self._write_meta("schema", str(FILE.schema))
            self._write_meta("wallet", wallet_id)
            self._write_meta(_FIRST_SCAN, "0")

    def _load(self) -> None:
        with FILE.failures_named():
            first_scan = self._meta(_FIRST_SCAN)
            self._first_scan = None if first_scan == _DONE else int(first_scan)
            row = self._database.execute(
                "SELECT height, hash FROM blocks ORDER BY height DESC LIMIT 1"
            ).fetchone()
            self._tip = None if row is None else BlockRef(row[0], row[1].hex())
            self._used = {
                Keychain(address_type, chain): highest
                for address_type, chain, highest in self._database.execute("SELECT * FROM used")
            }
            self._coins = {}
            for txid, vout, value_sat, *place, height, is_coinbase in self._database.execute(
                "SELECT txid, vout, value_sat, address_type, chain, key_index, height, is_coinbase "
                "FROM coins WHERE spent_height IS NULL"
            ):
                outpoint = Outpoint(txid, vout)
                address_type, chain, index = place
                self._coins[outpoint] = Coin(
                    outpoint,
                    value_sat,
                    Place(Keychain(address_type, chain), index),
                    height,
                    bool(is_coinbase),
                )

    @contextmanager
    def _change(self) -> Iterator[None]:
        with FILE.failures_named(), transaction(self._database):
            yield

    def _undo_above(self, height: int) -> None:
        self._database.execute("DELETE FROM coins WHERE height > ?", (height,))
        self._database.execute(
            "UPDATE coins SET spent_height = NULL WHERE spent_height > ?", (height,)
        )
        self._database.execute("DELETE FROM blocks WHERE height > ?", (height,))

    def _write_used(self, used: Iterable[Place]) -> None:
        self._database.executemany(
            "INSERT INTO used VALUES (?, ?, ?) ON CONFLICT (address_type, chain) "
            "DO UPDATE SET highest = max(highest, excluded.highest)",
            [(*place.keychain, place.index) for place in used],
        )

    def _remember_used(self, used: Iterable[Place]) -> None:
        for place in used:
            self._used[place.keychain] = max(place.index, self._used.get(place.keychain, -1))

    def _write_meta(self, key: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _meta(self, key: str) -> str:
        row = self._database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise FILE.damaged(f"it has no {key}")
        return str(row[0])
