"""What the wallet owns: its unspent outputs, where each of them stands, and their sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from btc_legacy.protocol import WalletBalance
from btc_legacy.wallet.build import Outpoint, Spendable
from btc_legacy.wallet.keys import Place
from btc_legacy.wallet.mempool import Pending
from btc_legacy.wallet.store import Coin

COINBASE_MATURITY = 100


class State(Enum):
    """Which bucket of the balance a coin is in."""

    CONFIRMED = "confirmed"
    TRUSTED_PENDING = "trusted_pending"
    UNTRUSTED_PENDING = "untrusted_pending"
    IMMATURE = "immature"


SPENDABLE = (State.CONFIRMED, State.TRUSTED_PENDING)


@dataclass(frozen=True)
class OwnedCoin:
    """An unspent output of the wallet."""

    outpoint: Outpoint
    value_sat: int
    place: Place
    state: State


def owned(
    confirmed: Mapping[Outpoint, Coin], pending: Mapping[bytes, Pending], tip_height: int
) -> list[OwnedCoin]:
    """The unspent outputs, ascending by outpoint, from the chain's and the mempool's."""
    spent = {outpoint for transaction in pending.values() for outpoint in transaction.spends}
    trusted = _trusted(confirmed, pending)
    coins = [
        OwnedCoin(outpoint, coin.value_sat, coin.place, _confirmed_state(coin, tip_height))
        for outpoint, coin in confirmed.items()
    ]
    for txid, transaction in pending.items():
        state = State.TRUSTED_PENDING if txid in trusted else State.UNTRUSTED_PENDING
        for vout, place in transaction.ours.items():
            value_sat = transaction.tx.vout[vout].nValue
            coins.append(OwnedCoin(Outpoint(txid, vout), value_sat, place, state))
    unspent = [coin for coin in coins if coin.outpoint not in spent]
    return sorted(unspent, key=lambda coin: coin.outpoint)


def balance(coins: Iterable[OwnedCoin]) -> WalletBalance:
    """The sums by bucket, in satoshi."""
    sums = dict.fromkeys(State, 0)
    for coin in coins:
        sums[coin.state] += coin.value_sat
    return {
        "confirmed_sat": sums[State.CONFIRMED],
        "trusted_pending_sat": sums[State.TRUSTED_PENDING],
        "untrusted_pending_sat": sums[State.UNTRUSTED_PENDING],
        "immature_sat": sums[State.IMMATURE],
    }


def spendable(coins: Iterable[OwnedCoin]) -> list[Spendable]:
    """The coins that may be spent, if they are not reserved."""
    return [
        Spendable(coin.outpoint, coin.value_sat, coin.place)
        for coin in coins
        if coin.state in SPENDABLE
    ]


def _confirmed_state(coin: Coin, tip_height: int) -> State:
    confirmations = tip_height - coin.height + 1
    if coin.is_coinbase and confirmations < COINBASE_MATURITY:
        return State.IMMATURE
    return State.CONFIRMED


def _trusted(confirmed: Mapping[Outpoint, Coin], pending: Mapping[bytes, Pending]) -> set[bytes]:
    """The transactions all of whose inputs are the wallet's, confirmed or trusted themselves."""
    trusted: set[bytes] = set()

    def is_safe(outpoint: Outpoint) -> bool:
        return outpoint in confirmed or (
            outpoint.txid in trusted and outpoint.vout in pending[outpoint.txid].ours
        )

    while True:
        more = {
            txid
            for txid, transaction in pending.items()
            if txid not in trusted and all(is_safe(spent) for spent in transaction.spends)
        }
        if not more:
            return trusted
        trusted |= more
