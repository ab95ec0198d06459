"""From the wire's transactions to python-bitcoinlib's and to bytes, for broadcast."""

from __future__ import annotations

from bitcoin.core import (
    COutPoint,
    CTransaction,
    CTxIn,
    CTxInWitness,
    CTxOut,
    CTxWitness,
    b2lx,
    lx,
    x,
)
from bitcoin.core.script import CScript, CScriptWitness
from bitcoin.core.serialize import Hash

from btc_legacy import wire
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.protocol import Input, Output, Transaction

# The largest serialised transaction that consensus allows.
_MAX_BYTES = 4_000_000

_I64_LIMIT = 2**63


def encode_transaction(transaction: Transaction) -> bytes:
    """Serialises the fields and checks that `txid` and `wtxid` belong to the bytes."""
    tx = to_ctransaction(transaction)
    raw: bytes = tx.serialize()
    if len(raw) > _MAX_BYTES:
        raise _wrong(f"{len(raw)} bytes are more than the {_MAX_BYTES:,} that consensus allows")
    for name, computed in (("txid", b2lx(tx.GetTxid())), ("wtxid", b2lx(Hash(raw)))):
        if transaction[name].lower() != computed:  # type: ignore[literal-required]
            raise _wrong(
                f"{name} does not belong to the transaction's fields, which give {computed}"
            )
    return raw


def to_ctransaction(transaction: Transaction) -> CTransaction:
    """The same transaction as a `CTransaction`; identifiers and sizes are not looked at."""
    try:
        transaction = wire.transaction("transaction", transaction)
    except wire.WrongShape as error:
        raise _wrong(str(error)) from error
    if not transaction["inputs"]:
        # Its bytes would start like those of a transaction with witnesses (BIP144).
        raise _wrong("a transaction without inputs cannot be serialised: add an input")
    return CTransaction(
        vin=[_txin(item) for item in transaction["inputs"]],
        vout=[_txout(item) for item in transaction["outputs"]],
        nLockTime=transaction["lock_time"],
        nVersion=transaction["version"],
        witness=CTxWitness(tuple(_witness(item) for item in transaction["inputs"])),
    )


def _txin(item: Input) -> CTxIn:
    txid, _, vout = item["previous_output"].partition(":")
    return CTxIn(COutPoint(lx(txid), int(vout)), CScript(x(item["script_sig"])), item["sequence"])


def _witness(item: Input) -> CTxInWitness:
    return CTxInWitness(CScriptWitness(tuple(x(element) for element in item["witness"])))


def _txout(item: Output) -> CTxOut:
    value = item["value_sat"]
    # The mirror of `decode._output`: python-bitcoinlib packs amounts as signed.
    signed = value if value < _I64_LIMIT else value - 2 * _I64_LIMIT
    return CTxOut(signed, CScript(x(item["script_pubkey"])))


def _wrong(message: str) -> BitcoinError:
    return BitcoinError(ErrorKind.INVALID_INPUT, message)
