"""Faults in sending, and in what is said of it."""

from __future__ import annotations

from btc_legacy import encode, sending
from btc_legacy.backend import LegacyBackend
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.mutants.copies import copied
from btc_legacy.protocol import BroadcastCheck, Output, Transaction


class AnswersWtxid(LegacyBackend):
    """Answers with the wtxid."""

    def broadcast_transaction(self, transaction: Transaction) -> str:
        super().broadcast_transaction(transaction)
        return transaction["wtxid"]


class AnswersReversed(LegacyBackend):
    """Answers with the txid in the order of the bytes."""

    def broadcast_transaction(self, transaction: Transaction) -> str:
        return bytes.fromhex(super().broadcast_transaction(transaction))[::-1].hex()


class NeverSends(LegacyBackend):
    """Answers as if it had sent what it only encoded."""

    def broadcast_transaction(self, transaction: Transaction) -> str:
        encode.encode_transaction(transaction)
        return transaction["txid"]


def _stripped(transaction: Transaction) -> bytes:
    encode.encode_transaction(transaction)
    tx = encode.to_ctransaction(transaction)
    return bytes(tx.serialize(params={"include_witness": False}))


class SendsStripped(LegacyBackend):
    """Sends without the witnesses."""

    broadcast_transaction = copied(
        LegacyBackend.broadcast_transaction, encode_transaction=_stripped
    )


class ResendRefused(LegacyBackend):
    """Calls it a refusal that the transaction is in the chain already."""

    def broadcast_transaction(self, transaction: Transaction) -> str:
        txid = super().broadcast_transaction(transaction)
        if sending.is_confirmed(self._rpc.read("getrawtransaction", txid, 1)):
            raise BitcoinError(ErrorKind.REJECTED, "transaction already in block chain")
        return txid


class ReasonLost(LegacyBackend):
    """Does not say why the node refused."""

    def broadcast_transaction(self, transaction: Transaction) -> str:
        try:
            return super().broadcast_transaction(transaction)
        except BitcoinError as error:
            if error.kind is ErrorKind.REJECTED:
                raise BitcoinError(error.kind, "the node refused it: try again") from error
            raise


def _as_float(output: Output) -> object:
    value = int(float(output["value_sat"]))
    return encode._txout({**output, "value_sat": value})


class FloatAmountsSent(LegacyBackend):
    """Takes amounts through a float, which is exact up to 2^53, before it sends them."""

    broadcast_transaction = copied(
        LegacyBackend.broadcast_transaction,
        encode_transaction=copied(
            encode.encode_transaction,
            to_ctransaction=copied(encode.to_ctransaction, _txout=_as_float),
        ),
    )


class ChecksTakeAll(LegacyBackend):
    """Says that the node would take what it refuses."""

    def check_broadcast(self, transaction_hex: str) -> BroadcastCheck:
        check = super().check_broadcast(transaction_hex)
        if check["verdict"] == "refused":
            return {**check, "verdict": "acceptable", "reason": None}
        return check


class ChecksKnowAll(LegacyBackend):
    """Says that the node has what it was never sent."""

    def check_broadcast(self, transaction_hex: str) -> BroadcastCheck:
        return {**super().check_broadcast(transaction_hex), "verdict": "known", "reason": None}


class ChecksForget(LegacyBackend):
    """Says that the node refuses what it already has."""

    def check_broadcast(self, transaction_hex: str) -> BroadcastCheck:
        check = super().check_broadcast(transaction_hex)
        if check["verdict"] == "known":
            return {**check, "verdict": "refused", "reason": "txn-already-known"}
        return check


class ChecksReverseTxid(LegacyBackend):
    """Computes the txid of what is checked in the order of the bytes."""

    def check_broadcast(self, transaction_hex: str) -> BroadcastCheck:
        check = super().check_broadcast(transaction_hex)
        return {**check, "txid": bytes.fromhex(check["txid"])[::-1].hex()}


class ChecksTxidForWtxid(LegacyBackend):
    """Computes the wtxid of what is checked without the witnesses."""

    def check_broadcast(self, transaction_hex: str) -> BroadcastCheck:
        check = super().check_broadcast(transaction_hex)
        return {**check, "wtxid": check["txid"]}
