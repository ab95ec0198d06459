"""Errors of another kind than the interface promises."""

from __future__ import annotations

from typing import NoReturn

from btc_legacy.backend import LegacyBackend
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.protocol import PlannedTransaction, Transaction, WalletSnapshot


class _OtherKind(LegacyBackend):
    """Turns errors of one kind into another."""

    kind: ErrorKind
    instead: ErrorKind

    def get_transaction(self, txid: str) -> Transaction:
        try:
            return super().get_transaction(txid)
        except BitcoinError as error:
            self._fail(error)

    def get_block(self, block_hash: str) -> list[Transaction]:
        try:
            return super().get_block(block_hash)
        except BitcoinError as error:
            self._fail(error)

    def _fail(self, error: BitcoinError) -> NoReturn:
        raise _turned(error, self.kind, self.instead) from error


class WrongErrorKind(_OtherKind):
    """Blames the caller for what the node does not have."""

    kind, instead = ErrorKind.NOT_FOUND, ErrorKind.INVALID_INPUT


class NotFoundIsNonsense(_OtherKind):
    """Blames the node's answer for what it does not have."""

    kind, instead = ErrorKind.NOT_FOUND, ErrorKind.INVALID_RESPONSE


class InvalidIsNotFound(_OtherKind):
    """Says that a malformed hash is not found."""

    kind, instead = ErrorKind.INVALID_INPUT, ErrorKind.NOT_FOUND


class RejectedIsInternal(LegacyBackend):
    """Calls a refusal a defect of its own."""

    def broadcast_transaction(self, transaction: Transaction) -> str:
        try:
            return super().broadcast_transaction(transaction)
        except BitcoinError as error:
            raise _internal(error) from error

    def create_transaction_with_snapshot(
        self, outputs: list[tuple[str, int]], fee_rate: int
    ) -> tuple[Transaction, WalletSnapshot]:
        try:
            return super().create_transaction_with_snapshot(outputs, fee_rate)
        except BitcoinError as error:
            raise _internal(error) from error

    def plan_transaction(
        self, outputs: list[tuple[str, int]], fee_rate: int, snapshot: WalletSnapshot
    ) -> PlannedTransaction:
        try:
            return super().plan_transaction(outputs, fee_rate, snapshot)
        except BitcoinError as error:
            raise _internal(error) from error


def _internal(error: BitcoinError) -> BitcoinError:
    return _turned(error, ErrorKind.REJECTED, ErrorKind.INTERNAL)


def _turned(error: BitcoinError, kind: ErrorKind, instead: ErrorKind) -> BitcoinError:
    return BitcoinError(instead, error.message) if error.kind is kind else error
