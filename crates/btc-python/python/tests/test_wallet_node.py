"""The wallet's payments against a real Bitcoin Core: what it builds, reserves and refuses."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bitcoin.core import COutPoint, CTransaction

from btc_legacy.backend import LegacyBackend
from btc_legacy.encode import encode_transaction
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.host import Host
from btc_legacy.protocol import Transaction
from btc_legacy.wallet.payments import token
from btc_legacy.wallet.sign import sign
from btc_legacy.wire import ADDRESS_TYPES
from tests.regtest import Node, needs_bitcoind, running_node
from tests.wallet_folder import WORDS, make_wallet, reservations

pytestmark = needs_bitcoind

LEGACY = "btc_legacy.backend:LegacyBackend"

# Nobody's key is known here.
TARGET = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A running node with coins to pay from."""
    with running_node(coins=60) as node:
        yield node


@pytest.fixture
def folder(tmp_path: Path, node: Node) -> Path:
    """A new wallet, born now, so that it does not see what other tests paid and mined."""
    node.mine()
    return make_wallet(tmp_path / "wallet", birthday=node.rpc.read("getblockcount") + 1)


@pytest.fixture
def wallet(node: Node, folder: Path) -> Iterator[LegacyBackend]:
    """The backend with that wallet, unlocked."""
    backend = unlocked(node, folder)
    yield backend
    backend.close()


def unlocked(node: Node, folder: Path) -> LegacyBackend:
    """The backend with a wallet's words."""
    return LegacyBackend(node.config(wallet_dir=str(folder), wallet_words=WORDS))


def fund(node: Node, wallet: LegacyBackend, *values_sat: int, mine: bool = True) -> COutPoint:
    """Pays new addresses of the types in turn; returns the first output."""
    outputs = [
        (
            bytes.fromhex(
                wallet.generate_address(ADDRESS_TYPES[number % len(ADDRESS_TYPES)])["script_pubkey"]
            ),
            value_sat,
        )
        for number, value_sat in enumerate(values_sat)
    ]
    tx = node.pay(outputs)
    if mine:
        node.mine()
    return COutPoint(tx.GetTxid(), 0)


def inputs(tx: Transaction) -> set[str]:
    """The outputs that a transaction spends."""
    return {item["previous_output"] for item in tx["inputs"]}


def token_of(tx: Transaction) -> str:
    """What the coins of a transaction are reserved under."""
    return token(CTransaction.deserialize(encode_transaction(tx)))


def _refused(call: Any, *params: Any) -> BitcoinError:
    with pytest.raises(BitcoinError) as caught:
        call(*params)
    return caught.value


def test_payments_from_coins_of_all_types_are_accepted(node: Node, wallet: LegacyBackend) -> None:
    values = [100_000 + number for number in range(16)]
    fund(node, wallet, *values)
    assert wallet.get_balance() == sum(values)
    outputs = [(TARGET, 1_234_567), (wallet.derive_address("p2tr", 0)["address"], 1000)]
    tx, snapshot = wallet.create_transaction_with_snapshot(outputs, 3)
    check = wallet.check_broadcast(encode_transaction(tx).hex())
    assert (check["verdict"], check["reason"]) == ("acceptable", None)
    assert (check["txid"], check["wtxid"]) == (tx["txid"], tx["wtxid"])
    # The other side gets the coins as they were before they were reserved, and builds the same.
    plan = wallet.plan_transaction(outputs, 3, snapshot)
    assert plan == {"transaction": tx, "tip": snapshot["tip"], "unknown_coins": []}
    assert len(snapshot["coins"]) == 16
    assert tx["fee_sat"]
    assert wallet.broadcast_transaction(tx) == tx["txid"]
    assert wallet.get_balance() == sum(values) - 1_234_567 - tx["fee_sat"] - 1000 + 1000
    node.mine()
    assert wallet.wallet_state()["balance"]["trusted_pending_sat"] == 0
    assert wallet.get_balance() == sum(values) - 1_234_567 - tx["fee_sat"]


def test_the_fee_is_the_rate_of_the_weight(node: Node, wallet: LegacyBackend) -> None:
    fund(node, wallet, *[50_000] * 8)
    for rate in (1, 7, 30):
        tx = wallet.create_transaction([(TARGET, 60_000)], rate)
        assert tx["fee_sat"]
        assert tx["weight"] * rate / 4 <= tx["fee_sat"] <= (tx["weight"] + 8) * rate / 4 + 1


