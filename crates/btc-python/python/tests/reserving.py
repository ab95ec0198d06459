"""What the tests of reservations share: reserving, looking, and a clock that is set."""

from __future__ import annotations

from pathlib import Path

import pytest
from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript

from btc_legacy.wallet import reservations as module
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.keys import Keychain, Place
from btc_legacy.wallet.reservations import Reservations, next_change, reserve
from tests.wallet_folder import reservations

RECEIVE = Keychain("p2wpkh", "receive")
CHANGE = Keychain("p2wpkh", "change")
TXID = "ab" * 32


def coin(number: int) -> Outpoint:
    return Outpoint(number.to_bytes(32, "big"), number % 3)


def next_indices(ours: Reservations) -> dict[Keychain, int]:
    """The first index of each chain that was never promised."""
    with ours.reading() as booking:
        return booking.next_indices()


def reserved(ours: Reservations) -> set[Outpoint]:
    """The coins that are spoken for now."""
    with ours.reading() as booking:
        return set(booking.reserved())


def free_change(ours: Reservations) -> int:
    """The first change index that no transaction has which is not handed over yet."""
    with ours.reading() as booking:
        return booking.free_change("p2wpkh")


def insert(
    folder: Path, coin: Outpoint, until_ms: int | None, span_ms: int | None, reason: str = TXID
) -> None:
    """Reserves a coin as the other wallet does."""
    with reservations(folder) as database:
        database.execute(
            "INSERT INTO reserved (txid, vout, until_ms, span_ms, reason) VALUES (?, ?, ?, ?, ?)",
            (coin.txid[::-1].hex(), coin.vout, until_ms, span_ms, reason),
        )


def transaction(*spent: Outpoint) -> CTransaction:
    """A transaction that spends these."""
    return CTransaction([CTxIn(COutPoint(*outpoint)) for outpoint in spent], [CTxOut(1, CScript())])


def take(
    ours: Reservations, coins: list[Outpoint], change: Place | None = None, token: str = TXID
) -> bool:
    """Reserves for a transaction as `Wallet` does; False if it would have chosen otherwise."""
    with ours.booking() as booking:
        is_free = booking.reserved().keys().isdisjoint(coins)
        if not is_free or (change and change.index != next_change(booking, change.keychain, 0)):
            return False
        reserve(booking, coins, change, token)
    return True


class Clock:
    """The wall clock, which a test sets."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now_ms = 1_700_000_000_000
        patch.setattr(module, "now_ms", lambda: self.now_ms)
