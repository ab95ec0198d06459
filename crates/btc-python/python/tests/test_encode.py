"""Encoding, alone and together with decoding."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pytest
from bitcoin.core import (
    COutPoint,
    CTransaction,
    CTxIn,
    CTxInWitness,
    CTxOut,
    CTxWitness,
)
from bitcoin.core.script import CScript, CScriptWitness
from hypothesis import given
from hypothesis import strategies as st

from btc_legacy.decode import decode_transaction
from btc_legacy.encode import encode_transaction, to_ctransaction
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.protocol import Transaction
from tests import vectors

_SCRIPTS = st.binary(max_size=300).map(CScript)
_U32 = st.integers(0, 2**32 - 1)
_STACKS = st.lists(st.binary(max_size=300), max_size=4).map(
    lambda stack: CTxInWitness(CScriptWitness(tuple(stack)))
)
_INPUTS = st.builds(
    CTxIn, st.builds(COutPoint, st.binary(min_size=32, max_size=32), _U32), _SCRIPTS, _U32
)
_OUTPUTS = st.builds(CTxOut, st.integers(-(2**63), 2**63 - 1), _SCRIPTS)


@st.composite
def _transactions(draw: st.DrawFn) -> Any:
    inputs = draw(st.lists(_INPUTS, min_size=1, max_size=4))
    stacks = draw(st.lists(_STACKS, min_size=len(inputs), max_size=len(inputs)))
    return CTransaction(
        vin=inputs,
        vout=draw(st.lists(_OUTPUTS, max_size=4)),
        nLockTime=draw(_U32),
        nVersion=draw(st.integers(-(2**31), 2**31 - 1)),
        witness=CTxWitness(tuple(stacks)),
    )


def _sha256d(raw: bytes) -> str:
    return hashlib.sha256(hashlib.sha256(raw).digest()).digest()[::-1].hex()


@given(_transactions())
def test_decoding_and_encoding_give_the_same_bytes(tx: Any) -> None:
    raw = tx.serialize()
    wire = decode_transaction(raw)
    assert encode_transaction(wire) == raw
    assert wire["wtxid"] == _sha256d(raw)
    assert wire["size"] == len(raw)
    witness_bytes = len(tx.wit.serialize()) + 2 if tx.has_witness() else 0
    assert wire["weight"] == 4 * len(raw) - 3 * witness_bytes
    assert (wire["txid"] == wire["wtxid"]) == (witness_bytes == 0)


@given(_transactions())
def test_encoding_and_decoding_give_the_same_fields(tx: Any) -> None:
    wire = decode_transaction(tx.serialize())
    assert decode_transaction(encode_transaction(copy.deepcopy(wire))) == wire


def test_identifiers_in_upper_case_are_the_same_identifiers() -> None:
    wire = decode_transaction(bytes.fromhex(vectors.SEGWIT_TX))
    wire["txid"] = wire["txid"].upper()
    wire["wtxid"] = wire["wtxid"].upper()
    assert encode_transaction(wire).hex() == vectors.SEGWIT_TX


def _segwit() -> Transaction:
    return decode_transaction(bytes.fromhex(vectors.SEGWIT_TX))


def _refused(wire: Transaction) -> BitcoinError:
    with pytest.raises(BitcoinError) as caught:
        encode_transaction(wire)
    assert caught.value.kind is ErrorKind.INVALID_INPUT
    return caught.value


def test_a_wrong_txid_is_refused() -> None:
    wire = _segwit()
    wire["txid"] = vectors.UNKNOWN
    assert "txid does not belong" in _refused(wire).message


def test_a_wrong_wtxid_is_refused() -> None:
    wire = _segwit()
    wire["inputs"][1]["witness"].pop()
    assert "wtxid does not belong" in _refused(wire).message


def test_an_altered_amount_is_refused() -> None:
    wire = _segwit()
    wire["outputs"][0]["value_sat"] += 1
    assert "txid does not belong" in _refused(wire).message


def test_a_transaction_without_inputs_is_refused() -> None:
    wire = _segwit()
    wire["inputs"] = []
    assert "without inputs" in _refused(wire).message


def test_more_bytes_than_a_block_may_have_are_refused() -> None:
    wire = _segwit()
    wire["outputs"][0]["script_pubkey"] = "51" * 4_000_000
    assert "more than the 4,000,000" in _refused(wire).message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2**31),
        ("lock_time", -1),
        ("lock_time", True),
        ("size", "343"),
        ("inputs", None),
        ("outputs", [{"value_sat": 2**64, "script_pubkey": ""}]),
        ("outputs", [{"value_sat": 1, "script_pubkey": "0"}]),
        ("outputs", [{"value_sat": 1}]),
        ("txid", "00"),
        ("surprise", 1),
    ],
)
def test_wrong_shapes_are_refused_with_the_place(field: str, value: object) -> None:
    wire: Any = _segwit()
    wire[field] = value
    assert _refused(wire).message.startswith("transaction")


@pytest.mark.parametrize("outpoint", ["00:0", "00" * 32, "00" * 32 + ":4294967296", 7])
def test_wrong_outpoints_are_refused(outpoint: Any) -> None:
    wire = _segwit()
    wire["inputs"][1]["previous_output"] = outpoint
    assert "transaction.inputs[1].previous_output" in _refused(wire).message


def test_own_classes_can_have_the_library_object() -> None:
    tx = to_ctransaction(_segwit())
    assert tx.GetTxid()[::-1].hex() == vectors.SEGWIT_TXID
    assert tx.serialize().hex() == vectors.SEGWIT_TX
