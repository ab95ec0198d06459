"""From what a backend returned to plain data that the wire protocol accepts."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from btc_legacy import wire
from btc_legacy.protocol import Transaction, WalletSnapshot

_TXID_BYTES = 32


def result_to_wire(method: str, params: list[Any], value: object) -> object:
    """Checks and converts a method's result; raises `wire.WrongShape`.

    Transactions may be dicts or `CTransaction`, a block may also be a `CBlock`, a txid may be the
    bytes that python-bitcoinlib uses.
    """
    if method == "get_block":
        return _block("result", value, asked_hash=params[0])
    return _RESULTS[method]("result", value)


def _transaction(where: str, value: object, block_hash: str | None = None) -> Transaction:
    if not _is_a("CTransaction", value):
        return wire.transaction(where, value)
    # Only reached with python-bitcoinlib loaded, so this cannot be what loads it.
    from btc_legacy.decode import transaction_to_wire

    try:
        converted = transaction_to_wire(value, block_hash=block_hash)
    except (struct.error, AssertionError, AttributeError, TypeError, ValueError) as error:
        # Mutable transactions may hold anything in their fields.
        raise wire.WrongShape(where, value, f"one that can be serialised ({error})") from error
    return wire.transaction(where, converted)


def _block(where: str, value: object, asked_hash: str) -> list[Transaction]:
    transactions: Any = value
    if _is_a("CBlock", value):
        from bitcoin.core import b2lx

        transactions = transactions.vtx
        asked_hash = b2lx(value.GetHash())  # type: ignore[attr-defined]
    return wire.array(where, transactions, partial(_transaction, block_hash=asked_hash.lower()))


def _txid(where: str, value: object) -> str:
    if isinstance(value, bytes) and len(value) == _TXID_BYTES:
        return value[::-1].hex()
    return wire.hash_hex(where, value)


def _transaction_with_snapshot(where: str, value: object) -> tuple[Transaction, WalletSnapshot]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise wire.WrongShape(where, value, "a pair of transaction and snapshot")
    transaction, snapshot = value
    return _transaction(f"{where}[0]", transaction), wire.wallet_snapshot(f"{where}[1]", snapshot)


_RESULTS: dict[str, Callable[[str, object], object]] = {
    "get_transaction": _transaction,
    "create_transaction": _transaction,
    "get_block_height": wire.u32,
    "estimate_fee": wire.u64,
    "explain_fee": wire.fee_estimate,
    "get_balance": wire.u64,
    "broadcast_transaction": _txid,
    "generate_address": wire.address,
    "derive_address": wire.address,
    "plan_transaction": wire.planned_transaction,
    "check_broadcast": wire.broadcast_check,
    "wallet_state": wire.wallet_state,
    "tip": wire.block_ref,
    "snapshot": wire.wallet_snapshot,
    "create_transaction_with_snapshot": _transaction_with_snapshot,
}


def _is_a(name: str, value: object) -> bool:
    """Whether the value is an instance of this class of python-bitcoinlib, if that is loaded."""
    kind = getattr(sys.modules.get("bitcoin.core"), name, None)
    return kind is not None and isinstance(value, kind)
