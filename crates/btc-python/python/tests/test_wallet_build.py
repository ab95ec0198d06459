"""The rules of money: what a draft keeps, at every border."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.addresses import address_of, dust_limit_sat, script_of
from btc_legacy.wallet.build import (
    MAX_MONEY_SAT,
    Change,
    Draft,
    Outpoint,
    Payment,
    Spendable,
    check_payments,
    draft,
    fee_sat,
    weight,
)
from btc_legacy.wallet.keys import Keychain, Keyring, Place, Signer
from btc_legacy.wire import ADDRESS_TYPES
from tests.wallet_folder import WORDS

KEYRING = Keyring("regtest", Signer("regtest", WORDS, "").accounts())
CHANGE_PLACE = Place(Keychain("p2wpkh", "change"), 7)
CHANGE = Change(CHANGE_PLACE, KEYRING.script(CHANGE_PLACE))
TARGET = address_of(KEYRING.script(Place(Keychain("p2wpkh", "receive"), 0)), "regtest")


def coin(number: int, value_sat: int, address_type: str = "p2wpkh") -> Spendable:
    place = Place(Keychain(address_type, "receive"), number % 20)
    return Spendable(Outpoint(number.to_bytes(32, "big"), 0), value_sat, place)


coins = st.lists(
    st.builds(
        coin,
        st.integers(0, 10**6),
        st.integers(1, 10**9),
        st.sampled_from(ADDRESS_TYPES),
    ),
    max_size=30,
    unique_by=lambda coin: coin.outpoint,
)
payments = st.lists(
    st.builds(
        Payment,
        st.sampled_from(
            [KEYRING.script(Place(Keychain(name, "receive"), 0)) for name in ADDRESS_TYPES]
        ),
        st.integers(600, 10**8),
    ),
    min_size=1,
    max_size=5,
)
rates = st.integers(1, 500)


def _types(drafted: Draft) -> Counter[str]:
    return Counter(coin.place.keychain.address_type for coin in drafted.coins)


def _fails(
    payments: list[Payment], rate: int, coins: list[Spendable]
) -> tuple[Draft | None, BitcoinError | None]:
    try:
        return draft(payments, rate, coins, CHANGE, 100), None
    except BitcoinError as error:
        return None, error


@given(coins, payments, rates, st.randoms())
def test_a_draft_keeps_the_rules(
    coins: list[Spendable], payments: list[Payment], rate: int, chance: random.Random
) -> None:
    drafted, error = _fails(payments, rate, coins)
    if drafted is None:
        assert error
        assert error.kind is ErrorKind.REJECTED
        counts = Counter(coin.place.keychain.address_type for coin in coins)
        needed = sum(p.value_sat for p in payments) + fee_sat(weight(counts, payments), rate)
        missing = needed - sum(coin.value_sat for coin in coins)
        assert error.context == {"missing_sat": str(missing)}
        assert missing > 0
        return
    # Nothing appears or vanishes.
    inputs_sat = sum(coin.value_sat for coin in drafted.coins)
    assert inputs_sat == sum(output.value_sat for output in drafted.outputs) + drafted.fee_sat
    assert drafted.outputs[: len(payments)] == tuple(payments)
    # The fee is what the weight asks for; more only where change would have been dust.
    asked_sat = fee_sat(weight(_types(drafted), drafted.outputs), rate)
    if drafted.change:
        (change,) = drafted.outputs[len(payments) :]
        assert drafted.fee_sat == asked_sat
        assert change.script == CHANGE.script
        assert change.value_sat >= dust_limit_sat(CHANGE.script)
    else:
        assert len(drafted.outputs) == len(payments)
        with_change = fee_sat(weight(_types(drafted), [*payments, Payment(CHANGE.script, 0)]), rate)
        assert asked_sat <= drafted.fee_sat < with_change + dust_limit_sat(CHANGE.script)
    # The largest coins, none more than needed.
    order = sorted(coins, key=lambda coin: (-coin.value_sat, coin.outpoint.txid))
    assert list(drafted.coins) == order[: len(drafted.coins)]
    if len(drafted.coins) > 1:
        assert _fails(payments, rate, order[: len(drafted.coins) - 1])[0] is None
    # However the coins are listed.
    shuffled = list(coins)
    chance.shuffle(shuffled)
    assert draft(payments, rate, shuffled, CHANGE, 100) == drafted


def test_the_order_of_coins_is_by_value_and_then_by_outpoint() -> None:
    place = CHANGE_PLACE
    listed = [
        Spendable(Outpoint(b"\x01" + bytes(31), 1), 1000, place),
        Spendable(Outpoint(bytes(31) + b"\x02", 0), 1000, place),
        Spendable(Outpoint(b"\x01" + bytes(31), 0), 1000, place),
        Spendable(Outpoint(b"\xff" * 32, 0), 1001, place),
    ]
    chosen = draft([Payment(CHANGE.script, 3000)], 1, listed, CHANGE, 0).coins
    assert [listed.index(coin) for coin in chosen] == [3, 1, 2, 0]


def test_change_appears_exactly_at_its_dust_limit() -> None:
    payments = [Payment(CHANGE.script, 10_000)]
    with_change = fee_sat(weight({"p2wpkh": 1}, [*payments, Payment(CHANGE.script, 0)]), 2)
    for above, has_change in ((-1, False), (0, True), (1, True)):
        value_sat = 10_000 + with_change + 294 + above
        drafted = draft(payments, 2, [coin(1, value_sat)], CHANGE, 0)
        assert (drafted.change is not None) is has_change
        assert drafted.fee_sat == (with_change if has_change else with_change + 293)


def test_coins_that_just_suffice() -> None:
    payments = [Payment(CHANGE.script, 10_000)]
    fee = fee_sat(weight({"p2tr": 1}, payments), 3)
    assert draft(payments, 3, [coin(1, 10_000 + fee, "p2tr")], CHANGE, 0).fee_sat == fee
    _, error = _fails(payments, 3, [coin(1, 10_000 + fee - 1, "p2tr")])
    assert error
    assert error.context == {"missing_sat": "1"}


@pytest.mark.parametrize(
    ("counts", "scripts", "expected"),
    [
        ({"p2wpkh": 1}, [22], 32 + 8 + 271 + 2 + 4 * 31),
        ({"p2tr": 2}, [34, 22], 32 + 8 + 460 + 2 + 4 * 43 + 4 * 31),
        ({"p2pkh": 2}, [25], 32 + 8 + 1176 + 4 * 34),
        ({"p2pkh": 2, "p2sh-p2wpkh": 1}, [23], 32 + 8 + 1176 + 363 + 2 + 2 + 4 * 32),
        ({}, [22], 32 + 8 + 4 * 31),
        ({"p2wpkh": 252}, [22] * 253, 32 + 4 + 12 + 252 * 271 + 2 + 253 * 4 * 31),
        ({"p2wpkh": 253}, [22] * 252, 32 + 12 + 4 + 253 * 271 + 2 + 252 * 4 * 31),
    ],
)
def test_weights(counts: dict[str, int], scripts: list[int], expected: int) -> None:
    assert weight(counts, [Payment(bytes(size), 0) for size in scripts]) == expected


@pytest.mark.parametrize(
    ("weight_wu", "rate", "fee"), [(400, 1, 100), (401, 1, 101), (403, 1, 101), (401, 4, 404)]
)
def test_every_begun_vbyte_is_paid(weight_wu: int, rate: int, fee: int) -> None:
    assert fee_sat(weight_wu, rate) == fee


@pytest.mark.parametrize(
    ("outputs", "rate", "said"),
    [
        ([], 0, "no outputs"),
        ([("x", 1)], 0, "fee rate is 0"),
        ([("x", 1), (TARGET, 1)], 1, r"outputs\[0\]: 'x' is not an address of regtest"),
        ([(TARGET, 1), ("x", 1)], 1, r"outputs\[0\]: 1 sat is dust"),
        ([(TARGET, 293)], 1, "at least 294 sat"),
        ([(TARGET, MAX_MONEY_SAT), (TARGET, 294)], 1, "more than there will ever be"),
        ([(TARGET, 2**64 - 1)], 1, "more than there will ever be"),
    ],
)
def test_checks_in_their_order(outputs: list[tuple[str, int]], rate: int, said: str) -> None:
    with pytest.raises(BitcoinError, match=said) as caught:
        check_payments(outputs, rate, "regtest")
    assert caught.value.kind is ErrorKind.INVALID_INPUT


def test_amounts_at_their_limits_are_accepted() -> None:
    for outputs in ([(TARGET, 294)], [(TARGET, MAX_MONEY_SAT)]):
        assert check_payments(outputs, 1000, "regtest")[0].value_sat == outputs[0][1]


def test_a_rate_above_the_ceiling_is_refused_and_the_ceiling_named() -> None:
    outputs = [(TARGET, 1000), ("x", 1)]
    with pytest.raises(BitcoinError, match=r"1001 sat/vB is above 1000.*MAX_FEE_RATE") as caught:
        check_payments(outputs, 1001, "regtest")
    assert caught.value.kind is ErrorKind.INVALID_INPUT
    with pytest.raises(BitcoinError, match=r"outputs\[1\]"):
        check_payments(outputs, 5000, "regtest", 5000)
    with pytest.raises(BitcoinError, match="above 4999"):
        check_payments(outputs, 5000, "regtest", 4999)


def test_nothing_overflows() -> None:
    _, error = _fails([Payment(CHANGE.script, MAX_MONEY_SAT)], 2**64 - 1, [coin(1, 10**9)])
    assert error
    assert int(error.context["missing_sat"]) > 2**64


def test_snapshots_that_cannot_be() -> None:
    payments = [Payment(CHANGE.script, 1500)]
    twice = [coin(1, 1000), coin(1, 1000)]
    rich = [coin(1, MAX_MONEY_SAT + 1)]
    for listed, said in ((twice, "twice"), (rich, "ever be")):
        _, error = _fails(payments, 1, listed)
        assert error
        assert error.kind is ErrorKind.INVALID_INPUT
        assert said in error.message


def test_a_lock_time_is_a_height() -> None:
    payments = [Payment(CHANGE.script, 1000)]
    assert draft(payments, 1, [coin(1, 5000)], CHANGE, 499_999_999).lock_time == 499_999_999
    with pytest.raises(BitcoinError, match="height 500000000") as caught:
        draft(payments, 1, [coin(1, 5000)], CHANGE, 500_000_000)
    assert caught.value.kind is ErrorKind.INVALID_INPUT


def test_what_nodes_do_not_relay_is_rejected() -> None:
    many = [coin(number, 1000) for number in range(1600)]
    drafted, _ = _fails([Payment(CHANGE.script, 1000 * 1400 - 110_000)], 1, many)
    assert drafted
    _, error = _fails([Payment(CHANGE.script, 1000 * 1600 - 115_000)], 1, many)
    assert error
    assert error.kind is ErrorKind.REJECTED
    assert "400000" in error.message


@pytest.mark.parametrize(
    ("address", "limit"),
    [
        ("1LqBGSKuX5yYUonjxT5qGfpUsXKYYWeabA", 546),
        ("37VucYSaXLCAsxYyAPfbSi9eh4iEcbShgf", 540),
        ("bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu", 294),
        ("BC1QCR8TE4KR609GCAWUTMRZA0J4XV80JY8Z306FYU", 294),
        ("bc1qwqdg6squsna38e46795at95yu9atm8azzmyvckulcc7kytlcckxswvvzej", 330),
        ("bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr", 330),
        ("bc1pfeessrawgf", 240),
        ("bc1sw50qgdz25j", 240),
    ],
)
def test_dust_limits(address: str, limit: int) -> None:
    script = script_of(address, "mainnet")
    assert script is not None
    assert dust_limit_sat(script) == limit
    assert script_of(address, "regtest") is None


@pytest.mark.parametrize(
    "address",
    [
        "",
        "bcrt1",
        "x" * 5000,
        TARGET[:-1],
        TARGET + " ",
        TARGET[:4] + TARGET[4:].upper(),
        "\u0131" * 34,
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRf",
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt081",
        "bcrt1zw508d6qejxtdg4y5r3zarvaryvgqzkzj",
    ],
)
def test_what_is_no_address(address: str) -> None:
    assert script_of(address, "regtest") is None


@given(st.text(max_size=60))
def test_no_text_breaks_the_reading(text: str) -> None:
    assert script_of(text, "mainnet") is None