def test_coins_are_reserved_until_they_are_released(
    node: Node, folder: Path, wallet: LegacyBackend
) -> None:
    fund(node, wallet, 50_000, 50_000, 50_000)
    first = wallet.create_transaction([(TARGET, 60_000)], 1)
    second = wallet.create_transaction([(TARGET, 40_000)], 1)
    assert not inputs(first) & inputs(second)
    assert first["outputs"][-1]["script_pubkey"] != second["outputs"][-1]["script_pubkey"]
    assert wallet.get_balance() == 150_000, "reservations do not change the balance"
    error = _refused(wallet.create_transaction, [(TARGET, 600)], 1)
    assert error.kind is ErrorKind.REJECTED
    assert error.context["missing_sat"] == "641"
    with reservations(folder) as database:
        rows = database.execute("SELECT DISTINCT reason FROM reserved").fetchall()
        database.execute("UPDATE reserved SET until_ms = 1")
    assert {reason for (reason,) in rows} == {token_of(first), token_of(second)}
    third = wallet.create_transaction([(TARGET, 600)], 1)
    assert inputs(third) < inputs(first) | inputs(second)


def test_a_locked_coin_is_not_spent(node: Node, folder: Path, wallet: LegacyBackend) -> None:
    coin = fund(node, wallet, 90_000, 20_000)
    with reservations(folder) as database:
        database.execute(
            "INSERT INTO reserved VALUES (?, 0, NULL, NULL, 'locked')", (coin.hash[::-1].hex(),)
        )
    assert len(inputs(wallet.create_transaction([(TARGET, 10_000)], 1))) == 1
    assert _refused(wallet.create_transaction, [(TARGET, 50_000)], 1).kind is ErrorKind.REJECTED


def test_threads_get_different_coins_and_addresses(node: Node, wallet: LegacyBackend) -> None:
    fund(node, wallet, *[30_000 + number for number in range(12)])
    with ThreadPoolExecutor(6) as pool:
        addresses = list(pool.map(lambda _: wallet.generate_address("p2tr")["index"], range(12)))
        payments = list(
            pool.map(lambda _: wallet.create_transaction([(TARGET, 20_000)], 1), range(12))
        )
    assert len(set(addresses)) == 12
    spent = [coin for tx in payments for coin in inputs(tx)]
    assert len(spent) == len(set(spent)) == 12
    change = {tx["outputs"][-1]["script_pubkey"] for tx in payments}
    assert len(change) == 12


