"""Following a real chain and mempool: what counts, in which bucket, through reorganisations."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bitcoin.core import COutPoint

from btc_legacy.backend import LegacyBackend
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wire import ADDRESS_TYPES, CHAINS
from tests.regtest import PAY_TO_ANYONE, Node, needs_bitcoind, running_node
from tests.wallet_folder import WORDS, description, make_wallet, reservations

pytestmark = needs_bitcoind

TARGET = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


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


def opened(node: Node, folder: Path) -> LegacyBackend:
    """The backend with a wallet's words."""
    return LegacyBackend(node.config(wallet_dir=str(folder), wallet_words=WORDS))


def script(wallet: LegacyBackend, index: int, address_type: str = "p2wpkh") -> bytes:
    """The script of a receiving address."""
    return bytes.fromhex(wallet.derive_address(address_type, index)["script_pubkey"])


def buckets(wallet: LegacyBackend) -> dict[str, int]:
    """The buckets of the balance that are not empty."""
    balance: dict[str, Any] = dict(wallet.wallet_state()["balance"])
    return {name.removesuffix("_sat"): value for name, value in balance.items() if value}


def test_unconfirmed_payments_are_trusted_when_they_are_the_wallets_own(
    node: Node, wallet: LegacyBackend
) -> None:
    node.pay([(script(wallet, 0), 50_000)])
    assert buckets(wallet) == {"untrusted_pending": 50_000}
    assert wallet.get_balance() == 0
    node.mine()
    assert buckets(wallet) == {"confirmed": 50_000}
    first = wallet.create_transaction([(TARGET, 10_000)], 2)
    wallet.broadcast_transaction(first)
    change = first["outputs"][1]["value_sat"]
    assert buckets(wallet) == {"trusted_pending": change}
    # The change is spent in turn before it is confirmed: trust is handed on.
    second = wallet.create_transaction([(TARGET, 10_000)], 2)
    wallet.broadcast_transaction(second)
    assert second["inputs"][0]["previous_output"] == f"{first['txid']}:1"
    assert buckets(wallet) == {"trusted_pending": second["outputs"][1]["value_sat"]}
    node.mine()
    assert buckets(wallet) == {"confirmed": second["outputs"][1]["value_sat"]}


def test_what_is_spent_from_untrusted_coins_is_not_trusted(
    node: Node, wallet: LegacyBackend
) -> None:
    tx = node.pay([(script(wallet, 0), 50_000)])
    snapshot = wallet.wallet_state()
    (outpoint, value_sat) = snapshot["coins"][0]
    assert outpoint == f"{tx.GetTxid()[::-1].hex()}:0"
    coin = {"outpoint": outpoint, "value_sat": value_sat, "chain": "receive", "index": 0}
    plan = wallet.plan_transaction(
        [(TARGET, 10_000)],
        2,
        {
            "tip": snapshot["tip"],
            "coins": [{**coin, "address_type": "p2wpkh"}],  # type: ignore[typeddict-item]
            "change_type": "p2wpkh",
            "change_index": 0,
        },
    )
    assert plan["unknown_coins"] == [outpoint], "known, and not as spendable"
    wallet.broadcast_transaction(plan["transaction"])
    change = plan["transaction"]["outputs"][1]["value_sat"]
    assert buckets(wallet) == {"untrusted_pending": change}
    node.mine()


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


def test_a_replaced_payment_no_longer_counts(node: Node, wallet: LegacyBackend) -> None:
    coin = node.coin()
    node.spend(coin, [(script(wallet, 3), 50_000)])
    assert buckets(wallet) == {"untrusted_pending": 50_000}
    node.spend(coin, [(script(wallet, 4), 20_000)], fee_sat=9000)
    assert buckets(wallet) == {"untrusted_pending": 20_000}
    node.spend(coin, [], fee_sat=30_000)
    assert buckets(wallet) == {}
    node.mine()
    assert buckets(wallet) == {}
    assert wallet.generate_address("p2wpkh")["index"] == 5, "seen once is used for ever"


