"""Faults in fee rates."""

from __future__ import annotations

from collections.abc import Callable

from btc_legacy import fees
from btc_legacy.backend import LegacyBackend
from btc_legacy.mutants.copies import copied
from btc_legacy.protocol import FeeEstimate
from btc_legacy.rpc import RpcClient


def _dividing(divide: Callable[[int, int], int]) -> Callable[[RpcClient, int], FeeEstimate]:
    """The rule for fee rates with another division."""
    return copied(fees.explain_fee, _explain=copied(fees._explain, _divide_up=divide))


class RoundedDown(LegacyBackend):
    """Rounds a fee rate down."""

    def explain_fee(self, target_blocks: int) -> FeeEstimate:
        return _dividing(lambda dividend, divisor: dividend // divisor)(self._rpc, target_blocks)


class PerKilobyte(LegacyBackend):
    """Takes satoshi per 1,000 vB for satoshi per vB."""

    def explain_fee(self, target_blocks: int) -> FeeEstimate:
        return _dividing(lambda dividend, _: dividend)(self._rpc, target_blocks)


class BelowMinimum(LegacyBackend):
    """Does not look at the least that the node takes."""

    def explain_fee(self, target_blocks: int) -> FeeEstimate:
        estimate = super().explain_fee(target_blocks)
        if estimate["source"] == "minimum_relay":
            estimate["sat_per_vb"] = estimate["floor_sat_per_vb"] = 1
        return estimate


class OneMore(LegacyBackend):
    """Asks for one satoshi per vB more."""

    def estimate_fee(self, target_blocks: int) -> int:
        return super().estimate_fee(target_blocks) + 1
