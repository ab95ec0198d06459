"""Backends that fail loudly, for tests: the border to Rust must survive every one.

None needs a node. Faults of meaning, which shadow mode must catch, are in `btc_legacy.mutants`.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from btc_legacy.config import Config
from btc_legacy.protocol import Transaction


class NoMethods:
    """Offers nothing."""

    def __init__(self, config: Config) -> None:
        self.config = config


class _Standalone(NoMethods):
    """Answers `estimate_fee`, so that a test can tell a live backend from a dead one."""

    def estimate_fee(self, target_blocks: int) -> int:
        return 1


class Raises(_Standalone):
    """Raises an exception of Python's own."""

    def get_block_height(self) -> int:
        raise RuntimeError("planted fault")


class Hangs(_Standalone):
    """Does not answer."""

    def get_block_height(self) -> int:
        time.sleep(3600)
        return 0


class WrongType(_Standalone):
    """Returns a string where a number belongs."""

    def get_block_height(self) -> Any:
        return "7"


class NotANumber(_Standalone):
    """Returns NaN, which JSON cannot say."""

    def get_block_height(self) -> Any:
        return float("nan")


class Huge(_Standalone):
    """Returns a transaction with a script of 100 MB of hex, beyond any frame."""

    def get_transaction(self, txid: str) -> Transaction:
        return {
            "txid": txid,
            "wtxid": txid,
            "version": 2,
            "lock_time": 0,
            "inputs": [],
            "outputs": [{"value_sat": 0, "script_pubkey": "00" * 50_000_000}],
            "size": 50_000_000,
            "weight": 200_000_000,
        }

    def get_block_height(self) -> Any:
        return "7" * 100_000_000


class Exits(_Standalone):
    """Tries to end the process politely."""

    def get_block_height(self) -> int:
        sys.exit("planted exit")


class Dies(_Standalone):
    """Ends the process at once, as a crash in native code would."""

    def get_block_height(self) -> int:
        os._exit(3)
