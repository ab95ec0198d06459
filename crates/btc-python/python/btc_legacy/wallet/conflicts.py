"""Which transactions may be handed over: none takes the coins of another payment unsaid."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from bitcoin.core import CTransaction

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.booking import LOCKED, Booking
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.follower import Follower
from btc_legacy.wallet.payments import (
    OwnPayment,
    PaymentState,
    bystanders,
    named,
    named_in,
    open_descendants,
    spends,
    token,
)

_CONFLICT = "spends-coins-of-another-payment"
_RESERVED = "coin-reserved-for-another-transaction"
_SPARES = "replaces-no-coin-of-the-payment"


class Refusal(NamedTuple):
    """Why a transaction is not handed over, as the error would say."""

    message: str
    context: dict[str, str]
    kind: ErrorKind = ErrorKind.REJECTED
    """Not `REJECTED` where the transaction may be sent by itself all the same."""

    @property
    def error(self) -> BitcoinError:
        """The error that a caller gets."""
        return BitcoinError(self.kind, self.message, **self.context)


def refusal_of(tx: CTransaction, booking: Booking, follower: Follower) -> Refusal | None:
    """Why a transaction must not be handed over, if it must not."""
    payments, standings = follower.payments, follower.standings()
    txid, own_token = tx.GetTxid(), token(tx)
    may_replace = named(payments, booking.replaces(own_token))
    inputs = set(spends(tx))
    for other in sorted(payments.keys() - {txid}):
        if not standings[other].is_open or inputs.isdisjoint(payments[other].spends):
            continue
        family = [other, *open_descendants(payments, standings, other)]
        for lost in family:
            if lost not in may_replace:
                return _conflict(lost)
    left = _spared(tx, may_replace - {txid}, follower)
    if left is not None:
        return _spares(left)
    return _reserved(inputs, booking, lambda reason: reason == own_token)


def _spared(tx: CTransaction, may_replace: Collection[bytes], follower: Follower) -> bytes | None:
    """A payment that a transaction is said to replace, and that could be mined beside it.

    It neither spends one of its coins, nor descends from what does, nor was replaced by what
    descends.
    """
    payments, standings = follower.payments, follower.standings()
    inputs = set(spends(tx))
    descendants: set[bytes] = set()
    left: set[bytes] = set()
    for txid in may_replace:
        if txid not in payments or not standings[txid].is_open:
            continue
        if inputs.isdisjoint(payments[txid].spends):
            (descendants if _descends(payments[txid].tx, inputs, follower) else left).add(txid)
    return min(left - named(payments, descendants), default=None)


def _descends(tx: CTransaction, coins: Collection[Outpoint], follower: Follower) -> bool:
    """Whether an unconfirmed ancestor, of the wallet or of others, spends one of these."""
    standings = follower.standings()
    seen: set[bytes] = set()
    waiting = [outpoint.txid for outpoint in spends(tx)]
    while waiting:
        txid = waiting.pop()
        parent = None if txid in seen else follower.unconfirmed(txid)
        seen.add(txid)
        standing = standings.get(txid)
        is_confirmed = standing is not None and standing.state is PaymentState.CONFIRMED
        if parent is None or is_confirmed:
            continue
        if any(outpoint in coins for outpoint in spends(parent)):
            return True
        waiting += [outpoint.txid for outpoint in spends(parent)]
    return False


def trespass_of(payment: OwnPayment, booking: Booking, follower: Follower) -> Refusal | None:
    """Why a payment should not have been handed over, if it should not.

    Of two open payments that spend one coin, one must have been said to replace the other.
    """
    payments, standings = follower.payments, follower.standings()
    txid = payment.row.txid
    may_replace = named(payments, payment.row.replaces)
    inputs = set(payment.spends)
    for other in sorted(payments.keys() - {txid}):
        is_rival = standings[other].is_open and not inputs.isdisjoint(payments[other].spends)
        is_named = other in may_replace or txid in named(payments, payments[other].row.replaces)
        if is_rival and not is_named:
            return _conflict(other)
    return _reserved(
        inputs,
        booking,
        lambda reason: (
            reason == payment.row.token or txid in named(payments, booking.replaces(reason))
        ),
    )


def lost_with(payment: OwnPayment, follower: Follower) -> Refusal | None:
    """Why a missing payment is not sent again now, if it is not.

    It is open: a caller must not take it for refused.
    """
    standings, txid = follower.standings(), payment.row.txid
    lost = bystanders(follower.payments, standings, txid)
    if not lost or standings[txid].state is not PaymentState.MISSING:
        return None
    names = ",".join(sorted(other[::-1].hex() for other in lost))
    return Refusal(
        "the payment is not sent now: payments stand on what it replaces, which it does not name "
        f"and which would be lost ({names}): wait until they are decided, or give it up (btc "
        "abandon)",
        {"payment": txid[::-1].hex(), "descendants": names},
        ErrorKind.UNAVAILABLE,
    )


def dropped_by(tx: CTransaction, booking: Booking) -> list[bytes]:
    """The payments that a transaction names and shares no coin with.

    They descend from what it replaces, and fall with it.
    """
    replaced = booking.replaces(token(tx))
    if not replaced:
        return []
    rows, inputs = booking.payments(), set(spends(tx))
    return [
        txid
        for txid in sorted(named_in(rows, replaced) & rows.keys())
        if inputs.isdisjoint(spends(booking.transaction(txid)))
    ]


def _spares(payment: bytes) -> Refusal:
    txid = payment[::-1].hex()
    return Refusal(
        f"{_SPARES}: it is said to replace payment {txid} and spends none of its coins, so that "
        "both could be mined: build one that spends them (btc bump, btc cancel), or do not name it",
        {"payment": txid},
    )


def _conflict(payment: bytes) -> Refusal:
    txid = payment[::-1].hex()
    return Refusal(
        f"{_CONFLICT}: it takes coins of payment {txid}, which is not confirmed: say that it "
        "replaces that payment (btc bump, btc cancel, btc broadcast --replaces), or choose "
        "other coins",
        {"payment": txid},
    )


def _reserved(
    inputs: Collection[Outpoint], booking: Booking, is_permitted: Callable[[str], bool]
) -> Refusal | None:
    reserved = booking.reserved()
    for coin in sorted(inputs):
        reason = reserved.get(coin)
        # A user's lock is for what the wallet chooses by itself.
        if reason is not None and reason != LOCKED and not is_permitted(reason):
            return Refusal(
                f"{_RESERVED}: the coin {coin} is reserved: wait until that ends, or release it "
                "(btc utxo unlock)",
                {"coin": str(coin), "reserved_for": reason},
            )
    return None
