"""From payments and coins to a transaction that is not signed yet, as `docs/wallet.md` says.

The Rust wallet does the same in its deterministic mode: a change here is a change there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bitcoin.core import COIN

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.addresses import dust_limit_sat, script_of
from btc_legacy.wallet.keys import Place
from btc_legacy.wallet.packages import Packages, PendingTransaction

MAX_MONEY_SAT = 21_000_000 * COIN

# In sat/vB: what is above is more likely a rate in another unit.
MAX_FEE_RATE = 1000

# The heaviest transaction that nodes relay.
MAX_STANDARD_WEIGHT = 400_000

# Inputs in WU, with the largest signature of a low R: 71 bytes.
INPUT_WEIGHTS = {"p2pkh": 588, "p2sh-p2wpkh": 363, "p2wpkh": 271, "p2tr": 230}

# From here on a lock time is a time and no height.
_LOCK_TIME_OF_TIMES = 500_000_000

_WITNESS_SCALE_FACTOR = 4
_VERSION_AND_LOCK_TIME_BYTES = 8
_AMOUNT_BYTES = 8
_MARKER_AND_FLAG_WEIGHT = 2
_EMPTY_WITNESS_WEIGHT = 1


class Outpoint(NamedTuple):
    """An output: its transaction in the order of the bytes, as serialised, and its number."""

    txid: bytes
    vout: int

    def __str__(self) -> str:
        return f"{self.txid[::-1].hex()}:{self.vout}"

    @classmethod
    def parse(cls, text: str) -> Outpoint:
        """Reads `<txid>:<vout>`."""
        txid, _, vout = text.partition(":")
        return cls(bytes.fromhex(txid)[::-1], int(vout))


class Spendable(NamedTuple):
    """A coin that may be spent."""

    outpoint: Outpoint
    value_sat: int
    place: Place


class Payment(NamedTuple):
    """An output to be made."""

    script: bytes
    value_sat: int


class Change(NamedTuple):
    """Where change goes, if there is any."""

    place: Place
    script: bytes


@dataclass(frozen=True)
class Draft:
    """A transaction without signatures."""

    coins: tuple[Spendable, ...]
    outputs: tuple[Payment, ...]
    """Those asked for, and the change last."""
    change: Change | None
    fee_sat: int
    lock_time: int


def check_payments(
    outputs: Sequence[tuple[str, int]],
    fee_rate: int,
    network: str,
    max_fee_rate: int = MAX_FEE_RATE,
) -> tuple[Payment, ...]:
    """Addresses to scripts, in the order of checks that both implementations follow."""
    if not outputs:
        raise _invalid("no outputs: name at least one address and amount")
    if fee_rate < 1:
        raise _invalid("the fee rate is 0: give at least 1 sat/vB")
    if fee_rate > max_fee_rate:
        raise _invalid(
            f"a fee rate of {fee_rate} sat/vB is above {max_fee_rate} sat/vB: check its unit, or "
            "raise MAX_FEE_RATE"
        )
    payments = tuple(
        _check_payment(number, address, value_sat, network)
        for number, (address, value_sat) in enumerate(outputs)
    )
    total_sat = sum(payment.value_sat for payment in payments)
    if total_sat > MAX_MONEY_SAT:
        raise _invalid(f"the outputs sum up to {total_sat} sat, more than there will ever be")
    return payments


def draft(
    payments: Sequence[Payment],
    fee_rate: int,
    coins: Iterable[Spendable],
    change: Change,
    tip_height: int,
    pending: Iterable[PendingTransaction] = (),
) -> Draft:
    """Chooses coins, confirmed ones first and of those the largest, and decides about change.

    A coin is confirmed unless its transaction is one of the pending ones.
    """
    if tip_height >= _LOCK_TIME_OF_TIMES:
        raise _invalid(f"a tip at height {tip_height}: heights are below {_LOCK_TIME_OF_TIMES}")
    chosen, deficit_sat = _choose(coins, payments, fee_rate, change, Packages(pending))
    inputs_sat = sum(coin.value_sat for coin in chosen)
    types = Counter(coin.place.keychain.address_type for coin in chosen)
    paid_sat = sum(payment.value_sat for payment in payments) + deficit_sat
    with_change = [*payments, Payment(change.script, 0)]
    change_sat = inputs_sat - paid_sat - fee_sat(weight(types, with_change), fee_rate)
    has_change = change_sat >= dust_limit_sat(change.script)
    outputs = (*payments, Payment(change.script, change_sat)) if has_change else tuple(payments)
    _check_choice(chosen, inputs_sat, weight(types, outputs))
    return Draft(
        coins=tuple(chosen),
        outputs=outputs,
        change=change if has_change else None,
        fee_sat=inputs_sat - sum(output.value_sat for output in outputs),
        lock_time=tip_height,
    )


def weight(input_counts: Mapping[str, int], outputs: Sequence[Payment]) -> int:
    """The weight in WU of a whole transaction once it is signed, at most.

    `input_counts` says how many inputs there are of each address type.
    """
    count = sum(input_counts.values())
    without_witness = input_counts.get("p2pkh", 0)
    weight_wu = _WITNESS_SCALE_FACTOR * (
        _VERSION_AND_LOCK_TIME_BYTES
        + _compact_size_bytes(count)
        + _compact_size_bytes(len(outputs))
        + sum(_output_bytes(output.script) for output in outputs)
    )
    weight_wu += sum(INPUT_WEIGHTS[name] * count for name, count in input_counts.items())
    if count > without_witness:
        weight_wu += _MARKER_AND_FLAG_WEIGHT + _EMPTY_WITNESS_WEIGHT * without_witness
    return weight_wu


def fee_sat(weight_wu: int, fee_rate: int) -> int:
    """The fee for this weight at so many sat/vB; every begun vB is paid, as nodes count."""
    return _whole_vb(weight_wu) * fee_rate


def _check_payment(number: int, address: str, value_sat: int, network: str) -> Payment:
    script = script_of(address, network)
    if script is None:
        raise _invalid(f"outputs[{number}]: {address!r:.100} is not an address of {network}")
    least_sat = dust_limit_sat(script)
    if value_sat < least_sat:
        raise _invalid(
            f"outputs[{number}]: {value_sat} sat is dust, which nodes do not relay: pay at least "
            f"{least_sat} sat"
        )
    return Payment(script, value_sat)


def _choose(
    coins: Iterable[Spendable],
    payments: Sequence[Payment],
    fee_rate: int,
    change: Change,
    packages: Packages,
) -> tuple[list[Spendable], int]:
    """Takes coins in order until they cover the payments and the fees; the deficit comes with them.

    The fees are that of the transaction without change, and what the pending transactions lack that
    the coins come from.
    """
    paid_sat = sum(payment.value_sat for payment in payments)
    with_change = [*payments, Payment(change.script, 0)]
    chosen: list[Spendable] = []
    types: Counter[str] = Counter()
    parents: set[bytes] = set()
    deficit_sat = inputs_sat = 0
    own_fee_sat = fee_sat(weight(types, payments), fee_rate)
    for coin in sorted(coins, key=lambda coin: _place_in_order(coin, packages)):
        kind = coin.place.keychain.address_type
        types[kind] += 1
        more_fee_sat = fee_sat(weight(types, payments), fee_rate)
        more_deficit_sat = deficit_sat
        if coin.outpoint.txid in packages:
            more_parents = parents | {coin.outpoint.txid}
            is_permitted = packages.is_permitted(
                more_parents, _whole_vb(weight(types, with_change))
            )
            if is_permitted:
                more_deficit_sat = _deficit_sat(packages, more_parents, fee_rate)
            # The deficit may fall: a transaction may pay for its ancestors.
            added_sat = _input_fee_sat(kind, fee_rate) + more_deficit_sat - deficit_sat
            if not is_permitted or coin.value_sat <= added_sat:
                types[kind] -= 1
                continue
            parents = more_parents
        chosen.append(coin)
        inputs_sat += coin.value_sat
        own_fee_sat, deficit_sat = more_fee_sat, more_deficit_sat
        if inputs_sat >= paid_sat + own_fee_sat + deficit_sat:
            return chosen, deficit_sat
    missing_sat = paid_sat + own_fee_sat + deficit_sat - inputs_sat
    raise BitcoinError(
        ErrorKind.REJECTED,
        f"not enough coins: {missing_sat} sat are missing, fee included",
        missing_sat=missing_sat,
    )


def _place_in_order(coin: Spendable, packages: Packages) -> tuple[bool, int, Outpoint]:
    return coin.outpoint.txid in packages, -coin.value_sat, coin.outpoint


def _input_fee_sat(address_type: str, fee_rate: int) -> int:
    """What an input of this type adds to the fee, in whole vB."""
    return fee_sat(INPUT_WEIGHTS[address_type], fee_rate)


def _deficit_sat(packages: Packages, txids: Iterable[bytes], fee_rate: int) -> int:
    return packages.deficit_sat(txids, fee_rate)


def _check_choice(chosen: list[Spendable], inputs_sat: int, weight_wu: int) -> None:
    """What cannot happen with the wallet's own coins, but with a snapshot from elsewhere."""
    if len({coin.outpoint for coin in chosen}) < len(chosen):
        raise _invalid("the snapshot names a coin twice")
    if inputs_sat > MAX_MONEY_SAT:
        raise _invalid(f"the coins are worth {inputs_sat} sat, more than there will ever be")
    if weight_wu > MAX_STANDARD_WEIGHT:
        raise BitcoinError(
            ErrorKind.REJECTED,
            f"the transaction would weigh {weight_wu} WU, and nodes relay {MAX_STANDARD_WEIGHT} at "
            "most: pay less at once",
        )


def _whole_vb(weight_wu: int) -> int:
    return -(-weight_wu // _WITNESS_SCALE_FACTOR)


def _output_bytes(script: bytes) -> int:
    return _AMOUNT_BYTES + _compact_size_bytes(len(script)) + len(script)


def _compact_size_bytes(number: int) -> int:
    if number < 0xFD:
        return 1
    return 3 if number <= 0xFFFF else 5


def _invalid(message: str) -> BitcoinError:
    return BitcoinError(ErrorKind.INVALID_INPUT, message)
