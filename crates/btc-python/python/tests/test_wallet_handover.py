"""Handing payments over a real node: written down before, and refused when they must not be."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bitcoin.core import CTransaction

from btc_legacy.backend import LegacyBackend
from btc_legacy.decode import transaction_to_wire
from btc_legacy.encode import encode_transaction
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.payments import token
from tests.following import TARGET, allow_replacement, buckets, opened, script
from tests.paying import (
    CONFLICT,
    NO_MEMPOOL,
    RESERVED,
    fund,
    make_due,
    mempool,
    not_yet,
    pay,
    plan,
    refused,
    rows,
)
from tests.regtest import Node, needs_bitcoind
from tests.wallet_folder import WORDS, make_wallet, reservations

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


def test_a_payment_is_on_disk_before_the_node_is_asked(
    node: Node, wallet: LegacyBackend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(node, wallet, 50_000)
    tx = wallet.create_transaction([(TARGET, 10_000)], 2)
    asked = []
    write = wallet._rpc.write

    def writing(method: str, *params: object) -> Any:
        asked.append((method, rows(folder, "txid, outcome, raw")))
        with reservations(folder) as database:
            assert database.execute("SELECT count(*) FROM reserved").fetchone() == (0,)
            assert database.execute("SELECT count(*) FROM change_index").fetchone() == (0,)
        return write(method, *params)

    monkeypatch.setattr(wallet._rpc, "write", writing)
    wallet.broadcast_transaction(tx)
    raw = encode_transaction(tx)
    assert asked == [("sendrawtransaction", [(tx["txid"], "unknown", raw)])]
    assert rows(folder, "txid, outcome, raw") == [(tx["txid"], "accepted", raw)]
    # Once more is the same payment, and success.
    assert wallet.broadcast_transaction(tx) == tx["txid"]
    assert rows(folder) == [tx["txid"]]
    (next_ms, handed_over_ms) = rows(folder, "next_broadcast_ms, handed_over_ms")[0]
    assert 10 * 60_000 <= next_ms - handed_over_ms <= 50 * 60_000 + 60_000


def test_what_is_not_the_wallets_is_no_payment(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    wallet.get_balance()
    tx = node.pay([(script(wallet, 3), 7000)], send=False)
    wallet.broadcast_transaction(transaction_to_wire(tx))
    assert rows(folder) == []
    assert buckets(wallet)["untrusted_pending"] == 7000


def test_a_refusal_frees_the_coins_and_the_change_index_at_once(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    wallet.get_balance()
    node.restart("-minrelaytxfee=0.0001")
    tx = wallet.create_transaction([(TARGET, 10_000)], 1)
    with pytest.raises(BitcoinError, match="min relay fee not met") as caught:
        wallet.broadcast_transaction(tx)
    assert caught.value.kind is ErrorKind.REJECTED
    assert rows(folder) == []
    again = wallet.create_transaction([(TARGET, 10_000)], 20)
    assert again["inputs"][0]["previous_output"] == tx["inputs"][0]["previous_output"]
    assert again["outputs"][1]["script_pubkey"] == tx["outputs"][1]["script_pubkey"]
    wallet.broadcast_transaction(again)


def test_an_unclear_outcome_keeps_the_payment(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 40_000)
    tx = wallet.create_transaction([(TARGET, 10_000)], 2)
    node.stop()
    with pytest.raises(BitcoinError) as caught:
        wallet.broadcast_transaction(tx)
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert rows(folder, "txid, outcome") == [(tx["txid"], "unknown")]
    node.start()
    other = wallet.create_transaction([(TARGET, 10_000)], 2)
    assert other["inputs"] != tx["inputs"]
    assert buckets(wallet) == {"confirmed": 90_000, "held_by_missing": 50_000}
    # A refusal of a payment that was handed over before does not delete it either.
    node.restart("-minrelaytxfee=0.0001")
    with pytest.raises(BitcoinError, match="min relay fee"):
        wallet.broadcast_transaction(tx)
    assert rows(folder) == [tx["txid"]]


def test_what_takes_coins_of_another_payment_is_refused_unless_it_replaces_it(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    tx = pay(wallet, 10_000)
    rival = plan(wallet, tx, 20_000, 30)
    error = refused(wallet, rival, CONFLICT)
    assert error.context == {"payment": tx["txid"]}
    assert mempool(node) == {tx["txid"]}
    # What descends from it would be lost as well.
    child = pay(wallet, 10_000)
    allow_replacement(folder, rival, tx)
    assert refused(wallet, rival, CONFLICT).context == {"payment": child["txid"]}
    allow_replacement(folder, rival, child)
    assert wallet.check_broadcast(encode_transaction(rival).hex())["verdict"] == "acceptable"
    wallet.broadcast_transaction(rival)
    assert mempool(node) == {rival["txid"]}
    # A replacement of the replacement names that one only.
    newest = plan(wallet, tx, 20_000, 90)
    refused(wallet, newest, CONFLICT)
    allow_replacement(folder, newest, rival)
    wallet.broadcast_transaction(newest)
    assert mempool(node) == {newest["txid"]}
    assert len(rows(folder)) == 4
    # Those that were replaced are not sent again.
    node.restart(NO_MEMPOOL)
    make_due(folder)
    wallet.get_balance()
    assert mempool(node) == {newest["txid"]}


def test_missing_payments_hold_their_coins_against_a_broadcast_too(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    tx = pay(wallet, 10_000)
    node.restart(NO_MEMPOOL)
    not_yet(folder)
    rival = plan(wallet, tx, 20_000, 3)
    assert refused(wallet, rival, CONFLICT).context == {"payment": tx["txid"]}
    assert mempool(node) == set()


def test_a_coin_that_is_reserved_otherwise_is_refused_and_a_locked_one_is_not(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    first = wallet.create_transaction([(TARGET, 10_000)], 2)
    own = token(CTransaction.deserialize(encode_transaction(first)))
    rival = plan(wallet, first, 20_000, 2)
    error = refused(wallet, rival, RESERVED)
    coin = first["inputs"][0]["previous_output"]
    assert error.context == {"coin": coin, "reserved_for": own}
    for reason in ("hold:a contract", "locked"):
        with reservations(folder) as database:
            database.execute(
                "UPDATE reserved SET until_ms = NULL, span_ms = NULL, reason = ?", (reason,)
            )
        if reason != "locked":
            assert refused(wallet, rival, RESERVED).context["reserved_for"] == reason
            with pytest.raises(BitcoinError, match="not enough"):
                wallet.create_transaction([(TARGET, 600)], 1)
    wallet.broadcast_transaction(rival)
    with reservations(folder) as database:
        assert database.execute("SELECT reason FROM reserved").fetchall() == [("locked",)]


def test_the_check_of_a_payment_that_is_there_finds_what_should_not_have_been_handed_over(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    tx = pay(wallet, 10_000)
    rival = plan(wallet, tx, 20_000, 30)
    # Another program hands it over all the same.
    raw = encode_transaction(rival)
    with reservations(folder) as database:
        database.execute(
            "INSERT INTO payments SELECT ?, ?, ?, handed_over_ms, 'accepted', next_broadcast_ms, "
            "NULL, NULL FROM payments",
            (rival["txid"], token(CTransaction.deserialize(raw)), raw),
        )
    node.rpc.write("sendrawtransaction", raw.hex())
    for one in (tx, rival):
        check = wallet.check_broadcast(encode_transaction(one).hex())
        assert check["verdict"] == "refused"
        assert (check["reason"] or "").startswith(CONFLICT)
    allow_replacement(folder, rival, tx)
    assert wallet.check_broadcast(raw.hex())["verdict"] == "known"
    with reservations(folder) as database:
        txid, _, vout = tx["inputs"][0]["previous_output"].partition(":")
        database.execute(
            "INSERT INTO reserved VALUES (?, ?, NULL, NULL, ?)", (txid, int(vout), "ab" * 32)
        )
    assert (wallet.check_broadcast(raw.hex())["reason"] or "").startswith(RESERVED)
    with reservations(folder) as database:
        database.execute("INSERT INTO replaces VALUES (?, ?)", ("ab" * 32, rival["txid"]))
    assert wallet.check_broadcast(raw.hex())["verdict"] == "known", "a bump of it is being built"


_DIES = """
import os, signal, sys
from btc_legacy import sending
from btc_legacy.wallet import wallet
from btc_legacy.backend import LegacyBackend
from btc_legacy.config import Config
from btc_legacy.decode import decode_transaction

