"""Hands transactions to the node, and tells what became of them."""

from __future__ import annotations

from typing import Any

from bitcoin.core import b2x

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.rpc import RpcClient, RpcError

_VERIFY_ERROR, _VERIFY_REJECTED, _ALREADY_IN_CHAIN = -25, -26, -27

# A handing over that ends with one of these has given the transaction to no node: it is refused, or
# nothing of it was sent, or the node has looked at nothing but the call.
_FINAL = (
    ErrorKind.REJECTED,
    ErrorKind.AUTH,
    ErrorKind.CONFIGURATION,
    ErrorKind.INVALID_INPUT,
    ErrorKind.UNSUPPORTED,
)

# What Bitcoin Core says of a transaction that pays too little by itself.
_TOO_CHEAP = ("min relay fee not met", "mempool min fee not met")


def send(rpc: RpcClient, raw: bytes, txid: str) -> str:
    """Sends the bytes once with `sendrawtransaction`, within the node's default limits."""
    try:
        sent = rpc.write("sendrawtransaction", b2x(raw))
    except RpcError as error:
        if error.code == _ALREADY_IN_CHAIN:
            return txid
        # Core names missing inputs when the transaction is mined and its outputs are spent.
        if error.code in (_VERIFY_ERROR, _VERIFY_REJECTED) and knows(rpc, txid, error.message):
            return txid
        raise
    if sent != txid:
        raise _nonsense(f"another txid than that of the transaction it was sent, {txid}")
    return txid


def send_package(rpc: RpcClient, parent: bytes, child: bytes) -> None:
    """Sends a parent with a child that pays for it with `submitpackage`."""
    answer = rpc.write("submitpackage", [b2x(parent), b2x(child)])
    said = answer.get("package_msg") if isinstance(answer, dict) else None
    if not isinstance(said, str):
        raise _nonsense("no package_msg")
    if said != "success":
        raise BitcoinError(ErrorKind.REJECTED, f"the node rejected the package: {said:.200}")


def is_final(error: BitcoinError) -> bool:
    """Whether no node has a transaction by the handing over that ended so."""
    return error.kind in _FINAL


def is_too_cheap(error: BitcoinError) -> bool:
    """Whether the node refused a transaction for its fee, so that a child may pay for it."""
    return error.kind is ErrorKind.REJECTED and any(said in error.message for said in _TOO_CHEAP)


def knows(rpc: RpcClient, txid: str, rejection: str) -> bool:
    """Whether the transaction is in the mempool or in a block of the active chain."""
    try:
        answer = rpc.read("getrawtransaction", txid, 1)
    except BitcoinError as error:
        if error.kind is ErrorKind.NOT_FOUND:
            return False
        # It was sent: a look-up that is forbidden must not read as if it was not.
        raise BitcoinError(
            ErrorKind.UNAVAILABLE if is_final(error) else error.kind,
            f"{rejection}; whether it already has the transaction is unknown: {error.message}",
        ) from error
    # The index keeps transactions of abandoned blocks; those have a block and no confirmation.
    return "blockhash" not in answer or is_confirmed(answer)


def is_confirmed(answer: dict[str, Any]) -> bool:
    """Whether an answer of `getrawtransaction` is about a transaction of the active chain."""
    confirmations = answer.get("confirmations", 0)
    return isinstance(confirmations, int) and confirmations >= 1


def _nonsense(what: str) -> BitcoinError:
    return BitcoinError(
        ErrorKind.INVALID_RESPONSE, f"the node answered with {what}: check its version"
    )
