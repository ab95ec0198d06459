"""Handing payments to the node: written down before, decided after, sent again while missing."""

from __future__ import annotations

import logging
import random
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from bitcoin.core import CTransaction

from btc_legacy import sending
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.rpc import RpcClient
from btc_legacy.wallet.booking import Booking
from btc_legacy.wallet.conflicts import (
    Refusal,
    dropped_by,
    lost_with,
    refusal_of,
    trespass_of,
)
from btc_legacy.wallet.follower import Follower
from btc_legacy.wallet.node import Node
from btc_legacy.wallet.payments import (
    SETTLED_DEPTH,
    OwnPayment,
    Payments,
    PaymentState,
    Standing,
    missing,
    named_in,
    parents_first,
    spends,
    token,
)
from btc_legacy.wallet.reservations import Reservations, now_ms

# A missing payment is sent again at a random time, so that others cannot tell whose it is.
_SEND_AGAIN_MS = (10 * 60 * 1000, 50 * 60 * 1000)
# A time further ahead than any that was set is of a clock that was set back.
_LONGEST_MS = 60 * 60 * 1000

# How many are sent again in one call, whose caller waits.
_MAX_SENT = 100

# Why a payment may be sent again by itself that is given up with what it descends from, or that the
# chain has decided against.
_WITH_PARENT = "what it descends from was given up, and may come back"
_CAN_BE_UNDONE = "what the chain has in its place can be undone, until it has 144 confirmations"

# What keeps this from being written down: SQLite's failures are named, those of the lock are not.
_FAILURES = (BitcoinError, OSError)

_LOG = logging.getLogger(__name__)


class Handed(NamedTuple):
    """What a transaction is to the wallet when it is handed over."""

    tx: CTransaction
    is_own: bool
    next_ms: int = 0
    """The time to send it again that this call wrote: another one writes another time."""
    is_new: bool = False
    """Whether this call wrote the payment down first."""
    abandoned_ms: int | None = None
    """When it was given up before this call, if it was."""


