"""`Booking`: one transaction on `reservations.sqlite`, from the look at it to the promise."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bitcoin.core import CTransaction
from bitcoin.core.serialize import SerializationError

from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.keys import Keychain, Place
from btc_legacy.wallet.payments import PaymentRow, token
from btc_legacy.wallet.shared_file import FILE

LOCKED = "locked"
"""The reason of a user's lock."""
HOLD = "hold:"
"""What the reason of a caller's own reservation begins with."""

_UNKNOWN, _ACCEPTED = "unknown", "accepted"

# An end is not believed beyond what was granted: a row that ends later is of a clock that was
# ahead.
_CLEAR_AWAY = (
    "DELETE FROM reserved WHERE until_ms IS NOT NULL "
    "AND (until_ms <= :now OR until_ms - span_ms > :now + 60000)",
    "DELETE FROM change_index WHERE until_ms IS NOT NULL "
    "AND (until_ms <= :now OR until_ms - span_ms > :now + 60000)",
)
_RESERVED = """
    SELECT txid, vout, reason FROM reserved
    WHERE until_ms IS NULL OR (until_ms > :now AND until_ms - span_ms <= :now + 60000)
"""
_HIGHEST_CHANGE = """
    SELECT max(key_index) FROM change_index WHERE address_type = :address_type
    AND (until_ms IS NULL OR (until_ms > :now AND until_ms - span_ms <= :now + 60000))
"""
_RELEASE = (
    "DELETE FROM reserved WHERE reason = ?",
    "DELETE FROM change_index WHERE reason = ?",
)

_CHANGE_REACH = "change_reach."
_SET_CHANGE_REACH = """
    INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value =
    max(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER))
"""
_SET_NEXT = """
    INSERT INTO next_index (address_type, chain, next) VALUES (?, ?, ?)
    ON CONFLICT (address_type, chain) DO UPDATE SET next = max(next, excluded.next)
"""


class End(NamedTuple):
    """Until when something is reserved, in milliseconds of Unix time, and how long that is."""

    until_ms: int
    span_ms: int


