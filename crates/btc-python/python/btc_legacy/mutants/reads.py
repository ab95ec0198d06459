"""Faults in what is read of transactions."""

from __future__ import annotations

from btc_legacy.backend import LegacyBackend
from btc_legacy.protocol import Transaction

_FINAL, _REPLACEABLE = 0xFFFFFFFF, 0xFFFFFFFE
_OP_RETURN = "6a"
_NO_TXID = "00" * 32
# The longest script that one opcode pushes, in bytes.
_LONGEST_PUSH = 75


class _Altered(LegacyBackend):
    """Alters each transaction that it returns."""

    def get_transaction(self, txid: str) -> Transaction:
        return self._alter(super().get_transaction(txid))

    def get_block(self, block_hash: str) -> list[Transaction]:
        return [self._alter(transaction) for transaction in super().get_block(block_hash)]

    def _alter(self, transaction: Transaction) -> Transaction:
        raise NotImplementedError


class OffByOneSat(_Altered):
    """Adds one satoshi to the last output."""

    def _alter(self, transaction: Transaction) -> Transaction:
        transaction["outputs"][-1]["value_sat"] += 1
        return transaction


class Truncated32(_Altered):
    """Keeps 32 bits of an amount."""

    def _alter(self, transaction: Transaction) -> Transaction:
        for output in transaction["outputs"]:
            output["value_sat"] &= 0xFFFFFFFF
        return transaction


class FloatAmounts(_Altered):
    """Takes amounts through a float of BTC and cuts off what is left."""

    def _alter(self, transaction: Transaction) -> Transaction:
        for output in transaction["outputs"]:
            output["value_sat"] = int(output["value_sat"] / 1e8 * 1e8)
        return transaction


class SwappedOutputs(_Altered):
    """Returns the outputs in reverse order."""

    def _alter(self, transaction: Transaction) -> Transaction:
        transaction["outputs"].reverse()
        return transaction


class LostData(_Altered):
    """Leaves out the outputs that only carry data (OP_RETURN)."""

    def _alter(self, transaction: Transaction) -> Transaction:
        kept = [
            it for it in transaction["outputs"] if not it["script_pubkey"].startswith(_OP_RETURN)
        ]
        transaction["outputs"] = kept
        return transaction


class SwappedInputs(_Altered):
    """Returns the inputs in reverse order."""

    def _alter(self, transaction: Transaction) -> Transaction:
        transaction["inputs"].reverse()
        return transaction


class ReversedPrevout(_Altered):
    """Writes the txid of a spent output in the order of the bytes."""

    def _alter(self, transaction: Transaction) -> Transaction:
        for item in transaction["inputs"]:
            txid, _, vout = item["previous_output"].partition(":")
            item["previous_output"] = f"{_reversed(txid)}:{vout}"
        return transaction


class ShortScriptSig(_Altered):
    """Loses the last byte of a script_sig that is longer than one opcode can push."""

    def _alter(self, transaction: Transaction) -> Transaction:
        for item in transaction["inputs"]:
            if len(item["script_sig"]) > 2 * _LONGEST_PUSH:
                item["script_sig"] = item["script_sig"][:-2]
        return transaction


class FinalSequence(_Altered):
    """Reads a final sequence as one below."""

    def _alter(self, transaction: Transaction) -> Transaction:
        for item in transaction["inputs"]:
            if item["sequence"] == _FINAL:
                item["sequence"] = _REPLACEABLE
        return transaction


class DroppedWitness(_Altered):
    """Forgets the witnesses, as a decoder from before BIP144 would."""

    def _alter(self, transaction: Transaction) -> Transaction:
        for item in transaction["inputs"]:
            item["witness"] = []
        return transaction


class EmptyItemDropped(_Altered):
    """Leaves out the empty items of a witness."""

    def _alter(self, transaction: Transaction) -> Transaction:
        for item in transaction["inputs"]:
            item["witness"] = [element for element in item["witness"] if element]
        return transaction


class CoinbaseWitnessDropped(_Altered):
    """Forgets the witness of a coinbase, which spends nothing."""

    def _alter(self, transaction: Transaction) -> Transaction:
        for item in transaction["inputs"]:
            if item["previous_output"].startswith(_NO_TXID):
                item["witness"] = []
        return transaction


class ReversedTxid(_Altered):
    """Writes txids in the order of the bytes instead of the one people read."""

    def _alter(self, transaction: Transaction) -> Transaction:
        transaction["txid"] = _reversed(transaction["txid"])
        return transaction


class TxidForWtxid(_Altered):
    """Gives the txid where the wtxid belongs."""

    def _alter(self, transaction: Transaction) -> Transaction:
        transaction["wtxid"] = transaction["txid"]
        return transaction


class VersionAtMost2(_Altered):
    """Knows no version above 2."""

    def _alter(self, transaction: Transaction) -> Transaction:
        transaction["version"] = min(transaction["version"], 2)
        return transaction


class LockTimeOfHeights(_Altered):
    """Drops a lock time that is a time and no height."""

    def _alter(self, transaction: Transaction) -> Transaction:
        if transaction["lock_time"] >= 500_000_000:
            transaction["lock_time"] = 0
        return transaction


class SizeIsVsize(_Altered):
    """Gives the virtual size where the size belongs."""

    def _alter(self, transaction: Transaction) -> Transaction:
        transaction["size"] = -(-transaction["weight"] // 4)
        return transaction


class NoDiscount(_Altered):
    """Weighs the witness like the rest."""

    def _alter(self, transaction: Transaction) -> Transaction:
        transaction["weight"] = 4 * transaction["size"]
        return transaction


def _reversed(hash_hex: str) -> str:
    return bytes.fromhex(hash_hex)[::-1].hex()
