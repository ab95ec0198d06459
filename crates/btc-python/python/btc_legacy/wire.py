"""Checks that plain data has the shape the wire protocol says, and puts it into canonical form.

Each function takes where the value was found and the value, and returns it or raises
`WrongShape`. Python's liberties end here: a bool is not an int, NaN is not a number, and an int
has the range that Rust reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from btc_legacy.config import NETWORKS
from btc_legacy.protocol import (
    Address,
    BlockRef,
    BroadcastCheck,
    FeeEstimate,
    Input,
    Output,
    PendingTransaction,
    PlannedTransaction,
    SnapshotCoin,
    Transaction,
    WalletBalance,
    WalletSnapshot,
    WalletState,
)

FEE_SOURCES = ("core", "mempool", "minimum_relay")
ADDRESS_TYPES = ("p2pkh", "p2sh-p2wpkh", "p2wpkh", "p2tr")
CHAINS = ("receive", "change")
VERDICTS = ("acceptable", "known", "refused")

U8_MAX = 2**8 - 1
U32_MAX = 2**32 - 1
U64_MAX = 2**64 - 1
I32_MIN, I32_MAX = -(2**31), 2**31 - 1

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_HEX = re.compile(r"[0-9a-fA-F]*")
_OUTPOINT = re.compile(r"([0-9a-fA-F]{64}):(0|[1-9][0-9]{0,9})")

_MISSING = object()
_Checked = TypeVar("_Checked")


class WrongShape(Exception):
    """A value is not what the protocol says; the text names the place and the type found."""

    def __init__(self, where: str, value: object, expected: str) -> None:
        found = "missing" if value is _MISSING else _describe(value)
        super().__init__(f"{where} is {found}, not {expected}")


def is_hash(text: str) -> bool:
    """Whether this is a txid or block hash: 64 hexadecimal digits in either case."""
    return _HASH.fullmatch(text) is not None


def integer(where: str, value: object, low: int, high: int) -> int:
    """An int within the range, both ends included."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise WrongShape(where, value, f"an int from {low} to {high}")
    return int(value)


def text(where: str, value: object) -> str:
    """A str that can be written as UTF-8."""
    if not isinstance(value, str):
        raise WrongShape(where, value, "a str")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise WrongShape(where, value, "a str of whole characters") from None
    return str(value)


def hash_hex(where: str, value: object) -> str:
    """A txid or block hash; lower-cased."""
    if not isinstance(value, str) or not is_hash(value):
        raise WrongShape(where, value, "a str of 64 hexadecimal digits")
    return value.lower()


def byte_hex(where: str, value: object) -> str:
    """Bytes as hex; lower-cased."""
    # The length apart: a repeated group costs the regex memory for every pair.
    if not isinstance(value, str) or len(value) % 2 or _HEX.fullmatch(value) is None:
        raise WrongShape(where, value, "a str of pairs of hexadecimal digits")
    return value.lower()


def optional(
    where: str, value: object, check: Callable[[str, object], _Checked]
) -> _Checked | None:
    """None, a field left out, or what `check` accepts."""
    return None if value is None or value is _MISSING else check(where, value)


def array(where: str, value: object, check: Callable[[str, object], _Checked]) -> list[_Checked]:
    """A list or tuple of what `check` accepts."""
    if not isinstance(value, list | tuple):
        raise WrongShape(where, value, "a list")
    return [check(f"{where}[{index}]", item) for index, item in enumerate(value)]


def u32(where: str, value: object) -> int:
    """An int that fits 32 bits without sign."""
    return integer(where, value, 0, U32_MAX)


def u64(where: str, value: object) -> int:
    """An int that fits 64 bits without sign."""
    return integer(where, value, 0, U64_MAX)


