"""The RPC client against a scripted server: kinds, retries, credentials."""

from __future__ import annotations

import base64
import socket
import threading
import time
import traceback
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from btc_legacy import rpc
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.rpc import RpcClient, RpcError
from tests.rpc_server import (
    Answer,
    ScriptedNode,
    body,
    drop,
    error,
    half,
    not_http,
    raw_result,
    result,
    then_close,
)


def _failure(node: ScriptedNode, *, timeout_secs: float = 5.0) -> BitcoinError:
    with pytest.raises(BitcoinError) as caught:
        RpcClient(node.url, timeout_secs=timeout_secs).read("getblockcount")
    return caught.value


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (error(-5, "Block not found"), "not_found", "Block not found"),
        (error(-1, "Block not available (pruned data)"), "not_found", "-prune"),
        (error(-8, "hash must be of length 64"), "invalid_input", "length 64"),
        (error(-22, "TX decode failed"), "invalid_input", "TX decode failed"),
        (error(-25, "bad-txns-inputs-missingorspent"), "rejected", "missingorspent"),
        (error(-26, "min relay fee not met"), "rejected", "min relay fee not met"),
        (error(-27, "already in utxo set"), "rejected", "already"),
        (error(-28, "Loading block index"), "unavailable", "Loading block index"),
        (error(-32601, "Method not found"), "unsupported", "Method not found"),
        (error(-1, "something else"), "invalid_response", "error -1"),
        (body(b"", 401), "auth", "rpc_user"),
        (body(b"", 403), "auth", "rpcallowip"),
        (body(b"Work queue depth exceeded", 503), "unavailable", "busy"),
        (body(b"", 404), "invalid_response", "http 404"),
        (body(b"<html>hello</html>"), "invalid_response", "rpc_url"),
        (body(b"\xff\xfe"), "invalid_response", "rpc_url"),
        (body(b"[1, 2]"), "invalid_response", "rpc_url"),
        (body(b"{}"), "invalid_response", "missing JSON-RPC result"),
        (not_http, "invalid_response", "rpc_url"),
    ],
)
def test_answers_have_their_kind_and_are_not_asked_twice(
    answer: Answer, kind: str, text: str
) -> None:
    with ScriptedNode(answer) as node:
        failure = _failure(node)
    assert failure.kind is ErrorKind(kind)
    assert text in failure.message
    assert failure.message[0].islower()
    assert len(node.requests) == 1


def test_numbers_keep_their_digits() -> None:
    with ScriptedNode(raw_result('{"feerate":0.00001001,"blocks":2}')) as node:
        answer = RpcClient(node.url).read("estimatesmartfee", 2)
    assert answer == {"feerate": Decimal("0.00001001"), "blocks": 2}
    assert isinstance(answer["feerate"], Decimal)
    assert node.requests[0]["params"] == [2]


@pytest.mark.parametrize("breakage", [drop, half])
def test_reads_are_repeated_on_a_lost_connection(breakage: Answer) -> None:
    with ScriptedNode(breakage, breakage, result(7)) as node:
        assert RpcClient(node.url).read("getblockcount") == 7
    assert len(node.requests) == 3
    assert node.connections == 3


def test_reads_give_up_after_a_few_attempts() -> None:
    attempts = len(rpc.RETRY_AFTER_SECS) + 1
    with ScriptedNode(*[drop] * (attempts + 5)) as node:
        failure = _failure(node)
    assert failure.kind is ErrorKind.UNAVAILABLE
    assert len(node.requests) == attempts


@pytest.mark.parametrize("breakage", [drop, half])
def test_writes_are_never_repeated(breakage: Answer) -> None:
    with ScriptedNode(breakage, result("txid")) as node:
        with pytest.raises(BitcoinError, match="outcome is unknown") as caught:
            RpcClient(node.url).write("sendrawtransaction", "00")
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert node.methods == ["sendrawtransaction"]


