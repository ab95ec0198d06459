"""Follows the node's mempool, for the transactions that pay or spend the wallet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bitcoin.core import CTransaction

from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.keys import Place
from btc_legacy.wallet.node import BlockRef, Node
from btc_legacy.wallet.store import Store
from btc_legacy.wallet.window import Window

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
        return [Outpoint(txin.prevout.hash, txin.prevout.n) for txin in self.tx.vin]


class Mempool:
    """Knows the wallet's transactions in the mempool, and asks for each transaction once."""

    def __init__(
        self, node: Node, store: Store, window: Window, read_promises: Callable[[], None]
    ) -> None:
        """`read_promises` is called before transactions are looked into, as `Chain` does."""
        self._node = node
        self._store = store
        self._window = window
        self._read_promises = read_promises
        self._pending: dict[bytes, Pending] = {}
        # Of the others, only what could make them the wallet's: hashes of the scripts they pay and
        # of the transactions they spend.
        self._others: dict[bytes, tuple[int, ...]] = {}
        self._watched = len(window)

    @property
    def pending(self) -> Mapping[bytes, Pending]:
        """The wallet's unconfirmed transactions by txid."""
        return self._pending

    def follow(self, tip: BlockRef) -> bool:
        """Brings the view up to date; False if the node is not at this tip any more.

        The store must be at this tip: what is the wallet's and unspent there decides.
        """
        here = self._node.mempool()
        self._pending = {txid: it for txid, it in self._pending.items() if txid in here}
        self._others = {txid: marks for txid, marks in self._others.items() if txid in here}
        self._reconsider(set())
        while unknown := sorted(here - self._pending.keys() - self._others.keys()):
            for first in range(0, len(unknown), _BATCH):
                here -= self._look_into(unknown[first : first + _BATCH])
        if self._node.best_hash() == tip.hash:
            return True
        # Beside another chain than the store's, one of the wallet's may have looked like another.
        self._others = {}
        return False

    def _look_into(self, txids: list[bytes]) -> set[bytes]:
        """Fetches transactions and sorts them; returns those that have left the mempool."""
        fetched = {txid: self._node.transaction(txid) for txid in txids}
        self._read_promises()
        here = {txid: tx for txid, tx in fetched.items() if tx is not None}
        new = {txid for txid, tx in here.items() if self._take(txid, tx)}
        self._others |= {txid: _marks(tx) for txid, tx in here.items() if txid not in new}
        self._reconsider(new)
        return fetched.keys() - here.keys()

    def _take(self, txid: bytes, tx: CTransaction) -> bool:
        """Keeps a transaction if it is the wallet's."""
        pending = Pending(tx, self._window.find(tx.vout))
        if not pending.ours and not any(self._is_coin(spent) for spent in pending.spends):
            return False
        self._store.note_used(pending.ours.values())
        self._pending[txid] = pending
        return True

    def _is_coin(self, outpoint: Outpoint) -> bool:
        parent = self._pending.get(outpoint.txid)
        return outpoint in self._store.coins or (
            parent is not None and outpoint.vout in parent.ours
        )

    def _reconsider(self, new: set[bytes]) -> None:
        """Forgets the others that newly watched scripts or new transactions make the wallet's.

        They are then looked into again.
        """
        scripts = self._window.since(self._watched)
        self._watched = len(self._window)
        marks = {hash(script) for script in scripts} | {hash(txid) for txid in new}
        if not marks:
            return
        self._others = {txid: own for txid, own in self._others.items() if marks.isdisjoint(own)}
        if scripts:
            self._pending = {
                txid: Pending(it.tx, self._window.find(it.tx.vout))
                for txid, it in self._pending.items()
            }


def _marks(tx: CTransaction) -> tuple[int, ...]:
    return (
        *(hash(bytes(output.scriptPubKey)) for output in tx.vout),
        *(hash(txin.prevout.hash) for txin in tx.vin),
    )