def transaction(where: str, value: object) -> Transaction:
    """A transaction with all its fields and no others; optional ones are filled with None."""
    at = _Fields(where, value, Transaction)
    return {
        "txid": at.take("txid", hash_hex),
        "wtxid": at.take("wtxid", hash_hex),
        "version": at.take("version", lambda path, item: integer(path, item, I32_MIN, I32_MAX)),
        "lock_time": at.take("lock_time", u32),
        "inputs": at.take("inputs", lambda path, items: array(path, items, _input)),
        "outputs": at.take("outputs", lambda path, items: array(path, items, _output)),
        "size": at.take("size", u32),
        "weight": at.take("weight", u32),
        "fee_sat": at.take("fee_sat", lambda path, item: optional(path, item, u64)),
        "block_hash": at.take("block_hash", lambda path, item: optional(path, item, hash_hex)),
        "block_height": at.take("block_height", lambda path, item: optional(path, item, u32)),
    }


def address(where: str, value: object) -> Address:
    """An address with all its fields and no others."""
    at = _Fields(where, value, Address)
    return {
        "address": at.take("address", text),
        "address_type": at.take("address_type", address_type),
        "network": at.take("network", lambda path, item: _one_of(path, item, NETWORKS)),
        "script_pubkey": at.take("script_pubkey", byte_hex),
        "index": at.take("index", lambda path, item: optional(path, item, u32)),
    }


def fee_estimate(where: str, value: object) -> FeeEstimate:
    """A fee estimate with all its fields and no others, whose rate is not below its floor."""
    at = _Fields(where, value, FeeEstimate)
    floor = at.take("floor_sat_per_vb", lambda path, item: integer(path, item, 1, U64_MAX))
    return {
        "sat_per_vb": at.take("sat_per_vb", lambda path, item: integer(path, item, floor, U64_MAX)),
        "source": at.take("source", lambda path, item: _one_of(path, item, FEE_SOURCES)),
        "floor_sat_per_vb": floor,
        "target_blocks": at.take(
            "target_blocks", lambda path, item: integer(path, item, 1, U8_MAX)
        ),
    }


def wallet_state(where: str, value: object) -> WalletState:
    """A wallet's state with all its fields and no others."""
    at = _Fields(where, value, WalletState)
    return {
        "tip": at.take("tip", block_ref),
        "balance": at.take("balance", _wallet_balance),
        "coins": at.take("coins", lambda path, items: array(path, items, _outpoint_value)),
    }


def wallet_snapshot(where: str, value: object) -> WalletSnapshot:
    """A snapshot with all its fields and no others."""
    at = _Fields(where, value, WalletSnapshot)
    return {
        "tip": at.take("tip", block_ref),
        "coins": at.take("coins", lambda path, items: array(path, items, _snapshot_coin)),
        # Absent in what an older version, or a class of another's, answers.
        "pending": at.take(
            "pending", lambda path, items: optional(path, items, _pending_transactions) or []
        ),
        "change_type": at.take("change_type", address_type),
        "change_index": at.take("change_index", u32),
    }


def planned_transaction(where: str, value: object) -> PlannedTransaction:
    """A plan with all its fields and no others."""
    at = _Fields(where, value, PlannedTransaction)
    return {
        "transaction": at.take("transaction", transaction),
        "tip": at.take("tip", block_ref),
        "unknown_coins": at.take(
            "unknown_coins", lambda path, items: array(path, items, _outpoint)
        ),
    }


def broadcast_check(where: str, value: object) -> BroadcastCheck:
    """A check with all its fields and no others."""
    at = _Fields(where, value, BroadcastCheck)
    return {
        "txid": at.take("txid", hash_hex),
        "wtxid": at.take("wtxid", hash_hex),
        "verdict": at.take("verdict", lambda path, item: _one_of(path, item, VERDICTS)),
        "reason": at.take("reason", lambda path, item: optional(path, item, text)),
    }


def address_type(where: str, value: object) -> str:
    """The name of an address type."""
    return _one_of(where, value, ADDRESS_TYPES)


