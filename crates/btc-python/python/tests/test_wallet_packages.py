"""Unconfirmed coins: the deficit against a miner, the choice against the page read literally."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btc_legacy.errors import BitcoinError
from btc_legacy.wallet.build import (
    INPUT_WEIGHTS,
    Change,
    Outpoint,
    Payment,
    Spendable,
    draft,
    fee_sat,
    weight,
)
from btc_legacy.wallet.keys import Keychain, Place
from btc_legacy.wallet.packages import Packages, PendingTransaction
from btc_legacy.wire import ADDRESS_TYPES

CHANGE = Change(Place(Keychain("p2wpkh", "change"), 0), b"\x00\x14" + bytes(20))
PAYEE = b"\x51\x20" + bytes(32)


def txid(number: int) -> bytes:
    return number.to_bytes(32, "big")


def waiting(
    number: int, fee_sat: int, *spends: int, size_vb: int = 100, version: int = 2
) -> PendingTransaction:
    """An unconfirmed transaction that spends others."""
    return PendingTransaction(
        txid(number), version, size_vb, fee_sat, tuple(txid(spent) for spent in spends)
    )


def coin(number: int, value_sat: int, address_type: str = "p2wpkh", *, vout: int = 0) -> Spendable:
    return Spendable(
        Outpoint(txid(number), vout), value_sat, Place(Keychain(address_type, "change"), number)
    )


@pytest.mark.parametrize(
    ("transactions", "of", "rate", "deficit"),
    [
        ([waiting(1, 1000)], [1], 10, 0),
        ([waiting(1, 999)], [1], 10, 1),
        ([waiting(1, 100)], [1], 10, 900),
        ([waiting(1, 100)], [], 10, 0),
        # The surplus of an ancestor is spent: it is mined by itself first.
        ([waiting(1, 5000), waiting(2, 100, 1)], [2], 10, 900),
        # That of a descendant pays for what it descends from.
        ([waiting(1, 100), waiting(2, 1900, 1)], [2], 10, 0),
        ([waiting(1, 100), waiting(2, 1800, 1)], [2], 10, 100),
        # Not when that one is not below the new one: a miner sees it, this rule does not.
        ([waiting(1, 100), waiting(2, 1900, 1)], [1], 10, 900),
        # Two children share a parent, and one of them pays for it.
        ([waiting(1, 0), waiting(2, 2000, 1), waiting(3, 700, 1)], [2, 3], 10, 300),
        # None pays for the parent by itself, both together do.
        ([waiting(1, 0), waiting(2, 1600, 1), waiting(3, 1600, 1)], [2, 3], 10, 0),
        # The rate decides.
        ([waiting(1, 100), waiting(2, 900, 1)], [2], 5, 0),
        ([waiting(1, 100), waiting(2, 899, 1)], [2], 5, 1),
        # Of the transactions that others name, those of the list count.
        ([waiting(2, 100, 1, 9)], [2], 2, 100),
    ],
)
def test_deficits(
    transactions: list[PendingTransaction], of: list[int], rate: int, deficit: int
) -> None:
    for listed in (transactions, transactions[::-1]):
        assert Packages(listed).deficit_sat([txid(number) for number in of], rate) == deficit


@st.composite
def graphs(draw: st.DrawFn, most: int = 9) -> list[PendingTransaction]:
    """Transactions each of which spends some of those before it."""
    count = draw(st.integers(1, most))
    # Txids whose order says nothing about that of the transactions.
    names = draw(st.permutations(range(1, count + 1)))
    found = []
    for number in range(count):
        parents = draw(st.sets(st.sampled_from(names[:number]), max_size=3)) if number else set()
        size_vb = draw(st.integers(60, 400))
        rate = draw(st.sampled_from([0, 1, 2, 5, 10, 20, 40]))
        found.append(
            waiting(
                names[number],
                size_vb * rate + draw(st.integers(-3, 3)) * (rate > 0),
                *sorted(parents),
                size_vb=size_vb,
                version=draw(st.sampled_from([2, 2, 2, 2, 3])),
            )
        )
    return draw(st.permutations(found))


def _mined(transactions: Iterable[PendingTransaction], rate: int) -> set[bytes]:
    """What a miner takes who fills blocks by ancestor sets and stops below a rate."""
    left = {it.txid: it for it in transactions}
    taken: set[bytes] = set()
    while left:
        best: tuple[Fraction, frozenset[bytes]] | None = None
        for name in left:
            package = _ancestors(left, [name])
            fees = sum(left[it].fee_sat for it in package)
            found = Fraction(fees, sum(left[it].size_vb for it in package)), frozenset(package)
            if best is None or found[0] > best[0]:
                best = found
        assert best
        if best[0] < rate:
            return taken
        taken |= best[1]
        for name in best[1]:
            del left[name]
    return taken


def _ancestors(known: dict[bytes, PendingTransaction], of: Iterable[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for name in of:
        if name in known:
            found |= {name} | _ancestors(known, known[name].spends)
    return found


@settings(max_examples=400, deadline=None)
@given(graphs(), st.integers(1, 30), st.data())
def test_a_child_that_pays_the_deficit_is_mined_with_all_that_it_spends(
    transactions: list[PendingTransaction], rate: int, data: st.DataObject
) -> None:
    known = {it.txid: it for it in transactions}
    spent = data.draw(st.sets(st.sampled_from(sorted(known)), min_size=1, max_size=3))
    family = [known[name] for name in _ancestors(known, spent)]
    deficit_sat = Packages(transactions).deficit_sat(spent, rate)
    assert deficit_sat >= 0

    def child(fee_sat: int) -> PendingTransaction:
        return PendingTransaction(b"child", 2, 150, fee_sat, tuple(sorted(spent)))

    everything = {it.txid for it in family} | {b"child"}
    assert _mined([*family, child(150 * rate + deficit_sat)], rate) == everything
    if deficit_sat:
        assert b"child" not in _mined([*family, child(150 * rate + deficit_sat - 1)], rate)


def _by_the_page(
    transactions: Sequence[PendingTransaction],
    coins: Sequence[Spendable],
    paid: Sequence[Payment],
    rate: int,
) -> tuple[list[Spendable], int] | int:
    """The coins that are chosen and the deficit, or what is missing; read from docs/wallet.md."""
    known = {it.txid: it for it in transactions}

    def cluster(names: set[bytes]) -> set[bytes]:
        while True:
            more = names | {it.txid for it in transactions if names & set(it.spends)}
            more |= {spent for name in more for spent in known[name].spends if spent in known}
            if more == names:
                return names
            names = more

    def deficit(names: set[bytes]) -> int:
        family = [known[name] for name in _ancestors(known, names)]
        mined = _mined(family, rate)
        rest = [it for it in family if it.txid not in mined]
        return max(0, sum(it.size_vb * rate - it.fee_sat for it in rest))

    def kinds(chosen: Sequence[Spendable]) -> dict[str, int]:
        names = [it.place.keychain.address_type for it in chosen]
        return {name: names.count(name) for name in names}

    in_order = sorted(coins, key=lambda it: it.outpoint)
    in_order.sort(key=lambda it: -it.value_sat)
    in_order.sort(key=lambda it: it.outpoint.txid in known)
    chosen: list[Spendable] = []
    parents: set[bytes] = set()
    for it in in_order:
        if it.outpoint.txid in known:
            with_it = parents | {it.outpoint.txid}
            size_vb = -(-weight(kinds([*chosen, it]), [*paid, Payment(CHANGE.script, 0)]) // 4)
            connected = cluster(with_it)
            input_vb = -(-INPUT_WEIGHTS[it.place.keychain.address_type] // 4)
            if (
                known[it.outpoint.txid].version == 3
                or len(_ancestors(known, with_it)) > 24
                or len(connected) > 63
                or sum(known[name].size_vb for name in connected) + size_vb > 101_000
                or it.value_sat <= input_vb * rate + deficit(with_it) - deficit(parents)
            ):
                continue
            parents = with_it
        chosen.append(it)
        have_sat = sum(it.value_sat for it in chosen)
        need_sat = sum(it.value_sat for it in paid) + fee_sat(weight(kinds(chosen), paid), rate)
        if have_sat >= need_sat + deficit(parents):
            return chosen, deficit(parents)
    need_sat = sum(it.value_sat for it in paid) + fee_sat(weight(kinds(chosen), paid), rate)
    return need_sat + deficit(parents) - sum(it.value_sat for it in chosen)


@settings(max_examples=500, deadline=None)
@given(graphs(), st.integers(1, 30), st.integers(1, 2**32))
def test_coins_are_chosen_as_the_page_says(
    transactions: list[PendingTransaction], rate: int, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311
    coins = [
        coin(
            chance.choice([*range(1, len(transactions) + 1), 50, 51, 52]),
            chance.choice([chance.randrange(300, 30_000), 5000]),
            chance.choice(ADDRESS_TYPES),
            vout=vout,
        )
        for vout in range(chance.randrange(1, 9))
    ]
    paid = [Payment(PAYEE, chance.randrange(330, 60_000)) for _ in range(chance.randrange(1, 3))]
    expected = _by_the_page(transactions, coins, paid, rate)
    if isinstance(expected, int):
        with pytest.raises(BitcoinError) as caught:
            draft(paid, rate, coins, CHANGE, 0, transactions)
        assert caught.value.context == {"missing_sat": str(expected)}
        return
    drafted = draft(paid, rate, coins, CHANGE, 0, transactions)
    chosen, deficit_sat = expected
    assert list(drafted.coins) == chosen
    types: dict[str, int] = {}
    for it in chosen:
        kind = it.place.keychain.address_type
        types[kind] = types.get(kind, 0) + 1
    asked_sat = fee_sat(weight(types, drafted.outputs), rate) + deficit_sat
    if drafted.change:
        assert drafted.fee_sat == asked_sat
    else:
        # What change would have been is not worth an output: less than its dust limit and its fee.
        assert asked_sat <= drafted.fee_sat < asked_sat + 294 + 31 * rate + rate


def _chosen(
    coins: Sequence[Spendable],
    value_sat: int,
    transactions: Sequence[PendingTransaction],
    rate: int = 1,
) -> list[int]:
    """The transactions that the chosen coins come from."""
    drafted = draft([Payment(PAYEE, value_sat)], rate, coins, CHANGE, 0, transactions)
    return [int.from_bytes(it.outpoint.txid, "big") for it in drafted.coins]


def test_confirmed_coins_come_first_however_small() -> None:
    coins = [coin(1, 90_000), coin(2, 500), coin(3, 700)]
    assert _chosen(coins, 1000, []) == [1]
    assert _chosen(coins, 400, [waiting(1, 100)]) == [3]
    assert _chosen(coins, 1100, [waiting(1, 100)]) == [3, 2, 1]


def test_coins_of_version_three_stay_where_they_are() -> None:
    coins = [coin(1, 50_000), coin(2, 9_000_000)]
    truc = [waiting(2, 1000, version=3)]
    assert _chosen(coins, 40_000, truc) == [1]
    with pytest.raises(BitcoinError) as caught:
        _chosen(coins, 60_000, truc)
    # 60,000 and the fee of one input, less what that one is worth.
    assert int(caught.value.context["missing_sat"]) == 10_000 + fee_sat(
        weight({"p2wpkh": 1}, [Payment(PAYEE, 0)]), 1
    )


def _chain(length: int, first: int = 1, size_vb: int = 100) -> list[PendingTransaction]:
    return [
        waiting(first + number, 1000, *([first + number - 1] if number else []), size_vb=size_vb)
        for number in range(length)
    ]


def test_no_more_ancestors_than_nodes_take() -> None:
    for length, is_taken in ((24, True), (25, False)):
        coins = [coin(length, 90_000), coin(99, 50_000)]
        pending = [*_chain(length), waiting(99, 1000)]
        assert _chosen(coins, 40_000, pending) == [length if is_taken else 99]


def test_ancestors_of_all_chosen_coins_count_together() -> None:
    pending = [*_chain(12), *_chain(13, first=20), *_chain(12, first=40)]
    coins = [coin(12, 90_000), coin(32, 80_000), coin(51, 70_000)]
    assert _chosen(coins, 150_000, pending) == [12, 51], "12 and 13 are too many, 12 and 12 not"


def test_no_larger_cluster_than_nodes_take() -> None:
    for count, is_taken in ((63, True), (64, False)):
        fan = [waiting(1, 100_000), *(waiting(number, 1000, 1) for number in range(2, count + 1))]
        coins = [coin(2, 90_000), coin(99, 50_000)]
        assert _chosen(coins, 40_000, [*fan, waiting(99, 1000)]) == [2 if is_taken else 99]


def test_no_heavier_cluster_than_nodes_take() -> None:
    own_vb = -(-weight({"p2wpkh": 1}, [Payment(PAYEE, 0), Payment(CHANGE.script, 0)]) // 4)
    for size_vb, is_taken in ((101_000 - own_vb, True), (101_001 - own_vb, False)):
        pending = [waiting(1, 200_000, size_vb=size_vb), waiting(99, 1000)]
        assert _chosen([coin(1, 90_000), coin(99, 50_000)], 40_000, pending) == [
            1 if is_taken else 99
        ]


def test_a_coin_that_costs_more_than_it_is_worth_stays_where_it_is() -> None:
    # At 10 sat/vB: 680 for the input, and 900 that its transaction lacks.
    for value_sat, is_taken in ((1581, True), (1580, False)):
        pending = [waiting(1, 100), waiting(2, 1000)]
        coins = [coin(1, value_sat), coin(2, 1500), coin(3, 1000)]
        with pytest.raises(BitcoinError) as caught:
            _chosen(coins, 50_000, pending, rate=10)
        counts = {"p2wpkh": 3 if is_taken else 2}
        need_sat = 50_000 + fee_sat(weight(counts, [Payment(PAYEE, 0)]), 10)
        need_sat += 900 if is_taken else 0
        have_sat = 2500 + (value_sat if is_taken else 0)
        assert int(caught.value.context["missing_sat"]) == need_sat - have_sat


def test_a_coin_that_lowers_the_deficit_is_worth_more() -> None:
    # The child pays for its parent, whose coin has been chosen already.
    pending = [waiting(1, 0), waiting(2, 3000, 1)]
    coins = [coin(1, 5000), coin(2, 100)]
    assert _chosen(coins, 3000, pending, rate=10) == [1, 2]
