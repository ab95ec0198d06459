"""What the tests of the wallet that follow a real node share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from btc_legacy.backend import LegacyBackend
from tests.following import opened
from tests.regtest import Node, running_node
from tests.wallet_folder import make_wallet


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A running node with coins to pay from."""
    with running_node(coins=150) as node:
        yield node


@pytest.fixture
def birthday(node: Node) -> int:
    """The height of the next block, above everything that other tests have done."""
    node.mine()
    height: int = node.rpc.read("getblockcount")
    return height + 1


@pytest.fixture
def wallet(node: Node, tmp_path: Path, birthday: int) -> Iterator[LegacyBackend]:
    """An unlocked wallet, born at the next block."""
    backend = opened(node, make_wallet(tmp_path / "wallet", birthday=birthday))
    yield backend
    backend.close()
