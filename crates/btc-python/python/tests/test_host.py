"""The host: starting, calling, classifying, and never raising."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import pytest

from btc_legacy import host as host_module
from btc_legacy.classify import MAX_TRACEBACK_BYTES
from btc_legacy.errors import ErrorKind
from btc_legacy.host import Host
from tests import own_classes, vectors

CONFIG = {
    "network": "regtest",
    "rpc_url": "http://127.0.0.1:1",
    "rpc_user": "alice",
    "rpc_password": "hunter2-secret",
    "rpc_cookie_file": None,
    "timeout_secs": 5,
}


def ask(host: Host, method: str, *params: Any) -> dict[str, Any]:
    """Sends a call and returns the response, or for `start` the config's backend."""
    answer = host.handle(json.dumps({"method": method, "params": params}).encode())
    parsed: dict[str, Any] = json.loads(answer)
    assert parsed.keys() in ({"ok"}, {"error"})
    if error := parsed.get("error"):
        assert error.keys() == {"kind", "message", "context", "python_type", "traceback"}
        assert ErrorKind(error["kind"])
        assert "hunter2-secret" not in answer.decode()
    return parsed


def start(host: Host, backend: str, **changes: object) -> dict[str, Any]:
    """Sends the start request."""
    request = {"method": "start", "params": {"backend": backend, "config": CONFIG | changes}}
    answer: dict[str, Any] = json.loads(host.handle(json.dumps(request).encode()))
    assert "hunter2-secret" not in json.dumps(answer)
    return answer


def started(backend: str) -> Host:
    """A host with a backend of the test's module."""
    host = Host()
    assert "ok" in start(host, backend)
    return host


def _own(name: str) -> Host:
    return started(f"tests.own_classes:{name}")


def test_start_says_what_runs() -> None:
    answer = start(Host(), "btc_legacy.planted:NoMethods")
    assert answer == {
        "ok": {
            "protocol": 2,
            "backend": "btc_legacy.planted:NoMethods",
            "python": platform.python_version(),
        }
    }


@pytest.mark.parametrize(
    ("backend", "text"),
    [
        ("nomodule_here:X", "importing module nomodule_here raised ModuleNotFoundError"),
        ("btc_legacy.planted:Missing", "no class Missing"),
        ("tests.own_classes:NOT_A_CLASS", "no class NOT_A_CLASS"),
        ("btc_legacy.planted", "module:Class"),
        (":X", "module:Class"),
        ("..:X", "importing module"),
    ],
)
def test_backends_that_cannot_be_loaded(backend: str, text: str) -> None:
    error = start(Host(), backend)["error"]
    assert error["kind"] == "configuration"
    assert "PYTHON_BACKEND" in error["message"]
    assert text in error["message"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import sys; sys.exit(0)", "SystemExit"),
        ("def broken(:", "SyntaxError"),
        ("import nomodule_here", "nomodule_here"),
        ("import bitcoin.nothing", "cargo xtask setup"),
        ("raise ModuleNotFoundError('x', name='bitcoin')", "cargo xtask setup"),
        ("import embit.nothing", "cargo xtask setup"),
        ("__name__ = 'bitcoin.core.key'; raise AttributeError('BN_add')", "libssl3"),
    ],
)
def test_modules_that_fail_while_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, text: str
) -> None:
    (tmp_path / "failing_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "failing_module", raising=False)
    error = start(Host(), "failing_module:X")["error"]
    assert error["kind"] == "configuration"
    assert text in error["message"]


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "testnet"},
        {"network": None},
        {"rpc_url": "https://127.0.0.1"},
        {"rpc_url": "http://bob:hunter2-secret@127.0.0.1"},
        {"rpc_password": None},
        {"rpc_cookie_file": 7},
        {"timeout_secs": 0},
        {"timeout_secs": True},
        {"timeout_secs": "5"},
        {"colour": "blue"},
    ],
)
def test_wrong_configurations(changes: dict[str, object]) -> None:
    answer = start(Host(), "btc_legacy.planted:NoMethods", **changes)
    assert answer["error"]["kind"] == "configuration"


