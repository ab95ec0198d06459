"""What the wallet owns: its unspent outputs, where each of them stands, and their sums."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from bitcoin.core import CTransaction

from btc_legacy.decode import WITNESS_SCALE_FACTOR
from btc_legacy.protocol import WalletBalance
from btc_legacy.wallet.build import Outpoint, Spendable
from btc_legacy.wallet.keys import Place
from btc_legacy.wallet.mempool import Pending
from btc_legacy.wallet.packages import PendingTransaction
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


def balance(coins: Iterable[OwnedCoin], held: Collection[Outpoint] = ()) -> WalletBalance:
    """The sums by bucket, in satoshi, and what of them open payments hold."""
    sums = dict.fromkeys(State, 0)
    held_sat = 0
    for coin in coins:
        sums[coin.state] += coin.value_sat
        held_sat += coin.value_sat if coin.outpoint in held else 0
    return {
        "confirmed_sat": sums[State.CONFIRMED],
        "trusted_pending_sat": sums[State.TRUSTED_PENDING],
        "untrusted_pending_sat": sums[State.UNTRUSTED_PENDING],
        "immature_sat": sums[State.IMMATURE],
        "held_by_missing_sat": held_sat,
    }


def spendable(coins: Iterable[OwnedCoin]) -> list[Spendable]:
    """The coins that may be spent, if they are not reserved."""
    return [
        Spendable(coin.outpoint, coin.value_sat, coin.place)
        for coin in coins
        if coin.state in SPENDABLE
    ]


def trusted(
    confirmed: Mapping[Outpoint, Coin], pending: Mapping[bytes, Pending]
) -> list[PendingTransaction]:
    """The transactions whose unconfirmed outputs may be spent, ascending by txid."""
    chosen = _trusted(confirmed, pending)

    def value_sat(outpoint: Outpoint) -> int:
        if outpoint in confirmed:
            return confirmed[outpoint].value_sat
        value: int = pending[outpoint.txid].tx.vout[outpoint.vout].nValue
        return value

    return [
        PendingTransaction(
            txid,
            pending[txid].tx.nVersion,
            _size_vb(pending[txid].tx),
            sum(value_sat(outpoint) for outpoint in pending[txid].spends)
            - sum(output.nValue for output in pending[txid].tx.vout),
            tuple(sorted({outpoint.txid for outpoint in pending[txid].spends} & chosen)),
        )
        for txid in sorted(chosen)
    ]


def _size_vb(tx: CTransaction) -> int:
    """The weight / 4, rounded up."""
    whole = len(tx.serialize())
    stripped = len(tx.serialize(params={"include_witness": False})) if tx.has_witness() else whole
    weight_wu = stripped * (WITNESS_SCALE_FACTOR - 1) + whole
    return -(-weight_wu // WITNESS_SCALE_FACTOR)


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
