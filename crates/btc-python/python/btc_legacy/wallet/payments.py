"""Own payments: where each stands, which coins it holds, and which of them another may replace.

Nothing here asks or writes anything. `docs/wallet.md`, "Own payments", lays the rules down for
both implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from bitcoin.core import CTransaction, CTxIn

from btc_legacy.wallet.build import Outpoint

# Confirmations from which on a payment is settled.
SETTLED_DEPTH = 144


class PaymentState(Enum):
    """Where a payment stands, as the node sees chain and mempool."""

    IN_MEMPOOL = "in_mempool"
    MISSING = "missing"
    CONFIRMED = "confirmed"
    CONFLICTED = "conflicted"
    ABANDONED = "abandoned"


# It may still be mined: its coins are its own.
OPEN = (PaymentState.IN_MEMPOOL, PaymentState.MISSING)
# What spends its outputs can never be mined.
LOST = (PaymentState.CONFLICTED, PaymentState.ABANDONED)


class PaymentRow(NamedTuple):
    """What the shared file says of a payment, without its transaction."""

    txid: bytes
    """In the order of the bytes, as serialised."""
    token: str
    handed_over_ms: int
    is_accepted: bool
    """Whether a node has taken it."""
    next_broadcast_ms: int
    abandoned_ms: int | None
    replaces: frozenset[bytes]
    """The payments that it was said to replace."""


@dataclass(frozen=True)
class OwnPayment:
    """A payment that is not settled, with its transaction."""

    row: PaymentRow
    tx: CTransaction

    @property
    def spends(self) -> list[Outpoint]:
        """The outputs it spends, the wallet's and others."""
        return spends(self.tx)


Payments = Mapping[bytes, OwnPayment]


class Decided(NamedTuple):
    """The confirmed transaction that spends a coin, and the height of its block."""

    spender: bytes
    height: int


class Facts(NamedTuple):
    """What decides where payments stand."""

    spent: Callable[[Outpoint], Decided | None]
    """Which confirmed transaction spends a coin of the wallet."""
    paid: Callable[[bytes], int | None]
    """The height of a confirmed transaction that pays the wallet."""
    in_mempool: Collection[bytes]


@dataclass(frozen=True)
class Standing:
    """Where a payment stands now."""

    state: PaymentState
    height: int | None = None
    """The height of the block that decides it: its own, or that of what it conflicts with."""
    replaced_by: bytes | None = None
    """The payment that replaces it, while that one is open or confirmed."""

    @property
    def is_open(self) -> bool:
        """Whether it may still be mined."""
        return self.state in OPEN


_WEIGHT = {
    PaymentState.CONFIRMED: 3,
    PaymentState.IN_MEMPOOL: 2,
    PaymentState.MISSING: 1,
}


def spends(tx: CTransaction) -> list[Outpoint]:
    """The outputs that a transaction spends."""
    return [Outpoint(txin.prevout.hash, txin.prevout.n) for txin in tx.vin]


def token(tx: CTransaction) -> str:
    """The txid without the scripts of the inputs: the same before and after signing."""
    bare = CTransaction(
        vin=[CTxIn(txin.prevout, nSequence=txin.nSequence) for txin in tx.vin],
        vout=tx.vout,
        nLockTime=tx.nLockTime,
        nVersion=tx.nVersion,
    )
    return bytes(bare.GetTxid())[::-1].hex()


def standings(payments: Payments, facts: Facts) -> dict[bytes, Standing]:
    """Where each payment stands."""
    known: dict[bytes, Standing] = {}
    for txid in parents_first(payments, payments):
        known[txid] = _standing(payments[txid], facts, known)
    for txid in sorted(payments):
        if known[txid].is_open or known[txid].state is PaymentState.CONFIRMED:
            for replaced in named(payments, payments[txid].row.replaces):
                if (
                    replaced in known
                    and known[replaced].state is not PaymentState.CONFIRMED
                    and not _is_outdone(payments, known, txid, replaced)
                ):
                    old = known[replaced]
                    known[replaced] = Standing(old.state, old.height, txid)
    return known


def _is_outdone(
    payments: Payments, known: Mapping[bytes, Standing], txid: bytes, other: bytes
) -> bool:
    """Whether of two payments that may replace each other the other one counts.

    The one that the mempool has, else the one that was handed over first later: one of them has to
    be sent.
    """
    is_mutual = txid == other or txid in named(payments, payments[other].row.replaces)

    def rank(of: bytes) -> tuple[int, int, bytes]:
        return _WEIGHT.get(known[of].state, 0), payments[of].row.handed_over_ms, of

    return is_mutual and rank(other) >= rank(txid)