class Handover:
    """Hands payments over, and keeps account of them. Its callers take turns."""

    def __init__(
        self, reservations: Reservations, follower: Follower, node: Node, rpc: RpcClient
    ) -> None:
        self._reservations = reservations
        self._follower = follower
        self._node = node
        self._rpc = rpc

    def prepare(self, tx: CTransaction) -> Handed | Refusal:
        """Writes a payment down, on disk when this returns, unless it must not be handed over."""
        self._follower.read_shared()
        txid = tx.GetTxid()
        with self._reservations.booking() as booking:
            self._follower.read_payments(booking)
            payment = self._follower.payments.get(txid)
            is_known = booking.has_payment(txid)
            # Of one that was given up, or descends from one, the coins may be another's by now.
            is_lost = payment is not None and (
                payment.row.abandoned_ms is not None
                or self._follower.standings()[txid].state is PaymentState.ABANDONED
            )
            if not is_known or is_lost:
                refusal = refusal_of(tx, booking, self._follower)
                if refusal and payment and payment.row.abandoned_ms is None:
                    listed = _still_listed(tx, refusal.error, _WITH_PARENT)
                    return Refusal(listed.message, listed.context, listed.kind)
                if refusal:
                    return refusal
            elif payment:
                lost = lost_with(payment, self._follower)
                if lost:
                    return lost
            if not is_known and not self._is_own(tx, booking):
                return Handed(tx, is_own=False)
            next_ms = _next_broadcast_ms(booking.now_ms)
            if is_known:
                booking.take_up_again(txid)
                booking.set_next_broadcast(txid, next_ms)
            else:
                booking.add_payment(tx, next_ms)
        abandoned_ms = payment.row.abandoned_ms if payment else None
        return Handed(tx, True, next_ms, not is_known, abandoned_ms)

    def refusal(self, tx: CTransaction) -> Refusal | None:
        """Why a transaction would not be handed over now. Writes nothing."""
        self._follower.read_shared()
        with self._reservations.reading() as booking:
            self._follower.read_payments(booking)
            payment = self._follower.payments.get(tx.GetTxid())
            if payment and payment.row.abandoned_ms is None:
                # What replaces it was handed over after it.
                return trespass_of(payment, booking, self._follower)
            return refusal_of(tx, booking, self._follower)

    def succeeded(self, handed: Handed) -> None:
        """Remembers that a node has the payment, and gives up what it drops."""
        if handed.is_own:
            self._note_taken(handed.tx, is_handed_over=True)

    def _note_taken(self, tx: CTransaction, *, is_handed_over: bool) -> None:
        try:
            with self._reservations.booking() as booking:
                # The file may be another one since, which does not have it.
                booking.add_payment(tx, _next_broadcast_ms(booking.now_ms), is_accepted=True)
                booking.set_accepted(tx.GetTxid())
                if is_handed_over:
                    replaced = named_in(booking.payments(), booking.replaces(token(tx)))
                    booking.forget_reverse(tx.GetTxid(), replaced)
                    for txid in dropped_by(tx, booking):
                        booking.give_up(txid)
        except _FAILURES as error:
            # It is on disk already; that a node has taken it is all that is lost.
            _LOG.warning(
                "payment %s was sent, which could not be written down: %s", _name(tx), error
            )

    def failed(self, handed: Handed, error: BitcoinError) -> BitcoinError | None:
        """What the caller is told; None: another caller's handing over was a success.

        A payment that was written down just now and that no node has is forgotten: its coins are
        free. One that was given up before is given up still. One that stays listed may be sent
        again by itself, so the caller must not take it for refused.
        """
        if not handed.is_own:
            return error
        if sending.is_final(error):
            try:
                with self._reservations.booking() as booking:
                    if handed.is_new:
                        if booking.delete_payment(handed.tx, handed.next_ms):
                            return error
                        if booking.is_accepted(handed.tx.GetTxid()):
                            return None
                    elif self._is_given_up_again(handed, booking):
                        return error
            except _FAILURES as failure:
                why = f"that could not be written down ({failure})"
                return _still_listed(handed.tx, error, why)
        if handed.is_new:
            return _still_listed(handed.tx, error, "another caller has handed it over meanwhile")
        reason = self._why_listed(handed)
        return _still_listed(handed.tx, error, reason) if reason else error

    def _why_listed(self, handed: Handed) -> str | None:
        """Why a payment that was there before may be sent by itself; None if it is settled."""
        txid = handed.tx.GetTxid()
        if txid not in self._follower.payments:
            return None
        standing = self._follower.standings()[txid]
        if standing.state is PaymentState.CONFLICTED:
            return _CAN_BE_UNDONE
        if standing.state is PaymentState.ABANDONED and handed.abandoned_ms is None:
            return _WITH_PARENT
        return "it was handed over before"

    def _is_given_up_again(self, handed: Handed, booking: Booking) -> bool:
        return handed.abandoned_ms is not None and booking.give_up_again(
            handed.tx.GetTxid(), handed.abandoned_ms, handed.next_ms
        )

    def settle(self, tip_height: int, standings: Mapping[bytes, Standing]) -> None:
        """Closes what is deep in the chain, and opens again what was undone.

        What fails is done later: it is not what the caller asked for.
        """
        undone = self._follower.undone
        deep = {
            txid: standing.height
            for txid, standing in standings.items()
            if standing.height is not None and tip_height - standing.height + 1 >= SETTLED_DEPTH
        }
        if undone is None and not deep:
            return
        with suppress(BitcoinError):
            with self._reservations.booking() as booking:
                if undone is not None:
                    booking.unsettle_above(undone)
                for txid, height in deep.items():
                    booking.settle(txid, height)
            if undone is not None:
                self._follower.note_undone_read()

    def send_due(self, payments: Payments, standings: Mapping[bytes, Standing]) -> bool:
        """Sends missing payments again whose time has come, parents first; whether a node took one.

        What fails is tried again later: it is not what the caller asked for.
        """
        waiting = missing(payments, standings)
        rows = [payments[txid].row for txid in waiting]
        now = now_ms()
        if not any(
            row.abandoned_ms is None and _is_due(row.next_broadcast_ms, now) for row in rows
        ):
            return False
        try:
            # What a node has not read from disk yet it may have; and it takes what it would refuse
            # then.
            if not self._node.is_mempool_loaded():
                return False
            chosen = self._claim(payments, waiting)
            return self._send_again(chosen, [payments[txid] for txid in waiting])
        except BitcoinError:
            return False

    def _claim(self, payments: Payments, waiting: Iterable[bytes]) -> list[OwnPayment]:
        """Chooses those that are due with what they descend from, for this caller alone."""
        with self._reservations.booking() as booking:
            # What was handed over meanwhile may stand on what one of them replaces.
            self._follower.read_payments(booking)
            still = missing(self._follower.payments, self._follower.standings())
            waiting = [txid for txid in waiting if txid in still]
            now = booking.payments()
            due = [
                txid
                for txid in waiting
                if txid in now
                and now[txid].abandoned_ms is None
                and _is_due(now[txid].next_broadcast_ms, booking.now_ms)
            ]
            chosen = _with_parents(payments, due[:_MAX_SENT], waiting)
            for txid in chosen:
                booking.set_next_broadcast(txid, _next_broadcast_ms(booking.now_ms))
        return [payments[txid] for txid in chosen]

    def _send_again(self, chosen: list[OwnPayment], waiting: list[OwnPayment]) -> bool:
        is_taken = False
        for payment in chosen:
            if not self._is_waiting(payment):
                continue
            try:
                sending.send(self._rpc, payment.tx.serialize(), _name(payment.tx))
            except BitcoinError as error:
                child = self._send_with_child(payment, waiting, error)
                if child is None:
                    continue
                self._note_taken(child.tx, is_handed_over=False)
            self._note_taken(payment.tx, is_handed_over=False)
            is_taken = True
        return is_taken

    def _is_waiting(self, payment: OwnPayment) -> bool:
        """Whether it was neither given up nor settled meanwhile: sending takes its time."""
        # What cannot be read is sent later.
        with suppress(BitcoinError), self._reservations.reading() as booking:
            return booking.is_waiting(payment.row.txid)
        return False

    def _is_claimed(self, payment: OwnPayment) -> bool:
        """The same, for this caller alone: one that hands it over for the first time sees it."""
        with suppress(BitcoinError), self._reservations.booking() as booking:
            if booking.is_waiting(payment.row.txid):
                booking.set_next_broadcast(payment.row.txid, _next_broadcast_ms(booking.now_ms))
                return True
        return False

    def _send_with_child(
        self, parent: OwnPayment, waiting: Iterable[OwnPayment], error: BitcoinError
    ) -> OwnPayment | None:
        """Sends a payment that is too cheap by itself with a child that pays for it.

        Due or not, every child that is missing is tried; the one that does is returned.
        """
        if not sending.is_too_cheap(error):
            return None
        for child in waiting:
            is_child = any(outpoint.txid == parent.row.txid for outpoint in child.spends)
            if is_child and self._is_claimed(child):
                with suppress(BitcoinError):
                    sending.send_package(self._rpc, parent.tx.serialize(), child.tx.serialize())
                    return child
        return None

    def _is_own(self, tx: CTransaction, booking: Booking) -> bool:
        """Whether it spends a coin of the wallet.

        Known here or not, one that is reserved for it is, and so is a coin of a payment that it was
        said to replace.
        """
        own_token, reserved = token(tx), booking.reserved()
        return bool(booking.replaces(own_token)) or any(
            reserved.get(outpoint) == own_token or self._follower.owns(outpoint)
            for outpoint in spends(tx)
        )


