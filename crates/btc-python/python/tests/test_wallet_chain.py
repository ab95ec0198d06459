"""Following a real chain: what is found, what is undone, and where a wallet goes on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from btc_legacy.backend import LegacyBackend
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.node import Block, BlockRef
from btc_legacy.wallet.node import Node as WalletNode
from btc_legacy.wire import ADDRESS_TYPES, CHAINS
from tests.following import TARGET, buckets, opened, script
from tests.regtest import PAY_TO_ANYONE, Node, needs_bitcoind
from tests.wallet_folder import description, make_wallet, reservations

pytestmark = needs_bitcoind


def test_coinbase_outputs_ripen(node: Node, wallet: LegacyBackend) -> None:
    address = wallet.generate_address("p2tr")["address"]
    node.mine_to(address)
    (subsidy,) = buckets(wallet).values()
    node.mine(98)
    assert buckets(wallet) == {"immature": subsidy}
    assert _missing(wallet, 1000), "immature coins are not spent"
    node.mine()
    assert buckets(wallet) == {"confirmed": subsidy}
    tx = wallet.create_transaction([(TARGET, 1000)], 2)
    assert wallet.broadcast_transaction(tx) == tx["txid"]
    node.mine()


def _missing(wallet: LegacyBackend, value_sat: int) -> bool:
    with pytest.raises(BitcoinError) as caught:
        wallet.create_transaction([(TARGET, value_sat)], 1)
    assert caught.value.kind is ErrorKind.REJECTED
    return "missing_sat" in caught.value.context


def test_a_reorganisation_is_followed_at_any_depth(
    node: Node, wallet: LegacyBackend, tmp_path: Path, birthday: int
) -> None:
    for number in range(6):
        node.pay([(script(wallet, number), 10_000 + number)])
        node.mine()
    whole = sum(10_000 + number for number in range(6))
    assert buckets(wallet) == {"confirmed": whole}
    spent = wallet.create_transaction([(TARGET, 30_000)], 2)
    wallet.broadcast_transaction(spent)
    node.mine()
    after = buckets(wallet)
    tip = node.rpc.read("getblockcount")
    for height in (tip, tip - 4, birthday + 3, birthday, birthday - 1):
        block_hash = node.rpc.read("getblockhash", height)
        node.rpc.write("invalidateblock", block_hash)
        state = wallet.wallet_state()
        assert state["tip"]["height"] == height - 1
        # What was mined is back in the mempool, except for the payment where its lock time is
        # not reached yet.
        expected = sum(after.values()) if spent["txid"] in node.rpc.read("getrawmempool") else whole
        assert sum(value for _, value in state["coins"]) == expected
        _compare(node, wallet, tmp_path / f"at-{height}", birthday)
        node.rpc.write("reconsiderblock", block_hash)
        assert buckets(wallet) == after
    # Another branch, longer, without the payments.
    block_hash = node.rpc.read("getblockhash", birthday)
    node.rpc.write("invalidateblock", block_hash)
    pending = node.rpc.read("getrawmempool")
    node.mine_empty(tip - birthday + 2)
    state = wallet.wallet_state()
    assert state["tip"]["height"] == tip + 1
    assert buckets(wallet).keys() <= {"untrusted_pending", "trusted_pending", "held_by_missing"}
    assert pending
    wallet.broadcast_transaction(spent)
    node.mine()
    assert buckets(wallet) == after


def test_an_address_found_late_may_have_been_paid_early(
    node: Node, tmp_path: Path, birthday: int
) -> None:
    other = opened(node, make_wallet(tmp_path / "other", birthday=birthday))
    node.pay([(script(other, 45), 1000), (script(other, 30), 2000)])
    node.mine()
    node.pay([(script(other, 15), 4000)])
    node.mine()
    wallet = opened(node, make_wallet(tmp_path / "wallet", birthday=birthday))
    assert buckets(wallet) == {"confirmed": 7000}
    wallet.close()
    # The other one had seen no block when they were paid, and scans first as well.
    assert buckets(other) == {"confirmed": 7000}
    node.pay([(script(other, 84), 8000), (script(other, 64), 16_000)])
    node.mine()
    assert buckets(other) == {"confirmed": 7000 + 24_000}, "one moves the window for the other"
    node.pay([(script(other, 150), 8000)])
    node.mine()
    assert buckets(other) == {"confirmed": 7000 + 24_000}, "beyond the gap"
    other.close()


def test_a_promise_between_two_looks_at_the_chain_counts(
    node: Node, wallet: LegacyBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.mine()
    wallet.get_balance()
    node.pay([(script(wallet, 60), 3000)])
    node.mine()
    block = WalletNode.block

    def promising(self: WalletNode, ref: BlockRef) -> Block:
        with reservations(tmp_path / "wallet") as database:
            database.execute("INSERT OR REPLACE INTO next_index VALUES ('p2wpkh', 'receive', 61)")
        return block(self, ref)

    # The other side gives the address out, and it is paid, after this one has begun to follow.
    monkeypatch.setattr(WalletNode, "block", promising)
    assert buckets(wallet) == {"confirmed": 3000}


def test_a_wallet_goes_on_where_it_stopped(
    node: Node, wallet: LegacyBackend, tmp_path: Path
) -> None:
    node.pay([(script(wallet, 3), 3000)])
    node.mine(5)
    state = wallet.wallet_state()
    wallet.close()
    again = opened(node, tmp_path / "wallet")
    calls: list[str] = []
    read = again._rpc.read
    again._rpc.read = lambda method, *params: calls.append(method) or read(method, *params)  # type: ignore[func-returns-value,method-assign]
    assert again.wallet_state() == state
    assert "getblock" not in calls
    node.pay([(script(again, 1), 4000)])
    again.get_balance()
    calls.clear()
    again.get_balance()
    assert calls == ["getbestblockhash", "getrawmempool", "getbestblockhash"]
    again.close()
    again = opened(node, tmp_path / "wallet")
    assert again.generate_address("p2wpkh")["index"] == 4, "what was used is remembered"
    again.close()
    # All of it can be learned again.
    for file in (tmp_path / "wallet").glob("python.sqlite*"):
        file.unlink()
    again = opened(node, tmp_path / "wallet")
    assert buckets(again) == {"confirmed": 3000, "untrusted_pending": 4000}
    again.close()
    node.mine()


def test_before_its_birthday_a_wallet_is_empty(node: Node, tmp_path: Path) -> None:
    height = node.rpc.read("getblockcount")
    wallet = opened(node, make_wallet(tmp_path / "unborn", birthday=height + 3))
    for _ in range(5):
        tip = node.rpc.read("getblockcount")
        assert wallet.wallet_state()["tip"] == {
            "height": tip,
            "hash": node.rpc.read("getbestblockhash"),
        }
        node.pay([(script(wallet, 0), 1000)])
        node.mine()
    assert buckets(wallet) == {"confirmed": 3000}
    wallet.close()


_SCANS = """
import sys
from btc_legacy.backend import LegacyBackend
from btc_legacy.config import Config
from btc_legacy.wallet.store import Store

