"""What becomes of a payment by the node's answer, with other callers at work on a real node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from btc_legacy import sending
from btc_legacy.backend import LegacyBackend
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.rpc import RpcClient
from tests.following import TARGET, allow_replacement
from tests.paying import fund, mempool, pay, plan, rows
from tests.regtest import Node, needs_bitcoind
from tests.wallet_folder import reservations

pytestmark = needs_bitcoind

# A node that takes nothing below 10 sat/vB.
DEAR = "-minrelaytxfee=0.0001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of `wallet`."""
    return tmp_path / "wallet"


@pytest.fixture(autouse=True)
def _clean(node: Node) -> Iterator[None]:
    """Leaves no transaction in the mempool, and the node as it was started."""
    yield
    node.restart()
    node.mine()


def after_the_answer(patch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Acts between the node's first answer and what is written down of it."""
    waiting = [act]

    def send(rpc: RpcClient, raw: bytes, txid: str) -> str:
        try:
            return sending.send(rpc, raw, txid)
        finally:
            while waiting:
                waiting.pop()()

    patch.setattr("btc_legacy.wallet.wallet.send", send)


def replaced(folder: Path) -> list[str]:
    """The payments that any transaction may replace."""
    with reservations(folder) as database:
        return [txid for (txid,) in database.execute("SELECT txid FROM replaces")]


def test_a_refusal_leaves_a_payment_that_another_caller_has_handed_over_meanwhile(
    node: Node, wallet: LegacyBackend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(node, wallet, 50_000)
    old = pay(wallet, 10_000)
    tx = plan(wallet, old, 20_000, 9)
    allow_replacement(folder, tx, old)
    node.restart(DEAR)

    def again_without_an_answer() -> None:
        node.stop()
        with pytest.raises(BitcoinError) as caught:
            wallet.broadcast_transaction(tx)
        assert caught.value.kind is ErrorKind.UNAVAILABLE
        node.start(DEAR)

    after_the_answer(monkeypatch, again_without_an_answer)
    with pytest.raises(BitcoinError, match="another caller has handed it over") as caught:
        wallet.broadcast_transaction(tx)
    assert caught.value.kind is ErrorKind.UNAVAILABLE, "the other one may yet be sent again"
    assert caught.value.context == {"payment": tx["txid"]}
    assert sorted(rows(folder)) == sorted([old["txid"], tx["txid"]])
    assert replaced(folder) == [old["txid"]]


def test_a_refusal_is_success_where_another_caller_has_handed_it_over_with_success_meanwhile(
    node: Node, wallet: LegacyBackend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(node, wallet, 50_000)
    tx = wallet.create_transaction([(TARGET, 10_000)], 2)
    node.restart(DEAR)

    def again() -> None:
        node.restart()
        assert wallet.broadcast_transaction(tx) == tx["txid"]

    after_the_answer(monkeypatch, again)
    assert wallet.broadcast_transaction(tx) == tx["txid"]
    assert rows(folder, "txid, outcome") == [(tx["txid"], "accepted")]
    assert mempool(node) == {tx["txid"]}
