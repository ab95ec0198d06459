"""Faults in how payments are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from btc_legacy.backend import LegacyBackend
from btc_legacy.config import Config
from btc_legacy.mutants.copies import WithWallet, copied, variant
from btc_legacy.protocol import PlannedTransaction, Transaction, WalletSnapshot
from btc_legacy.rpc import RpcClient
from btc_legacy.wallet import Wallet, build
from btc_legacy.wallet.build import Change, Draft, Payment, Spendable, draft
from btc_legacy.wallet.coins import OwnedCoin, State
from btc_legacy.wallet.coins import spendable as spendable_coins
from btc_legacy.wallet.follower import Follower, View
from btc_legacy.wallet.keys import Keychain, Place
from btc_legacy.wallet.node import BlockRef
from btc_legacy.wallet.packages import Packages, PendingTransaction
from btc_legacy.wallet.wallet import _free


def _paying(fee_sat: Callable[[int, int], int]) -> type[Wallet]:
    """A wallet with another fee for a weight and a rate."""
    choose = copied(build._choose, fee_sat=fee_sat)
    return variant(Wallet, draft=copied(draft, fee_sat=fee_sat, _choose=choose))


def _choosing(order: Callable[[Spendable], Any]) -> type[Wallet]:
    """A wallet that takes coins in another order, confirmed ones still first."""

    def in_order(coin: Spendable, packages: Packages) -> tuple[bool, Any]:
        return coin.outpoint.txid in packages, order(coin)

    return variant(
        Wallet, draft=copied(draft, _choose=copied(build._choose, _place_in_order=in_order))
    )


def _redrafting(alter: Callable[[Draft], Draft]) -> type[Wallet]:
    """A wallet that alters what it has decided."""

    def altered(
        payments: Sequence[Payment],
        fee_rate: int,
        coins: Iterable[Spendable],
        change: Change,
        tip_height: int,
        pending: Iterable[PendingTransaction],
    ) -> Draft:
        return alter(draft(payments, fee_rate, coins, change, tip_height, pending))

    return variant(Wallet, draft=altered)


class FeeRoundedDown(WithWallet):
    """Pays for whole virtual bytes, rounded down."""

    wallet_class = _paying(lambda weight_wu, fee_rate: weight_wu // 4 * fee_rate)


class FeeOfFloat(WithWallet):
    """Pays for a fraction of a virtual byte, computed with floats."""

    wallet_class = _paying(lambda weight_wu, fee_rate: int(weight_wu / 4 * fee_rate))


class RateOneMore(WithWallet):
    """Pays one satoshi per virtual byte more than asked for."""

    wallet_class = _paying(lambda weight_wu, fee_rate: build.fee_sat(weight_wu, fee_rate + 1))


class SizeForFee(WithWallet):
    """Pays for the witness as for the rest."""

    wallet_class = _paying(lambda weight_wu, fee_rate: weight_wu * fee_rate)


class SmallestFirst(WithWallet):
    """Spends the smallest coins first."""

    wallet_class = _choosing(lambda coin: (coin.value_sat, coin.outpoint))


class TiesAsPeopleRead(WithWallet):
    """Orders coins of the same value by the txid as people read it."""

    wallet_class = _choosing(
        lambda coin: (-coin.value_sat, coin.outpoint.txid[::-1], coin.outpoint.vout)
    )


class LargestWhicheverState(WithWallet):
    """Spends the largest coins first, confirmed or not."""

    wallet_class = variant(
        Wallet,
        draft=copied(
            draft,
            _choose=copied(
                build._choose, _place_in_order=lambda coin, _: (-coin.value_sat, coin.outpoint)
            ),
        ),
    )


class EndlessChains(WithWallet):
    """Builds on more unconfirmed transactions than nodes take."""

    wallet_class = variant(
        Wallet,
        draft=copied(
            draft,
            Packages=variant(Packages, MAX_ANCESTORS=10**9, MAX_CONNECTED=10**9),
        ),
    )


class MixesVersions(WithWallet):
    """Spends unconfirmed coins of version 3 in a transaction of version 2."""

    wallet_class = variant(Wallet, draft=copied(draft, Packages=variant(Packages, TRUC_VERSION=0)))


def _owing(deficit_sat: Callable[[Packages, Iterable[bytes], int], int]) -> type[Wallet]:
    """A wallet with another rule for what unconfirmed transactions lack."""
    return variant(
        Wallet, draft=copied(draft, _choose=copied(build._choose, _deficit_sat=deficit_sat))
    )


def _all_together(packages: Packages, txids: Iterable[bytes], fee_rate: int) -> int:
    return max(0, sum(packages._lack(txid, fee_rate) for txid in packages.ancestors(txids)))


class DeficitIgnored(WithWallet):
    """Pays for itself only, whatever it descends from."""

    wallet_class = _owing(lambda *_: 0)


class SurplusInherited(WithWallet):
    """Lets what an ancestor pays too much make up for what its descendants lack."""

    wallet_class = _owing(_all_together)


def _any_rate(
    outputs: Sequence[tuple[str, int]], fee_rate: int, network: str, _max_fee_rate: int
) -> tuple[Payment, ...]:
    return build.check_payments(outputs, fee_rate, network, fee_rate)


class NoCeiling(WithWallet):
    """Pays any fee rate, such as one in another unit."""

    wallet_class = variant(Wallet, check_payments=_any_rate)


class DustMade(WithWallet):
    """Makes change that no node relays."""

    wallet_class = variant(Wallet, draft=copied(draft, dust_limit_sat=lambda _script: 1))


class DustPaid(WithWallet):
    """Pays amounts that no node relays."""

    wallet_class = variant(
        Wallet,
        check_payments=copied(
            build.check_payments,
            _check_payment=copied(build._check_payment, dust_limit_sat=lambda _script: 0),
        ),
    )


def _shortened(drafted: Draft) -> Draft:
    if drafted.change is None:
        return drafted
    *payments, change = drafted.outputs
    short = change._replace(value_sat=change.value_sat - 1)
    return replace(drafted, outputs=(*payments, short), fee_sat=drafted.fee_sat + 1)


class ChangeShort(WithWallet):
    """Gives one satoshi too little back."""

    wallet_class = _redrafting(_shortened)


class SortedOutputs(WithWallet):
    """Sorts the outputs by amount and script (BIP69)."""

    wallet_class = _redrafting(
        lambda drafted: replace(
            drafted,
            outputs=tuple(sorted(drafted.outputs, key=lambda it: (it.value_sat, it.script))),
        )
    )


class ChangeFirst(WithWallet):
    """Puts the change before the payments."""

    wallet_class = _redrafting(
        lambda drafted: replace(drafted, outputs=(drafted.outputs[-1], *drafted.outputs[:-1]))
    )


class InputsReversed(WithWallet):
    """Spends the chosen coins in reverse order."""

    wallet_class = _redrafting(lambda drafted: replace(drafted, coins=drafted.coins[::-1]))


class LockTimeBehind(WithWallet):
    """Locks to the block before the tip."""

    wallet_class = _redrafting(lambda drafted: replace(drafted, lock_time=drafted.lock_time - 1))


class FeeOneMore(WithWallet):
    """Says that the fee is one satoshi more than it is."""

    wallet_class = _redrafting(lambda drafted: replace(drafted, fee_sat=drafted.fee_sat + 1))


class _NextChange(Wallet):
    def _change(self, place: Place) -> Change:
        return Change(place, self._keyring.script(Place(place.keychain, place.index + 1)))


class ChangeIndexOffByOne(WithWallet):
    """Pays change to the index after the one it promises."""

    wallet_class = _NextChange


class _ChangeReceived(Wallet):
    def _change(self, place: Place) -> Change:
        receive = Keychain(place.keychain.address_type, "receive")
        return Change(place, self._keyring.script(Place(receive, place.index)))


class ChangeOnReceive(WithWallet):
    """Pays change to a receiving address."""

    wallet_class = _ChangeReceived


def _confirmed(coins: list[OwnedCoin]) -> list[Spendable]:
    return spendable_coins(coin for coin in coins if coin.state is State.CONFIRMED)


class _OldCoins(Wallet):
    create_transaction = copied(
        Wallet.create_transaction, _free=copied(_free, spendable=_confirmed)
    )
    snapshot = copied(Wallet.snapshot, _free=copied(_free, spendable=_confirmed))


class ChangeNotSpent(WithWallet):
    """Does not spend its own change before it is confirmed."""

    wallet_class = _OldCoins


def _without_taproot(coins: list[OwnedCoin]) -> list[Spendable]:
    return [coin for coin in spendable_coins(coins) if coin.place.keychain.address_type != "p2tr"]


class _Withholds(Wallet):
    create_transaction = copied(
        Wallet.create_transaction, _free=copied(_free, spendable=_without_taproot)
    )
    snapshot = copied(Wallet.snapshot, _free=copied(_free, spendable=_without_taproot))


class CoinWithheld(WithWallet):
    """Does not spend coins of taproot, though it counts them."""

    wallet_class = _Withholds


class _OtherChange(Wallet):
    def __init__(self, folder: Path, config: Config, rpc: RpcClient) -> None:
        super().__init__(folder, config, rpc)
        self._change_chain = Keychain("p2pkh", "change")


class ChangeOfOtherType(WithWallet):
    """Pays change to another type of address than the wallet says."""

    wallet_class = _OtherChange


class _Behind(Follower):
    def follow(self) -> View:
        view = super().follow()
        before = self._store.block_hash(view.tip.height - 1)
        return view._replace(tip=BlockRef(view.tip.height - 1, before or view.tip.hash))


class BuiltBehind(WithWallet):
    """Builds on the block before the tip."""

    wallet_class = variant(Wallet, Follower=_Behind)


class PlansBehind(LegacyBackend):
    """Says that it planned on the block before the tip."""

    def plan_transaction(
        self, outputs: list[tuple[str, int]], fee_rate: int, snapshot: WalletSnapshot
    ) -> PlannedTransaction:
        planned = super().plan_transaction(outputs, fee_rate, snapshot)
        height = planned["tip"]["height"] - 1
        planned["tip"] = {"height": height, "hash": self._rpc.read("getblockhash", height)}
        return planned


class SnapshotBehind(LegacyBackend):
    """Says that it built on the block before the tip."""

    def create_transaction_with_snapshot(
        self, outputs: list[tuple[str, int]], fee_rate: int
    ) -> tuple[Transaction, WalletSnapshot]:
        transaction, snapshot = super().create_transaction_with_snapshot(outputs, fee_rate)
        height = snapshot["tip"]["height"] - 1
        snapshot["tip"] = {"height": height, "hash": self._rpc.read("getblockhash", height)}
        return transaction, snapshot
