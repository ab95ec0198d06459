"""Faults in what the wallet counts as its own."""

from __future__ import annotations

from collections.abc import Mapping

from btc_legacy.mutants.copies import WithWallet, copied, variant
from btc_legacy.protocol import WalletState
from btc_legacy.wallet import Wallet, coins
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.chain import Chain
from btc_legacy.wallet.coins import OwnedCoin, State, owned
from btc_legacy.wallet.follower import Follower
from btc_legacy.wallet.mempool import Pending
from btc_legacy.wallet.store import Coin, Store
from btc_legacy.wallet.wallet import _free, _unknown
from btc_legacy.wallet.window import Window


def _owning(own: object) -> type[Wallet]:
    """A wallet with another rule for what it owns."""
    return variant(Wallet, Follower=variant(Follower, owned=own))


class BalanceOffByOne(WithWallet):
    """Counts one satoshi too many."""

    def get_balance(self) -> int:
        return super().get_balance() + 1

    def wallet_state(self) -> WalletState:
        state = super().wallet_state()
        state["balance"]["confirmed_sat"] += 1
        return state


class ConfirmedOnly(WithWallet):
    """Leaves the wallet's own unconfirmed change out of the balance."""

    def get_balance(self) -> int:
        return super().wallet_state()["balance"]["confirmed_sat"]

    def wallet_state(self) -> WalletState:
        state = super().wallet_state()
        state["balance"]["trusted_pending_sat"] = 0
        return state


_with_immature = copied(coins.spendable, SPENDABLE=(*coins.SPENDABLE, State.IMMATURE))


class ImmatureSpendable(WithWallet):
    """Counts and spends the outputs of a coinbase that nobody may spend yet."""

    wallet_class = variant(
        Wallet,
        spendable=_with_immature,
        _free=copied(_free, spendable=_with_immature),
        _unknown=copied(_unknown, spendable=_with_immature),
    )


class MatureAtOnce(WithWallet):
    """Waits for one confirmation of a coinbase only."""

    wallet_class = _owning(
        copied(owned, _confirmed_state=copied(coins._confirmed_state, COINBASE_MATURITY=1))
    )


class ForeignTrusted(WithWallet):
    """Trusts the unconfirmed payments of others."""

    wallet_class = _owning(copied(owned, _trusted=lambda _confirmed, pending: set(pending)))


def _with_spent(
    confirmed: Mapping[Outpoint, Coin], pending: Mapping[bytes, Pending], tip_height: int
) -> list[OwnedCoin]:
    unspent = owned(confirmed, pending, tip_height)
    return sorted(
        {coin.outpoint: coin for coin in owned(confirmed, {}, tip_height) + unspent}.values(),
        key=lambda coin: coin.outpoint,
    )


class SpentStillCounted(WithWallet):
    """Still counts a confirmed coin that a transaction of the mempool spends."""

    wallet_class = _owning(_with_spent)


class _KeepsCoins(Store):
    def _undo_above(self, height: int) -> None:
        self._database.execute(
            "UPDATE coins SET spent_height = NULL WHERE spent_height > ?", (height,)
        )
        self._database.execute("DELETE FROM blocks WHERE height > ?", (height,))


class LostCoinKept(WithWallet):
    """Keeps the coins of a block that a reorganisation took back."""

    wallet_class = variant(Wallet, Follower=variant(Follower, Store=_KeepsCoins))


class _KeepsSpends(Store):
    def _undo_above(self, height: int) -> None:
        self._database.execute("DELETE FROM coins WHERE height > ?", (height,))
        self._database.execute("DELETE FROM blocks WHERE height > ?", (height,))


class SpendNotTakenBack(WithWallet):
    """Leaves a coin spent when a reorganisation takes the spending block back."""

    wallet_class = variant(Wallet, Follower=variant(Follower, Store=_KeepsSpends))


class _ReadsOnce(Chain):
    @property
    def is_read(self) -> bool:
        return not self._store.is_first_scan or super().is_read


class NotReadAgain(WithWallet):
    """Does not look into earlier blocks when it comes to watch more addresses."""

    wallet_class = variant(Wallet, Follower=variant(Follower, Chain=_ReadsOnce))


class SmallWindow(WithWallet):
    """Looks just a gap limit beyond the last address that was used."""

    wallet_class = variant(
        Wallet,
        Follower=variant(
            Follower,
            Window=variant(Window, size_by_use=lambda gap_limit, used: used + 1 + gap_limit),
        ),
    )
