"""Following a real mempool: what counts before it is mined, and how far it is trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bitcoin.core import COutPoint

from btc_legacy.backend import LegacyBackend
from tests.following import TARGET, allow_replacement, buckets, opened, script
from tests.regtest import Node, needs_bitcoind
from tests.wallet_folder import make_wallet, reservations

pytestmark = needs_bitcoind


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
            "pending": [],
            "change_type": "p2wpkh",
            "change_index": 0,
        },
    )
    assert plan["unknown_coins"] == [outpoint], "known, and not as spendable"
    wallet.broadcast_transaction(plan["transaction"])
    change = plan["transaction"]["outputs"][1]["value_sat"]
    assert buckets(wallet) == {"untrusted_pending": change}
    node.mine()


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


def test_what_a_replaced_payment_spent_is_held_until_it_is_decided(
    node: Node, wallet: LegacyBackend, tmp_path: Path
) -> None:
    node.pay([(script(wallet, 0), 50_000), (script(wallet, 1), 40_000)])
    node.mine()
    first, snapshot = wallet.create_transaction_with_snapshot([(TARGET, 70_000)], 1)
    wallet.broadcast_transaction(first)
    assert buckets(wallet) == {"trusted_pending": 20_000 - (first["fee_sat"] or 0)}
    snapshot["coins"] = [coin for coin in snapshot["coins"] if coin["value_sat"] == 50_000]
    second = wallet.plan_transaction([(TARGET, 10_000)], 40, snapshot)["transaction"]
    allow_replacement(tmp_path / "wallet", second, first)
    wallet.broadcast_transaction(second)
    change = second["outputs"][1]["value_sat"]
    # The replacement may be lost, and what it replaced be mined after all.
    assert buckets(wallet) == {
        "confirmed": 40_000,
        "trusted_pending": change,
        "held_by_missing": 40_000,
    }
    assert [coin["value_sat"] for coin in wallet.snapshot()["coins"]] == [change]
    node.mine()
    assert buckets(wallet) == {"confirmed": 40_000 + change}


def test_descendants_in_the_mempool_are_found_in_any_order(
    node: Node, wallet: LegacyBackend, tmp_path: Path, birthday: int
) -> None:
    # A chain of payments of which only some are the wallet's, and that move the window.
    coin = node.coin()
    for number in range(12):
        outputs = [(script(wallet, 24 * number), 5000)] if number % 2 == 0 else []
        tx = node.spend(coin, outputs)
        coin = COutPoint(tx.GetTxid(), len(outputs))
    # With 0 used, the first 40 are watched; 48 is beyond.
    assert buckets(wallet) == {"untrusted_pending": 5000}
    node.pay([(script(wallet, 39), 1000), (script(wallet, 10), 1000)])
    assert buckets(wallet)["untrusted_pending"] == 2 * 5000 + 2 * 1000, "80 watched, then 48 used"
    node.pay([(script(wallet, 79), 1000)])
    node.pay([(script(wallet, 119), 1000)])
    node.pay([(script(wallet, 159), 1000)])
    node.pay([(script(wallet, 219), 1000)])
    assert buckets(wallet)["untrusted_pending"] == 6 * 5000 + 6 * 1000
    fresh = opened(node, make_wallet(tmp_path / "fresh", birthday=birthday))
    assert fresh.wallet_state() == wallet.wallet_state()
    fresh.close()
    node.mine()


def test_what_spends_a_pending_coin_is_found_before_and_after_it(
    node: Node, wallet: LegacyBackend, tmp_path: Path, birthday: int
) -> None:
    # Of each pair, the child comes before its parent in every second case.
    for index in range(7):
        node.pay([(script(wallet, index), 20_000)])
    state = wallet.wallet_state()
    for outpoint, _ in state["coins"]:
        index = _index_of(node, wallet, outpoint)
        coin = {"outpoint": outpoint, "value_sat": 20_000, "chain": "receive", "index": index}
        coin["address_type"] = "p2wpkh"
        snapshot: Any = {"tip": state["tip"], "coins": [coin], "pending": []}
        snapshot |= {"change_type": "p2wpkh", "change_index": 0}
        plan = wallet.plan_transaction([(TARGET, 19_800)], 1, snapshot)
        assert len(plan["transaction"]["outputs"]) == 1
        wallet.broadcast_transaction(plan["transaction"])
    assert buckets(wallet) == {}
    fresh = opened(node, make_wallet(tmp_path / "fresh", birthday=birthday))
    assert buckets(fresh) == {}
    fresh.close()
    node.mine()


def _index_of(node: Node, wallet: LegacyBackend, outpoint: str) -> int:
    txid, _, vout = outpoint.partition(":")
    paid = node.rpc.read("gettxout", txid, int(vout), True)["scriptPubKey"]["hex"]
    return next(index for index in range(20) if script(wallet, index).hex() == paid)


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


@pytest.mark.parametrize("is_mined", [True, False])
@pytest.mark.parametrize("near", [[], [0]])
def test_a_coin_found_late_that_waits_to_be_spent_is_not_free(
    node: Node, tmp_path: Path, birthday: int, near: list[int], is_mined: bool
) -> None:
    wallet = opened(node, make_wallet(tmp_path / "one", birthday=birthday, gap_limit=10))
    other = opened(node, make_wallet(tmp_path / "other", birthday=birthday, gap_limit=100))
    wallet.wallet_state()
    # Beyond the window, alone or beside an output that is known.
    paying = node.pay([(script(wallet, index), 50_000) for index in [35, *near]])
    if is_mined:
        node.mine()
    coin = {"outpoint": f"{paying.GetTxid()[::-1].hex()}:0", "value_sat": 50_000}
    snapshot: Any = {"tip": other.wallet_state()["tip"], "pending": []}
    snapshot["coins"] = [{**coin, "address_type": "p2wpkh", "chain": "receive", "index": 35}]
    snapshot |= {"change_type": "p2wpkh", "change_index": 0}
    spending = other.plan_transaction([(TARGET, 49_780)], 1, snapshot)["transaction"]
    assert len(spending["outputs"]) == 1
    other.broadcast_transaction(spending)
    assert sum(buckets(wallet).values()) == len(near) * 50_000
    # What waits moves the window; blocks are read again, and the coin is found.
    node.pay([(script(wallet, 19), 30_000)])
    assert sum(buckets(wallet).values()) == len(near) * 50_000 + 30_000
    assert wallet.wallet_state() == other.wallet_state()
    for it in (wallet, other):
        assert it.generate_address("p2wpkh")["index"] == 36
        it.close()
    node.mine()
