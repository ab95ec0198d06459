"""Follows the node's mempool, for the transactions that pay or spend the wallet."""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bitcoin.core import CTransaction
from bitcoin.core.serialize import SerializationError

from btc_legacy import pieces
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.keys import Place
from btc_legacy.wallet.node import BlockRef, Node
from btc_legacy.wallet.payments import spends
from btc_legacy.wallet.store import MARK_BYTES, Store
from btc_legacy.wallet.store_file import FILE
from btc_legacy.wallet.window import Window

_Marks = tuple[int, ...]

# How many transactions are fetched between two looks at what was promised meanwhile.
_BATCH = 100


@dataclass(frozen=True)
class Pending:
    """An unconfirmed transaction that pays or spends the wallet."""

    tx: CTransaction
    ours: dict[int, Place]
    """Its outputs that are the wallet's, by their number."""

    @property
    def spends(self) -> list[Outpoint]:
        """The outputs it spends, the wallet's and others."""
        return spends(self.tx)


class Mempool:
    """Knows the wallet's transactions in the mempool, and asks for each transaction once.

    What was looked into is on disk after each batch: a process that ends goes on there.
    """

    def __init__(
        self,
        node: Node,
        store: Store,
        window: Window,
        read_promises: Callable[[], object],
        own: Collection[bytes],
    ) -> None:
        """`read_promises` is called before transactions are looked into, as `Chain` does.

        `own` are the txids of own payments, whatever they spend.
        """
        self._node = node
        self._store = store
        self._window = window
        self._read_promises = read_promises
        self._own = own
        # None until it is read from the store: that needs the scripts.
        self._known: dict[bytes, Pending] | None = None
        # Of the others, only what could make them the wallet's: hashes of the scripts they pay and
        # of the transactions they spend.
        self._others: dict[bytes, _Marks] = {}
        # What they were looked into for: how many scripts, and which coins as of which version of
        # the store.
        self._watched = 0
        self._coins: set[Outpoint] = set()
        self._version: int | None = None

    @property
    def pending(self) -> Mapping[bytes, Pending]:
        """The wallet's unconfirmed transactions by txid."""
        return self._pending

    def follow(self, tip: BlockRef) -> bool:
        """Brings the view up to date; False if the node is not at this tip any more.

        The store must be at this tip: what is the wallet's and unspent there decides.
        """
        here = self._node.mempool()
        # Read from the store, if this is the first time; and the others with it.
        _ = self._pending
        left = {txid for txid in self._others if txid not in here or txid in self._own}
        self._store.drop_others(left)
        self._others = {txid: own for txid, own in self._others.items() if txid not in left}
        self._reconsider(set())
        begun = time.monotonic()
        while unknown := sorted(here - self._pending.keys() - self._others.keys()):
            for first in range(0, len(unknown), _BATCH):
                here -= self._look_into(unknown[first : first + _BATCH])
                if first + _BATCH < len(unknown):
                    pieces.pause(begun)
        self._drop(self._gone(here))
        return self._node.best_hash() == tip.hash

    @property
    def _pending(self) -> dict[bytes, Pending]:
        if self._known is None:
            waiting = {txid: _decoded(raw) for txid, raw in self._store.pending().items()}
            known = {txid: Pending(tx, self._window.find(tx.vout)) for txid, tx in waiting.items()}
            self._watched = len(self._window)
            self._known = known
            self._others = self._stored_others(known)
        return self._known

    def _stored_others(self, pending: Collection[bytes]) -> dict[bytes, _Marks]:
        """The others that were looked into before, but for those that may be the wallet's by now.

        Scripts may be watched, and coins owned, that were not when the mempool was last read.
        """
        known = {*pending, *(outpoint.txid for outpoint in self._store.coins)}
        ours = {_mark(thing) for thing in (*self._window.since(0), *known)}
        stored = self._store.others()
        return {
            txid: marks
            for txid, marks in stored.items()
            if txid not in known and ours.isdisjoint(marks)
        }

    def _gone(self, here: set[bytes]) -> set[bytes]:
        """Which of the wallet's transactions do not count any more.

        An unloaded mempool is unknown, not empty: what is not in it still counts, unless the chain
        or a transaction that is in it says otherwise.
        """
        absent = self._pending.keys() - here
        if not absent:
            return set()
        spent_here = {
            outpoint
            for txid, pending in self._pending.items()
            if txid in here
            for outpoint in pending.spends
        }
        confirmed = {txid for txid in absent if self._is_confirmed(txid)}
        lost = {txid for txid in absent - confirmed if self._is_lost(txid, spent_here)}
        gone = confirmed | self._with_descendants(lost) & absent
        if absent <= gone or not self._node.is_mempool_loaded():
            return gone
        # The first listing may be from before it was loaded.
        return absent - self._node.mempool() | gone

    def _is_confirmed(self, txid: bytes) -> bool:
        pending = self._pending[txid]
        decided = [self._store.spent(outpoint) for outpoint in pending.spends]
        return any(it.spender == txid for it in decided if it) or any(
            self._store.has_coin(Outpoint(txid, vout)) for vout in pending.ours
        )

    def _is_lost(self, txid: bytes, spent_here: set[Outpoint]) -> bool:
        """Whether another transaction, in the chain or in the mempool, spends one of its inputs."""
        return any(
            outpoint in spent_here or self._store.spent(outpoint)
            for outpoint in self._pending[txid].spends
        )

    def _with_descendants(self, txids: set[bytes]) -> set[bytes]:
        while more := {
            txid
            for txid, pending in self._pending.items()
            if txid not in txids and any(outpoint.txid in txids for outpoint in pending.spends)
        }:
            txids = txids | more
        return txids

    def _drop(self, txids: set[bytes]) -> None:
        if txids:
            self._store.drop_pending(txids)
            self._known = {txid: it for txid, it in self._pending.items() if txid not in txids}

    def _look_into(self, txids: list[bytes]) -> set[bytes]:
        """Fetches transactions and sorts them; returns those that have left the mempool."""
        fetched = {txid: self._node.transaction(txid) for txid in txids}
        self._read_promises()
        here = {txid: tx for txid, tx in fetched.items() if tx is not None}
        new = {txid for txid, tx in here.items() if self._take(txid, tx)}
        others = {txid: _marks(tx) for txid, tx in here.items() if txid not in new}
        self._store.add_others(others)
        self._others |= others
        self._reconsider(new)
        return fetched.keys() - here.keys()

    def _take(self, txid: bytes, tx: CTransaction) -> bool:
        """Keeps a transaction if it is the wallet's."""
        pending = Pending(tx, self._window.find(tx.vout))
        is_ours = pending.ours or txid in self._own
        if not is_ours and not any(self._is_coin(spent) for spent in pending.spends):
            return False
        self._store.add_pending(txid, tx.serialize(), pending.ours.values())
        self._pending[txid] = pending
        return True

    def _is_coin(self, outpoint: Outpoint) -> bool:
        parent = self._pending.get(outpoint.txid)
        return outpoint in self._store.coins or (
            parent is not None and outpoint.vout in parent.ours
        )

    def _reconsider(self, new: set[bytes]) -> None:
        """Forgets the others that what was found since they were looked into makes the wallet's.

        They are then looked into again. Found are newly watched scripts, coins in blocks, and
        outputs of new transactions or, with the new scripts, of known ones.
        """
        scripts = self._window.since(self._watched)
        self._watched = len(self._window)
        paying = new | self._coins_since()
        if scripts:
            paying |= self._find_again()
        marks = {_mark(thing) for thing in (*scripts, *paying)}
        if marks:
            others = self._others.items()
            self._others = {txid: own for txid, own in others if marks.isdisjoint(own)}

    def _coins_since(self) -> set[bytes]:
        """The transactions of the coins that came into the store since this was asked last."""
        if self._version == self._store.version:
            return set()
        self._version = self._store.version
        before, self._coins = self._coins, set(self._store.coins)
        return {coin.txid for coin in self._coins - before}

    def _find_again(self) -> set[bytes]:
        """Looks at the known transactions with all scripts; returns those with more outputs."""
        before = self._pending
        found = {txid: Pending(it.tx, self._window.find(it.tx.vout)) for txid, it in before.items()}
        self._known = found
        more = {txid for txid, it in found.items() if it.ours.keys() != before[txid].ours.keys()}
        self._store.note_used(place for txid in more for place in found[txid].ours.values())
        return more


def _decoded(raw: bytes) -> CTransaction:
    try:
        return CTransaction.deserialize(raw)
    except (SerializationError, struct.error, TypeError, ValueError) as error:
        raise FILE.damaged(f"a transaction that cannot be decoded ({error})") from error


def _marks(tx: CTransaction) -> _Marks:
    return (
        *(_mark(bytes(output.scriptPubKey)) for output in tx.vout),
        *(_mark(txin.prevout.hash) for txin in tx.vin),
    )


def _mark(thing: bytes) -> int:
    """A number for a script or a txid, the same in every process."""
    return int.from_bytes(hashlib.sha256(thing).digest()[:MARK_BYTES], "big")
