"""`LegacyBackend` against a real Bitcoin Core, on a regtest chain of its own.

Needs `BITCOIND_EXE`, the path of a bitcoind; a wallet is not needed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from bitcoin.core import (
    COutPoint,
    CTransaction,
    CTxIn,
    CTxInWitness,
    CTxOut,
    CTxWitness,
    lx,
)
from bitcoin.core.script import CScriptWitness

from btc_legacy.backend import LegacyBackend
from btc_legacy.decode import transaction_to_wire
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.host import Host
from btc_legacy.protocol import Transaction
from tests import vectors
from tests.regtest import ANYONE, FEE_SAT, PAY_TO_ANYONE, Node, needs_bitcoind, running_node

pytestmark = needs_bitcoind

REGTEST_GENESIS = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A running node with some mature coins."""
    with running_node(coins=20) as node:
        yield node


@pytest.fixture(scope="module")
def backend(node: Node) -> LegacyBackend:
    """The backend under test."""
    return LegacyBackend(node.config())


_heights = iter(range(1, 20))


@pytest.fixture
def coin(node: Node, backend: LegacyBackend) -> Transaction:
    """A mature coinbase transaction that no other test spends."""
    return backend.get_block(node.rpc.read("getblockhash", next(_heights)))[0]


def _spend(coin: Transaction, *, fee_sat: int = FEE_SAT) -> Transaction:
    value = coin["outputs"][0]["value_sat"] - fee_sat
    return transaction_to_wire(
        CTransaction(
            vin=[CTxIn(COutPoint(lx(coin["txid"]), 0), nSequence=0xFFFFFFFD)],
            vout=[CTxOut(value, PAY_TO_ANYONE)],
            nVersion=2,
            witness=CTxWitness((CTxInWitness(CScriptWitness((ANYONE,))),)),
        )
    )


def _kind(call: Any, *params: Any) -> ErrorKind:
    with pytest.raises(BitcoinError) as caught:
        call(*params)
    return caught.value.kind


def test_blocks_agree_with_cores_own_decoder(
    node: Node, backend: LegacyBackend, coin: Transaction
) -> None:
    backend.broadcast_transaction(_spend(coin))
    (block_hash,) = node.mine()
    ours = backend.get_block(block_hash.upper())
    cores = node.rpc.read("getblock", block_hash, 2)["tx"]
    assert len(ours) == len(cores) == 2
    for our, core in zip(ours, cores, strict=True):
        assert our["txid"] == core["txid"]
        assert our["wtxid"] == core["hash"]
        assert our["version"] == core["version"]
        assert our["lock_time"] == core["locktime"]
        assert (our["size"], our["weight"]) == (core["size"], core["weight"])
        assert our["block_hash"] == block_hash
        for item, theirs in zip(our["inputs"], core["vin"], strict=True):
            assert item["sequence"] == theirs["sequence"]
            assert item["witness"] == theirs.get("txinwitness", [])
            if "coinbase" in theirs:
                assert item["previous_output"] == "00" * 32 + ":4294967295"
                assert item["script_sig"] == theirs["coinbase"]
            else:
                assert item["previous_output"] == f"{theirs['txid']}:{theirs['vout']}"
                assert item["script_sig"] == theirs["scriptSig"]["hex"]
        for output, theirs in zip(our["outputs"], core["vout"], strict=True):
            assert output["value_sat"] == theirs["value"] * 10**8
            assert output["script_pubkey"] == theirs["scriptPubKey"]["hex"]


def test_the_genesis_block_is_returned_and_its_coinbase_is_not(backend: LegacyBackend) -> None:
    (tx,) = backend.get_block(REGTEST_GENESIS)
    assert tx["txid"] == vectors.GENESIS_TXID
    assert _kind(backend.get_transaction, vectors.GENESIS_TXID) is ErrorKind.NOT_FOUND


def test_unknown_hashes_are_not_found(backend: LegacyBackend) -> None:
    assert _kind(backend.get_transaction, vectors.UNKNOWN) is ErrorKind.NOT_FOUND
    assert _kind(backend.get_block, vectors.UNKNOWN) is ErrorKind.NOT_FOUND


def test_the_height_follows_the_chain(node: Node, backend: LegacyBackend) -> None:
    before = backend.get_block_height()
    node.mine(2)
    assert backend.get_block_height() == before + 2


def test_a_fresh_chain_has_the_floor_for_a_fee_estimate(backend: LegacyBackend) -> None:
    for target in (2, 255):
        assert backend.estimate_fee(target) == 1
        assert backend.explain_fee(target) == {
            "sat_per_vb": 1,
            "source": "minimum_relay",
            "floor_sat_per_vb": 1,
            "target_blocks": target,
        }


