"""Payments that a real node has lost: kept, sent again, and decided by the chain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from btc_legacy import sending
from btc_legacy.backend import LegacyBackend
from btc_legacy.encode import encode_transaction
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.protocol import Transaction
from btc_legacy.rpc import RpcClient
from btc_legacy.wallet import reservations as module
from tests.following import TARGET, buckets, opened, script
from tests.paying import (
    CONFLICT,
    NO_MEMPOOL,
    RESERVED,
    coin_at,
    forget_mempool,
    fund,
    make_due,
    mempool,
    not_yet,
    pay,
    plan,
    refused,
    rows,
    unloaded_mempool,
)
from tests.regtest import Node, needs_bitcoind
from tests.wallet_folder import reservations

pytestmark = needs_bitcoind


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


def test_a_payment_that_is_lost_by_the_node_keeps_its_coins_and_is_sent_again(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 40_000)
    tx = pay(wallet, 10_000)
    child = wallet.create_transaction([(TARGET, 70_000)], 2)
    wallet.broadcast_transaction(child)
    assert f"{tx['txid']}:1" in {it["previous_output"] for it in child["inputs"]}
    node.restart(NO_MEMPOOL)
    assert mempool(node) == set()
    not_yet(folder)
    for _ in range(2):
        state = wallet.wallet_state()
        assert state["balance"]["confirmed_sat"] == 90_000
        assert state["balance"]["held_by_missing_sat"] == 90_000
        assert wallet.snapshot()["coins"] == []
        with pytest.raises(BitcoinError, match="not enough coins"):
            wallet.create_transaction([(TARGET, 5000)], 1)
        # Opened again, it is so as well.
        wallet.close()
        wallet = opened(node, folder)
    assert mempool(node) == set(), "not before its time"
    make_due(folder)
    # What shadow mode asks of the other side has no effect.
    wallet.wallet_state()
    wallet.snapshot()
    coins: Any = [coin_at(wallet, tx["inputs"][0]["previous_output"])]
    planned = wallet.plan_transaction([(TARGET, 5000)], 1, {**wallet.snapshot(), "coins": coins})
    assert planned["unknown_coins"] == [tx["inputs"][0]["previous_output"]], (
        "held, so not spendable"
    )
    wallet.check_broadcast(encode_transaction(tx).hex())
    assert mempool(node) == set()
    assert rows(folder, "next_broadcast_ms") == [1, 1]
    balance = wallet.get_balance()
    assert mempool(node) == {tx["txid"], child["txid"]}, "the parent first, then the child"
    assert balance == child["outputs"][1]["value_sat"], "as it is after that"
    assert all(at > module.now_ms() for at in rows(folder, "next_broadcast_ms"))
    node.mine()
    assert buckets(wallet) == {"confirmed": child["outputs"][1]["value_sat"]}
    wallet.close()


def test_one_side_sends_a_missing_payment_again_not_both(
    node: Node, wallet: LegacyBackend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(node, wallet, 50_000)
    pay(wallet, 10_000)
    node.restart(NO_MEMPOOL)
    make_due(folder)
    sent = []

    def failing(*_: object) -> None:
        sent.append(1)
        raise BitcoinError(ErrorKind.UNAVAILABLE, "not now")

    monkeypatch.setattr("btc_legacy.sending.send", failing)
    wallet.get_balance()
    wallet.get_balance()
    assert sent == [1], "whether it was taken or not, its next time is later"
    with reservations(folder) as database:
        database.execute("UPDATE payments SET next_broadcast_ms = ?", (10**15,))
    wallet.get_balance()
    assert sent == [1, 1], "a time that far ahead is of another clock"


@pytest.mark.parametrize("change", ["abandoned_ms = 5", "settled_height = 9"])
def test_what_is_given_up_or_settled_while_others_are_sent_again_is_not_sent(
    node: Node,
    wallet: LegacyBackend,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    fund(node, wallet, 50_000, 40_000)
    both = {pay(wallet, 10_000)["txid"], pay(wallet, 45_000)["txid"]}
    node.restart(NO_MEMPOOL)
    make_due(folder)
    send = sending.send
    sent = []

    def sending_first(rpc: RpcClient, raw: bytes, txid: str) -> str:
        sent.append(txid)
        with reservations(folder) as database:
            database.execute(f"UPDATE payments SET {change}")  # noqa: S608
        return send(rpc, raw, txid)

    monkeypatch.setattr(sending, "send", sending_first)
    wallet.get_balance()
    assert len(both) == 2
    assert mempool(node) == set(sent) < both
    # The node has the first one: it is not given up.
    changed = rows(folder, f"txid, {change.partition(' ')[0]}")
    is_abandoned = change.startswith("abandoned")
    assert [at for txid, at in changed if txid in sent] == [None if is_abandoned else 9]
    assert [at for txid, at in changed if txid not in sent] == [5 if is_abandoned else 9]


def make_one_due(folder: Path, tx: Transaction) -> None:
    """Says that this payment alone is to be sent again now."""
    not_yet(folder)
    with reservations(folder) as database:
        database.execute("UPDATE payments SET next_broadcast_ms = 1 WHERE txid = ?", (tx["txid"],))


@pytest.mark.parametrize("due", ["parent", "child", "both"])
def test_a_parent_that_is_too_cheap_goes_with_its_child(
    node: Node, wallet: LegacyBackend, folder: Path, due: str
) -> None:
    fund(node, wallet, 50_000)
    parent = pay(wallet, 10_000, fee_rate=1)
    child = pay(wallet, 10_000, fee_rate=60)
    node.restart(NO_MEMPOOL, "-minrelaytxfee=0.00005")
    if due == "both":
        make_due(folder)
    else:
        make_one_due(folder, parent if due == "parent" else child)
    wallet.get_balance()
    assert mempool(node) == {parent["txid"], child["txid"]}


def test_what_is_due_takes_all_that_it_descends_from_with_it_and_nothing_else(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 90_000)
    chain = [pay(wallet, 10_000) for _ in range(4)]
    for payment, tx in itertools.pairwise(chain):
        assert {it["previous_output"] for it in tx["inputs"]} == {f"{payment['txid']}:1"}
    node.restart(NO_MEMPOOL)
    make_one_due(folder, chain[2])
    wallet.get_balance()
    assert mempool(node) == {tx["txid"] for tx in chain[:3]}


def test_a_child_that_was_given_up_meanwhile_does_not_pay_for_its_parent(
    node: Node, wallet: LegacyBackend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(node, wallet, 50_000)
    parent = pay(wallet, 10_000, fee_rate=1)
    child = pay(wallet, 10_000, fee_rate=60)
    node.restart(NO_MEMPOOL, "-minrelaytxfee=0.00005")
    make_one_due(folder, parent)
    send = sending.send

    def sending_first(rpc: RpcClient, raw: bytes, txid: str) -> str:
        with reservations(folder) as database:
            database.execute(
                "UPDATE payments SET abandoned_ms = 5 WHERE txid = ?", (child["txid"],)
            )
        return send(rpc, raw, txid)

    monkeypatch.setattr(sending, "send", sending_first)
    wallet.get_balance()
    assert mempool(node) == set()


def test_a_payment_whose_coin_another_transaction_spends_in_the_chain_is_given_up(
    node: Node, wallet: LegacyBackend, folder: Path, tmp_path: Path, birthday: int
) -> None:
    fund(node, wallet, 50_000, 40_000)
    tx = wallet.create_transaction([(TARGET, 70_000)], 2)
    wallet.broadcast_transaction(tx)
    rival = plan(wallet, tx, 20_000, 3)
    node.restart(NO_MEMPOOL)
    not_yet(folder)
    assert buckets(wallet)["held_by_missing"] == 90_000
    # The same words elsewhere.
    node.rpc.write("sendrawtransaction", encode_transaction(rival).hex())
    (block,) = node.mine()
    left = rival["outputs"][1]["value_sat"] + 40_000
    assert buckets(wallet) == {"confirmed": left}, "the other coin is free"
    # A reorganisation takes that back, and the payment is missing again.
    node.rpc.write("invalidateblock", block)
    node.mine_empty(2)
    not_yet(folder)
    state = wallet.wallet_state()["balance"]
    assert state["held_by_missing_sat"] == 40_000, "the rival waits and has the other coin"
    node.restart(NO_MEMPOOL)
    assert buckets(wallet) == {"confirmed": 90_000, "held_by_missing": 90_000}
    make_due(folder)
    wallet.get_balance()
    assert mempool(node) == {tx["txid"]}
    node.mine()
    assert buckets(wallet) == {"confirmed": tx["outputs"][1]["value_sat"]}


def test_abandoned_payments_free_their_coins_and_are_checked_when_they_are_sent_again(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    tx = pay(wallet, 10_000)
    node.restart(NO_MEMPOOL)
    with reservations(folder) as database:
        database.execute("UPDATE payments SET abandoned_ms = 5, next_broadcast_ms = 1")
    assert buckets(wallet) == {"confirmed": 50_000}
    wallet.get_balance()
    assert mempool(node) == set()
    other = wallet.create_transaction([(TARGET, 20_000)], 2)
    refused(wallet, tx, RESERVED)
    wallet.broadcast_transaction(other)
    assert refused(wallet, tx, CONFLICT).context == {"payment": other["txid"]}
    node.restart(NO_MEMPOOL)
    with reservations(folder) as database:
        database.execute("UPDATE payments SET abandoned_ms = 5")
    wallet.broadcast_transaction(tx)
    assert rows(folder, "txid, abandoned_ms IS NULL") == [(tx["txid"], 1), (other["txid"], 0)]
    assert mempool(node) == {tx["txid"]}


def test_settled_payments_are_not_read_any_more_and_are_opened_again_by_an_undone_block(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    tx = pay(wallet, 10_000)
    (block,) = node.mine()
    height = node.rpc.read("getblockcount")
    node.mine(142)
    wallet.get_balance()
    assert rows(folder, "settled_height") == [None], "143 confirmations"
    node.mine()
    wallet.wallet_state()
    assert rows(folder, "settled_height") == [None], "nothing is written by what has no effect"
    wallet.get_balance()
    assert rows(folder, "settled_height") == [height]
    node.rpc.write("invalidateblock", block)
    node.restart(NO_MEMPOOL)
    # Seen to be missing already, though it is not written yet.
    assert buckets(wallet) == {"confirmed": 50_000, "held_by_missing": 50_000}
    node.mine_empty(3)
    assert buckets(wallet) == {"confirmed": 50_000, "held_by_missing": 50_000}
    assert rows(folder, "settled_height") == [height]
    wallet.close()
    wallet = opened(node, folder)
    assert buckets(wallet) == {"confirmed": 50_000, "held_by_missing": 50_000}
    wallet.get_balance()
    assert rows(folder, "settled_height") == [None]
    assert mempool(node) == set(), "its time has not come"
    make_due(folder)
    wallet.get_balance()
    assert mempool(node) == {tx["txid"]}
    wallet.close()


def test_an_unloaded_mempool_is_unknown_and_not_empty(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 40_000)
    tx = pay(wallet, 10_000)
    node.pay([(script(wallet, 5), 7000)])
    before = wallet.wallet_state()
    snapshot = wallet.snapshot()
    assert before["balance"]["untrusted_pending_sat"] == 7000
    with unloaded_mempool(node):
        make_due(folder)
        assert wallet.wallet_state() == before
        assert wallet.get_balance() == 40_000 + tx["outputs"][1]["value_sat"]
        assert wallet.snapshot() == snapshot
        assert mempool(node) == set(), "it is not missing"
        # Also to a program that is started meanwhile.
        wallet.close()
        wallet = opened(node, folder)
        assert wallet.wallet_state() == before
    assert wallet.wallet_state() == before
    node.restart(NO_MEMPOOL)
    not_yet(folder)
    assert buckets(wallet) == {"confirmed": 90_000, "held_by_missing": 50_000}
    wallet.close()


def test_a_missing_payment_is_not_sent_to_a_node_that_has_not_loaded_its_mempool(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    tx = pay(wallet, 10_000)
    forget_mempool(node)
    not_yet(folder)
    assert buckets(wallet) == {"confirmed": 50_000, "held_by_missing": 50_000}
    with unloaded_mempool(node):
        make_due(folder)
        assert buckets(wallet) == {"confirmed": 50_000, "held_by_missing": 50_000}
        assert mempool(node) == set(), "what it has on disk may be another spend of the coin"
    wallet.get_balance()
    assert mempool(node) == {tx["txid"]}


def test_what_was_replaced_while_the_mempool_was_unloaded_does_not_count(
    node: Node, wallet: LegacyBackend
) -> None:
    fund(node, wallet, 50_000)
    coin = node.coin()
    first = node.spend(coin, [(script(wallet, 5), 7000)])
    node.pay([(script(wallet, 6), 8000)])
    assert buckets(wallet) == {"confirmed": 50_000, "untrusted_pending": 15_000}
    with unloaded_mempool(node):
        node.spend(coin, [(script(wallet, 7), 3000)], fee_sat=20_000)
        assert buckets(wallet) == {"confirmed": 50_000, "untrusted_pending": 8000 + 3000}
        assert first.GetTxid()[::-1].hex() not in mempool(node)
    assert buckets(wallet) == {"confirmed": 50_000, "untrusted_pending": 8000 + 3000}
