"""What both sides gave out and handed over, as this side has read it from the shared file."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from btc_legacy.wallet.booking import Booking
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.keys import Keychain
from btc_legacy.wallet.payments import (
    SETTLED_DEPTH,
    Decided,
    Facts,
    OwnPayment,
    Payments,
    Standing,
    standings,
)
from btc_legacy.wallet.reservations import Reservations
from btc_legacy.wallet.store import Store
from btc_legacy.wallet.window import Window


class KnownPayments:
    """The own payments that are not settled. Moves the window with what was promised."""

    def __init__(self, reservations: Reservations, store: Store, window: Window) -> None:
        self._reservations = reservations
        self._store = store
        self._window = window
        self._payments: dict[bytes, OwnPayment] = {}
        # Those whose outputs were not looked for in the window yet.
        self._unseen: set[bytes] = set()
        self._reach: Mapping[Keychain, int] = {}
        # What the chain says of the coins that payments spend, and of their outputs.
        self._spent: dict[Outpoint, Decided | None] = {}
        self._paid: dict[bytes, int | None] = {}
        self._facts_of: int | None = None

    @property
    def payments(self) -> Payments:
        """The payments by txid. The same object at all times."""
        return self._payments

    def read(self) -> None:
        """Reads what was given out and handed over, by either side."""
        with self._reservations.reading() as booking:
            promised = booking.next_indices()
            self._take_over(booking)
        # Scripts may have to be derived, which takes longer than the file should be open.
        self._store.note_promised(promised)
        for keychain, following in promised.items():
            self._window.promise(keychain, following)
        self._note_used()

    def read_from(self, booking: Booking) -> None:
        """Takes over which payments there are now, within a step on the file."""
        self._take_over(booking)
        self._note_used()

    def _note_used(self) -> None:
        """What an own payment pays to is used, whatever becomes of it."""
        for txid in self._unseen & self._payments.keys():
            outputs = self._payments[txid].tx.vout
            self._window.find_change(outputs, self._reach)
            self._store.note_used(self._window.find(outputs).values())
        self._unseen = set()

    def _take_over(self, booking: Booking) -> None:
        rows = booking.payments(self._settled_below())
        new = rows.keys() - self._payments.keys()
        transactions = {txid: booking.transaction(txid) for txid in new}
        for txid in self._payments.keys() - rows.keys():
            del self._payments[txid]
        for txid, row in rows.items():
            tx = transactions[txid] if txid in new else self._payments[txid].tx
            self._payments[txid] = OwnPayment(row, tx)
        if new:
            self._facts_of = None
            self._reach = booking.change_reach()
            self._unseen |= new

    def _settled_below(self) -> int:
        """The height above which no payment is settled by what this side has seen.

        What is deep in the chain that the other side knows may be less deep, or not there, here.
        """
        tip = self._store.tip
        deep = -1 if tip is None else tip.height + 1 - SETTLED_DEPTH
        undone = self._store.undone
        return deep if undone is None else min(deep, undone)

    def owns(self, outpoint: Outpoint) -> bool:
        """Whether this is an output of one of the payments to the wallet."""
        payment = self._payments.get(outpoint.txid)
        return (
            payment is not None
            and outpoint.vout < len(payment.tx.vout)
            and self._window.place(payment.tx.vout[outpoint.vout].scriptPubKey) is not None
        )

    def standings(self, in_mempool: Collection[bytes]) -> dict[bytes, Standing]:
        """Where each payment stands, as of the last look at the chain."""
        if self._facts_of != self._store.version:
            self._spent = {
                outpoint: self._store.spent(outpoint)
                for payment in self._payments.values()
                for outpoint in payment.spends
            }
            self._paid = {txid: self._store.paid(txid) for txid in self._payments}
            self._facts_of = self._store.version
        facts = Facts(self._spent.__getitem__, self._paid.__getitem__, in_mempool)
        return standings(self._payments, facts)
