"""Faults in what is read of blocks, and in where transactions are said to be."""

from __future__ import annotations

from btc_legacy.backend import LegacyBackend
from btc_legacy.config import Config
from btc_legacy.protocol import Transaction


class ReversedBlockHash(LegacyBackend):
    """Writes the hash of a transaction's block in the order of the bytes."""

    def get_transaction(self, txid: str) -> Transaction:
        transaction = super().get_transaction(txid)
        if block_hash := transaction.get("block_hash"):
            transaction["block_hash"] = bytes.fromhex(block_hash)[::-1].hex()
        return transaction


class BlockBefore(LegacyBackend):
    """Names the block before the one that holds the transaction."""

    def get_transaction(self, txid: str) -> Transaction:
        transaction = super().get_transaction(txid)
        if block_hash := transaction.get("block_hash"):
            header = self._rpc.read("getblockheader", block_hash)
            transaction["block_hash"] = header["previousblockhash"]
        return transaction


class WaitingIsConfirmed(LegacyBackend):
    """Says that a transaction of the mempool is in the last block."""

    def get_transaction(self, txid: str) -> Transaction:
        transaction = super().get_transaction(txid)
        if not transaction.get("block_hash"):
            transaction["block_hash"] = self._rpc.read("getbestblockhash")
        return transaction


class LastDropped(LegacyBackend):
    """Drops the last transaction of a block."""

    def get_block(self, block_hash: str) -> list[Transaction]:
        return super().get_block(block_hash)[:-1]


class FirstTwoSwapped(LegacyBackend):
    """Swaps the first two transactions of a block."""

    def get_block(self, block_hash: str) -> list[Transaction]:
        transactions = super().get_block(block_hash)
        transactions[:2] = reversed(transactions[:2])
        return transactions


class StaleTip(LegacyBackend):
    """Lags one block behind."""

    def get_block_height(self) -> int:
        return max(0, super().get_block_height() - 1)


class HighestEver(LegacyBackend):
    """Stays at the greatest height it has seen, also when a reorganisation takes blocks back."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._highest = 0

    def get_block_height(self) -> int:
        self._highest = max(self._highest, super().get_block_height())
        return self._highest
