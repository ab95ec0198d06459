"""The rule that makes a fee rate of what the node says: its estimate, its mempool, its minimum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

from btc_legacy import wire
from btc_legacy.core_errors import INTERNAL_ERROR, MAX_REASON_CHARS
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.protocol import FeeEstimate
from btc_legacy.rpc import RpcClient, RpcError

# What a block takes: 4,000,000 weight units (BIP141).
BLOCK_VBYTES = 1_000_000

_VBYTES_PER_KVB = 1000
_DECIMALS = 8
_MAX_COINS = 21_000_000

# A transaction that waits in the mempool: its fee in satoshi and its virtual size.
Waiting = tuple[int, int]


def explain_fee(rpc: RpcClient, target_blocks: int) -> FeeEstimate:
    """The node's estimate, else what its mempool asks for; never less than its minimum."""
    try:
        wire.integer("target_blocks", target_blocks, 1, wire.U8_MAX)
    except wire.WrongShape as error:
        raise BitcoinError(ErrorKind.INVALID_INPUT, str(error)) from error
    try:
        return _explain(rpc, target_blocks)
    except wire.WrongShape as error:
        raise BitcoinError(
            ErrorKind.INVALID_RESPONSE, f"the node answered nonsense: {error}: check its version"
        ) from error


def mempool_rate(waiting: Iterable[Waiting], room_vbytes: int) -> int | None:
    """The rate of the first transaction that no longer fits when the highest rates go first.

    In sat/vB, rounded up; None when all of them fit.
    """
    used_vbytes = 0
    for fee_sat, vsize in sorted(waiting, key=cmp_to_key(compare_rates), reverse=True):
        used_vbytes += vsize
        if used_vbytes > room_vbytes:
            return _divide_up(fee_sat, vsize)
    return None


def compare_rates(one: Waiting, other: Waiting) -> int:
    """Above 0 if the first pays more for its size, below 0 if the other does.

    Without division, and so without rounding.
    """
    return one[0] * other[1] - other[0] * one[1]


def sat(where: str, btc: object) -> int:
    """The satoshi in a JSON number of BTC, which must be whole, not negative and not too many."""
    expected = "an amount in BTC"
    if isinstance(btc, bool) or not isinstance(btc, int | Decimal):
        raise wire.WrongShape(where, btc, expected)
    # Checked before anything is multiplied: a number like 1e999999999 must not become an int.
    if not 0 <= btc <= _MAX_COINS:
        raise wire.WrongShape(where, btc, f"{expected} from 0 to {_MAX_COINS}")
    if btc == 0:
        return 0
    # Digit by digit: Decimal's own arithmetic rounds to 28 digits.
    _, digits, exponent = Decimal(btc).as_tuple()
    text = "".join(map(str, digits))
    shift = int(exponent) + _DECIMALS
    if shift >= 0:
        return int(text + "0" * shift)
    if text[shift:].strip("0"):
        raise wire.WrongShape(where, btc, f"{expected} with at most {_DECIMALS} decimals")
    return int(text[:shift])


def _explain(rpc: RpcClient, target_blocks: int) -> FeeEstimate:
    # The mode is named because the default was "conservative" before Bitcoin Core 28.
    try:
        answer = rpc.read("estimatesmartfee", target_blocks, "economical")
    except RpcError as error:
        if error.code != INTERNAL_ERROR or "disabled" not in error.reason:
            raise
        # A node that sees no transactions but those in blocks has no mempool to go by instead.
        raise BitcoinError(
            ErrorKind.UNSUPPORTED,
            "the node makes no fee estimates, as with -blocksonly, and its mempool says nothing "
            f"either: name a fee rate, or ask another node: {error.reason[:MAX_REASON_CHARS]}",
        ) from error
    estimate = _object("the estimate", answer).get("feerate")
    info = _object("the mempool's summary", rpc.read("getmempoolinfo"))
    total_vbytes = wire.u64("bytes", info.get("bytes"))
    minima = [sat(name, info.get(name)) for name in ("mempoolminfee", "minrelaytxfee")]
    floor = max(_divide_up(max(minima), _VBYTES_PER_KVB), 1)
    room_vbytes = target_blocks * BLOCK_VBYTES
    found, source = None, "minimum_relay"
    if estimate is not None:
        found, source = _divide_up(_positive(sat("feerate", estimate)), _VBYTES_PER_KVB), "core"
    elif total_vbytes > room_vbytes:
        # Otherwise the entries, which are many, would only say the same.
        waiting = _entries(rpc.read("getrawmempool", True))
        found, source = mempool_rate(waiting, room_vbytes), "mempool"
    if found is None or found < floor:
        found, source = floor, "minimum_relay"
    return {
        "sat_per_vb": found,
        "source": source,
        "floor_sat_per_vb": floor,
        "target_blocks": target_blocks,
    }


def _entries(answer: object) -> Iterator[Waiting]:
    for entry in _object("the mempool", answer).values():
        vsize = _object("an entry", entry).get("vsize")
        fees = _object("fees", entry.get("fees"))
        # The base fee is what the transaction pays, without what prioritisetransaction adds.
        yield sat("fees.base", fees.get("base")), wire.integer("vsize", vsize, 1, wire.U32_MAX)


def _divide_up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def _positive(amount_sat: int) -> int:
    if amount_sat == 0:
        raise wire.WrongShape("feerate", amount_sat, "a rate above 0")
    return amount_sat


def _object(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wire.WrongShape(where, value, "an object")
    return value
