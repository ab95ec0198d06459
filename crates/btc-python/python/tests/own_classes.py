"""Backends as teams write them, for the tests of the host."""

from __future__ import annotations

import http.client
import socket
from typing import Any

from bitcoin.core import CBlock, CMutableTransaction, CTransaction, lx
from bitcoin.rpc import JSONRPCError, Proxy

from btc_legacy.config import Config
from btc_legacy.errors import BitcoinError, ErrorKind
from tests import vectors


class Returning:
    """Returns what the test puts into `value`, from each method that may return anything."""

    value: Any = None

    def __init__(self, config: Config) -> None:
        self.config = config

    def get_transaction(self, _txid: str) -> Any:
        return self.value

    def get_block(self, _block_hash: str) -> Any:
        return self.value

    def get_block_height(self) -> Any:
        return self.value

    def estimate_fee(self, _target_blocks: int) -> Any:
        return self.value

    def explain_fee(self, _target_blocks: int) -> Any:
        return self.value

    def broadcast_transaction(self, _transaction: Any) -> Any:
        return self.value

    def generate_address(self, _address_type: str) -> Any:
        return self.value

    def create_transaction(self, _outputs: Any, _fee_rate: int) -> Any:
        return self.value

    def get_balance(self) -> Any:
        return self.value

    def derive_address(self, _address_type: str, _index: int) -> Any:
        return self.value

    def plan_transaction(self, _outputs: Any, _fee_rate: int, _snapshot: Any) -> Any:
        return self.value

    def check_broadcast(self, _transaction_hex: str) -> Any:
        return self.value

    def tip(self) -> Any:
        return self.value

    def wallet_state(self) -> Any:
        return self.value

    def snapshot(self) -> Any:
        return self.value

    def create_transaction_with_snapshot(self, _outputs: Any, _fee_rate: int) -> Any:
        return self.value


class Raising:
    """Raises what the test puts into `error`, from each method."""

    error: BaseException = RuntimeError("not set")

    def __init__(self, config: Config) -> None:
        self.config = config

    def get_transaction(self, _txid: str) -> Any:
        raise self.error

    def get_block(self, _block_hash: str) -> Any:
        raise self.error

    def get_block_height(self) -> Any:
        raise self.error

    def estimate_fee(self, _target_blocks: int) -> Any:
        raise self.error

    def explain_fee(self, _target_blocks: int) -> Any:
        raise self.error

    def create_transaction(self, _outputs: Any, _fee_rate: int) -> Any:
        raise self.error


class LibraryStyle:
    """Does what code around python-bitcoinlib's Proxy does."""

    class _Node(Proxy):  # type: ignore[misc]
        """A proxy whose node only knows the genesis block."""

        def _call(self, service_name: str, *_args: object) -> Any:
            if service_name == "getblock" and _args[0] == vectors.GENESIS_HASH:
                return vectors.GENESIS_BLOCK
            raise JSONRPCError({"code": -5, "message": "Block not found"})

    def __init__(self, config: Config) -> None:
        self.proxy = self._Node(config.rpc_url)

    def get_block(self, block_hash: str) -> Any:
        return self.proxy.getblock(lx(block_hash))

    def get_transaction(self, txid: str) -> Any:
        lx(txid)
        return CMutableTransaction.from_tx(
            CTransaction.deserialize(bytes.fromhex(vectors.SEGWIT_TX))
        )

    def broadcast_transaction(self, transaction: Any) -> bytes:
        return bytes(lx(transaction["txid"]))


class RefusesToStart:
    """Fails in its constructor."""

    def __init__(self, config: Config) -> None:
        raise BitcoinError(ErrorKind.UNAVAILABLE, f"nobody at {config.rpc_url}")


class LeaksItsPassword:
    """Puts the password into an exception, as a URL with credentials would."""

    def __init__(self, config: Config) -> None:
        raise RuntimeError(f"cannot use http://{config.rpc_user}:{config.rpc_password}@host")


class LeaksItsWords:
    """Puts the wallet's secrets into an exception."""

    def __init__(self, config: Config) -> None:
        raise RuntimeError(
            f"cannot unlock with {config.wallet_words} and {config.wallet_passphrase}"
        )


class BadText(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


NOT_A_CLASS = 7

GENESIS = CBlock.deserialize(bytes.fromhex(vectors.GENESIS_BLOCK))

ERRORS: list[tuple[BaseException, str]] = [
    (BitcoinError("rejected", "too low"), "rejected"),
    (NotImplementedError(), "unsupported"),
    (JSONRPCError({"code": -5, "message": "no"}), "not_found"),
    (JSONRPCError({"code": -8, "message": "no"}), "invalid_input"),
    (JSONRPCError({"code": -26, "message": "no"}), "rejected"),
    (JSONRPCError({"code": -28, "message": "loading"}), "unavailable"),
    (
        JSONRPCError(
            {
                "code": -342,
                "message": "non-JSON HTTP response with '401 Unauthorized' from server: ''",
            }
        ),
        "auth",
    ),
    (
        JSONRPCError(
            {
                "code": -342,
                "message": "non-JSON HTTP response with '503 Service Unavailable' from server: ''",
            }
        ),
        "unavailable",
    ),
    (JSONRPCError({"code": -343, "message": "missing JSON-RPC result"}), "invalid_response"),
    (TimeoutError("timed out"), "timeout"),
    (socket.timeout("timed out"), "timeout"),  # noqa: UP041
    (ConnectionResetError(104, "reset"), "unavailable"),
    (BrokenPipeError(32, "broken"), "unavailable"),
    (http.client.CannotSendRequest("Request-sent"), "unavailable"),
    (http.client.RemoteDisconnected("closed"), "unavailable"),
    (socket.gaierror(-2, "Name or service not known"), "unavailable"),
    (OSError(113, "No route to host"), "unavailable"),
    (FileNotFoundError(2, "no such file"), "internal"),
    (IndexError("list index out of range"), "internal"),
    (ValueError("not about the input"), "internal"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "invalid_response"),
    (KeyError("fee"), "internal"),
    (AssertionError(), "internal"),
    (MemoryError(), "internal"),
    (RecursionError("too deep"), "internal"),
    (SystemExit(0), "internal"),
    (KeyboardInterrupt(), "internal"),
    (GeneratorExit(), "internal"),
    (BadText(), "internal"),
]