def test_a_transaction_can_be_broadcast_at_any_point_of_its_life(
    node: Node, backend: LegacyBackend, coin: Transaction
) -> None:
    tx = _spend(coin)
    txid = tx["txid"]
    assert _kind(backend.get_transaction, txid) is ErrorKind.NOT_FOUND
    assert backend.broadcast_transaction(tx) == txid
    assert backend.get_transaction(txid) == tx
    assert backend.broadcast_transaction(tx) == txid, "in the mempool"
    (block_hash,) = node.mine()
    assert backend.get_transaction(txid) == {**tx, "block_hash": block_hash}
    assert backend.broadcast_transaction(tx) == txid, "in a block, unspent"
    backend.broadcast_transaction(_spend(tx))
    node.mine()
    assert backend.broadcast_transaction(tx) == txid, "in a block, spent"


def test_refused_transactions_are_rejected_with_cores_reason(
    node: Node, backend: LegacyBackend, coin: Transaction
) -> None:
    for fee_sat, reason in (
        (0, "min relay fee not met"),
        (-1, "bad-txns-in-belowout"),
        (10**8, "maximum"),
    ):
        with pytest.raises(BitcoinError, match=reason) as caught:
            backend.broadcast_transaction(_spend(coin, fee_sat=fee_sat))
        assert caught.value.kind is ErrorKind.REJECTED
    backend.broadcast_transaction(_spend(coin))
    node.mine()
    with pytest.raises(BitcoinError, match="missingorspent") as caught:
        backend.broadcast_transaction(_spend(coin, fee_sat=FEE_SAT + 1))
    assert caught.value.kind is ErrorKind.REJECTED


def test_a_transaction_of_an_abandoned_block_has_no_block(
    node: Node, backend: LegacyBackend
) -> None:
    (block_hash,) = node.mine()
    (coinbase,) = backend.get_block(block_hash)
    assert backend.get_transaction(coinbase["txid"])["block_hash"] == block_hash
    node.rpc.write("invalidateblock", block_hash)
    try:
        assert backend.get_transaction(coinbase["txid"])["block_hash"] is None
        assert backend.get_block(block_hash) == [coinbase]
    finally:
        node.rpc.write("reconsiderblock", block_hash)


def test_threads_may_share_a_backend(backend: LegacyBackend, node: Node) -> None:
    hashes = [node.rpc.read("getblockhash", height) for height in range(40)]
    answers: dict[str, object] = {}

    def work(block_hash: str) -> None:
        answers[block_hash] = backend.get_block(block_hash)[0]["block_hash"]

    threads = [threading.Thread(target=work, args=(item,)) for item in hashes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {item: item for item in hashes}


def test_wrong_settings_are_named(node: Node) -> None:
    with pytest.raises(BitcoinError, match="on regtest, the configuration says signet") as caught:
        LegacyBackend(node.config(network="signet"))
    assert caught.value.kind is ErrorKind.CONFIGURATION
    with pytest.raises(BitcoinError, match="BITCOIN_RPC_PASSWORD") as caught:
        LegacyBackend(node.config(rpc_user="alice", rpc_password="wrong"))
    assert caught.value.kind is ErrorKind.AUTH


def test_the_host_answers_with_the_real_backend(node: Node) -> None:
    host = Host()
    start = {"backend": "btc_legacy.backend:LegacyBackend", "config": vars(node.config())}
    requests: list[tuple[str, object]] = [
        ("start", start),
        ("get_block", [REGTEST_GENESIS]),
        ("get_block", [vectors.UNKNOWN]),
        ("get_block", ["zz"]),
        ("get_balance", []),
    ]
    answers = [
        json.loads(host.handle(json.dumps({"method": method, "params": params}).encode()))
        for method, params in requests
    ]
    assert answers[0]["ok"]["protocol"] == 2
    assert answers[1]["ok"][0]["txid"] == vectors.GENESIS_TXID
    kinds = [answer["error"]["kind"] for answer in answers[2:]]
    assert kinds == ["not_found", "invalid_input", "unsupported"]


def test_a_backend_survives_a_restart_of_the_node(node: Node, backend: LegacyBackend) -> None:
    height = backend.get_block_height()
    old_cookie = node.cookie.read_text()
    node.stop()
    assert _kind(backend.get_block_height) is ErrorKind.UNAVAILABLE
    node.start()
    assert node.cookie.read_text() != old_cookie
    assert backend.get_block_height() == height
