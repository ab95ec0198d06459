"""The wallet against a real Bitcoin Core: what it finds, what it builds, what it survives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from btc_legacy.backend import LegacyBackend
from btc_legacy.errors import BitcoinError, ErrorKind
from tests.regtest import Node, needs_bitcoind, running_node
from tests.wallet_folder import WORDS, make_wallet

pytestmark = needs_bitcoind

TYPES = ("p2pkh", "p2sh-p2wpkh", "p2wpkh", "p2tr")


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A running node with coins to pay from."""
    with running_node(coins=60) as node:
        yield node


@pytest.fixture
def folder(tmp_path: Path, node: Node) -> Path:
    """A new wallet, born now so that it does not see what other tests paid."""
    return make_wallet(tmp_path / "wallet", birthday=node.rpc.read("getblockcount") + 1)


@pytest.fixture
def wallet(node: Node, folder: Path) -> Iterator[LegacyBackend]:
    """The backend with that wallet, unlocked."""
    backend = LegacyBackend(node.config(wallet_dir=str(folder), wallet_words=WORDS))
    yield backend
    backend.close()


def script(wallet: LegacyBackend, address_type: str = "p2wpkh", index: int | None = None) -> bytes:
    address = (
        wallet.generate_address(address_type)
        if index is None
        else wallet.derive_address(address_type, index)
    )
    return bytes.fromhex(address["script_pubkey"])


def test_payments_from_coins_of_all_types_are_accepted(node: Node, wallet: LegacyBackend) -> None:
    node.pay(
        [(script(wallet, address_type), 100_000 + i) for i, address_type in enumerate(TYPES * 4)]
    )
    node.mine()
    assert wallet.get_balance() == sum(100_000 + i for i in range(16))
    target = wallet.derive_address("p2tr", 0)["address"]
    tx, snapshot = wallet.create_transaction_with_snapshot([(target, 1_234_567)], 3)
    check = wallet.check_broadcast(encode(tx))
    assert (check["verdict"], check["txid"]) == ("acceptable", tx["txid"])
    plan = wallet.plan_transaction([(target, 1_234_567)], 3, snapshot)
    assert plan["transaction"] == tx
    assert plan["unknown_coins"] == []
    wallet.broadcast_transaction(tx)
    state = wallet.wallet_state()
    assert sum(state["balance"].values()) == sum(100_000 + i for i in range(16)) - tx["fee_sat"]
    assert state["balance"]["untrusted_pending_sat"] == 0


def encode(tx: Any) -> str:
    from btc_legacy.encode import encode_transaction

    return encode_transaction(tx).hex()