def test_a_constructor_that_fails_leaves_nothing_started() -> None:
    host = Host()
    error = start(host, "tests.own_classes:RefusesToStart")["error"]
    assert (error["kind"], error["message"]) == ("unavailable", "nobody at http://127.0.0.1:1")
    assert ask(host, "get_balance")["error"]["kind"] == "configuration"
    assert "ok" in start(host, "btc_legacy.planted:NoMethods")


def test_passwords_in_foreign_exceptions_are_hidden() -> None:
    error = start(Host(), "tests.own_classes:LeaksItsPassword")["error"]
    assert error["kind"] == "internal"
    assert "http://alice:***@host" in error["message"]
    assert "http://alice:***@host" in error["traceback"]


@pytest.mark.parametrize(
    ("request_bytes", "text"),
    [
        (b"", "not json"),
        (b"\xff", "not json"),
        (b"[1]", "object with a method"),
        (b'{"params":[]}', "object with a method"),
        (b'{"method":"estimate_fee","params":[NaN]}', "NaN"),
        (b'{"method":"start","params":[]}', "start needs"),
        (b'{"method":"__init__","params":[]}', "unknown method"),
        (b'{"method":["a"],"params":[]}', "unknown method"),
        (b'{"method":"get_block","params":[]}', "takes a list of 1"),
        (b'{"method":"get_block","params":{"a":1}}', "takes a list of 1"),
        (b'{"method":"get_block","params":[7]}', "params[0] is int 7, not a str"),
        (b'{"method":"estimate_fee","params":[256]}', "params[0]"),
        (b'{"method":"estimate_fee","params":[true]}', "params[0] is bool True"),
        (b'{"method":"generate_address","params":["p2wsh"]}', "p2tr"),
        (b'{"method":"create_transaction","params":[[["a"]],1]}', "params[0][0]"),
        (b'{"method":"create_transaction","params":[[["a",-1]],1]}', "params[0][0][1]"),
        (b'{"method":"broadcast_transaction","params":[{}]}', "txid is missing"),
        (b"[" * 100_000, "not json"),
    ],
)
def test_malformed_requests(request_bytes: bytes, text: str) -> None:
    error = json.loads(_own("Returning").handle(request_bytes))["error"]
    assert error["kind"] == "invalid_input"
    assert text in error["message"]


@pytest.mark.parametrize(("error", "kind"), own_classes.ERRORS, ids=lambda value: repr(value)[:40])
def test_exceptions_have_their_kind(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, kind: str
) -> None:
    monkeypatch.setattr(own_classes.Raising, "error", error)
    answer = ask(_own("Raising"), "get_block_height")["error"]
    assert answer["kind"] == kind
    assert answer["python_type"] == f"{type(error).__module__}.{type(error).__qualname__}"
    assert "own_classes.py" in answer["traceback"]
    assert "raise self.error" in answer["traceback"]


@pytest.mark.parametrize(
    ("method", "params", "kind"),
    [
        ("get_transaction", ["zz"], "invalid_input"),
        ("get_transaction", [vectors.UNKNOWN], "internal"),
        ("get_block", ["zz"], "invalid_input"),
        ("get_block", [vectors.UNKNOWN], "internal"),
        ("estimate_fee", [0], "invalid_input"),
        ("estimate_fee", [1], "internal"),
        ("create_transaction", [[["bad address", 1]], 1], "invalid_input"),
    ],
)
def test_value_errors_are_about_the_input_only_where_that_can_be(
    monkeypatch: pytest.MonkeyPatch, method: str, params: list[Any], kind: str
) -> None:
    monkeypatch.setattr(own_classes.Raising, "error", ValueError("odd-length string"))
    answer = ask(_own("Raising"), method, *params)["error"]
    assert answer["kind"] == kind
    assert answer["message"] == f"Raising.{method} raised ValueError: odd-length string"


