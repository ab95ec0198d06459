"""Faults in what becomes of payments once they are handed over."""

from __future__ import annotations

from btc_legacy.mutants.copies import WithWallet, variant
from btc_legacy.wallet import Wallet
from btc_legacy.wallet.booking import Booking
from btc_legacy.wallet.follower import Follower
from btc_legacy.wallet.handover import Handover
from btc_legacy.wallet.node import Node
from btc_legacy.wallet.payments import PaymentRow
from btc_legacy.wallet.reservations import Reservations


class _KnowsNone(Booking):
    def payments(self, _undone_to: int | None = None) -> dict[bytes, PaymentRow]:
        return {}


class ForgetsMissing(WithWallet):
    """Forgets a payment that the node has lost."""

    wallet_class = variant(Wallet, Reservations=variant(Reservations, Booking=_KnowsNone))


class FreesMissing(WithWallet):
    """Spends the coins of a payment that the node has lost for another one."""

    wallet_class = variant(Wallet, Follower=variant(Follower, holders=lambda *_: {}))


class BroadcastsOver(WithWallet):
    """Sends what takes the coins of another payment."""

    wallet_class = variant(
        Wallet,
        Handover=variant(Handover, refusal_of=lambda *_: None, trespass_of=lambda *_: None),
    )


class _AlwaysLoaded(Node):
    def is_mempool_loaded(self) -> bool:
        return True


class UnloadedIsEmpty(WithWallet):
    """Takes a mempool that the node has not read from disk yet for an empty one."""

    wallet_class = variant(Wallet, Node=_AlwaysLoaded)