apply = Store.apply
def saying(self, effect):
    apply(self, effect)
    print(effect.block.height, flush=True)
Store.apply = saying
url, cookie, folder = sys.argv[1:]
config = Config(network="regtest", rpc_url=url, rpc_cookie_file=cookie, wallet_dir=folder)
LegacyBackend(config).get_balance()
print("done", flush=True)
"""


def test_a_scan_may_be_killed_at_any_point(node: Node, tmp_path: Path) -> None:
    whole = opened(node, make_wallet(tmp_path / "whole"))
    state = whole.wallet_state()
    whole.close()
    chance = random.Random(3)  # noqa: S311
    folder = make_wallet(tmp_path / "wallet")
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", _SCANS, node.url, str(node.cookie), str(folder)],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout
            for _ in range(chance.randrange(1, 120)):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    wallet = opened(node, folder)
    assert wallet.wallet_state() == state
    wallet.close()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_wallet_is_where_a_new_one_would_be(
    node: Node, wallet: LegacyBackend, tmp_path: Path, birthday: int, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311
    for step in range(25):
        event = chance.choice(["pay", "pay", "spend", "mine", "mine", "reorganise"])
        if event == "pay":
            where = chance.choice(ADDRESS_TYPES), chance.randrange(25)
            node.pay([(script(wallet, where[1], where[0]), chance.randrange(2000, 90_000))])
        elif event == "spend":
            _try_to_spend(wallet, chance)
        elif event == "mine":
            node.mine(chance.randrange(1, 3))
        else:
            tip = node.rpc.read("getblockcount")
            height = max(birthday, tip - chance.randrange(6))
            if height <= tip:
                node.rpc.write("invalidateblock", node.rpc.read("getblockhash", height))
                node.mine_branch(chance.randrange(1, tip - height + 3))
        if chance.random() < 0.6:
            wallet.get_balance()
        if step % 8 == 7:
            _compare(node, wallet, tmp_path / f"fresh-{step}", birthday)
    node.mine()
    _compare(node, wallet, tmp_path / "fresh", birthday)


def _try_to_spend(wallet: LegacyBackend, chance: random.Random) -> None:
    try:
        tx = wallet.create_transaction([(TARGET, chance.randrange(2000, 100_000))], 2)
        wallet.broadcast_transaction(tx)
    except BitcoinError as error:
        # Too few coins; or too long a chain in the mempool.
        if error.kind is not ErrorKind.REJECTED:
            raise


def _compare(node: Node, wallet: LegacyBackend, folder: Path, birthday: int) -> None:
    state = wallet.wallet_state()
    # A new one does not know which payments hold coins.
    state["balance"]["held_by_missing_sat"] = 0
    fresh = opened(node, make_wallet(folder, birthday=birthday))
    assert fresh.wallet_state() == state
    fresh.close()
    if node.rpc.read("getmempoolinfo")["size"] == 0:
        assert {outpoint for outpoint, _ in state["coins"]} == _cores_view(node, birthday)


def _cores_view(node: Node, birthday: int) -> set[str]:
    descriptors = [
        {"desc": account[chain], "range": 100}
        for account in description()["accounts"]
        for chain in CHAINS
    ]
    found = node.rpc.read("scantxoutset", "start", descriptors)["unspents"]
    return {f"{it['txid']}:{it['vout']}" for it in found if it["height"] >= birthday}


def test_the_coins_are_listed_by_the_bytes_of_their_txid(node: Node, wallet: LegacyBackend) -> None:
    for number in range(6):
        node.pay([(script(wallet, number), 1000), (PAY_TO_ANYONE, 500), (script(wallet, 9), 1000)])
    listed = [outpoint.split(":") for outpoint, _ in wallet.wallet_state()["coins"]]
    order = [(bytes.fromhex(txid)[::-1], int(vout)) for txid, vout in listed]
    assert len(order) == 12
    assert order == sorted(order)
    node.mine()
