"""Decoding against vectors, and what it must refuse."""

from __future__ import annotations

import struct

import pytest

from btc_legacy.decode import decode_block, decode_transaction
from btc_legacy.errors import BitcoinError, ErrorKind
from tests import vectors

# BIP143's transaction without the marker, the flag and the witnesses.
_INPUT = "00" * 32 + "00000000" + "00" + "ffffffff"


def _legacy(value: bytes = b"\x01" + bytes(7), inputs: str = "01" + _INPUT) -> str:
    return "02000000" + inputs + "01" + value.hex() + "00" + "00000000"


def test_a_transaction_without_witness() -> None:
    tx = decode_transaction(bytes.fromhex(vectors.GENESIS_TX))
    assert tx["txid"] == tx["wtxid"] == vectors.GENESIS_TXID
    assert (tx["version"], tx["lock_time"]) == (1, 0)
    assert (tx["size"], tx["weight"]) == (204, 816)
    (item,) = tx["inputs"]
    assert item["previous_output"] == "00" * 32 + ":4294967295"
    assert item["script_sig"].startswith("04ffff001d")
    assert (item["sequence"], item["witness"]) == (0xFFFFFFFF, [])
    (output,) = tx["outputs"]
    assert output["value_sat"] == 5_000_000_000
    assert output["script_pubkey"].startswith("4104678afdb0")
    assert (tx["fee_sat"], tx["block_hash"], tx["block_height"]) == (None, None, None)


def test_a_transaction_with_witness() -> None:
    tx = decode_transaction(bytes.fromhex(vectors.SEGWIT_TX))
    assert (tx["txid"], tx["wtxid"]) == (vectors.SEGWIT_TXID, vectors.SEGWIT_WTXID)
    assert (tx["size"], tx["weight"]) == (vectors.SEGWIT_SIZE, vectors.SEGWIT_WEIGHT)
    assert tx["lock_time"] == 17
    first, second = tx["inputs"]
    assert first["previous_output"] == (
        "9f96ade4b41d5433f4eda31e1738ec2b36f6e7d1420d94a6af99801a88f7f7ff:0"
    )
    assert first["sequence"] == 0xFFFFFFEE
    assert first["witness"] == []
    assert second["script_sig"] == ""
    assert [len(item) // 2 for item in second["witness"]] == [71, 33]
    assert [output["value_sat"] for output in tx["outputs"]] == [112_340_000, 223_450_000]


def test_a_block_without_witnesses() -> None:
    (tx,) = decode_block(bytes.fromhex(vectors.GENESIS_BLOCK), vectors.GENESIS_HASH)
    assert tx["txid"] == vectors.GENESIS_TXID
    assert tx["block_hash"] == vectors.GENESIS_HASH
    assert tx["block_height"] is None


def test_a_block_with_witnesses() -> None:
    (tx,) = decode_block(bytes.fromhex(vectors.REGTEST_BLOCK), vectors.REGTEST_HASH)
    assert (tx["txid"], tx["wtxid"]) == (vectors.REGTEST_TXID, vectors.REGTEST_WTXID)
    assert (tx["size"], tx["weight"]) == (vectors.REGTEST_TX_SIZE, vectors.REGTEST_TX_WEIGHT)
    assert tx["inputs"][0]["witness"] == ["00" * 32]


@pytest.mark.parametrize("value", [0, 21_000_000 * 10**8 + 1, 2**63, 2**64 - 1])
def test_amounts_read_as_unsigned(value: int) -> None:
    tx = decode_transaction(bytes.fromhex(_legacy(struct.pack("<Q", value))))
    assert tx["outputs"][0]["value_sat"] == value


def test_versions_read_as_signed() -> None:
    tx = decode_transaction(bytes.fromhex("ffffffff" + vectors.GENESIS_TX[8:]))
    assert tx["version"] == -1


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "01",
        vectors.GENESIS_TX[:-2],
        vectors.GENESIS_TX + "00",
        vectors.SEGWIT_TX[:-8],
        "02000000" + "ff" * 60,
    ],
    ids=["empty", "short", "truncated", "trailing", "no-lock-time", "huge-count"],
)
def test_undecodable_transactions_are_refused(raw: str) -> None:
    with pytest.raises(BitcoinError, match="cannot be decoded") as caught:
        decode_transaction(bytes.fromhex(raw))
    assert caught.value.kind is ErrorKind.INVALID_RESPONSE


def test_non_minimal_counts_are_accepted() -> None:
    """A documented liberty of python-bitcoinlib: the identifiers are of the canonical bytes."""
    plain = decode_transaction(bytes.fromhex(_legacy()))
    padded = decode_transaction(bytes.fromhex(_legacy(inputs="fd0100" + _INPUT)))
    assert padded == plain


def test_a_witness_flag_without_witnesses_is_accepted() -> None:
    """A documented liberty of python-bitcoinlib: the flag is dropped."""
    plain = decode_transaction(bytes.fromhex(_legacy()))
    raw = _legacy()
    flagged = raw[:8] + "0001" + raw[8:-8] + "00" + raw[-8:]
    assert decode_transaction(bytes.fromhex(flagged)) == plain


def test_another_block_than_the_one_asked_for_is_refused() -> None:
    with pytest.raises(BitcoinError, match="another block") as caught:
        decode_block(bytes.fromhex(vectors.GENESIS_BLOCK), vectors.REGTEST_HASH)
    assert caught.value.kind is ErrorKind.INVALID_RESPONSE


@pytest.mark.parametrize(
    "raw",
    [
        # One satoshi less in the coinbase; the header is untouched.
        vectors.GENESIS_BLOCK.replace("00f2052a01", "fff1052a01"),
        vectors.GENESIS_BLOCK[:160] + "00",
    ],
    ids=["altered", "empty"],
)
def test_transactions_that_do_not_belong_to_the_header_are_refused(raw: str) -> None:
    with pytest.raises(BitcoinError, match="do not belong") as caught:
        decode_block(bytes.fromhex(raw), vectors.GENESIS_HASH)
    assert caught.value.kind is ErrorKind.INVALID_RESPONSE


@pytest.mark.parametrize("raw", ["", vectors.GENESIS_BLOCK[:150], vectors.GENESIS_BLOCK + "00"])
def test_undecodable_blocks_are_refused(raw: str) -> None:
    with pytest.raises(BitcoinError, match="cannot be decoded") as caught:
        decode_block(bytes.fromhex(raw), vectors.GENESIS_HASH)
    assert caught.value.kind is ErrorKind.INVALID_RESPONSE
