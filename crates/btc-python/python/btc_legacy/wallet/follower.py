"""`Follower`: chain, mempool and own payments, as one view of what the wallet owns."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bitcoin.core import CTransaction

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.booking import Booking
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.chain import Chain
from btc_legacy.wallet.coins import OwnedCoin, owned, trusted
from btc_legacy.wallet.folder import Description
from btc_legacy.wallet.keys import Keychain, Keyring, Place
from btc_legacy.wallet.known_payments import KnownPayments
from btc_legacy.wallet.mempool import Mempool
from btc_legacy.wallet.node import BlockRef, Node
from btc_legacy.wallet.packages import PendingTransaction
from btc_legacy.wallet.payments import Payments, Standing, holders, spends
from btc_legacy.wallet.reservations import Reservations
from btc_legacy.wallet.scripts import StoredScripts
from btc_legacy.wallet.store import Store
from btc_legacy.wallet.window import Window

_MAX_ATTEMPTS = 20


class View(NamedTuple):
    """What the wallet owns at a tip."""

    tip: BlockRef
    coins: list[OwnedCoin]
    """The unspent outputs, ascending by outpoint."""
    pending: list[PendingTransaction]
    """The transactions whose unconfirmed outputs may be spent, ascending by txid."""
    payments: Payments
    """The own payments that are not settled."""
    standings: dict[bytes, Standing]
    """Where each of them stands."""
    held: dict[Outpoint, bytes]
    """What nothing may be built on, each with the open payment that holds it."""


class Follower:
    """Keeps what the wallet knows in step with the node."""

    def __init__(
        self,
        folder: Path,
        description: Description,
        keyring: Keyring,
        reservations: Reservations,
        node: Node,
    ) -> None:
        """Opens what was learned so far; asks the node nothing yet."""
        self._store = Store(folder, description.identity)
        self._window = Window(StoredScripts(keyring, self._store), description.gap_limit)
        self._window.use(Place(keychain, index) for keychain, index in self._store.used.items())
        self._known = KnownPayments(reservations, self._store, self._window)
        # No method of this object's: the file is to be closed with the last use of the object.
        read_shared = self._known.read
        self._chain = Chain(node, self._store, self._window, description.birthday, read_shared)
        self._mempool = Mempool(node, self._store, self._window, read_shared, self._known.payments)

    def close(self) -> None:
        """Closes the file of what was learned."""
        self._store.close()

    @property
    def knows_used(self) -> bool:
        """Whether a first scan has come to its end, so that `first_unused` can be relied on."""
        return not self._store.is_first_scan

    @property
    def undone(self) -> int | None:
        """The lowest height that blocks were undone to since `note_undone_read`."""
        return self._store.undone

    def note_undone_read(self) -> None:
        """Says that what `undone` tells was attended to."""
        self._store.note_undone_read()

    def note_promised(self, keychain: Keychain, following: int) -> None:
        """Remembers that the indices of a chain below this one were given out."""
        self._store.note_promised({keychain: following})
        self._window.promise(keychain, following)

    def first_unused(self, keychain: Keychain) -> int:
        """One more than the highest index that was ever seen."""
        return self._store.used.get(keychain, -1) + 1

    def first_free(self, keychain: Keychain) -> int:
        """The same, or the first that was not given out as far as is remembered here.

        The shared file, which says that too, may have been lost.
        """
        return max(self.first_unused(keychain), self._store.promised.get(keychain, 0))

    def owns(self, outpoint: Outpoint) -> bool:
        """Whether this is an output to the wallet, spent or not.

        In the chain, in the mempool, or of an own payment.
        """
        if self._store.has_coin(outpoint):
            return True
        pending = self._mempool.pending.get(outpoint.txid)
        if pending is not None and outpoint.vout in pending.ours:
            return True
        return self._known.owns(outpoint)

    def unconfirmed(self, txid: bytes) -> CTransaction | None:
        """An own payment, or a transaction of the wallet that waits in the mempool."""
        payment = self._known.payments.get(txid)
        if payment is not None:
            return payment.tx
        pending = self._mempool.pending.get(txid)
        return None if pending is None else pending.tx

    def is_confirmed(self, tx: CTransaction) -> bool:
        """Whether the chain, at the last look, had this transaction of coins of the wallet."""
        txid = tx.GetTxid()
        spent = (self._store.spent(outpoint) for outpoint in spends(tx))
        return self._store.paid(txid) is not None or any(it and it.spender == txid for it in spent)

    def follow(self) -> View:
        """Follows chain and mempool until both were seen at the same tip."""
        attempts = 0
        while attempts < _MAX_ATTEMPTS:
            self.read_shared()
            undone = self._store.undone
            tip = self._chain.follow()
            if self._store.undone != undone:
                # Payments that were decided in those blocks are open again.
                continue
            if not self._mempool.follow(tip):
                attempts += 1
            elif self._chain.is_read:
                return self.view(tip)
        raise BitcoinError(
            ErrorKind.UNAVAILABLE, "the chain changes faster than it can be followed: try again"
        )

    def read_shared(self) -> None:
        """Reads what was given out and handed over, by either side."""
        self._known.read()

    def read_payments(self, booking: Booking) -> None:
        """Takes over which payments there are now."""
        self._known.read_from(booking)

    @property
    def payments(self) -> Payments:
        """The own payments that are not settled."""
        return self._known.payments

    def standings(self) -> dict[bytes, Standing]:
        """Where each own payment stands, as of the last look at chain and mempool."""
        return self._known.standings(self._mempool.pending)

    def _waiting(self) -> dict[bytes, CTransaction]:
        return {txid: pending.tx for txid, pending in self._mempool.pending.items()}

    def view(self, tip: BlockRef) -> View:
        """The view as of the last look at chain and mempool, which were at this tip."""
        standings = self.standings()
        return View(
            tip,
            owned(self._store.coins, self._mempool.pending, tip.height),
            trusted(self._store.coins, self._mempool.pending),
            dict(self.payments),
            standings,
            holders(self.payments, standings, self._waiting()),
        )