def test_nothing_is_promised_between_the_choice_and_the_promise(
    node: Node, folder: Path, wallet: LegacyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(node, wallet, 50_000)
    held = []

    def signing(*arguments: Any) -> bytes:
        # What another process would do: it is to wait.
        with (folder / "reservations.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(True)
        return sign(*arguments)

    monkeypatch.setattr("btc_legacy.wallet.wallet.sign", signing)
    wallet.create_transaction([(TARGET, 10_000)], 1)
    assert held == [True]
    with pytest.raises(BitcoinError):
        wallet.create_transaction([(TARGET, 45_000)], 1)
    assert wallet.generate_address("p2tr")["index"] == 0, "and not after a failure"


def test_addresses_are_promised_once_and_used_ones_are_passed_over(
    node: Node, folder: Path, wallet: LegacyBackend
) -> None:
    assert [wallet.generate_address("p2wpkh")["index"] for _ in range(2)] == [0, 1]
    script = bytes.fromhex(wallet.derive_address("p2wpkh", 9)["script_pubkey"])
    node.pay([(script, 10_000)])
    wallet.get_balance()
    assert wallet.generate_address("p2wpkh")["index"] == 10
    wallet.close()
    again = unlocked(node, folder)
    assert again.generate_address("p2wpkh")["index"] == 11
    assert again.generate_address("p2wpkh") == again.derive_address("p2wpkh", 12)
    again.close()


def test_the_first_address_of_a_restored_wallet_is_unused(node: Node, folder: Path) -> None:
    wallet = unlocked(node, folder)
    script = bytes.fromhex(wallet.derive_address("p2wpkh", 0)["script_pubkey"])
    node.pay([(script, 10_000)])
    node.mine()
    assert wallet.generate_address("p2wpkh")["index"] == 1
    wallet.close()


def test_a_plan_names_what_this_side_does_not_know(node: Node, wallet: LegacyBackend) -> None:
    fund(node, wallet, 70_000, 60_000, 50_000)
    outputs = [(TARGET, 100_000)]
    _, snapshot = wallet.create_transaction_with_snapshot(outputs, 2)
    by_value = {coin["value_sat"]: coin for coin in snapshot["coins"]}
    by_value[50_000]["value_sat"] = 80_000
    by_value[60_000]["index"] += 1
    foreign = by_value[70_000].copy()
    foreign["outpoint"] = "ab" * 32 + ":1"
    snapshot["coins"].append(foreign)
    plan = wallet.plan_transaction(outputs, 2, snapshot)
    expected = {by_value[50_000]["outpoint"], by_value[60_000]["outpoint"], foreign["outpoint"]}
    assert set(plan["unknown_coins"]) == expected
    assert inputs(plan["transaction"]) <= expected | {by_value[70_000]["outpoint"]}
    assert len(inputs(plan["transaction"])) == 2


def test_a_plan_promises_nothing(node: Node, folder: Path, wallet: LegacyBackend) -> None:
    fund(node, wallet, 70_000)
    _, snapshot = wallet.create_transaction_with_snapshot([(TARGET, 10_000)], 2)
    files = [(folder / name).read_bytes() for name in ("reservations.sqlite", "wallet.json")]
    wallet.plan_transaction([(TARGET, 20_000)], 2, snapshot)
    wallet.derive_address("p2tr", 1000)
    wallet.wallet_state()
    assert files == [
        (folder / name).read_bytes() for name in ("reservations.sqlite", "wallet.json")
    ]


def test_wrong_payments_are_refused_before_the_coins(wallet: LegacyBackend) -> None:
    mainnet = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"
    for outputs, rate in (
        ([], 1),
        ([(TARGET, 1000)], 0),
        ([(mainnet, 1000)], 1),
        ([("nonsense", 1000)], 1),
        ([(TARGET, 293)], 1),
        ([(TARGET, 21 * 10**14), (TARGET, 1000)], 1),
    ):
        error = _refused(wallet.create_transaction, outputs, rate)
        assert error.kind is ErrorKind.INVALID_INPUT
    assert _refused(wallet.create_transaction, [(TARGET, 1000)], 1).kind is ErrorKind.REJECTED


def test_a_wallet_without_words_watches(node: Node, folder: Path) -> None:
    wallet = LegacyBackend(node.config(wallet_dir=str(folder)))
    fund(node, wallet, 40_000)
    assert wallet.get_balance() == 40_000
    snapshot = {"tip": wallet.wallet_state()["tip"], "coins": [], "pending": []}
    snapshot["change_type"] = "p2wpkh"
    for call, params in (
        (wallet.create_transaction, ([], 0)),
        (wallet.create_transaction_with_snapshot, ([(TARGET, 1000)], 1)),
        (wallet.plan_transaction, ([(TARGET, 1000)], 1, {**snapshot, "change_index": 0})),
    ):
        error = _refused(call, *params)
        assert (error.kind, error.message) == (
            ErrorKind.UNSUPPORTED,
            "the wallet is locked or watch-only",
        )
    wallet.close()


def test_broadcasts_are_checked_at_any_point_of_their_life(
    node: Node, wallet: LegacyBackend
) -> None:
    fund(node, wallet, 60_000)
    tx = wallet.create_transaction([(TARGET, 50_000)], 2)
    raw = encode_transaction(tx).hex()

    def verdict() -> tuple[str, str | None]:
        check = wallet.check_broadcast(raw)
        assert (check["txid"], check["wtxid"]) == (tx["txid"], tx["wtxid"])
        return check["verdict"], check["reason"]

    assert verdict() == ("acceptable", None)
    wallet.broadcast_transaction(tx)
    assert verdict() == ("known", None)
    node.mine()
    assert verdict() == ("known", None)
    foreign = node.pay([(b"\x6a", 0)], fee_sat=0, send=False)
    check = wallet.check_broadcast(foreign.serialize().hex())
    assert check["verdict"] == "refused"
    assert check["reason"] == "min relay fee not met"
    for text in ("zz", "00", "abc", raw[:-2]):
        assert _refused(wallet.check_broadcast, text).kind is ErrorKind.INVALID_INPUT


def test_the_host_carries_the_wallet_and_hides_its_secrets(node: Node, folder: Path) -> None:
    host = Host()
    config = vars(node.config(wallet_dir=str(folder), wallet_words=WORDS))

    def send(method: str, params: object) -> Any:
        answer = host.handle(json.dumps({"method": method, "params": params}).encode())
        assert b"abandon" not in answer
        return json.loads(answer)

    def ask(method: str, *params: object) -> Any:
        return send(method, params)

    assert "ok" in send("start", {"backend": LEGACY, "config": config})
    address = ask("generate_address", "p2sh-p2wpkh")["ok"]
    assert ask("derive_address", "p2sh-p2wpkh", 0)["ok"] == address
    node.pay([(bytes.fromhex(address["script_pubkey"]), 30_000)])
    node.mine()
    assert ask("get_balance") == {"ok": 30_000}
    state = ask("wallet_state")["ok"]
    assert [value for _, value in state["coins"]] == [30_000]
    outputs = [[TARGET, 10_000]]
    tx, snapshot = ask("create_transaction_with_snapshot", outputs, 1)["ok"]
    plan = ask("plan_transaction", outputs, 1, snapshot)["ok"]
    assert (plan["transaction"], plan["unknown_coins"]) == (tx, [])
    assert ask("check_broadcast", "00")["error"]["kind"] == "invalid_input"
    error = ask("create_transaction", [[TARGET, 50_000]], 1)["error"]
    assert error["kind"] == "rejected"
    assert dict(error["context"]).keys() == {"missing_sat"}
    for wrong in ({}, {**snapshot, "more": 1}, {**snapshot, "coins": [7]}):
        error = ask("plan_transaction", outputs, 1, wrong)["error"]
        assert (error["kind"], "params[2]" in error["message"]) == ("invalid_input", True)
