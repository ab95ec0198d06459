"""One HTTP answer, read strictly and within bounds, as the Rust side reads it."""

from __future__ import annotations

import http.client
import re
from typing import Any, BinaryIO

from btc_legacy.errors import BitcoinError, ErrorKind

# The longest head of an answer, with those of interim answers before it.
_MAX_HEAD_BYTES = 64 * 1024
# The longest line between chunks.
_MAX_LINE_BYTES = 8 * 1024
# http.client takes 100 lines, the empty one at the end among them.
_MAX_FIELDS = 99

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [0-9]{3}(?: [^\r\n]*)?\r?\n")
_FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")
_LENGTH = re.compile(r"[0-9]{1,20}")

_END_OF_HEAD = (b"\r\n", b"\n")


class BoundedResponse(http.client.HTTPResponse):
    """An answer whose head and body are bounded, whatever the other end sends.

    `http.client` bounds neither a body in chunks nor one up to the end of the connection, takes
    much for HTTP that is none, and the end of the connection for the end of a head.
    """

    # Set by the connection before the body is read.
    max_body_bytes = 0

    def begin(self) -> None:
        """Reads the head, and checks what it says of the body."""
        stream: Any = self.fp
        self.fp = _Head(stream)  # type: ignore[assignment]
        try:
            super().begin()
        finally:
            if self.fp is not None:
                self.fp = stream
        lengths = self.headers.get_all("Content-Length", [])
        if len(lengths) > 1 or not all(_LENGTH.fullmatch(text.strip()) for text in lengths):
            raise http.client.HTTPException("the answer's length is not one number")
        encodings = self.headers.get_all("Transfer-Encoding", [])
        if encodings and (len(encodings) > 1 or encodings[0].strip().lower() != "chunked"):
            raise http.client.HTTPException("the answer comes in another encoding than chunks")
        if self.status < 200 or self.status in (204, 304):
            # No body, whatever else is said.
            self.chunked, self.length = False, 0
        elif encodings:
            # Chunks go before a length, and who sends both is not to be trusted with a second
            # answer.
            self.chunked, self.length = True, None
            self.will_close = self.will_close or bool(lengths)

    def read(self, amt: int | None = None) -> bytes:
        """The whole body; `amt` is for `http.client` itself."""
        if amt is not None or self.fp is None or self.length == 0:
            return super().read(amt)
        if self.chunked:
            body = self._read_chunks(self.fp)
        elif self.length is None:
            body = self.fp.read(self.max_body_bytes + 1)
            if len(body) > self.max_body_bytes:
                raise self._too_long()
        elif self.length > self.max_body_bytes:
            raise self._too_long()
        else:
            return super().read()
        self.close()
        return body

    def _read_chunks(self, stream: BinaryIO) -> bytes:
        wire = _Wire(stream, self.max_body_bytes, self._too_long())
        pieces = []
        while True:
            size = _CHUNK_SIZE.fullmatch(wire.line())
            if size is None:
                raise http.client.HTTPException("the answer's chunks are broken")
            length = int(size[1], 16)
            if length == 0:
                break
            pieces.append(wire.data(length))
            if wire.line() != b"\r\n":
                raise http.client.HTTPException("the answer's chunks are broken")
        # Fields behind the last chunk say nothing that matters here.
        while wire.line() != b"\r\n":
            pass
        return b"".join(pieces)

    def _too_long(self) -> BitcoinError:
        return BitcoinError(
            ErrorKind.INVALID_RESPONSE,
            f"the node's answer has more than the {self.max_body_bytes} bytes that are read: ask "
            "for less, or ask another node",
        )


class _Head:
    """A stream as `http.client` reads heads from it, checked line by line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = _MAX_HEAD_BYTES
        # None before a status line.
        self._fields: int | None = None

    def readline(self, limit: int = -1) -> bytes:
        line = self._stream.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise http.client.HTTPException("the answer's head is too long")
        is_start = self._fields is None
        if not line.endswith(b"\n"):
            if is_start and line and not line.startswith(b"HTTP/"[: len(line)]):
                raise http.client.BadStatusLine(repr(line[:40]))
            raise ConnectionResetError("the connection ended within the answer's head")
        if is_start:
            if not _STATUS_LINE.fullmatch(line):
                raise http.client.BadStatusLine(repr(line[:40]))
            self._fields = 0
        elif line in _END_OF_HEAD:
            self._fields = None
        else:
            self._fields = (self._fields or 0) + 1
            if self._fields > _MAX_FIELDS or not _FIELD.fullmatch(line):
                raise http.client.HTTPException("the answer's head is not http")
        return line

    def close(self) -> None:
        self._stream.close()


class _Wire:
    """What arrives of a body in chunks, up to the limit."""

    def __init__(self, stream: BinaryIO, max_bytes: int, too_long: BitcoinError) -> None:
        self._stream = stream
        self._left = max_bytes
        self._too_long = too_long

    def line(self) -> bytes:
        line = self._stream.readline(min(_MAX_LINE_BYTES, self._left + 1))
        if not line.endswith(b"\r\n") and (line.endswith(b"\n") or len(line) == _MAX_LINE_BYTES):
            raise http.client.HTTPException("the answer's chunks are broken")
        self._count(line)
        if not line.endswith(b"\n"):
            raise http.client.IncompleteRead(line)
        return line

    def data(self, length: int) -> bytes:
        if length > self._left:
            raise self._too_long
        data = self._stream.read(length)
        self._count(data)
        if len(data) < length:
            raise http.client.IncompleteRead(b"")
        return data

    def _count(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise self._too_long
