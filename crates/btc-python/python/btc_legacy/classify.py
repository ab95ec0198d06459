"""Which kind of failure an exception of a backend is.

python-bitcoinlib is not imported here: a host must be able to say that it is missing. An exception
can only be of one of its types once it is loaded.
"""

from __future__ import annotations

import errno
import http.client
import json
import socket
import sys
import traceback
from typing import Any

from btc_legacy.core_errors import explain
from btc_legacy.errors import BitcoinError, ErrorKind

MAX_TRACEBACK_BYTES = 16 * 1024
MAX_MESSAGE_CHARS = 2000

_TRUNCATED = "... (truncated)\n"

_NETWORK_ERRNOS = frozenset(
    {
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EADDRNOTAVAIL,
        errno.ENOTCONN,
        errno.EBADF,
    }
)


def classify(error: BaseException, raised_by: str, *, input_suspect: bool) -> tuple[ErrorKind, str]:
    """Gives kind and message for an exception that came out of a backend.

    `raised_by` names class and method. `input_suspect` says that the arguments are malformed, or
    that only the backend can tell: then a ValueError is about them.
    """
    if isinstance(error, BitcoinError):
        return error.kind, error.message
    if isinstance(error, NotImplementedError):
        return ErrorKind.UNSUPPORTED, f"{raised_by} is not implemented"
    if (rpc_error := _rpc_error(error)) is not None:
        return explain(rpc_error.get("code"), rpc_error.get("message"))
    if isinstance(error, IndexError) and _rpc_error(error.__context__) is not None:
        # How python-bitcoinlib's Proxy says that a block or transaction does not exist.
        return ErrorKind.NOT_FOUND, f"the node does not have it: {text_of(error)}"
    return _kind_by_type(error, input_suspect), f"{raised_by} raised {summary(error)}"


def _kind_by_type(error: BaseException, input_suspect: bool) -> ErrorKind:
    if isinstance(error, TimeoutError):
        return ErrorKind.TIMEOUT
    if isinstance(error, ConnectionError | http.client.HTTPException | socket.gaierror):
        return ErrorKind.UNAVAILABLE
    if isinstance(error, OSError) and error.errno in _NETWORK_ERRNOS:
        return ErrorKind.UNAVAILABLE
    # Both are ValueErrors, and about bytes received rather than arguments given.
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return ErrorKind.INVALID_RESPONSE
    if isinstance(error, ValueError) and input_suspect:
        return ErrorKind.INVALID_INPUT
    return ErrorKind.INTERNAL


def type_name(error: BaseException) -> str:
    """The fully qualified name of the exception's type."""
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}"


def text_of(error: BaseException) -> str:
    """The exception's text, whatever its `__str__` does."""
    try:
        return str(error)
    except Exception:
        return "(its text cannot be shown)"


def summary(error: BaseException) -> str:
    """Type and text in one line."""
    text = " ".join(text_of(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def traceback_of(error: BaseException) -> str:
    """The full traceback; of a long one, the end, where the exception is named."""
    raw = "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace")
    if len(raw) <= MAX_TRACEBACK_BYTES:
        return raw.decode()
    kept = raw[len(_TRUNCATED) - MAX_TRACEBACK_BYTES :]
    return _TRUNCATED + kept.decode("utf-8", "ignore")


def _rpc_error(error: BaseException | None) -> dict[str, Any] | None:
    """The error object of a `bitcoin.rpc.JSONRPCError`."""
    rpc = sys.modules.get("bitcoin.rpc")
    kind = getattr(rpc, "JSONRPCError", None)
    if kind is None or not isinstance(error, kind):
        return None
    content = getattr(error, "error", None)
    return content if isinstance(content, dict) else {}
