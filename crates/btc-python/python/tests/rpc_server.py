"""`ScriptedNode`: an HTTP server that answers each request as its script says."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


def body(content: bytes, status: int = 200, *, last: bool = False) -> Answer:
    """Answers with these bytes; `last` announces that the connection ends with them."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if last:
            handler.send_header("Connection", "close")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return write


def result(value: object) -> Answer:
    """Answers as Core does on success."""
    return body(json.dumps({"result": value, "error": None, "id": 1}).encode())


def raw_result(text: str) -> Answer:
    """Answers on success with JSON written by hand."""
    return body(f'{{"result":{text},"error":null,"id":1}}'.encode())


def error(code: int, message: str) -> Answer:
    """Answers as Core does on failure."""
    answer = {"result": None, "error": {"code": code, "message": message}, "id": 1}
    return body(json.dumps(answer).encode(), status=500)


def drop(handler: BaseHTTPRequestHandler) -> None:
    """Closes the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def half(handler: BaseHTTPRequestHandler) -> None:
    """Closes the connection in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"result":')
    handler.wfile.flush()
    drop(handler)


def announced(length: int) -> Answer:
    """Announces so many bytes, and closes the connection instead of sending them."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.close_connection = True

    return write


def not_http(handler: BaseHTTPRequestHandler) -> None:
    """Answers as some other kind of server would."""
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    drop(handler)


def then_close(answer: Answer) -> Answer:
    """Answers, and closes the connection behind the client's back."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        answer(handler)
        handler.wfile.flush()
        handler.close_connection = True

    return write


class ScriptedNode:
    """Runs the script over any number of connections and records what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Any] = []
        self.authorizations: list[str | None] = []
        self.connections = 0
        self.closing = threading.Event()
        self._script = deque(answers)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler_class())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def then(self, answers: Iterable[Answer]) -> None:
        """Appends to the script."""
        self._script.extend(answers)

    def hang(self, _handler: BaseHTTPRequestHandler) -> None:
        """Does not answer until the server closes."""
        self.closing.wait()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def methods(self) -> list[str]:
        """The methods asked for, in order."""
        return [request["method"] for request in self.requests]

    def __enter__(self) -> ScriptedNode:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler_class(self) -> type[BaseHTTPRequestHandler]:
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                node.connections += 1
                super().setup()

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                self.asked = json.loads(self.rfile.read(length))
                node.requests.append(self.asked)
                node.authorizations.append(self.headers["Authorization"])
                answer = node._script.popleft() if node._script else body(b"script ended", 418)
                answer(self)

            def log_message(self, *_args: object) -> None:
                """Keeps the test's output clean."""

        return Handler
