"""When a transaction is judged by rules 2 and 3, and whose it is, over a real node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bitcoin.core import CTransaction

from btc_legacy.backend import LegacyBackend
from btc_legacy.encode import encode_transaction
from btc_legacy.protocol import Transaction
from btc_legacy.wallet.payments import token
from tests.following import TARGET, opened
from tests.paying import (
    fund,
    rows,
)
from tests.regtest import Node, needs_bitcoind
from tests.wallet_folder import make_wallet, reservations

pytestmark = needs_bitcoind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of `wallet`."""
    return tmp_path / "wallet"


@pytest.fixture
def elsewhere(node: Node, tmp_path: Path, birthday: int) -> Iterator[LegacyBackend]:
    """The same words in another folder."""
    backend = opened(node, make_wallet(tmp_path / "elsewhere", birthday=birthday))
    yield backend
    backend.close()


@pytest.fixture(autouse=True)
def _clean(node: Node) -> Iterator[None]:
    """Leaves no transaction in the mempool, and the node as it was started."""
    yield
    node.restart()
    node.mine()


@pytest.mark.parametrize("has_scanned", [True, False])
def test_what_seems_foreign_is_looked_at_again_on_the_newest_chain(
    node: Node, wallet: LegacyBackend, elsewhere: LegacyBackend, folder: Path, has_scanned: bool
) -> None:
    if has_scanned:
        wallet.get_balance()
    fund(node, wallet, 50_000)
    tx = elsewhere.create_transaction([(TARGET, 10_000)], 2)
    wallet.broadcast_transaction(tx)
    assert rows(folder, "txid, outcome") == [(tx["txid"], "accepted")]


def test_what_spends_a_coin_that_is_reserved_for_it_is_the_wallets(
    node: Node, wallet: LegacyBackend, elsewhere: LegacyBackend, folder: Path
) -> None:
    fund(node, elsewhere, 50_000)
    tx = elsewhere.create_transaction([(TARGET, 10_000)], 2)
    promise(folder, tx, token_of(tx))
    # Nothing can be followed, and the coin is not known here.
    wallet._open_wallet._follower.follow = lambda: pytest.fail("asks")  # type: ignore[method-assign]
    wallet.broadcast_transaction(tx)
    assert rows(folder) == [tx["txid"]]


def token_of(tx: Transaction) -> str:
    """Its token."""
    return token(CTransaction.deserialize(encode_transaction(tx)))


def promise(folder: Path, tx: Transaction, reason: str) -> None:
    """Reserves the first coin of a transaction."""
    txid, _, vout = tx["inputs"][0]["previous_output"].partition(":")
    with reservations(folder) as database:
        database.execute(
            "INSERT OR REPLACE INTO reserved VALUES (?, ?, NULL, NULL, ?)",
            (txid, int(vout), reason),
        )