class Booking:
    """What the file says, and what is to be written into it.

    Where it is open for reading only, what would write must not be called.
    """

    def __init__(self, database: sqlite3.Connection, now_ms: int) -> None:
        self._database = database
        self.now_ms = now_ms
        """The time that counts as now, in milliseconds of Unix time."""

    def clear_away(self) -> None:
        """Deletes the reservations that are over."""
        for statement in _CLEAR_AWAY:
            self._write(statement, {"now": self.now_ms})

    def next_indices(self) -> dict[Keychain, int]:
        """The first index of each chain that was never promised; 0 where there is none."""
        rows = self._database.execute("SELECT address_type, chain, next FROM next_index")
        return {Keychain(address_type, chain): following for address_type, chain, following in rows}

    def change_reach(self) -> dict[Keychain, int]:
        """The highest change index of each type that was ever reserved."""
        rows = self._database.execute(
            "SELECT key, CAST(value AS INTEGER) FROM meta WHERE key LIKE ? || '%'", (_CHANGE_REACH,)
        )
        return {
            Keychain(key.removeprefix(_CHANGE_REACH), "change"): highest for key, highest in rows
        }

    def set_next(self, keychain: Keychain, following: int) -> None:
        """Promises the indices of a chain below this one; a lower one changes nothing."""
        self._write(_SET_NEXT, (*keychain, following))

    def reserved(self) -> dict[Outpoint, str]:
        """The coins that are spoken for now, each with the reason."""
        rows = self._database.execute(_RESERVED, {"now": self.now_ms})
        return {Outpoint(_bytes(txid), vout): reason for txid, vout, reason in rows}

    def reserve(self, coins: Iterable[Outpoint], end: End, reason: str) -> None:
        """Reserves coins that nothing else has."""
        self._database.executemany(
            "INSERT INTO reserved (txid, vout, until_ms, span_ms, reason) VALUES (?, ?, ?, ?, ?)",
            [(_text(coin.txid), coin.vout, *end, reason) for coin in sorted(coins)],
        )

    def free_change(self, address_type: str) -> int:
        """One more than the highest change index of a transaction that is not handed over yet."""
        (highest,) = self._database.execute(
            _HIGHEST_CHANGE, {"address_type": address_type, "now": self.now_ms}
        ).fetchone()
        return 0 if highest is None else highest + 1

    def reserve_change(self, place: Place, end: End, reason: str) -> None:
        """Reserves a change index for a transaction."""
        self._write(
            "INSERT OR REPLACE INTO change_index "
            "(address_type, key_index, until_ms, span_ms, reason) VALUES (?, ?, ?, ?, ?)",
            (place.keychain.address_type, place.index, *end, reason),
        )
        key = _CHANGE_REACH + place.keychain.address_type
        self._write(_SET_CHANGE_REACH, (key, str(place.index)))

    def release(self, reason: str) -> None:
        """Releases the coins and the change index that were reserved for this."""
        for statement in _RELEASE:
            self._write(statement, (reason,))

    def payments(self, above: int | None = None) -> dict[bytes, PaymentRow]:
        """The payments that are not settled, and those that were settled above this height."""
        rows = self._database.execute(
            "SELECT txid, token, handed_over_ms, outcome, next_broadcast_ms, abandoned_ms "
            "FROM payments WHERE settled_height IS NULL OR settled_height > ?",
            (above,),
        ).fetchall()
        replaces = self._all_replaced() if rows else {}
        found = {}
        for txid, own_token, handed_over_ms, outcome, next_broadcast_ms, abandoned_ms in rows:
            if outcome not in (_UNKNOWN, _ACCEPTED):
                raise FILE.damaged(f"unknown outcome {outcome!r:.20}")
            found[_bytes(txid)] = PaymentRow(
                _bytes(txid),
                own_token,
                handed_over_ms,
                outcome == _ACCEPTED,
                next_broadcast_ms,
                abandoned_ms,
                frozenset(replaces.get(own_token, ())),
            )
        return found

    def transaction(self, txid: bytes) -> CTransaction:
        """The signed transaction of a payment."""
        row = self._database.execute(
            "SELECT raw FROM payments WHERE txid = ?", (_text(txid),)
        ).fetchone()
        try:
            tx = CTransaction.deserialize(row[0])
        except (SerializationError, struct.error, TypeError, ValueError) as error:
            raise FILE.damaged(f"payment {_text(txid)} cannot be decoded") from error
        if tx.GetTxid() != txid:
            raise FILE.damaged(f"payment {_text(txid)} is another transaction")
        return tx

    def replaces(self, own_token: str) -> set[bytes]:
        """The payments that the transaction with this token was said to replace."""
        rows = self._database.execute("SELECT txid FROM replaces WHERE token = ?", (own_token,))
        return {_bytes(txid) for (txid,) in rows}

    def has_payment(self, txid: bytes) -> bool:
        """Whether this was ever handed over, settled or not."""
        found = self._database.execute("SELECT 1 FROM payments WHERE txid = ?", (_text(txid),))
        return found.fetchone() is not None

    def add_payment(
        self, tx: CTransaction, next_broadcast_ms: int, *, is_accepted: bool = False
    ) -> None:
        """Adds a payment; what was reserved for it is the payment's from here on."""
        own_token = token(tx)
        self._write(
            "INSERT OR IGNORE INTO payments "
            "(txid, token, raw, handed_over_ms, outcome, next_broadcast_ms) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                _text(tx.GetTxid()),
                own_token,
                tx.serialize(),
                self.now_ms,
                _ACCEPTED if is_accepted else _UNKNOWN,
                next_broadcast_ms,
            ),
        )
        self.release(own_token)

    def delete_payment(self, tx: CTransaction, next_broadcast_ms: int) -> bool:
        """Forgets a payment that was refused at its first handing over.

        Not one that was handed over again since that call wrote this time, nor one that a node has
        taken; false then.
        """
        deleted = self._write(
            "DELETE FROM payments WHERE txid = ? AND outcome = ? AND next_broadcast_ms = ?",
            (_text(tx.GetTxid()), _UNKNOWN, next_broadcast_ms),
        )
        if deleted:
            self._write("DELETE FROM replaces WHERE token = ?", (token(tx),))
        return deleted > 0

    def is_accepted(self, txid: bytes) -> bool:
        """Whether a node has taken a payment."""
        found = self._database.execute(
            "SELECT 1 FROM payments WHERE txid = ? AND outcome = ?", (_text(txid), _ACCEPTED)
        )
        return found.fetchone() is not None

    def set_accepted(self, txid: bytes) -> None:
        """Remembers that a node has taken a payment, and that it is not given up."""
        self._write(
            "UPDATE payments SET outcome = ?, abandoned_ms = NULL WHERE txid = ?",
            (_ACCEPTED, _text(txid)),
        )

    def is_waiting(self, txid: bytes) -> bool:
        """Whether a payment is neither given up nor settled, so that it may be sent again."""
        found = self._database.execute(
            "SELECT 1 FROM payments WHERE txid = ? "
            "AND abandoned_ms IS NULL AND settled_height IS NULL",
            (_text(txid),),
        )
        return found.fetchone() is not None

    def set_next_broadcast(self, txid: bytes, at_ms: int) -> None:
        """Sets when a payment is sent again if it is missing."""
        self._write(
            "UPDATE payments SET next_broadcast_ms = ? WHERE txid = ?", (at_ms, _text(txid))
        )

    def take_up_again(self, txid: bytes) -> None:
        """Takes back that a user gave a payment up."""
        self._write("UPDATE payments SET abandoned_ms = NULL WHERE txid = ?", (_text(txid),))

    def give_up(self, txid: bytes) -> None:
        """Gives a payment up, unless it is so already."""
        self._write(
            "UPDATE payments SET abandoned_ms = ? WHERE txid = ? AND abandoned_ms IS NULL",
            (self.now_ms, _text(txid)),
        )

    def give_up_again(self, txid: bytes, at_ms: int, next_broadcast_ms: int) -> bool:
        """Gives a payment up again that a handing over took up, which was refused.

        Not one that was handed over since that call wrote this time; false then.
        """
        changed = self._write(
            "UPDATE payments SET abandoned_ms = ? WHERE txid = ? AND next_broadcast_ms = ?",
            (at_ms, _text(txid), next_broadcast_ms),
        )
        return changed > 0

    def forget_reverse(self, txid: bytes, replaced: Iterable[bytes]) -> None:
        """Takes back that these payments may replace this one, which replaces them."""
        self._database.executemany(
            "DELETE FROM replaces WHERE txid = ? "
            "AND token IN (SELECT token FROM payments WHERE txid = ?)",
            [(_text(txid), _text(other)) for other in replaced],
        )

    def settle(self, txid: bytes, height: int) -> None:
        """Closes a payment that was decided in the block at this height."""
        self._write("UPDATE payments SET settled_height = ? WHERE txid = ?", (height, _text(txid)))

    def unsettle_above(self, height: int) -> None:
        """Opens payments again that were decided above this height."""
        self._write("UPDATE payments SET settled_height = NULL WHERE settled_height > ?", (height,))

    def _all_replaced(self) -> dict[str, set[bytes]]:
        replaces: dict[str, set[bytes]] = {}
        for own_token, txid in self._database.execute("SELECT token, txid FROM replaces"):
            replaces.setdefault(own_token, set()).add(_bytes(txid))
        return replaces

    def _write(self, statement: str, values: Sequence[Any] | dict[str, Any]) -> int:
        return self._database.execute(statement, values).rowcount


def _text(txid: bytes) -> str:
    return txid[::-1].hex()


def _bytes(txid: str) -> bytes:
    return bytes.fromhex(txid)[::-1]
