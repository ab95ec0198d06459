"""What the wallet asks the node, each answer checked for its shape."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import NamedTuple, TypeVar

from bitcoin.core import CBlockHeader, CTransaction, b2lx, lx
from bitcoin.core.serialize import SerializationError, VectorSerializer

from btc_legacy import wire
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.rpc import RpcClient, RpcError

_INVALID_ADDRESS_OR_KEY, _INVALID_PARAMETER = -5, -8

_Checked = TypeVar("_Checked")


class BlockRef(NamedTuple):
    """A block of the chain; the hash in the order people read."""

    height: int
    hash: str


class Block(NamedTuple):
    """A block with the hash of the one before and its transactions, as `CTransaction`."""

    ref: BlockRef
    previous: str
    transactions: list[CTransaction]


class Node:
    """Bitcoin Core as the wallet sees it."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc

    def best_hash(self) -> str:
        """The hash of the best block."""
        return self._ask(wire.hash_hex, "getbestblockhash")

    def height(self, block_hash: str) -> int:
        """The height of a block."""
        header = self._rpc.read("getblockheader", block_hash)
        height = header.get("height") if isinstance(header, dict) else None
        return _believed(wire.u32, "getblockheader.height", height)

    def block_hash(self, height: int) -> str | None:
        """The hash of the active chain's block at this height; None above its end."""
        try:
            return self._ask(wire.hash_hex, "getblockhash", height)
        except RpcError as error:
            if error.code == _INVALID_PARAMETER:
                return None
            raise

    def block(self, ref: BlockRef) -> Block:
        """A block, decoded without its merkle tree, which would cost as much again.

        The tree would prove that the node did not make the transactions up. A node that does can
        do worse.
        """
        raw = self._ask(wire.byte_hex, "getblock", ref.hash, 0)
        stream = BytesIO(bytes.fromhex(raw))
        try:
            header = CBlockHeader.stream_deserialize(stream)
            transactions = VectorSerializer.stream_deserialize(CTransaction, stream)
        except (SerializationError, struct.error, ValueError) as error:
            raise _nonsense(f"a block that cannot be decoded ({error})") from error
        if b2lx(header.GetHash()) != ref.hash:
            raise _nonsense("another block than the one asked for")
        return Block(ref, b2lx(header.hashPrevBlock), transactions)

    def mempool(self) -> set[bytes]:
        """The txids of the transactions in the mempool, in the order of the bytes."""
        txids = self._ask(partial(wire.array, check=wire.hash_hex), "getrawmempool")
        return {lx(txid) for txid in txids}

    def is_mempool_loaded(self) -> bool:
        """Whether the mempool is whole: after a start the node reads it from disk."""
        info = self._rpc.read("getmempoolinfo")
        # Nodes that do not say so have loaded it before they answer.
        return not isinstance(info, dict) or info.get("loaded") is not False

    def transaction(self, txid: bytes) -> CTransaction | None:
        """A transaction of the mempool; None if it has left it."""
        try:
            raw = self._ask(wire.byte_hex, "getrawtransaction", b2lx(txid))
        except RpcError as error:
            if error.code == _INVALID_ADDRESS_OR_KEY:
                return None
            raise
        try:
            transaction = CTransaction.deserialize(bytes.fromhex(raw))
        except (SerializationError, struct.error, ValueError) as error:
            raise _nonsense(f"a transaction that cannot be decoded ({error})") from error
        if transaction.GetTxid() != txid:
            raise _nonsense("another transaction than the one asked for")
        return transaction

    def _ask(
        self, check: Callable[[str, object], _Checked], method: str, *params: object
    ) -> _Checked:
        return _believed(check, method, self._rpc.read(method, *params))


def _believed(check: Callable[[str, object], _Checked], where: str, value: object) -> _Checked:
    try:
        return check(where, value)
    except wire.WrongShape as error:
        raise _nonsense(str(error)) from error


def _nonsense(what: str) -> BitcoinError:
    return BitcoinError(
        ErrorKind.INVALID_RESPONSE, f"the node answered with {what}: check its version"
    )
