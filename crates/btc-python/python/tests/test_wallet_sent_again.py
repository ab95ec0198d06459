"""Own payments that are handed over once more: confirmed, missing or given up by then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from btc_legacy import pieces, sending
from btc_legacy.backend import LegacyBackend
from btc_legacy.encode import encode_transaction
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet import chain
from btc_legacy.wallet.payments import PaymentState
from tests.following import TARGET
from tests.paying import (
    CONFLICT,
    NO_MEMPOOL,
    forget_mempool,
    fund,
    make_due,
    mempool,
    pay,
    plan,
    states,
)
from tests.regtest import Node, needs_bitcoind
from tests.wallet_folder import reservations

pytestmark = needs_bitcoind

DEAR = "-minrelaytxfee=0.0001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "wallet"


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
        assert states(wallet)[first["txid"]] is PaymentState.CONFIRMED
        assert wallet.broadcast_transaction(first) == first["txid"], "it is in the chain"
    finally:
        node.restart()


def test_what_follows_a_handing_over_is_one_piece(
    node: Node, wallet: LegacyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.restart("-txindex=0")
    try:
        fund(node, wallet, 50_000)
        own = wallet.generate_address("p2wpkh")["address"]
        first = wallet.create_transaction([(own, 20_000)], 2)
        wallet.broadcast_transaction(first)
        wallet.broadcast_transaction(wallet.create_transaction([(TARGET, 49_000)], 2))
        for _ in range(6):
            node.mine()
        monkeypatch.setattr(chain, "_BATCH", 2)
        asked = 0

        def counted(*arguments: Any) -> None:
            nonlocal asked
            asked += 1
            sending.send(*arguments)

        monkeypatch.setattr("btc_legacy.wallet.wallet.send", counted)
        # The chain is read in several pieces after the node has refused it.
        with pieces.limited(0):
            assert wallet.broadcast_transaction(first) == first["txid"]
        assert asked == 1, "an answer that is not whole is asked for again, and sends again"
        for _ in range(3):
            node.mine()
        with pytest.raises(pieces.Unfinished), pieces.limited(0):
            wallet.get_balance()
    finally:
        node.restart()


def test_a_payment_that_is_sent_again_by_itself_is_not_said_to_be_rejected(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 60_000)
    first = pay(wallet, 10_000)
    forget_mempool(node, DEAR)
    assert states(wallet)[first["txid"]] is PaymentState.MISSING
    with pytest.raises(BitcoinError) as caught:
        wallet.broadcast_transaction(first)
    # What a caller does who is told that the node refuses it, and why: pays more.
    second = wallet.create_transaction([(TARGET, 10_000)], 12)
    wallet.broadcast_transaction(second)
    node.restart()
    make_due(folder)
    wallet.get_balance()
    both = {first["txid"], second["txid"]} <= mempool(node)
    node.mine()
    assert both, "the first was sent by itself"
    assert caught.value.kind is not ErrorKind.REJECTED


def test_a_payment_that_was_given_up_and_is_refused_stays_given_up(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 60_000)
    first = pay(wallet, 10_000)
    forget_mempool(node, DEAR)
    with reservations(folder) as database:
        database.execute("UPDATE payments SET abandoned_ms = 1")
    assert states(wallet)[first["txid"]] is PaymentState.ABANDONED
    with pytest.raises(BitcoinError) as caught:
        wallet.broadcast_transaction(first)
    assert caught.value.kind is ErrorKind.REJECTED
    node.restart()
    make_due(folder)
    wallet.get_balance()
    assert first["txid"] not in mempool(node)


def test_a_confirmed_payment_is_not_said_to_be_rejected_when_the_chain_cannot_be_read(
    node: Node, wallet: LegacyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(node, wallet, 50_000)
    first = pay(wallet, 10_000)
    node.mine()
    wallet.get_balance()

    def refusing(*_: Any) -> None:
        # As a node without an index of transactions says when all outputs are spent.
        node.stop()
        raise BitcoinError(ErrorKind.REJECTED, "bad-txns-inputs-missingorspent")

    with monkeypatch.context() as patch:
        patch.setattr("btc_legacy.wallet.wallet.send", refusing)
        try:
            assert wallet.broadcast_transaction(first) == first["txid"]
        finally:
            node.start()


def give_up(folder: Path, txid: str) -> None:
    """Gives a payment up alone, as one that was built on it was not handed over yet."""
    with reservations(folder) as database:
        database.execute("UPDATE payments SET abandoned_ms = 5 WHERE txid = ?", (txid,))


def test_a_payment_that_is_given_up_with_its_parent_alone_is_not_said_to_be_rejected(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    parent = pay(wallet, 10_000)
    child = wallet.create_transaction([(TARGET, 5_000)], 2)
    forget_mempool(node)
    node.stop()
    with pytest.raises(BitcoinError, match="is not known"):
        wallet.broadcast_transaction(child)
    node.start(NO_MEMPOOL)
    give_up(folder, parent["txid"])
    assert states(wallet)[child["txid"]] is PaymentState.ABANDONED
    with pytest.raises(BitcoinError, match="what it descends from was given up") as caught:
        wallet.broadcast_transaction(child)
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert caught.value.context == {"payment": child["txid"]}


def test_a_payment_that_spends_coins_of_another_may_come_back_with_its_parent(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 40_000)
    parent = pay(wallet, 10_000)
    # Of the change of the parent, and of the second coin.
    child = wallet.create_transaction([(TARGET, 70_000)], 2)
    forget_mempool(node)
    node.stop()
    with pytest.raises(BitcoinError, match="is not known"):
        wallet.broadcast_transaction(child)
    node.start(NO_MEMPOOL)
    give_up(folder, parent["txid"])
    assert states(wallet)[child["txid"]] is PaymentState.ABANDONED
    pay(wallet, 60_000)
    match = f"{CONFLICT}.*what it descends from was given up"
    with pytest.raises(BitcoinError, match=match) as caught:
        wallet.broadcast_transaction(child)
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert caught.value.context == {"payment": child["txid"]}


def test_a_payment_whose_rival_can_be_undone_is_not_said_to_be_rejected(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    first = pay(wallet, 10_000)
    rival = plan(wallet, first, 20_000, 9)
    forget_mempool(node)
    node.rpc.write("sendrawtransaction", encode_transaction(rival).hex())
    node.mine()
    assert states(wallet)[first["txid"]] is PaymentState.CONFLICTED
    with pytest.raises(BitcoinError, match="can be undone") as caught:
        wallet.broadcast_transaction(first)
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert caught.value.context == {"payment": first["txid"]}
    node.mine(143)
    wallet.get_balance()
    with pytest.raises(BitcoinError) as caught:
        wallet.broadcast_transaction(first)
    assert caught.value.kind is ErrorKind.REJECTED