def test_what_a_replaced_transaction_spent_is_free_again(
    node: Node, wallet: LegacyBackend, tmp_path: Path
) -> None:
    node.pay([(script(wallet, 0), 50_000), (script(wallet, 1), 40_000)])
    node.mine()
    first, snapshot = wallet.create_transaction_with_snapshot([(TARGET, 70_000)], 1)
    wallet.broadcast_transaction(first)
    assert buckets(wallet) == {"trusted_pending": 20_000 - (first["fee_sat"] or 0)}
    snapshot["coins"] = [coin for coin in snapshot["coins"] if coin["value_sat"] == 50_000]
    second = wallet.plan_transaction([(TARGET, 10_000)], 40, snapshot)["transaction"]
    wallet.broadcast_transaction(second)
    assert buckets(wallet) == {
        "confirmed": 40_000,
        "trusted_pending": second["outputs"][1]["value_sat"],
    }
    node.mine()


def test_a_reorganisation_is_followed_at_any_depth(
    node: Node, wallet: LegacyBackend, birthday: int
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
        node.rpc.write("reconsiderblock", block_hash)
        assert buckets(wallet) == after
    # Another branch, longer, without the payments.
    block_hash = node.rpc.read("getblockhash", birthday)
    node.rpc.write("invalidateblock", block_hash)
    pending = node.rpc.read("getrawmempool")
    node.mine_empty(tip - birthday + 2)
    state = wallet.wallet_state()
    assert state["tip"]["height"] == tip + 1
    assert buckets(wallet).keys() <= {"untrusted_pending", "trusted_pending"}
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


def test_addresses_that_the_other_side_promised_are_watched(
    node: Node, wallet: LegacyBackend, tmp_path: Path
) -> None:
    node.mine()
    assert buckets(wallet) == {}
    node.pay([(script(wallet, 70), 3000)])
    assert buckets(wallet) == {}
    with reservations(tmp_path / "wallet") as database:
        database.execute("INSERT INTO next_index VALUES ('p2wpkh', 'receive', 71)")
    assert buckets(wallet) == {"untrusted_pending": 3000}, "in the mempool it is looked for again"
    with reservations(tmp_path / "wallet") as database:
        database.execute("INSERT INTO next_index VALUES ('p2tr', 'change', 50)")
    node.mine()
    assert buckets(wallet) == {"confirmed": 3000}


def test_descendants_in_the_mempool_are_found_in_any_order(
    node: Node, wallet: LegacyBackend, tmp_path: Path, birthday: int
) -> None:
    # A chain of payments of which only some are the wallet's, and that move the window.
    coin = node.coin()
    for number in range(12):
        outputs = [(script(wallet, 12 * number), 5000)] if number % 2 == 0 else []
        tx = node.spend(coin, outputs)
        coin = COutPoint(tx.GetTxid(), len(outputs))
    first = buckets(wallet)
    # The window reaches as far as indices follow each other by less than the gap.
    assert first == {"untrusted_pending": 5000}
    node.pay([(script(wallet, 19), 1000), (script(wallet, 10), 1000)])
    node.pay([(script(wallet, 38), 1000)])
    node.pay([(script(wallet, 57), 1000)])
    node.pay([(script(wallet, 76), 1000)])
    assert buckets(wallet)["untrusted_pending"] == 5 * 5000 + 5 * 1000
    fresh = opened(node, make_wallet(tmp_path / "fresh", birthday=birthday))
    assert fresh.wallet_state() == wallet.wallet_state()
    fresh.close()
    node.mine()


def test_a_wallet_goes_on_where_it_stopped(
    node: Node, wallet: LegacyBackend, tmp_path: Path
) -> None:
    node.pay([(script(wallet, 0), 3000)])
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
