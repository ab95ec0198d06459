"""Findings of the reviewer of 30 November: red today."""

from __future__ import annotations

from pathlib import Path

import pytest

from btc_legacy.backend import LegacyBackend
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.payments import PaymentState
from tests.following import TARGET, allow_replacement
from tests.paying import fund, make_due, mempool, pay, rows
from tests.regtest import Node, needs_bitcoind

pytestmark = needs_bitcoind

DEAR = "-minrelaytxfee=0.0001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "wallet"


def standings(wallet: LegacyBackend) -> dict[str, str]:
    follower = wallet._open_wallet._follower
    follower.follow()
    return {txid[::-1].hex(): it.state.value for txid, it in follower.standings().items()}


def free(wallet: LegacyBackend) -> set[str]:
    return {coin["outpoint"] for coin in wallet.snapshot()["coins"]}


def test_a_payment_that_is_confirmed_and_spent_on_is_success_again(
    node: Node, wallet: LegacyBackend
) -> None:
    node.restart("-txindex=0")
    try:
        fund(node, wallet, 50_000)
        own = wallet.generate_address("p2wpkh")["address"]
        first = wallet.create_transaction([(own, 20_000)], 2)
        wallet.broadcast_transaction(first)
        node.mine()
        # Spends all that the first has paid, the address and the change.
        wallet.broadcast_transaction(wallet.create_transaction([(TARGET, 49_000)], 2))
        node.mine()
        assert standings(wallet)[first["txid"]] == PaymentState.CONFIRMED.value
        assert wallet.broadcast_transaction(first) == first["txid"], "it is in the chain"
    finally:
        node.restart()


def test_a_payment_that_is_sent_again_by_itself_is_not_said_to_be_rejected(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 60_000)
    first = pay(wallet, 10_000)
    node.restart("-persistmempool=0", DEAR)
    node.restart("-persistmempool=0", DEAR)
    assert standings(wallet)[first["txid"]] == "missing"
    with pytest.raises(BitcoinError) as caught:
        wallet.broadcast_transaction(first)
    kind = caught.value.kind
    # What a caller does who is told that the node refuses it, and why: pays more.
    second = wallet.create_transaction([(TARGET, 10_000)], 12)
    wallet.broadcast_transaction(second)
    node.restart()
    make_due(folder)
    wallet.get_balance()
    both = {first["txid"], second["txid"]} <= mempool(node)
    node.mine()
    print("PAID TWICE", both, kind)
    assert both, "the first was sent by itself"
    assert kind is not ErrorKind.REJECTED


def test_a_payment_is_not_given_up_for_one_that_leaves_its_coins(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 60_000)
    first = pay(wallet, 10_000)
    node.restart("-persistmempool=0")
    node.restart("-persistmempool=0")
    assert standings(wallet)[first["txid"]] == "missing"
    second = wallet.create_transaction([(TARGET, 10_000)], 2)
    assert not {it["previous_output"] for it in first["inputs"]} & {
        it["previous_output"] for it in second["inputs"]
    }
    allow_replacement(folder, second, first)
    try:
        wallet.broadcast_transaction(second)
    except BitcoinError as error:
        assert error.kind is ErrorKind.REJECTED
        return
    state = standings(wallet)[first["txid"]]
    is_free = first["inputs"][0]["previous_output"] in free(wallet)
    print("STATE", state, "coin free", is_free)
    assert (state, is_free) == ("missing", False)


def test_two_payments_that_each_replace_the_other_are_not_forgotten(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    first = wallet.create_transaction([(TARGET, 10_000)], 2)
    coins = wallet._open_wallet
    from tests.paying import plan

    wallet.broadcast_transaction(first)
    second = plan(wallet, first, 10_000, 9)
    allow_replacement(folder, second, first)
    wallet.broadcast_transaction(second)
    node.restart("-persistmempool=0")
    node.restart("-persistmempool=0")
    # The user wants the first one back: "say that it replaces that payment".
    allow_replacement(folder, first, second)
    wallet.broadcast_transaction(first)
    node.restart("-persistmempool=0")
    node.restart("-persistmempool=0")
    print(standings(wallet), free(wallet))
    make_due(folder)
    wallet.get_balance()
    print("MEMPOOL", mempool(node))
    assert mempool(node), "one of them is sent again"


def test_a_coin_found_late_that_waits_to_be_spent_is_not_free(
    node: Node, tmp_path: Path, birthday: int
) -> None:
    from tests.following import opened, script
    from tests.wallet_folder import make_wallet

    wallet = opened(node, make_wallet(tmp_path / "one", birthday=birthday, gap_limit=10))
    other = opened(node, make_wallet(tmp_path / "other", birthday=birthday, gap_limit=100))
    try:
        wallet.wallet_state()
        node.pay([(script(wallet, 35), 50_000)])
        node.mine()
        spent = other.create_transaction([(TARGET, 49_780)], 2)
        assert len(spent["outputs"]) == 1
        other.broadcast_transaction(spent)
        assert wallet.wallet_state()["coins"] == [], "beyond the window"
        node.pay([(script(wallet, 19), 30_000)])
        running = wallet.wallet_state()
        wallet.close()
        restored = opened(node, make_wallet(tmp_path / "two", birthday=birthday, gap_limit=10))
        try:
            again = restored.wallet_state()
            print(running["balance"], again["balance"], other.wallet_state()["balance"])
            assert running["balance"] == other.wallet_state()["balance"]
        finally:
            restored.close()
    finally:
        other.close()
        wallet.close()
        node.mine()


def test_a_payment_that_was_given_up_and_is_refused_stays_given_up(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    from tests.wallet_folder import reservations

    fund(node, wallet, 50_000, 60_000)
    first = pay(wallet, 10_000)
    node.restart("-persistmempool=0", DEAR)
    node.restart("-persistmempool=0", DEAR)
    with reservations(folder) as database:
        database.execute("UPDATE payments SET abandoned_ms = 1")
    assert standings(wallet)[first["txid"]] == "abandoned"
    with pytest.raises(BitcoinError) as caught:
        wallet.broadcast_transaction(first)
    assert caught.value.kind is ErrorKind.REJECTED
    print("STATE", standings(wallet)[first["txid"]])
    node.restart()
    make_due(folder)
    wallet.get_balance()
    print("SENT BY ITSELF", first["txid"] in mempool(node))
    assert first["txid"] not in mempool(node)
