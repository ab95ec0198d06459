"""HTTP answers: the table that the Rust side is held to as well, over a server that sends it."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from btc_legacy.errors import BitcoinError
from btc_legacy.rpc import RETRY_AFTER_SECS, RpcClient
from tests.rpc_server import Answer, ScriptedNode, drop

TABLE = json.loads(
    (Path(__file__).parent / "http_answers.json").read_text(encoding="utf-8"),
)


def _send(node: ScriptedNode, parts: list[Any]) -> Answer:
    """Sends the parts of an answer as they are, and closes the connection."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        body = b'{"result":7,"error":null,"id":1}'
        try:
            for part in parts:
                _write(handler, part, body)
                if part == {"wait": True}:
                    node.hang(handler)
            drop(handler)
        except OSError:
            # The client has heard enough.
            handler.close_connection = True

    return write


def _write(handler: BaseHTTPRequestHandler, part: Any, body: bytes) -> None:
    if isinstance(part, str):
        for form in ("", ":x", ":X"):
            part = part.replace("{length" + form + "}", format(len(body), form[1:]))
        handler.wfile.write(part.encode("latin-1"))
    elif "body" in part:
        handler.wfile.write(body)
    elif "repeat" in part:
        handler.wfile.write(part["repeat"].encode() * part["times"])
    elif "endless" in part:
        while True:
            handler.wfile.write(part["endless"].encode() * 100)
    elif "chunks" in part:
        rest = body
        for size in [*part["chunks"], len(body)]:
            chunk, rest = rest[:size], rest[size:]
            if chunk:
                handler.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["name"])
def test_an_answer_is_read_or_refused_as_the_table_says(case: dict[str, Any]) -> None:
    with ScriptedNode() as node:
        # A lost connection is tried again.
        node.then([_send(node, case["answer"])] * (len(RETRY_AFTER_SECS) + 1))
        client = RpcClient(node.url, timeout_secs=1.0 if case["outcome"] == "timeout" else 20.0)
        try:
            outcome = "read" if client.read("getblockcount") == 7 else "another answer"
        except BitcoinError as error:
            outcome = error.kind.value
        client.close()
    assert outcome == case["outcome"]