url, cookie, folder, raw, after = sys.argv[1:]
send = wallet.send
def sending_last(*arguments):
    if after == "sent":
        send(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
wallet.send = sending_last
config = Config(network="regtest", rpc_url=url, rpc_cookie_file=cookie, wallet_dir=folder)
backend = LegacyBackend(config)
backend.broadcast_transaction(decode_transaction(bytes.fromhex(raw)))
"""


@pytest.mark.parametrize("after", ["written", "sent"])
def test_a_process_that_ends_while_it_sends_leaves_a_payment_that_is_sent_again(
    node: Node, wallet: LegacyBackend, folder: Path, after: str
) -> None:
    fund(node, wallet, 50_000)
    tx = wallet.create_transaction([(TARGET, 10_000)], 2)
    wallet.close()
    raw = encode_transaction(tx).hex()
    process = subprocess.run(
        [sys.executable, "-c", _DIES, node.url, str(node.cookie), str(folder), raw, after],
        cwd=Path(__file__).parent.parent,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    assert rows(folder, "txid, outcome") == [(tx["txid"], "unknown")]
    assert mempool(node) == ({tx["txid"]} if after == "sent" else set())
    wallet = opened(node, folder)
    if after == "written":
        assert buckets(wallet) == {"confirmed": 50_000, "held_by_missing": 50_000}
        make_due(folder)
    wallet.get_balance()
    assert mempool(node) == {tx["txid"]}
    assert buckets(wallet) == {"trusted_pending": tx["outputs"][1]["value_sat"]}
    wallet.close()


def test_the_snapshot_lists_what_unconfirmed_coins_come_with(
    node: Node, wallet: LegacyBackend
) -> None:
    fund(node, wallet, 50_000)
    first = pay(wallet, 10_000)
    second = pay(wallet, 10_000, fee_rate=5)
    node.pay([(script(wallet, 9), 9000)])
    snapshot = wallet.snapshot()
    listed = {it["txid"]: it for it in snapshot["pending"]}
    assert listed == {
        tx["txid"]: {
            "txid": tx["txid"],
            "version": 2,
            "size_vb": -(-tx["weight"] // 4),
            "fee_sat": tx["fee_sat"],
            "spends": spends,
        }
        for tx, spends in ((first, []), (second, [first["txid"]]))
    }
    order = [bytes.fromhex(it["txid"])[::-1] for it in snapshot["pending"]]
    assert order == sorted(order)
    outputs = [(TARGET, 5000)]
    tx, snapshot = wallet.create_transaction_with_snapshot(outputs, 20)
    assert tx["fee_sat"]
    # The first pays 2 sat/vB, the second 5: the third pays for both.
    sizes = [-(-it["weight"] // 4) for it in (first, second)]
    own = -(-tx["weight"] // 4)
    lacking = 20 * sum(sizes) - (first["fee_sat"] or 0) - (second["fee_sat"] or 0)
    assert 20 * own + lacking <= tx["fee_sat"] <= 20 * (own + 1) + lacking
    planned = wallet.plan_transaction(outputs, 20, snapshot)
    assert (planned["transaction"], planned["unknown_coins"]) == (tx, [])
    changes: list[dict[str, Any]] = [{"version": 1}, {"size_vb": 1}, {"fee_sat": 1}, {"spends": []}]
    for change in changes:
        pending: Any = [
            {**it, **change} if it["txid"] == second["txid"] else it for it in snapshot["pending"]
        ]
        planned = wallet.plan_transaction(outputs, 20, {**snapshot, "pending": pending})
        assert planned["unknown_coins"] == [f"{second['txid']}:1"]
    wallet.broadcast_transaction(tx)
    node.mine()


def test_a_coin_that_waits_with_its_version_changed_is_not_taken(
    node: Node, wallet: LegacyBackend
) -> None:
    fund(node, wallet, 50_000)
    pay(wallet, 10_000)
    snapshot = wallet.snapshot()
    pending: Any = [{**it, "version": 3} for it in snapshot["pending"]]
    with pytest.raises(BitcoinError, match="not enough"):
        wallet.plan_transaction([(TARGET, 5000)], 2, {**snapshot, "pending": pending})


def test_the_ceiling_comes_from_the_configuration(
    node: Node, tmp_path: Path, birthday: int
) -> None:
    folder = make_wallet(tmp_path / "ceiling", birthday=birthday)
    config = node.config(wallet_dir=str(folder), wallet_words=WORDS, max_fee_rate=5)
    wallet = LegacyBackend(config)
    snapshot = wallet.snapshot()
    for call in (
        lambda rate: wallet.create_transaction([(TARGET, 1000)], rate),
        lambda rate: wallet.plan_transaction([(TARGET, 1000)], rate, snapshot),
    ):
        with pytest.raises(BitcoinError, match="MAX_FEE_RATE") as caught:
            call(6)
        assert caught.value.kind is ErrorKind.INVALID_INPUT
        with pytest.raises(BitcoinError, match="not enough"):
            call(5)
    wallet.close()
