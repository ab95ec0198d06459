"""Own payments that are said to replace others which do not stand in their way, or each other."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from btc_legacy.backend import LegacyBackend
from btc_legacy.errors import BitcoinError
from btc_legacy.wallet.payments import PaymentState
from tests.following import TARGET, allow_replacement
from tests.paying import forget_mempool, fund, make_due, mempool, pay, plan, states
from tests.regtest import Node, needs_bitcoind

pytestmark = needs_bitcoind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "wallet"


def test_a_payment_is_not_given_up_for_one_that_leaves_its_coins(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 60_000)
    first = pay(wallet, 10_000)
    forget_mempool(node)
    assert states(wallet)[first["txid"]] is PaymentState.MISSING
    second = wallet.create_transaction([(TARGET, 10_000)], 2)
    coins = {it["previous_output"] for it in first["inputs"]}
    assert not coins & {it["previous_output"] for it in second["inputs"]}
    allow_replacement(folder, second, first)
    # Taken or refused: the first is as it was.
    with suppress(BitcoinError):
        wallet.broadcast_transaction(second)
    assert states(wallet)[first["txid"]] is PaymentState.MISSING
    assert not coins & {coin["outpoint"] for coin in wallet.snapshot()["coins"]}


def test_two_payments_that_each_replace_the_other_are_not_forgotten(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    first = pay(wallet, 10_000)
    second = plan(wallet, first, 10_000, 9)
    allow_replacement(folder, second, first)
    wallet.broadcast_transaction(second)
    forget_mempool(node)
    # The user wants the first one back: "say that it replaces that payment".
    allow_replacement(folder, first, second)
    wallet.broadcast_transaction(first)
    forget_mempool(node)
    make_due(folder)
    wallet.get_balance()
    assert mempool(node), "one of them is sent again"


def test_what_descends_from_a_confirmed_payment_does_not_fall_with_it(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    first = pay(wallet, 10_000)
    rival = plan(wallet, first, 10_000, 9)
    node.mine()
    second = pay(wallet, 5_000)
    assert second["inputs"][0]["previous_output"].startswith(first["txid"])
    allow_replacement(folder, rival, first)
    allow_replacement(folder, rival, second)
    with pytest.raises(BitcoinError, match="replaces-no-coin-of-the-payment") as caught:
        wallet.broadcast_transaction(rival)
    assert caught.value.context["payment"] == second["txid"]
    assert states(wallet)[second["txid"]] is PaymentState.IN_MEMPOOL
