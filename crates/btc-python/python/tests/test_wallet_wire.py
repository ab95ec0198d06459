"""The wallet's shapes at the border: what is let through, and where a wrong one is named."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from btc_legacy.errors import BitcoinError
from btc_legacy.host import Host
from tests import own_classes, vectors
from tests.test_host import ask, start, started

HASH = "ab" * 32
TIP = {"height": 7, "hash": HASH}
BALANCE = {
    "confirmed_sat": 1,
    "trusted_pending_sat": 2,
    "untrusted_pending_sat": 3,
    "immature_sat": 2**64 - 1,
    "held_by_missing_sat": 4,
}
STATE = {"tip": TIP, "balance": BALANCE, "coins": [[f"{HASH}:0", 5]]}
COIN = {
    "outpoint": f"{HASH}:4294967295",
    "value_sat": 5,
    "address_type": "p2sh-p2wpkh",
    "chain": "change",
    "index": 2**32 - 1,
}
PENDING = {"txid": HASH, "version": 3, "size_vb": 2**64 - 1, "fee_sat": 9, "spends": ["cd" * 32]}
SNAPSHOT = {
    "tip": TIP,
    "coins": [COIN],
    "pending": [PENDING],
    "change_type": "p2tr",
    "change_index": 3,
}
CHECK = {"txid": HASH, "wtxid": HASH, "verdict": "refused", "reason": "dust"}


def _answer(monkeypatch: pytest.MonkeyPatch, value: object, method: str, *params: Any) -> Any:
    monkeypatch.setattr(own_classes.Returning, "value", value)
    return ask(started("tests.own_classes:Returning"), method, *params)


def _transaction() -> Any:
    host = started("tests.own_classes:LibraryStyle")
    return ask(host, "get_transaction", vectors.UNKNOWN)["ok"]


def _calls() -> list[tuple[Any, str, list[Any]]]:
    plan = {"transaction": _transaction(), "tip": TIP, "unknown_coins": [f"{HASH}:1"]}
    pay = [[["address", 1000]], 2]
    return [
        (STATE, "wallet_state", []),
        (TIP, "tip", []),
        (plan, "plan_transaction", [*pay, SNAPSHOT]),
        ([_transaction(), SNAPSHOT], "create_transaction_with_snapshot", pay),
        (CHECK, "check_broadcast", ["00"]),
        ({**CHECK, "verdict": "known", "reason": None}, "check_broadcast", ["00"]),
    ]


def test_whole_shapes_cross(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, method, params in _calls():
        assert _answer(monkeypatch, value, method, *params) == {"ok": value}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value below this one."""
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for step, below in steps:
        found.append((*path, step))
        if isinstance(below, dict | list):
            found += _places(below, (*path, step))
    return found


def test_a_wrong_value_anywhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = 0
    for value, method, params in _calls():
        for path in _places(value):
            if "transaction" in path or path[0] == 0:
                continue
            for wrong in (1.5, True, -1 - 2**31, object()):
                spoilt = copy.deepcopy(value)
                target = spoilt
                for step in path[:-1]:
                    target = target[step]
                target[path[-1]] = wrong
                error = _answer(monkeypatch, spoilt, method, *params)["error"]
                assert error["kind"] == "invalid_response", (method, path, wrong)
                assert f"Returning.{method} returned a wrong type: result" in error["message"]
                tried += 1
    assert tried > 100


def test_what_an_older_version_does_not_say_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    balance = {name: value for name, value in BALANCE.items() if name != "held_by_missing_sat"}
    answer = _answer(monkeypatch, {**STATE, "balance": balance}, "wallet_state")["ok"]
    assert answer == {**STATE, "balance": {**balance, "held_by_missing_sat": 0}}
    snapshot = {name: value for name, value in SNAPSHOT.items() if name != "pending"}
    assert _answer(monkeypatch, snapshot, "snapshot")["ok"] == {**snapshot, "pending": []}


def test_fields_must_be_there_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: list[Any] = [{**STATE, "more": 1}, {"tip": TIP, "balance": BALANCE}, [], None]
    for value in wrong:
        error = _answer(monkeypatch, value, "wallet_state")["error"]
        assert error["kind"] == "invalid_response"


@pytest.mark.parametrize(
    ("method", "params", "place"),
    [
        ("derive_address", ["p2tr", -1], "params[1]"),
        ("derive_address", ["p2tr", 2**32], "params[1]"),
        ("derive_address", ["p2wsh", 1], "params[0]"),
        ("plan_transaction", [[], 1, {**SNAPSHOT, "change_type": "p2wsh"}], "params[2].change"),
        ("plan_transaction", [[], 1, {**SNAPSHOT, "coins": [{**COIN, "chain": "x"}]}], "].chain"),
        ("plan_transaction", [[], 1, {**SNAPSHOT, "coins": [{**COIN, "index": "1"}]}], "].index"),
        ("plan_transaction", [[["a", -1]], 1, SNAPSHOT], "params[0][0][1]"),
        ("check_broadcast", ["0"], "params[0]"),
        ("check_broadcast", [7], "params[0]"),
        ("create_transaction_with_snapshot", [[["a"]], 1], "params[0][0]"),
    ],
)
def test_wrong_parameters_do_not_reach_the_class(
    method: str, params: list[Any], place: str
) -> None:
    error = ask(started("tests.own_classes:Returning"), method, *params)["error"]
    assert error["kind"] == "invalid_input"
    assert place in error["message"]


def test_the_wallets_secrets_in_foreign_exceptions_are_hidden() -> None:
    secrets = {"wallet_words": "legal winner thank", "wallet_passphrase": "correct horse"}
    class_name = "tests.own_classes:LeaksItsWords"
    error = start(Host(), class_name, wallet_dir="/w", **secrets)["error"]
    assert error["message"].endswith("cannot unlock with *** and ***")
    assert not any(secret in error["traceback"] for secret in secrets.values())


def test_the_context_of_an_error_crosses(monkeypatch: pytest.MonkeyPatch) -> None:
    error = BitcoinError("rejected", "not enough", missing_sat=7, of="\udc80")
    monkeypatch.setattr(own_classes.Raising, "error", error)
    answer = ask(started("tests.own_classes:Raising"), "get_block_height")["error"]
    assert answer["context"] == [["missing_sat", "7"], ["of", "\\udc80"]]
    monkeypatch.setattr(own_classes.Raising, "error", RuntimeError())
    assert ask(started("tests.own_classes:Raising"), "get_block_height")["error"]["context"] == []