def _still_listed(tx: CTransaction, cause: BitcoinError, why: str) -> BitcoinError:
    if sending.is_final(cause):
        said = f"the payment was not taken now ({cause.message}), and {why}: it is still"
    else:
        said = f"whether the payment was sent is not known ({cause.message}): it is"
    return BitcoinError(
        ErrorKind.UNAVAILABLE,
        f"{said} listed, and may be sent again by itself; see btc history, and cancel it (btc "
        "cancel) or give it up (btc abandon) before you pay anew",
        payment=_name(tx),
    )


def _with_parents(
    payments: Payments, txids: Iterable[bytes], waiting: Collection[bytes]
) -> list[bytes]:
    """These, and those of the waiting ones that they descend from, parents first."""
    chosen: set[bytes] = set()
    stack = list(txids)
    while stack:
        txid = stack.pop()
        if txid not in chosen:
            chosen.add(txid)
            stack += {outpoint.txid for outpoint in payments[txid].spends} & set(waiting)
    return parents_first(payments, chosen)


def _next_broadcast_ms(now_ms: int) -> int:
    return now_ms + random.randrange(*_SEND_AGAIN_MS)  # noqa: S311


def _is_due(next_broadcast_ms: int, now_ms: int) -> bool:
    return next_broadcast_ms <= now_ms or next_broadcast_ms - now_ms > _LONGEST_MS


def _name(tx: CTransaction) -> str:
    """Its txid in the order people read."""
    return bytes(tx.GetTxid())[::-1].hex()
