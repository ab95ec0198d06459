"""What waits to be replaced by a payment that no node has yet: nothing is built or lost on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from btc_legacy.backend import LegacyBackend
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.protocol import Transaction
from btc_legacy.rpc import RpcClient
from btc_legacy.wallet.payments import PaymentState
from tests.following import TARGET, allow_replacement
from tests.paying import forget_mempool, fund, make_due, mempool, pay, plan, states
from tests.regtest import Node, needs_bitcoind

pytestmark = needs_bitcoind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of `wallet`."""
    return tmp_path / "wallet"


@pytest.fixture(autouse=True)
def _clean(node: Node) -> Iterator[None]:
    """Leaves no transaction in the mempool."""
    yield
    node.restart()
    node.mine()


def lose(wallet: LegacyBackend, tx: Transaction, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hands a transaction over, which does not reach the node."""

    def lost(_rpc: RpcClient, _raw: bytes, _txid: str) -> str:
        raise BitcoinError(ErrorKind.TIMEOUT, "no answer")

    with monkeypatch.context() as patch:
        patch.setattr("btc_legacy.wallet.wallet.send", lost)
        with pytest.raises(BitcoinError, match="no answer"):
            wallet.broadcast_transaction(tx)
    assert states(wallet)[tx["txid"]] is PaymentState.MISSING


def choice(wallet: LegacyBackend) -> list[int]:
    """What the wallet would choose from now, in satoshi."""
    return [coin["value_sat"] for coin in wallet.snapshot()["coins"]]


def test_nothing_is_built_on_what_an_open_payment_replaces(
    node: Node, wallet: LegacyBackend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(node, wallet, 50_000, 30_000)
    first = pay(wallet, 10_000)
    child = pay(wallet, 60_000)
    change_sat = child["outputs"][1]["value_sat"]
    assert choice(wallet) == [change_sat]
    second = plan(wallet, first, 10_000, 20)
    allow_replacement(folder, second, first, child)
    lose(wallet, second, monkeypatch)
    assert mempool(node) == {first["txid"], child["txid"]}
    assert choice(wallet) == []
    assert wallet.wallet_state()["balance"]["held_by_missing_sat"] == change_sat
    with pytest.raises(BitcoinError, match="not enough coins"):
        wallet.create_transaction([(TARGET, 5000)], 1)


def test_a_replacement_is_not_sent_by_itself_over_a_payment_that_it_does_not_name(
    node: Node, wallet: LegacyBackend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(node, wallet, 50_000)
    first = pay(wallet, 10_000, fee_rate=1)
    # Built before the replacement, on the change of what is replaced, and handed over after it.
    child = wallet.create_transaction([(TARGET, 5000)], 1)
    assert child["inputs"][0]["previous_output"].startswith(first["txid"])
    second = plan(wallet, first, 10_000, 20)
    allow_replacement(folder, second, first)
    lose(wallet, second, monkeypatch)
    wallet.broadcast_transaction(child)
    both = {first["txid"], child["txid"]}
    make_due(folder)
    wallet.get_balance()
    assert mempool(node) == both
    assert states(wallet)[second["txid"]] is PaymentState.MISSING
    # Handed over again, it may be sent later: the caller must not take it for refused.
    with pytest.raises(BitcoinError, match="would be lost") as caught:
        wallet.broadcast_transaction(second)
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert caught.value.context == {"payment": second["txid"], "descendants": child["txid"]}
    assert mempool(node) == both
    # What it would replace is sent again in its stead.
    forget_mempool(node)
    make_due(folder)
    wallet.get_balance()
    assert mempool(node) == both
    node.mine()
    assert states(wallet)[second["txid"]] is PaymentState.CONFLICTED