def test_missing_methods_are_unsupported() -> None:
    error = ask(started("btc_legacy.planted:NoMethods"), "get_balance")["error"]
    assert error["kind"] == "unsupported"
    assert "get_balance" in error["message"]


def test_long_tracebacks_keep_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\udc80ä" * 50_000 + "the end"
    monkeypatch.setattr(own_classes.Raising, "error", RuntimeError(text))
    error = ask(_own("Raising"), "get_block_height")["error"]
    assert len(error["traceback"].encode()) <= MAX_TRACEBACK_BYTES
    assert error["traceback"].startswith("... (truncated)\n")
    assert error["traceback"].endswith("the end\n")
    assert error["message"].startswith("Raising.get_block_height raised RuntimeError")
    assert len(error["message"]) <= 2000
    error["message"].encode()


_BAD_NUMBERS: list[Any] = [
    "7",
    7.0,
    float("nan"),
    True,
    -1,
    2**64,
    pytest.param(10**5000, id="too-long-to-print"),
    None,
    [7],
    b"7",
    object(),
]


@pytest.mark.parametrize("method", ["get_block_height", "estimate_fee", "get_balance"])
@pytest.mark.parametrize("value", _BAD_NUMBERS, ids=lambda value: repr(value)[:20])
def test_wrong_numbers(monkeypatch: pytest.MonkeyPatch, method: str, value: Any) -> None:
    monkeypatch.setattr(own_classes.Returning, "value", value)
    error = ask(_own("Returning"), method, *([6] if method == "estimate_fee" else []))["error"]
    assert error["kind"] == "invalid_response"
    assert f"Returning.{method}" in error["message"]
    assert type(value).__name__ in error["message"]


def test_heights_end_before_amounts_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_classes.Returning, "value", 2**32)
    host = _own("Returning")
    assert ask(host, "get_block_height")["error"]["kind"] == "invalid_response"
    assert ask(host, "get_balance") == {"ok": 2**32}


def _segwit() -> Any:
    host = _own("LibraryStyle")
    return ask(host, "get_transaction", vectors.UNKNOWN)["ok"]


def test_library_transactions_are_converted() -> None:
    tx = _segwit()
    assert (tx["txid"], tx["wtxid"]) == (vectors.SEGWIT_TXID, vectors.SEGWIT_WTXID)
    assert tx["block_hash"] is None


def test_library_blocks_are_converted() -> None:
    (tx,) = ask(_own("LibraryStyle"), "get_block", vectors.GENESIS_HASH)["ok"]
    assert (tx["txid"], tx["block_hash"]) == (vectors.GENESIS_TXID, vectors.GENESIS_HASH)


def test_lists_of_library_transactions_get_the_hash_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_classes.Returning, "value", list(own_classes.GENESIS.vtx))
    (tx,) = ask(_own("Returning"), "get_block", vectors.GENESIS_HASH.upper())["ok"]
    assert tx["block_hash"] == vectors.GENESIS_HASH


def test_library_txids_are_converted() -> None:
    assert ask(_own("LibraryStyle"), "broadcast_transaction", _segwit()) == {
        "ok": vectors.SEGWIT_TXID
    }


def test_the_index_error_of_the_library_is_not_found() -> None:
    error = ask(_own("LibraryStyle"), "get_block", vectors.UNKNOWN)["error"]
    assert (error["kind"], error["python_type"]) == ("not_found", "builtins.IndexError")


