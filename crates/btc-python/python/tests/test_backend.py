"""`LegacyBackend` against a scripted node: what it asks, what it refuses to believe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from btc_legacy.backend import LegacyBackend
from btc_legacy.config import Config
from btc_legacy.decode import decode_transaction
from btc_legacy.errors import BitcoinError, ErrorKind
from tests import vectors
from tests.rpc_server import Answer, ScriptedNode, drop, error, result

_ON_REGTEST = result({"chain": "regtest"})
_BLOCK = "11" * 32


def _backend(node: ScriptedNode, network: str = "regtest") -> LegacyBackend:
    return LegacyBackend(Config(network=network, rpc_url=node.url, timeout_secs=5))


def _run(call: Callable[[LegacyBackend], object], *answers: Answer) -> tuple[Any, ScriptedNode]:
    """The call's result, or the error it raised, and the node it asked."""
    with ScriptedNode(_ON_REGTEST, *answers) as node:
        backend = _backend(node)
        try:
            return call(backend), node
        except BitcoinError as failure:
            return failure, node


def _kind(outcome: object) -> ErrorKind:
    assert isinstance(outcome, BitcoinError), outcome
    assert outcome.message[0].islower()
    return outcome.kind


@pytest.mark.parametrize(
    ("network", "chain"),
    [
        ("mainnet", "main"),
        ("testnet3", "test"),
        ("testnet4", "testnet4"),
        ("signet", "signet"),
        ("regtest", "regtest"),
    ],
)
def test_a_node_on_the_configured_network_is_accepted(network: str, chain: str) -> None:
    with ScriptedNode(result({"chain": chain})) as node:
        _backend(node, network)
    assert node.methods == ["getblockchaininfo"]


@pytest.mark.parametrize(
    ("network", "chain", "found"),
    [("mainnet", "test", "testnet3"), ("testnet3", "testnet4", "testnet4"), ("signet", "x", "x")],
)
def test_a_node_on_another_network_is_refused(network: str, chain: str, found: str) -> None:
    with ScriptedNode(result({"chain": chain})) as node, pytest.raises(BitcoinError) as caught:
        _backend(node, network)
    assert caught.value.kind is ErrorKind.CONFIGURATION
    assert f"on {found}," in caught.value.message
    assert f"says {network}:" in caught.value.message


def test_a_node_without_a_chain_is_nonsense() -> None:
    with ScriptedNode(result({})) as node, pytest.raises(BitcoinError) as caught:
        _backend(node)
    assert caught.value.kind is ErrorKind.INVALID_RESPONSE


@pytest.mark.parametrize(
    ("place", "block_hash"),
    [
        ({}, None),
        ({"blockhash": _BLOCK.upper(), "confirmations": 1}, _BLOCK),
        ({"blockhash": _BLOCK, "confirmations": 0}, None),
    ],
    ids=["mempool", "block", "abandoned-block"],
)
def test_transactions_are_decoded_from_their_bytes(
    place: dict[str, object], block_hash: str | None
) -> None:
    answer = result({"hex": vectors.SEGWIT_TX, "txid": "nonsense"} | place)
    tx, node = _run(lambda backend: backend.get_transaction(vectors.SEGWIT_TXID.upper()), answer)
    assert tx["wtxid"] == vectors.SEGWIT_WTXID
    assert (tx["block_hash"], tx["block_height"], tx["fee_sat"]) == (block_hash, None, None)
    assert node.requests[-1]["params"] == [vectors.SEGWIT_TXID, 1]


@pytest.mark.parametrize(
    "answer",
    [
        {"hex": vectors.GENESIS_TX},
        {"hex": "zz"},
        {"hex": None},
        {},
        "text",
        {"hex": vectors.SEGWIT_TX, "confirmations": 3},
        {"hex": vectors.SEGWIT_TX, "confirmations": 3, "blockhash": "11"},
    ],
)
def test_wrong_transactions_are_not_believed(answer: object) -> None:
    outcome, _ = _run(lambda backend: backend.get_transaction(vectors.SEGWIT_TXID), result(answer))
    assert _kind(outcome) is ErrorKind.INVALID_RESPONSE


