"""Which addresses are given out, and which are looked at, over a real node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from btc_legacy.backend import LegacyBackend
from btc_legacy.errors import BitcoinError, ErrorKind
from tests.following import TARGET, buckets, opened, script
from tests.paying import (
    NO_MEMPOOL,
    fund,
    not_yet,
    pay,
    script_at,
)
from tests.regtest import Node, needs_bitcoind
from tests.wallet_folder import make_wallet, reservations

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


def test_the_change_of_payments_is_not_given_to_others(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 40_000, 30_000)
    tx = pay(wallet, 10_000)
    node.restart(NO_MEMPOOL)
    not_yet(folder)
    wallet.close()
    # As a side that has never seen it in a mempool.
    for file in folder.glob("python.sqlite*"):
        file.unlink()
    wallet = opened(node, folder)
    second = wallet.create_transaction([(TARGET, 10_000)], 2)
    scripts = [it["outputs"][1]["script_pubkey"] for it in (tx, second)]
    assert scripts == [script_at(wallet, "change", 0), script_at(wallet, "change", 1)]
    with reservations(folder) as database:
        database.execute("UPDATE change_index SET until_ms = 1")
        database.execute("UPDATE reserved SET until_ms = 1")
    third = wallet.create_transaction([(TARGET, 10_000)], 2)
    assert third["outputs"][1]["script_pubkey"] == scripts[1], "it goes back"
    wallet.close()


def test_an_address_that_a_restored_wallet_would_not_look_at_is_not_given_out(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    with reservations(folder) as database:
        database.execute("INSERT INTO next_index VALUES ('p2tr', 'receive', 999)")
    assert wallet.generate_address("p2tr")["index"] == 999
    with pytest.raises(BitcoinError, match="1000 addresses were given out") as caught:
        wallet.generate_address("p2tr")
    assert caught.value.kind is ErrorKind.INVALID_INPUT
    assert caught.value.context == {"highest_used": "-1", "gap_limit": "1000"}
    node.pay([(script(wallet, 4, "p2tr"), 5000)])
    wallet.get_balance()
    assert [wallet.generate_address("p2tr")["index"] for _ in range(5)] == list(range(1000, 1005))
    with pytest.raises(BitcoinError) as caught:
        wallet.generate_address("p2tr")
    assert caught.value.context == {"highest_used": "4", "gap_limit": "1000"}


def test_change_that_a_restored_wallet_would_not_find_is_not_made(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 40_000)
    pay(wallet, 10_000)

    def promise(index: int) -> None:
        # As after that number of transactions that were built and not handed over.
        with reservations(folder) as database:
            database.execute(
                "INSERT INTO change_index VALUES ('p2wpkh', ?, NULL, NULL, 'x')", (index,)
            )

    # Index 0 is used: a restored wallet looks 1,000 further.
    promise(999)
    assert wallet.snapshot()["change_index"] == 1000
    promise(1000)
    # The same whatever else is wrong, as the other side says it.
    for value_sat in (5000, 90_000_000):
        with pytest.raises(BitcoinError, match="would not look further") as caught:
            wallet.create_transaction([(TARGET, value_sat)], 2)
        assert caught.value.kind is ErrorKind.INVALID_INPUT
        assert caught.value.context == {"highest_used": "0", "gap_limit": "1000"}
    with pytest.raises(BitcoinError, match="would not look further"):
        wallet.snapshot()


def test_what_was_given_out_is_remembered_when_the_shared_file_is_lost(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    assert [wallet.generate_address("p2tr")["index"] for _ in range(3)] == [0, 1, 2]
    with reservations(folder) as database:
        # By the other side.
        database.execute("UPDATE next_index SET next = 8")
    wallet.get_balance()
    wallet.close()
    (folder / "reservations.sqlite").unlink()
    wallet = opened(node, folder)
    assert wallet.generate_address("p2tr")["index"] == 8
    assert wallet.generate_address("p2tr")["index"] == 9
    wallet.close()


def test_a_running_wallet_finds_what_a_restored_one_finds(
    node: Node, wallet: LegacyBackend, tmp_path: Path, birthday: int
) -> None:
    wallet.get_balance()
    for index in (45, 25, 15, 60, 35, 5, 70):
        node.pay([(script(wallet, index), 10_000_000)])
        node.mine()
        wallet.get_balance()
    restored = opened(node, make_wallet(tmp_path / "restored", birthday=birthday))
    assert restored.wallet_state() == wallet.wallet_state()
    assert buckets(wallet) == {"confirmed": 70_000_000}
    assert wallet.snapshot()["pending"] == []
    restored.close()