def test_writes_use_a_connection_of_their_own() -> None:
    """A kept connection may have been closed by the node; a write could not be repeated then."""
    with ScriptedNode(then_close(result(7)), result("txid")) as node:
        client = RpcClient(node.url)
        client.read("getblockcount")
        time.sleep(0.05)
        assert client.write("sendrawtransaction", "00") == "txid"
    assert node.connections == 2


def test_two_connections_are_kept_between_reads_and_take_turns() -> None:
    with ScriptedNode(result(1), error(-5, "no"), result(2), result(3)) as node:
        client = RpcClient(node.url)
        assert client.read("getblockcount") == 1
        with pytest.raises(RpcError) as caught:
            client.read("getblock", "ff", 0)
        assert (caught.value.code, caught.value.reason) == (-5, "no")
        assert client.read("getblockcount") == 2
        assert client.read("getblockcount") == 3
    assert node.connections == 2


def test_a_connection_closed_while_idle_is_replaced() -> None:
    with ScriptedNode(then_close(result(1)), result(2)) as node:
        client = RpcClient(node.url)
        assert client.read("getblockcount") == 1
        time.sleep(0.05)
        assert client.read("getblockcount") == 2
    assert node.methods == ["getblockcount"] * 2


def test_a_broken_connection_takes_all_idle_ones_with_it() -> None:
    barrier = threading.Barrier(6)

    def together(handler: Any) -> None:
        barrier.wait(timeout=5)
        then_close(result(1))(handler)

    with ScriptedNode(*[together] * 6) as node:
        client = RpcClient(node.url)
        threads = [threading.Thread(target=client.read, args=("a",)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        node.then([result(2)])
        assert client.read("b") == 2
    assert node.connections == 7


def _slow_echo(handler: Any) -> None:
    """Answers a request with its own parameters, a little later."""
    time.sleep(0.01)
    result(handler.asked["params"])(handler)


def test_threads_do_not_share_a_connection() -> None:
    """Two calls at once over one connection would mix their answers."""
    count = 40

    def call(value: int) -> None:
        answers[value] = client.read("echo", value)

    with ScriptedNode(*[_slow_echo] * count) as node:
        client = RpcClient(node.url)
        answers: dict[int, object] = {}
        threads = [threading.Thread(target=call, args=(value,)) for value in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {value: [value] for value in range(count)}


def test_a_slow_answer_is_a_timeout_and_not_asked_again() -> None:
    node = ScriptedNode()
    node.then([node.hang, result(7)])
    with node:
        failure = _failure(node, timeout_secs=0.2)
        assert failure.kind is ErrorKind.TIMEOUT
        assert "0.2 s" in failure.message
        assert len(node.requests) == 1


def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    node = ScriptedNode()
    node.then([node.hang, result(2)])
    with node:
        client = RpcClient(node.url, timeout_secs=0.2)
        with pytest.raises(BitcoinError, match="no answer"):
            client.read("first")
        assert client.read("second") == 2
    assert node.connections == 2


def test_a_write_that_times_out_is_a_timeout() -> None:
    node = ScriptedNode()
    node.then([node.hang])
    with node:
        with pytest.raises(BitcoinError) as caught:
            RpcClient(node.url, timeout_secs=0.2).write("sendrawtransaction", "00")
        assert caught.value.kind is ErrorKind.TIMEOUT
        assert len(node.requests) == 1


def test_a_closed_port_is_unavailable_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(BitcoinError, match="start the node") as caught:
            RpcClient(url).read("getblockcount")
    assert caught.value.kind is ErrorKind.UNAVAILABLE


def _basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def test_credentials_are_sent_as_they_are() -> None:
    with ScriptedNode(result(1)) as node:
        RpcClient(node.url, user="us er", password="p%40ss:/wörd#").read("getblockcount")
    assert node.authorizations == [_basic("us er:p%40ss:/wörd#")]


def test_without_credentials_none_are_sent() -> None:
    with ScriptedNode(body(b"", 401)) as node:
        assert "set rpc_cookie_file" in _failure(node).message
    assert node.authorizations == [None]


@pytest.mark.parametrize(
    ("first", "fourth_cookie"),
    [
        # The dead connection, found at the third read, takes the second one with it.
        (then_close(result(1)), "__cookie__:three"),
        (body(b'{"result":1}', last=True), "__cookie__:two"),
    ],
    ids=["closed-silently", "closed-as-announced"],
)
def test_the_cookie_is_read_again_for_each_connection(
    tmp_path: Path, first: Answer, fourth_cookie: str
) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:one\n")
    with ScriptedNode(first, result(2), result(3), result(4)) as node:
        client = RpcClient(node.url, cookie_file=str(cookie))
        client.read("getblockcount")
        cookie.write_text("__cookie__:two")
        time.sleep(0.05)
        client.read("getblockcount")
        cookie.write_text("__cookie__:three")
        client.read("getblockcount")
        client.read("getblockcount")
    assert node.authorizations == [
        _basic("__cookie__:one"),
        _basic("__cookie__:two"),
        _basic("__cookie__:three"),
        _basic(fourth_cookie),
    ]


@pytest.mark.parametrize("call", [RpcClient.read, RpcClient.write])
def test_a_cookie_that_changes_during_a_call_is_read_again(tmp_path: Path, call: Any) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:one")

    def restarted(handler: BaseHTTPRequestHandler) -> None:
        cookie.write_text("__cookie__:two")
        body(b"", 401)(handler)

    with ScriptedNode(restarted, result(7)) as node:
        client = RpcClient(node.url, cookie_file=str(cookie))
        assert call(client, "getblockcount") == 7
    assert node.authorizations == [_basic("__cookie__:one"), _basic("__cookie__:two")]


def test_a_missing_cookie_of_a_running_node_is_an_auth_failure(tmp_path: Path) -> None:
    path = str(tmp_path / ".cookie")
    with ScriptedNode(body(b"", 401)) as node:
        with pytest.raises(BitcoinError, match="rpc_cookie_file") as caught:
            RpcClient(node.url, cookie_file=path).read("getblockcount")
    assert caught.value.kind is ErrorKind.AUTH
    assert path in caught.value.message


def test_an_unreadable_cookie_is_an_auth_failure(tmp_path: Path) -> None:
    with ScriptedNode() as node:
        with pytest.raises(BitcoinError, match="cannot read rpc_cookie_file") as caught:
            RpcClient(node.url, cookie_file=str(tmp_path)).read("getblockcount")
    assert caught.value.kind is ErrorKind.AUTH
    assert node.requests == []


@pytest.mark.parametrize("answer", [body(b"", 401), error(-5, "no"), drop, body(b"garbage")])
def test_no_secret_in_messages_reprs_and_tracebacks(answer: Answer) -> None:
    with ScriptedNode(*[answer] * 4) as node:
        client = RpcClient(node.url, user="alice", password="hunter2-secret")
        with pytest.raises(BitcoinError) as caught:
            client.read("getblockcount")
    shown = "".join(traceback.format_exception(caught.value)) + repr(client) + repr(vars(client))
    assert "hunter2-secret" not in shown
    assert base64.b64encode(b"alice:hunter2-secret").decode() not in shown


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:8332",
        "127.0.0.1:8332",
        "http://",
        "http://127.0.0.1:notaport",
        "http://127.0.0.1:99999",
        "http://user:hunter2-secret@127.0.0.1:8332",
        "",
    ],
)
def test_wrong_urls_are_configuration_errors(url: str) -> None:
    with pytest.raises(BitcoinError, match="rpc_url") as caught:
        RpcClient(url)
    assert caught.value.kind is ErrorKind.CONFIGURATION
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