def test_the_tip_is_the_nodes() -> None:
    answer = result({"blocks": 7, "bestblockhash": vectors.REGTEST_HASH})
    tip, _ = _run(lambda backend: backend.tip(), answer)
    assert tip == {"height": 7, "hash": vectors.REGTEST_HASH}
    for wrong in ({}, {"blocks": -1, "bestblockhash": "00"}, "text", {"blocks": 7}):
        outcome, _ = _run(lambda backend: backend.tip(), result(wrong))
        assert _kind(outcome) is ErrorKind.INVALID_RESPONSE


@pytest.mark.parametrize(
    "text", ["", "00", "g" * 64, "0" * 63, "0" * 65, "\uff10" * 64, "0" * 64 + "\n"]
)
def test_malformed_hashes_do_not_reach_the_node(text: str) -> None:
    outcome, node = _run(lambda backend: backend.get_transaction(text))
    assert _kind(outcome) is ErrorKind.INVALID_INPUT
    outcome, node = _run(lambda backend: backend.get_block(text))
    assert _kind(outcome) is ErrorKind.INVALID_INPUT
    assert node.methods == ["getblockchaininfo"]


def test_blocks_are_decoded_from_their_bytes() -> None:
    block, node = _run(
        lambda backend: backend.get_block(vectors.REGTEST_HASH.upper()),
        result(vectors.REGTEST_BLOCK),
    )
    assert [tx["txid"] for tx in block] == [vectors.REGTEST_TXID]
    assert block[0]["block_hash"] == vectors.REGTEST_HASH
    assert node.requests[-1]["params"] == [vectors.REGTEST_HASH, 0]


@pytest.mark.parametrize("answer", [vectors.GENESIS_BLOCK, {"tx": []}, None, "abc"])
def test_wrong_blocks_are_not_believed(answer: object) -> None:
    outcome, _ = _run(lambda backend: backend.get_block(vectors.REGTEST_HASH), result(answer))
    assert _kind(outcome) is ErrorKind.INVALID_RESPONSE


@pytest.mark.parametrize(
    ("answer", "expected"), [(0, 0), (2**32 - 1, 2**32 - 1), (-1, None), ("7", None), (True, None)]
)
def test_heights(answer: object, expected: int | None) -> None:
    outcome, _ = _run(lambda backend: backend.get_block_height(), result(answer))
    if expected is None:
        assert _kind(outcome) is ErrorKind.INVALID_RESPONSE
    else:
        assert outcome == expected


def _broadcast(*answers: Answer) -> tuple[Any, list[str]]:
    tx = decode_transaction(bytes.fromhex(vectors.SEGWIT_TX))
    outcome, node = _run(lambda backend: backend.broadcast_transaction(tx), *answers)
    return outcome, node.methods[1:]


def test_the_bytes_are_sent_once() -> None:
    outcome, methods = _broadcast(result(vectors.SEGWIT_TXID))
    assert outcome == vectors.SEGWIT_TXID
    assert methods == ["sendrawtransaction"]


def test_already_in_the_chain_is_success() -> None:
    outcome, methods = _broadcast(error(-27, "Transaction outputs already in utxo set"))
    assert outcome == vectors.SEGWIT_TXID
    assert methods == ["sendrawtransaction"]


@pytest.mark.parametrize("code", [-25, -26])
@pytest.mark.parametrize(
    "place", [{}, {"blockhash": _BLOCK, "confirmations": 3}], ids=["mempool", "block"]
)
def test_refused_because_known_is_success(code: int, place: dict[str, object]) -> None:
    known = result({"hex": vectors.SEGWIT_TX} | place)
    outcome, methods = _broadcast(error(code, "bad-txns-inputs-missingorspent"), known)
    assert outcome == vectors.SEGWIT_TXID
    assert methods == ["sendrawtransaction", "getrawtransaction"]