def payment(where: str, value: object) -> tuple[str, int]:
    """An address with an amount in satoshi."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise WrongShape(where, value, "a pair of address and amount")
    return text(f"{where}[0]", value[0]), u64(f"{where}[1]", value[1])


class _Fields:
    """An object's fields, read one by one."""

    def __init__(self, where: str, value: object, shape: Any) -> None:
        if not isinstance(value, Mapping):
            raise WrongShape(where, value, "a dict")
        known = shape.__required_keys__ | shape.__optional_keys__
        # A misspelt optional field would otherwise vanish without a word.
        unknown = [name for name in value if name not in known]
        if unknown:
            raise WrongShape(where, value, f"one without the unknown field {unknown[0]!r:.60}")
        self._where = where
        self._value = value

    def take(self, name: str, check: Callable[[str, object], _Checked]) -> _Checked:
        return check(f"{self._where}.{name}", self._value.get(name, _MISSING))


def _input(where: str, value: object) -> Input:
    at = _Fields(where, value, Input)
    return {
        "previous_output": at.take("previous_output", _outpoint),
        "script_sig": at.take("script_sig", byte_hex),
        "sequence": at.take("sequence", u32),
        "witness": at.take("witness", lambda path, items: array(path, items, byte_hex)),
    }


def _output(where: str, value: object) -> Output:
    at = _Fields(where, value, Output)
    return {
        "value_sat": at.take("value_sat", u64),
        "script_pubkey": at.take("script_pubkey", byte_hex),
    }


def block_ref(where: str, value: object) -> BlockRef:
    """A block by height and hash."""
    at = _Fields(where, value, BlockRef)
    return {"height": at.take("height", u32), "hash": at.take("hash", hash_hex)}


def _wallet_balance(where: str, value: object) -> WalletBalance:
    at = _Fields(where, value, WalletBalance)
    return {
        "confirmed_sat": at.take("confirmed_sat", u64),
        "trusted_pending_sat": at.take("trusted_pending_sat", u64),
        "untrusted_pending_sat": at.take("untrusted_pending_sat", u64),
        "immature_sat": at.take("immature_sat", u64),
        "held_by_missing_sat": at.take(
            "held_by_missing_sat", lambda path, item: optional(path, item, u64) or 0
        ),
    }


def _snapshot_coin(where: str, value: object) -> SnapshotCoin:
    at = _Fields(where, value, SnapshotCoin)
    return {
        "outpoint": at.take("outpoint", _outpoint),
        "value_sat": at.take("value_sat", u64),
        "address_type": at.take("address_type", address_type),
        "chain": at.take("chain", lambda path, item: _one_of(path, item, CHAINS)),
        "index": at.take("index", u32),
    }


def _pending_transactions(where: str, value: object) -> list[PendingTransaction]:
    return array(where, value, _pending_transaction)


def _pending_transaction(where: str, value: object) -> PendingTransaction:
    at = _Fields(where, value, PendingTransaction)
    return {
        "txid": at.take("txid", hash_hex),
        "version": at.take("version", lambda path, item: integer(path, item, I32_MIN, I32_MAX)),
        "size_vb": at.take("size_vb", u64),
        "fee_sat": at.take("fee_sat", u64),
        "spends": at.take("spends", lambda path, items: array(path, items, hash_hex)),
    }


def _outpoint_value(where: str, value: object) -> tuple[str, int]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise WrongShape(where, value, "a pair of outpoint and amount")
    return _outpoint(f"{where}[0]", value[0]), u64(f"{where}[1]", value[1])


def _outpoint(where: str, value: object) -> str:
    match = _OUTPOINT.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[2]) > U32_MAX:
        raise WrongShape(where, value, "a str of the form <txid>:<vout>")
    return match[0].lower()


def _one_of(where: str, value: object, names: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in names:
        raise WrongShape(where, value, f"one of {', '.join(names)}")
    return str(value)


def _describe(value: object) -> str:
    """The type, with a small value where that helps. Never a long text."""
    name = type(value).__name__
    if isinstance(value, str):
        return f"{name} {value!r}" if len(value) <= 40 else f"{name} of {len(value)} characters"
    if isinstance(value, int) and value.bit_length() <= 128:
        return f"{name} {value!r}"
    return name
