"""Backends with planted faults, for tests.

The first group is `LegacyBackend` with one subtle fault each; shadow mode must catch every one.
The second group fails loudly, and needs no node; the border to Rust must survive every one.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from btc_legacy.backend import LegacyBackend
from btc_legacy.config import Config
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.protocol import Transaction


class _AlteredTransactions(LegacyBackend):
    """Alters each transaction that it returns."""

    def get_transaction(self, txid: str) -> Transaction:
        return self._alter(super().get_transaction(txid))

    def get_block(self, block_hash: str) -> list[Transaction]:
        return [self._alter(transaction) for transaction in super().get_block(block_hash)]

    def _alter(self, transaction: Transaction) -> Transaction:
        raise NotImplementedError


class OffByOneSat(_AlteredTransactions):
    """Adds one satoshi to the last output."""

    def _alter(self, transaction: Transaction) -> Transaction:
        transaction["outputs"][-1]["value_sat"] += 1
        return transaction


class DroppedWitness(_AlteredTransactions):
    """Forgets the witnesses, as a decoder from before BIP144 would."""

    def _alter(self, transaction: Transaction) -> Transaction:
        for item in transaction["inputs"]:
            item["witness"] = []
        return transaction


class SwappedOutputs(_AlteredTransactions):
    """Returns the outputs in reverse order."""

    def _alter(self, transaction: Transaction) -> Transaction:
        transaction["outputs"].reverse()
        return transaction


class ReversedTxid(_AlteredTransactions):
    """Writes txids in the order of the bytes instead of the one people read."""

    def _alter(self, transaction: Transaction) -> Transaction:
        transaction["txid"] = bytes.fromhex(transaction["txid"])[::-1].hex()
        return transaction


class StaleTip(LegacyBackend):
    """Lags one block behind."""

    def get_block_height(self) -> int:
        return max(0, super().get_block_height() - 1)


class WrongErrorKind(LegacyBackend):
    """Blames the caller for what the node does not have."""

    def get_transaction(self, txid: str) -> Transaction:
        try:
            return super().get_transaction(txid)
        except BitcoinError as error:
            raise _blaming_the_caller(error) from error

    def get_block(self, block_hash: str) -> list[Transaction]:
        try:
            return super().get_block(block_hash)
        except BitcoinError as error:
            raise _blaming_the_caller(error) from error


def _blaming_the_caller(error: BitcoinError) -> BitcoinError:
    if error.kind is ErrorKind.NOT_FOUND:
        return BitcoinError(ErrorKind.INVALID_INPUT, error.message)
    return error


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
