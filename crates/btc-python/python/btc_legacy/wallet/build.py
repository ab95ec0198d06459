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

MAX_MONEY_SAT = 21_000_000 * COIN

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
    outputs: Sequence[tuple[str, int]], fee_rate: int, network: str
) -> tuple[Payment, ...]:
    """Addresses to scripts, in the order of checks that both implementations follow."""
    if not outputs:
        raise _invalid("no outputs: name at least one address and amount")
    if fee_rate < 1:
        raise _invalid("the fee rate is 0: give at least 1 sat/vB")
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
) -> Draft:
    """Chooses coins, the largest first, and decides about change."""
    if tip_height >= _LOCK_TIME_OF_TIMES:
        raise _invalid(f"a tip at height {tip_height}: heights are below {_LOCK_TIME_OF_TIMES}")
    chosen = _choose(coins, payments, fee_rate)
    inputs_sat = sum(coin.value_sat for coin in chosen)
    types = Counter(coin.place.keychain.address_type for coin in chosen)
    paid_sat = sum(payment.value_sat for payment in payments)
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
    return -(-weight_wu // _WITNESS_SCALE_FACTOR) * fee_rate


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
    coins: Iterable[Spendable], payments: Sequence[Payment], fee_rate: int
) -> list[Spendable]:
    """Takes coins in order until they cover the payments and the fee without change."""
    paid_sat = sum(payment.value_sat for payment in payments)
    chosen: list[Spendable] = []
    types: Counter[str] = Counter()
    missing_sat = paid_sat + fee_sat(weight(types, payments), fee_rate)
    inputs_sat = 0
    for coin in sorted(coins, key=lambda coin: (-coin.value_sat, coin.outpoint)):
        chosen.append(coin)
        types[coin.place.keychain.address_type] += 1
        inputs_sat += coin.value_sat
        missing_sat = paid_sat + fee_sat(weight(types, payments), fee_rate) - inputs_sat
        if missing_sat <= 0:
            return chosen
    raise BitcoinError(
        ErrorKind.REJECTED,
        f"not enough coins: {missing_sat} sat are missing, fee included",
        missing_sat=missing_sat,
    )


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


def _output_bytes(script: bytes) -> int:
    return _AMOUNT_BYTES + _compact_size_bytes(len(script)) + len(script)


def _compact_size_bytes(number: int) -> int:
    if number < 0xFD:
        return 1
    return 3 if number <= 0xFFFF else 5


def _invalid(message: str) -> BitcoinError:
    return BitcoinError(ErrorKind.INVALID_INPUT, message)
