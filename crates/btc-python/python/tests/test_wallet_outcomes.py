"""What becomes of a payment by the node's answer, with other callers at work on a real node."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from btc_legacy import sending
from btc_legacy.backend import LegacyBackend
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.rpc import RpcClient
from btc_legacy.wallet import shared_file
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


@contextmanager
def _busy(folder: Path) -> Iterator[None]:
    """Another process has the file."""
    with (folder / shared_file.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _in_the_way(folder: Path) -> Iterator[None]:
    """The operating system does not open it."""
    lock = folder / shared_file.LOCK
    lock.unlink()
    lock.mkdir()
    yield
    lock.rmdir()


@pytest.mark.parametrize("obstacle", [_busy, _in_the_way])
@pytest.mark.parametrize("is_dear", [True, False])
def test_an_answer_that_cannot_be_written_down(
    obstacle: Callable[[Path], Iterator[None]],
    is_dear: bool,
    node: Node,
    wallet: LegacyBackend,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fund(node, wallet, 50_000)
    tx = wallet.create_transaction([(TARGET, 10_000)], 2)
    if is_dear:
        node.restart(DEAR)
    monkeypatch.setattr(shared_file, "WAIT_SECS", 0.05)
    in_the_way = contextmanager(obstacle.__wrapped__)(folder)  # type: ignore[attr-defined]
    after_the_answer(monkeypatch, in_the_way.__enter__)
    if is_dear:
        with pytest.raises(BitcoinError, match="still listed, and may be sent again") as caught:
            wallet.broadcast_transaction(tx)
        assert caught.value.kind is ErrorKind.UNAVAILABLE, "its coins are not free"
        assert caught.value.context == {"payment": tx["txid"]}
    else:
        assert wallet.broadcast_transaction(tx) == tx["txid"]
        (warning,) = caplog.records
        assert warning.levelno == logging.WARNING
        assert tx["txid"] in warning.getMessage()
    in_the_way.__exit__(None, None, None)
    assert rows(folder, "txid, outcome") == [(tx["txid"], "unknown")]
    assert mempool(node) == (set() if is_dear else {tx["txid"]})


def test_a_payment_that_the_node_takes_is_not_given_up_whoever_gave_it_up_meanwhile(
    node: Node, wallet: LegacyBackend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(node, wallet, 50_000)
    tx = wallet.create_transaction([(TARGET, 10_000)], 2)
    after_the_answer(monkeypatch, lambda: give_up(folder, tx["txid"]))
    wallet.broadcast_transaction(tx)
    assert rows(folder, "outcome, abandoned_ms") == [("accepted", None)]


def give_up(folder: Path, txid: str) -> None:
    """Gives a payment up, as the command of the Rust side does."""
    with reservations(folder) as database:
        database.execute("UPDATE payments SET abandoned_ms = 5 WHERE txid = ?", (txid,))


def test_what_a_replacement_drops_is_given_up_when_the_node_takes_the_replacement(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 40_000)
    old = pay(wallet, 10_000)
    child = pay(wallet, 70_000)
    assert {f"{old['txid']}:1"} < {it["previous_output"] for it in child["inputs"]}
    tx = plan(wallet, old, 20_000, 30)
    allow_replacement(folder, tx, old, child)
    node.stop()
    with pytest.raises(BitcoinError):
        wallet.broadcast_transaction(tx)
    node.start()
    assert not any(rows(folder, "abandoned_ms")), "the node may not have it"
    # What is named by what is named, too.
    newest = plan(wallet, old, 20_000, 60)
    allow_replacement(folder, newest, tx)
    wallet.broadcast_transaction(newest)
    given_up = [txid for txid, at in rows(folder, "txid, abandoned_ms") if at is not None]
    assert given_up == [child["txid"]], "the others share a coin with it"
    state = wallet.wallet_state()["balance"]
    assert (state["confirmed_sat"], state["held_by_missing_sat"]) == (40_000, 0), (
        "that coin is free"
    )
    # Handed over again and refused, it is given up still: its caller pays anew.
    with pytest.raises(BitcoinError) as caught:
        wallet.broadcast_transaction(child)
    assert caught.value.kind is ErrorKind.REJECTED
    given_up = [txid for txid, at in rows(folder, "txid, abandoned_ms") if at is not None]
    assert given_up == [child["txid"]]