@pytest.mark.parametrize(
    "looked_up",
    [
        error(-5, "No such mempool or blockchain transaction"),
        result({"hex": vectors.SEGWIT_TX, "blockhash": _BLOCK, "confirmations": 0}),
    ],
    ids=["unknown", "abandoned-block"],
)
def test_refused_and_unknown_is_rejected_with_the_reason(looked_up: Answer) -> None:
    outcome, _ = _broadcast(error(-26, "min relay fee not met, 0 < 34"), looked_up)
    assert _kind(outcome) is ErrorKind.REJECTED
    assert "min relay fee not met, 0 < 34" in outcome.message


def test_refused_and_not_looked_up_says_both() -> None:
    outcome, _ = _broadcast(error(-25, "missing inputs"), error(-28, "Loading wallet"))
    assert _kind(outcome) is ErrorKind.UNAVAILABLE
    assert "missing inputs" in outcome.message
    assert "unknown" in outcome.message


def test_undecodable_is_invalid_input_and_not_looked_up() -> None:
    outcome, methods = _broadcast(error(-22, "TX decode failed"))
    assert _kind(outcome) is ErrorKind.INVALID_INPUT
    assert methods == ["sendrawtransaction"]


def test_an_unclear_outcome_is_not_sent_again() -> None:
    outcome, methods = _broadcast(drop, result(vectors.SEGWIT_TXID))
    assert _kind(outcome) is ErrorKind.UNAVAILABLE
    assert methods == ["sendrawtransaction"]


@pytest.mark.parametrize("answer", [vectors.UNKNOWN, None, 7])
def test_another_txid_is_not_believed(answer: object) -> None:
    outcome, _ = _broadcast(result(answer))
    assert _kind(outcome) is ErrorKind.INVALID_RESPONSE


def test_identifiers_that_do_not_belong_do_not_reach_the_node() -> None:
    tx = decode_transaction(bytes.fromhex(vectors.SEGWIT_TX))
    tx["txid"] = vectors.UNKNOWN
    outcome, node = _run(lambda backend: backend.broadcast_transaction(tx))
    assert _kind(outcome) is ErrorKind.INVALID_INPUT
    assert node.methods == ["getblockchaininfo"]


@pytest.mark.parametrize(
    "call",
    [
        lambda backend: backend.generate_address("p2wpkh"),
        lambda backend: backend.create_transaction([("a", 1)], 1),
        lambda backend: backend.get_balance(),
        lambda backend: backend.derive_address("p2wpkh", 0),
        lambda backend: backend.create_transaction_with_snapshot([("a", 1)], 1),
        lambda backend: backend.plan_transaction([("a", 1)], 1, {}),
        lambda backend: backend.wallet_state(),
    ],
)
def test_wallet_operations_are_unsupported(call: Callable[[LegacyBackend], object]) -> None:
    outcome, _ = _run(call)
    assert _kind(outcome) is ErrorKind.UNSUPPORTED
    assert outcome.message == "no wallet is configured"


@pytest.mark.parametrize("answer", [None, [], {}, [{}], [7], "text"])
def test_wrong_checks_of_a_broadcast_are_not_believed(answer: object) -> None:
    outcome, _ = _run(lambda backend: backend.check_broadcast("00"), result(answer))
    assert _kind(outcome) is ErrorKind.INVALID_RESPONSE


def test_a_broadcast_is_judged_by_the_node_first() -> None:
    outcome, node = _run(
        lambda backend: backend.check_broadcast("00"), error(-22, "TX decode failed")
    )
    assert _kind(outcome) is ErrorKind.INVALID_INPUT
    assert node.requests[-1]["params"] == [["00"]]
