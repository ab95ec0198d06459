"""`python.sqlite`: what the Python wallet learned from the chain, and can learn again."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.keys import Keychain, Place
from btc_legacy.wallet.node import BlockRef
from btc_legacy.wallet.payments import Decided
from btc_legacy.wallet.store_file import DONE, FILE, FIRST_SCAN, StoreFile

# Meta values: up to which height blocks were read again, while they are; the lowest height that
# blocks were undone to, until payments are opened again for it.
_REREAD, _UNDONE = "reread", "undone"


# How long a mark of a transaction that is not the wallet's is.
MARK_BYTES = 8


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
    spent: dict[Outpoint, bytes]
    """The coins that it spends, each with the transaction that does."""
    inputs: dict[Outpoint, bytes] = field(default_factory=dict)
    """What its transactions of the wallet spend of others, each with the transaction that does."""


class Store(StoreFile):
    """The blocks examined so far, the coins in them, and what waits in the mempool.

    Each change is one transaction of SQLite, and in memory only when it is on disk: a process may
    end at any point. The file is open until `close` or the end of the object.
    """

    def __init__(self, folder: Path, wallet_id: str) -> None:
        """Opens the file, or makes a new one for this wallet; one of an older version, too."""
        self.version = 0
        """Another number after each change of what is confirmed."""
        self._tip: BlockRef | None = None
        self._coins: dict[Outpoint, Coin] = {}
        self._used: dict[Keychain, int] = {}
        self._promised: dict[Keychain, int] = {}
        self._read_with: dict[Keychain, int] = {}
        self._is_first_scan = True
        self._reread: int | None = None
        self._undone: int | None = None
        super().__init__(folder, wallet_id)
        try:
            self._load()
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
    def promised(self) -> dict[Keychain, int]:
        """The first index of each chain that was not given out, as far as is remembered here."""
        return self._promised

    @property
    def tip(self) -> BlockRef | None:
        """The last block examined."""
        return self._tip

    @property
    def is_first_scan(self) -> bool:
        """Whether no scan has come to its end yet."""
        return self._is_first_scan

    @property
    def read_with(self) -> dict[Keychain, int]:
        """How far each chain was watched at least when the blocks were read."""
        return self._read_with

    @property
    def reread(self) -> int | None:
        """The height up to which blocks were read again; None when none are to be."""
        return self._reread

    @property
    def undone(self) -> int | None:
        """The lowest height that blocks were undone to since `note_undone_read`."""
        return self._undone

    def block_hash(self, height: int) -> str | None:
        """The hash of the block examined at this height."""
        row = self._row("SELECT hash FROM blocks WHERE height = ?", height)
        return None if row is None else row[0].hex()

    def has_coin(self, outpoint: Outpoint) -> bool:
        """Whether this is a confirmed output of the wallet, spent or not."""
        return self._row("SELECT 1 FROM coins WHERE txid = ? AND vout = ?", *outpoint) is not None

    def spent(self, outpoint: Outpoint) -> Decided | None:
        """The confirmed transaction that spends a coin, or what it spends of others beside one."""
        row = self._row(
            "SELECT spent_by, spent_height FROM coins "
            "WHERE txid = ? AND vout = ? AND spent_height IS NOT NULL",
            *outpoint,
        ) or self._row(
            "SELECT spent_by, spent_height FROM inputs WHERE txid = ? AND vout = ?", *outpoint
        )
        return None if row is None else Decided(*row)

    def paid(self, txid: bytes) -> int | None:
        """The height of a confirmed transaction that pays the wallet."""
        row = self._row("SELECT height FROM coins WHERE txid = ? LIMIT 1", txid)
        return None if row is None else row[0]

    def pending(self) -> dict[bytes, bytes]:
        """The transactions that waited in the mempool when it was looked at last."""
        with FILE.failures_named():
            return dict(self._database.execute("SELECT txid, raw FROM pending"))

    def add_pending(self, txid: bytes, raw: bytes, used: Iterable[Place]) -> None:
        """Adds a transaction that waits in the mempool, and what it pays to."""
        used = list(used)
        with self._change():
            self._database.execute("INSERT OR REPLACE INTO pending VALUES (?, ?)", (txid, raw))
            self._write_used(used)
        self._remember_used(used)

    def drop_pending(self, txids: Iterable[bytes]) -> None:
        """Removes transactions that do not wait any more."""
        with self._change():
            self._database.executemany(
                "DELETE FROM pending WHERE txid = ?", [(txid,) for txid in txids]
            )

    def others(self) -> dict[bytes, tuple[int, ...]]:
        """The mempool's other transactions that were looked into, each with its marks."""
        with FILE.failures_named():
            rows = self._database.execute("SELECT txid, marks FROM others")
            return {
                txid: struct.unpack(f">{len(marks) // MARK_BYTES}Q", marks) for txid, marks in rows
            }

    def add_others(self, others: Mapping[bytes, tuple[int, ...]]) -> None:
        """Adds transactions of the mempool that are not the wallet's."""
        if others:
            rows = [(txid, struct.pack(f">{len(own)}Q", *own)) for txid, own in others.items()]
            with self._change():
                self._database.executemany("INSERT OR REPLACE INTO others VALUES (?, ?)", rows)

    def drop_others(self, txids: Iterable[bytes]) -> None:
        """Removes some of them."""
        if rows := [(txid,) for txid in txids]:
            with self._change():
                self._database.executemany("DELETE FROM others WHERE txid = ?", rows)

    def note_used(self, used: Iterable[Place]) -> None:
        """Remembers that these places were seen."""
        used = [place for place in used if place.index > self._used.get(place.keychain, -1)]
        if used:
            with self._change():
                self._write_used(used)
            self._remember_used(used)

    def note_promised(self, promised: Mapping[Keychain, int]) -> None:
        """Remembers which indices were given out: those below these."""
        new = {
            keychain: following
            for keychain, following in promised.items()
            if following > self._promised.get(keychain, 0)
        }
        if new:
            with self._change():
                self._database.executemany(
                    "INSERT OR REPLACE INTO promised VALUES (?, ?, ?)",
                    [(*keychain, following) for keychain, following in new.items()],
                )
            self._promised |= new

    def apply(self, effect: BlockEffect) -> None:
        """Adds a block on top of the last one, or what a block shows when it is read again."""
        height = effect.block.height
        is_new = self._tip is None or height > self._tip.height
        used = [coin.place for coin in effect.received.values()]
        # When it is read again, most of it is known, spent or not.
        received = {
            outpoint: coin
            for outpoint, coin in effect.received.items()
            if is_new or not self.has_coin(outpoint)
        }
        with self._change():
            if is_new:
                self._database.execute(
                    "INSERT INTO blocks (height, hash) VALUES (?, ?)",
                    (height, bytes.fromhex(effect.block.hash)),
                )
            else:
                self._write_meta(_REREAD, str(height))
            self._add_coins(received.values())
            self._database.executemany(
                "UPDATE coins SET spent_height = ?, spent_by = ? WHERE txid = ? AND vout = ?",
                [(height, spender, *outpoint) for outpoint, spender in effect.spent.items()],
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO inputs VALUES (?, ?, ?, ?)",
                [(*outpoint, height, spender) for outpoint, spender in effect.inputs.items()],
            )
            self._write_used(used)
        self._remember_used(used)
        if is_new:
            self._tip = effect.block
        else:
            self._reread = height
        self._coins.update(received)
        for outpoint in effect.spent:
            self._coins.pop(outpoint, None)
        self.version += 1

    def undo_above(self, height: int) -> None:
        """Takes the blocks above this height back. What was used stays used."""
        with self._change():
            self._undo_above(height)
            if self._reread is not None and self._reread > height:
                self._write_meta(_REREAD, str(height))
            if self._undone is None or self._undone > height:
                self._write_meta(_UNDONE, str(height))
        self._load()

    def note_undone_read(self) -> None:
        """Says that what `undone` tells was attended to."""
        with self._change():
            self._delete_meta(_UNDONE)
        self._undone = None

    def begin_reading(self, sizes: Mapping[Keychain, int], birthday: int) -> None:
        """Says that all blocks are to be read, with at least so much of each chain watched.

        What was learned stays, so that it can be relied on meanwhile.
        """
        has_blocks = self._tip is not None
        with self._change():
            self._database.execute("DELETE FROM read_with")
            self._database.executemany(
                "INSERT INTO read_with VALUES (?, ?, ?)",
                [(*keychain, size) for keychain, size in sizes.items()],
            )
            self._delete_meta(_REREAD)
            if has_blocks:
                self._write_meta(_REREAD, str(birthday - 1))
        self._read_with = dict(sizes)
        self._reread = birthday - 1 if has_blocks else None

    def end_reading(self) -> None:
        """Says that all blocks were read."""
        with self._change():
            self._delete_meta(_REREAD)
        self._reread = None

    def end_first_scan(self) -> None:
        """Remembers that the first scan has come to its end."""
        with self._change():
            self._write_meta(FIRST_SCAN, DONE)
        self._is_first_scan = False

    def scripts(self, keychain: Keychain, first: int, end: int) -> list[bytes]:
        """The scripts of a chain from one index on that are known, up to another one."""
        with FILE.failures_named():
            rows = self._database.execute(
                "SELECT key_index, script FROM scripts WHERE address_type = ? AND chain = ? "
                "AND key_index >= ? AND key_index < ? ORDER BY key_index",
                (*keychain, first, end),
            ).fetchall()
        if [index for index, _ in rows] != list(range(first, first + len(rows))):
            raise FILE.damaged("scripts are missing")
        return [script for _, script in rows]

    def add_scripts(self, keychain: Keychain, first: int, scripts: Iterable[bytes]) -> None:
        """Keeps the scripts of a chain from this index on."""
        with self._change():
            self._database.executemany(
                "INSERT OR REPLACE INTO scripts VALUES (?, ?, ?, ?)",
                [(*keychain, index, script) for index, script in enumerate(scripts, first)],
            )

    def _load(self) -> None:
        self.version += 1
        with FILE.failures_named():
            self._is_first_scan = self._meta(FIRST_SCAN) != DONE
            self._reread = self._height(_REREAD)
            self._undone = self._height(_UNDONE)
            row = self._row("SELECT height, hash FROM blocks ORDER BY height DESC LIMIT 1")
            self._tip = None if row is None else BlockRef(row[0], row[1].hex())
            self._used = self._by_keychain("SELECT * FROM used")
            self._promised = self._by_keychain("SELECT * FROM promised")
            self._read_with = self._by_keychain("SELECT * FROM read_with")
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

    def _undo_above(self, height: int) -> None:
        self._database.execute("DELETE FROM coins WHERE height > ?", (height,))
        self._database.execute(
            "UPDATE coins SET spent_height = NULL, spent_by = NULL WHERE spent_height > ?",
            (height,),
        )
        self._database.execute("DELETE FROM inputs WHERE spent_height > ?", (height,))
        self._database.execute("DELETE FROM blocks WHERE height > ?", (height,))

    def _add_coins(self, coins: Iterable[Coin]) -> None:
        self._database.executemany(
            "INSERT OR REPLACE INTO coins VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
            [
                (
                    *coin.outpoint,
                    coin.value_sat,
                    *coin.place.keychain,
                    coin.place.index,
                    coin.height,
                    coin.is_coinbase,
                )
                for coin in coins
            ],
        )

    def _write_used(self, used: Iterable[Place]) -> None:
        self._database.executemany(
            "INSERT INTO used VALUES (?, ?, ?) ON CONFLICT (address_type, chain) "
            "DO UPDATE SET highest = max(highest, excluded.highest)",
            [(*place.keychain, place.index) for place in used],
        )

    def _remember_used(self, used: Iterable[Place]) -> None:
        for place in used:
            self._used[place.keychain] = max(place.index, self._used.get(place.keychain, -1))
