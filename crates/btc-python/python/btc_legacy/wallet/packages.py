"""The wallet's own unconfirmed transactions: what nodes and miners make of one that spends them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

# What nodes take: Bitcoin Core before version 31 counts 25 with the transaction itself, since 31 a
# cluster of 64 and 101 kvB.
MAX_ANCESTORS = 24
MAX_CONNECTED = 63
MAX_CONNECTED_VB = 101_000

# Coins of these are not mixed with others (BIP431).
TRUC_VERSION = 3


class PendingTransaction(NamedTuple):
    """An unconfirmed transaction all of whose inputs are the wallet's."""

    txid: bytes
    """In the order of the bytes, as serialised."""
    version: int
    size_vb: int
    """Its weight / 4, rounded up."""
    fee_sat: int
    spends: tuple[bytes, ...]
    """The transactions of the same list that it spends, ascending."""


class Packages:
    """The transactions of a snapshot's list, and how they hang together."""

    def __init__(self, transactions: Iterable[PendingTransaction]) -> None:
        self._known = {transaction.txid: transaction for transaction in transactions}
        self._parents = {
            txid: {parent for parent in transaction.spends if parent in self._known}
            for txid, transaction in self._known.items()
        }
        self._neighbours = {txid: set(parents) for txid, parents in self._parents.items()}
        for txid, parents in self._parents.items():
            for parent in parents:
                self._neighbours[parent].add(txid)

    def __contains__(self, txid: bytes) -> bool:
        return txid in self._known

    def ancestors(self, txids: Iterable[bytes]) -> set[bytes]:
        """These transactions and all that they descend from."""
        return _reached(txids, self._parents)

    def is_permitted(self, txids: Collection[bytes], size_vb: int) -> bool:
        """Whether nodes take a transaction of this size that spends these."""
        if any(self._known[txid].version == TRUC_VERSION for txid in txids):
            return False
        if len(self.ancestors(txids)) > MAX_ANCESTORS:
            return False
        connected = _reached(txids, self._neighbours)
        connected_vb = sum(self._known[txid].size_vb for txid in connected)
        return len(connected) <= MAX_CONNECTED and connected_vb + size_vb <= MAX_CONNECTED_VB

    def deficit_sat(self, txids: Iterable[bytes], fee_rate: int) -> int:
        """What these with their ancestors lack to be mined at a rate in sat/vB.

        As a miner sees it who fills blocks by ancestor sets, the one with the highest rate first:
        what pays the rate is mined without help, and does not pay for its descendants then.
        """
        left = self.ancestors(txids)
        while left:
            best = self._best_set(left)
            fee_sat, size_vb = self._sums(best)
            if fee_sat < size_vb * fee_rate:
                return max(0, sum(self._lack(txid, fee_rate) for txid in left))
            left -= best
        return 0

    def _best_set(self, left: set[bytes]) -> set[bytes]:
        """One of the sets, each a transaction with its ancestors that are left, of highest rate."""
        sets = (_reached([txid], self._parents, left) for txid in sorted(left))
        best = next(sets)
        for candidate in sets:
            fee_sat, size_vb = self._sums(candidate)
            best_fee_sat, best_size_vb = self._sums(best)
            if fee_sat * best_size_vb > best_fee_sat * size_vb:
                best = candidate
        return best

    def _sums(self, txids: Iterable[bytes]) -> tuple[int, int]:
        chosen = [self._known[txid] for txid in txids]
        return sum(it.fee_sat for it in chosen), sum(it.size_vb for it in chosen)

    def _lack(self, txid: bytes, fee_rate: int) -> int:
        return self._known[txid].size_vb * fee_rate - self._known[txid].fee_sat


def _reached(
    txids: Iterable[bytes], steps: dict[bytes, set[bytes]], within: set[bytes] | None = None
) -> set[bytes]:
    """What can be reached from these, themselves included."""
    found: set[bytes] = set()
    waiting = list(txids)
    while waiting:
        txid = waiting.pop()
        if txid not in found:
            found.add(txid)
            waiting += steps[txid] if within is None else steps[txid] & within
    return found