def _standing(payment: OwnPayment, facts: Facts, known: Mapping[bytes, Standing]) -> Standing:
    txid = payment.row.txid
    decided = [facts.spent(outpoint) for outpoint in payment.spends]
    heights = [it.height for it in decided if it and it.spender == txid]
    paid = facts.paid(txid) if not heights else heights[0]
    if paid is not None:
        return Standing(PaymentState.CONFIRMED, paid)
    if txid in facts.in_mempool:
        return Standing(PaymentState.IN_MEMPOOL)
    for outpoint, conflict in zip(payment.spends, decided, strict=True):
        if conflict:
            return Standing(PaymentState.CONFLICTED, conflict.height)
        parent = known.get(outpoint.txid)
        if parent and parent.state in LOST:
            return Standing(parent.state, parent.height)
    if payment.row.abandoned_ms is not None:
        return Standing(PaymentState.ABANDONED)
    return Standing(PaymentState.MISSING)


def parents_first(payments: Payments, of: Iterable[bytes]) -> list[bytes]:
    """These payments in an order in which none comes before one that it spends."""
    wanted = set(of)
    ordered: dict[bytes, None] = {}
    for txid in sorted(wanted):
        # Without recursion: chains may be long.
        stack = [txid]
        while stack:
            parents = {outpoint.txid for outpoint in payments[stack[-1]].spends}
            waiting = sorted((parents & wanted) - ordered.keys())
            if waiting:
                stack += waiting
            else:
                ordered[stack.pop()] = None
    return list(ordered)


def named(payments: Payments, of: Iterable[bytes]) -> set[bytes]:
    """These payments, and what they may replace themselves."""
    return _reached(of, lambda txid: payments[txid].row.replaces if txid in payments else ())


def named_in(rows: Mapping[bytes, PaymentRow], of: Iterable[bytes]) -> set[bytes]:
    """The same, from what the shared file says."""
    return _reached(of, lambda txid: rows[txid].replaces if txid in rows else ())


def _reached(of: Iterable[bytes], steps: Callable[[bytes], Iterable[bytes]]) -> set[bytes]:
    found: set[bytes] = set()
    waiting = list(of)
    while waiting:
        txid = waiting.pop()
        if txid not in found:
            found.add(txid)
            waiting += steps(txid)
    return found


def holders(
    payments: Payments, known: Mapping[bytes, Standing], waiting: Mapping[bytes, CTransaction]
) -> dict[Outpoint, bytes]:
    """The outputs that nothing may be built on, each with the open payment that holds it.

    It spends them, or they fall with what it replaces: outputs of that, and of what descends from
    it. `waiting` are the wallet's transactions in the mempool.
    """
    falling: dict[bytes, bytes] = {}
    held: dict[Outpoint, bytes] = {}
    for txid, payment in payments.items():
        if known[txid].is_open:
            held |= dict.fromkeys(payment.spends, txid)
            for replaced in named(payments, payment.row.replaces) & waiting.keys():
                if replaced not in payments or not _is_outdone(payments, known, txid, replaced):
                    falling[replaced] = txid
    while more := {
        txid: falling[parent]
        for txid, tx in (waiting.items() if falling else ())
        if txid not in falling
        for parent in {outpoint.txid for outpoint in spends(tx)} & falling.keys()
    }:
        falling |= more
    for txid, holder in falling.items():
        for vout in range(len(waiting[txid].vout)):
            held.setdefault(Outpoint(txid, vout), holder)
    return held


def open_descendants(
    payments: Payments, known: Mapping[bytes, Standing], txid: bytes
) -> list[bytes]:
    """The open payments that descend from this transaction, parents first."""
    family = {txid}
    for child in parents_first(payments, payments):
        parents = {outpoint.txid for outpoint in payments[child].spends}
        if known[child].is_open and parents & family:
            family.add(child)
    return parents_first(payments, family - {txid})


def missing(payments: Payments, known: Mapping[bytes, Standing]) -> list[bytes]:
    """The payments that are to be sent again, parents first.

    No other one replaces them, but for one that is not sent itself; and nothing would be lost with
    what they replace which they do not name.
    """
    lost = {
        txid: bystanders(payments, known, txid)
        for txid, payment in payments.items()
        if payment.row.replaces and known[txid].is_open
    }
    found = [
        txid
        for txid, standing in known.items()
        if standing.state is PaymentState.MISSING
        and not lost.get(txid)
        and not _is_replaced(payments, standing, txid, lost)
    ]
    return parents_first(payments, found)


def _is_replaced(
    payments: Payments, standing: Standing, txid: bytes, lost: Mapping[bytes, set[bytes]]
) -> bool:
    """Whether a payment that may be sent replaces this one."""
    if standing.replaced_by is None or not lost.get(standing.replaced_by):
        return standing.replaced_by is not None
    may_replace = named(payments, [txid])
    others = (other for other, own in lost.items() if not own and other not in may_replace | {txid})
    return any(txid in named(payments, payments[other].row.replaces) for other in others)


def bystanders(payments: Payments, known: Mapping[bytes, Standing], txid: bytes) -> set[bytes]:
    """The open payments that a payment does not name, and that would fall with what it replaces.

    They stand on that. It is not sent again while there are any.
    """
    may_replace = named(payments, payments[txid].row.replaces)
    found: set[bytes] = set()
    for replaced in may_replace - {txid}:
        if replaced not in known or known[replaced].state is not PaymentState.CONFIRMED:
            found |= set(open_descendants(payments, known, replaced))
    return found - may_replace - {txid}