def test_bad_hex_in_the_library_is_invalid_input() -> None:
    error = ask(_own("LibraryStyle"), "get_transaction", "xyz")["error"]
    assert (error["kind"], error["python_type"]) == ("invalid_input", "binascii.Error")


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (["version"], 2**31, "result.version is int 2147483648"),
        (["size"], 1.0, "result.size is float"),
        (["inputs", 0, "sequence"], -1, "result.inputs[0].sequence is int -1"),
        (["inputs", 1, "witness", 0], "abc", "result.inputs[1].witness[0]"),
        (["outputs", 1, "value_sat"], False, "result.outputs[1].value_sat is bool"),
        (["outputs", 0, "script_pubkey"], b"\x00", "result.outputs[0].script_pubkey is bytes"),
        (["outputs"], {}, "result.outputs is dict, not a list"),
        (["txid"], "00" * 31, "result.txid is str of 62 characters"),
        (["fee_sats"], 1, "unknown field 'fee_sats'"),
        (["block_height"], "1", "result.block_height is str"),
    ],
)
def test_wrong_transactions_name_the_place(
    monkeypatch: pytest.MonkeyPatch, path: list[Any], value: Any, text: str
) -> None:
    tx = _segwit()
    target = tx
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    monkeypatch.setattr(own_classes.Returning, "value", tx)
    error = ask(_own("Returning"), "get_transaction", vectors.UNKNOWN)["error"]
    assert error["kind"] == "invalid_response"
    assert error["message"].startswith("Returning.get_transaction returned a wrong type: ")
    assert text in error["message"]


def test_dicts_come_out_in_canonical_form(monkeypatch: pytest.MonkeyPatch) -> None:
    tx = _segwit()
    untidy = {**tx, "txid": tx["txid"].upper(), "inputs": tuple(tx["inputs"])}
    for optional in ("fee_sat", "block_hash", "block_height"):
        del untidy[optional]
    monkeypatch.setattr(own_classes.Returning, "value", untidy)
    assert ask(_own("Returning"), "get_transaction", vectors.UNKNOWN) == {"ok": tx}


def test_addresses_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    address = {
        "address": "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080",
        "address_type": "p2wpkh",
        "network": "regtest",
        "script_pubkey": "0014751e76e8199196d454941c45d1b3a323f1433bd6",
    }
    monkeypatch.setattr(own_classes.Returning, "value", address)
    host = _own("Returning")
    assert ask(host, "generate_address", "p2wpkh") == {"ok": address | {"index": None}}
    monkeypatch.setattr(own_classes.Returning, "value", address | {"address": "\udc80"})
    assert ask(host, "generate_address", "p2wpkh")["error"]["kind"] == "invalid_response"


def test_unserialisable_library_objects_are_wrong_types(monkeypatch: pytest.MonkeyPatch) -> None:
    from bitcoin.core import CMutableTransaction

    monkeypatch.setattr(own_classes.Returning, "value", CMutableTransaction(nVersion=2**40))
    error = ask(_own("Returning"), "get_transaction", vectors.UNKNOWN)["error"]
    assert error["kind"] == "invalid_response"
    assert "CMutableTransaction" in error["message"]


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("Raises", "internal", "RuntimeError: planted fault"),
        ("WrongType", "invalid_response", "str '7'"),
        ("NotANumber", "invalid_response", "float"),
        ("Huge", "invalid_response", "str of 100000000 characters"),
        ("Exits", "internal", "SystemExit: planted exit"),
        ("NoMethods", "unsupported", "get_block_height"),
    ],
)
def test_planted_failures(name: str, kind: str, text: str) -> None:
    error = ask(started(f"btc_legacy.planted:{name}"), "get_block_height")["error"]
    assert error["kind"] == kind
    assert text in error["message"]


def test_huge_responses_are_refused() -> None:
    error = ask(started("btc_legacy.planted:Huge"), "get_transaction", vectors.UNKNOWN)["error"]
    assert error["kind"] == "invalid_response"
    assert "67108864" in error["message"]


def test_a_failure_of_the_description_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> str:
        raise MemoryError

    monkeypatch.setattr(host_module, "traceback_of", fail)
    error = json.loads(Host().handle(b""))["error"]
    assert error["kind"] == "internal"


def test_an_interrupt_at_any_moment_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    host = started("btc_legacy.planted:Raises")
    monkeypatch.setattr(host_module, "result_to_wire", interrupt)
    error = ask(host, "estimate_fee", 6)["error"]
    assert (error["kind"], error["python_type"]) == ("internal", "builtins.KeyboardInterrupt")
