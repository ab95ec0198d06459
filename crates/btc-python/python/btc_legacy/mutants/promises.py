"""Faults in what is promised once and must not be promised again."""

from __future__ import annotations

from collections.abc import Iterable

from btc_legacy.mutants.copies import WithWallet, variant
from btc_legacy.wallet import Wallet
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.follower import Follower
from btc_legacy.wallet.keys import Keychain, Place
from btc_legacy.wallet.reservations import Reservations


class _ForgetsIndices(Reservations):
    def take_index(self, keychain: Keychain, at_least: int) -> int:
        return max(at_least, self.next_indices().get(keychain, 0))


class SameAddressTwice(WithWallet):
    """Gives an address out again as long as nobody has paid it."""

    wallet_class = variant(Wallet, Reservations=_ForgetsIndices)


class _NeverUsed(Follower):
    def first_unused(self, keychain: Keychain) -> int:
        return 0


class UsedAddressAgain(WithWallet):
    """Gives out addresses that have been paid, as after a restore from the words."""

    wallet_class = variant(Wallet, Follower=_NeverUsed)


class _ForgetsCoins(Reservations):
    def take(self, coins: Iterable[Outpoint], change: Place | None, txid: str) -> bool:
        return super().take([], change, txid)


class NotReserved(WithWallet):
    """Does not reserve the coins it chose, so that the next payment takes them again."""

    wallet_class = variant(Wallet, Reservations=_ForgetsCoins)


class _ForgetsChange(Reservations):
    def take(self, coins: Iterable[Outpoint], change: Place | None, txid: str) -> bool:
        return super().take(coins, None, txid)


class SameChangeTwice(WithWallet):
    """Pays the change of the next payment to the same address."""

    wallet_class = variant(Wallet, Reservations=_ForgetsChange)
