"""What must not be promised twice: address indices and coins, in the file both wallets share."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.booking import Booking, End
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.database import transaction
from btc_legacy.wallet.keys import HARDENED, Keychain, Place
from btc_legacy.wallet.shared_file import SharedFile

HOLD_MS = 10 * 60 * 1000
"""How long the coins of a built transaction stay reserved."""

RESTORE_GAP_LIMIT = 1000
"""How many unused addresses in a row a wallet that is restored from its words looks at."""


class Reservations:
    """The next index of each chain, the coins that are spoken for, and the own payments.

    Nothing is kept in memory: the other wallet writes too.
    """

    def __init__(self, folder: Path) -> None:
        """Checks that the file is of this version; brings an older one up to it."""
        self._file = SharedFile(folder)

    @contextmanager
    def reading(self) -> Iterator[Booking]:
        """What the file says at one moment. Nothing is written."""
        with self._file.open() as database:
            yield self._booking(database)

    @contextmanager
    def booking(self) -> Iterator[Booking]:
        """One transaction: on disk when the block ends, without effect when an exception does."""
        with self._file.open() as database, transaction(database):
            booking = self._booking(database)
            booking.clear_away()
            yield booking

    def take_index(self, keychain: Keychain, at_least: int, end: int = HARDENED) -> int | None:
        """Promises the next index of a chain, at least this one; None at the end."""
        with self.booking() as booking:
            index = max(at_least, booking.next_indices().get(keychain, 0))
            if index >= HARDENED:
                raise BitcoinError(
                    ErrorKind.INVALID_INPUT,
                    f"the {keychain.chain} chain of type {keychain.address_type} has no index "
                    "left: use another address type",
                )
            if index >= end:
                return None
            booking.set_next(keychain, index + 1)
        return index

    def _booking(self, database: sqlite3.Connection) -> Booking:
        return Booking(database, now_ms())


def reserve(booking: Booking, coins: Iterable[Outpoint], change: Place | None, token: str) -> None:
    """Reserves coins that nothing else has, and a change index, for a transaction."""
    end = End(booking.now_ms + HOLD_MS, HOLD_MS)
    booking.reserve(coins, end, token)
    if change:
        booking.reserve_change(change, end, token)


def next_change(booking: Booking, keychain: Keychain, first_unused: int) -> int:
    """The index of the next change output, which is at least this one.

    One that was reserved for a transaction goes back when that reservation ends unspent.
    """
    return max(
        first_unused,
        booking.next_indices().get(keychain, 0),
        booking.free_change(keychain.address_type),
    )


def now_ms() -> int:
    """Milliseconds of Unix time."""
    return time.time_ns() // 1_000_000
