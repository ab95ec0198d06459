"""Long work of the wallet in pieces: what was done is kept, in this process and the next one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from btc_legacy import pieces
from btc_legacy.backend import LegacyBackend
from btc_legacy.config import Config
from btc_legacy.host import Host
from btc_legacy.wallet import chain, mempool
from btc_legacy.wallet.node import BlockRef
from btc_legacy.wallet.node import Node as WalletNode
from tests.following import buckets, opened, script
from tests.regtest import Node, needs_bitcoind
from tests.test_host import CONFIG
from tests.wallet_folder import make_wallet, reservations

MAX_PIECES = 50


class Endless:
    """Is never finished with its work."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def get_balance(self) -> int:
        pieces.pause(since=-1e9)
        return 1


def test_the_host_says_that_work_is_unfinished() -> None:
    host = Host()
    start = {"backend": "tests.test_wallet_pieces:Endless", "config": CONFIG}
    assert "ok" in json.loads(
        host.handle(json.dumps({"method": "start", "params": start}).encode())
    )
    # To the byte, as the Rust side has it.
    assert host.handle(b'{"method":"get_balance","params":[]}') == b'{"unfinished":true}'


def test_without_a_limit_nothing_stops() -> None:
    pieces.pause(-1e9)
    with pieces.limited(0), pytest.raises(pieces.Unfinished):
        pieces.pause(-1e9)
    with pieces.limited(1e9):
        pieces.pause(0)


class Fetched:
    """Counts what the wallet fetches."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.transactions: Counter[bytes] = Counter()
        self.blocks: Counter[int] = Counter()
        transaction, block = WalletNode.transaction, WalletNode.block

        def counted_transaction(node: WalletNode, txid: bytes) -> Any:
            self.transactions[txid] += 1
            return transaction(node, txid)

        def counted_block(node: WalletNode, ref: BlockRef) -> Any:
            self.blocks[ref.height] += 1
            return block(node, ref)

        patch.setattr(WalletNode, "transaction", counted_transaction)
        patch.setattr(WalletNode, "block", counted_block)
        patch.setattr(chain, "_BATCH", 2)
        patch.setattr(mempool, "_BATCH", 2)


def _in_lives(node: Node, folder: Path) -> int:
    """Asks for the balance, a piece in each life; returns how many lives it took."""
    for lives in range(1, MAX_PIECES):
        wallet = opened(node, folder)
        try:
            with pieces.limited(0):
                wallet.get_balance()
        except pieces.Unfinished:
            continue
        else:
            return lives
        finally:
            wallet.close()
    pytest.fail("it does not come to an end")


@needs_bitcoind
def test_chain_and_mempool_are_followed_in_pieces_that_survive_the_process(
    node: Node, tmp_path: Path, birthday: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_wallet(tmp_path / "wallet", birthday=birthday)
    with_keys = opened(node, make_wallet(tmp_path / "same", birthday=birthday))
    for _ in range(6):
        node.mine()
    mine = script(with_keys, 0)
    with_keys.close()
    for _ in range(8):
        node.spend(node.coin(), [])
    node.pay([(mine, 50_000)])
    waiting = len(node.rpc.read("getrawmempool"))
    fetched = Fetched(monkeypatch)
    lives = _in_lives(node, folder)
    assert lives >= 2 + waiting // 2, f"it stopped {lives - 1} times"
    assert set(fetched.transactions.values()) == {1}, "a transaction was fetched again"
    assert len(fetched.transactions) == waiting
    assert set(fetched.blocks.values()) == {1}, "a block was read again"
    wallet = opened(node, folder)
    assert buckets(wallet) == {"untrusted_pending": 50_000}
    assert len(fetched.transactions) == fetched.transactions.total()
    wallet.close()
    node.mine()


@needs_bitcoind
def test_what_was_another_transaction_before_is_found_when_its_address_is_given_out_meanwhile(
    node: Node, tmp_path: Path, birthday: int
) -> None:
    folder = make_wallet(tmp_path / "wallet", birthday=birthday)
    wallet = opened(node, folder)
    node.pay([(script(wallet, 1234), 30_000)])
    assert buckets(wallet) == {}
    wallet.close()
    with reservations(folder) as database:
        database.execute("INSERT OR REPLACE INTO next_index VALUES ('p2wpkh', 'receive', 1235)")
    again = opened(node, folder)
    assert buckets(again) == {"untrusted_pending": 30_000}
    again.close()
    node.mine()


@needs_bitcoind
def test_transactions_that_left_the_mempool_leave_the_file(
    node: Node, tmp_path: Path, birthday: int, wallet: LegacyBackend
) -> None:
    node.spend(node.coin(), [])
    assert buckets(wallet) == {}
    store = wallet._wallet._follower._store  # type: ignore[union-attr]
    assert len(store.others()) == len(node.rpc.read("getrawmempool")) > 0
    node.mine()
    assert buckets(wallet) == {}
    assert store.others() == {}
