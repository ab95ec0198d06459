"""`RpcClient`: python-bitcoinlib's `RawProxy` made safe for threads, restarts and writes."""

from __future__ import annotations

import base64
import http.client
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from bitcoin.rpc import JSONRPCError, RawProxy

from btc_legacy.config import DEFAULT_TIMEOUT_SECS, Config, split_rpc_url
from btc_legacy.core_errors import explain, explain_http
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.http_answer import BoundedResponse

# The first retry comes at once: a node that closed an idle connection is there again immediately.
RETRY_AFTER_SECS = (0.0, 0.1, 0.4)

MAX_IDLE_CONNECTIONS = 8

# The longest answer that is read: a full block in hexadecimal is 8 MB.
MAX_ANSWER_BYTES = 32 * 1024 * 1024

# The longest list of the mempool: some 500,000 entries, twice what Bitcoin Core's default limit of
# 300 MB of memory holds.
MAX_MEMPOOL_BYTES = 256 * 1024 * 1024


class RpcError(BitcoinError):
    """The node answered with an error object; `code` is Core's, `reason` its text."""

    def __init__(self, error: JSONRPCError) -> None:
        self.code: object = error.error["code"]
        self.reason = str(error.error["message"])
        super().__init__(*explain(self.code, self.reason))


class RpcClient:
    """Calls a node. May be used by several threads at once: each call has a connection to itself.

    Connections are kept in a pool rather than one per thread: a thread of an embedding Rust
    process gets a new Python thread state, and with it empty `threading.local`s, at each call.

    Every failure is a `BitcoinError`. `timeout_secs` bounds each wait for the network: the
    connect, and each piece of the answer.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        cookie_file: str | None = None,
        timeout_secs: float = DEFAULT_TIMEOUT_SECS,
    ) -> None:
        parts = split_rpc_url(url)
        self._url = url
        self._host = parts.hostname or ""
        self._port = parts.port or http.client.HTTP_PORT
        self._timeout_secs = timeout_secs
        self._login = _Login(user, password, cookie_file)
        self._idle: list[_Proxy] = []
        self._idle_lock = threading.Lock()

    @classmethod
    def from_config(cls, config: Config) -> RpcClient:
        """A client for the node that the configuration names."""
        return cls(
            config.rpc_url,
            user=config.rpc_user,
            password=config.rpc_password,
            cookie_file=config.rpc_cookie_file,
            timeout_secs=config.timeout_secs,
        )

    def __repr__(self) -> str:
        return f"RpcClient({self._host}:{self._port})"

    def read(self, method: str, *params: object) -> Any:
        """Calls a method without effects; a lost connection is replaced and the call repeated."""
        for pause in RETRY_AFTER_SECS:
            try:
                return self._read_once(method, params)
            except _ConnectionLost:
                time.sleep(pause)
        return self._read_once(method, params)

    def write(self, method: str, *params: object) -> Any:
        """Calls a method with effects: at most once, over a connection opened for it.

        A kept connection may be dead without our knowing; then nobody could say whether the node
        saw the call.
        """
        try:
            return self._write_once(method, params)
        except _CookieChanged:
            # Nothing is executed without a login, so this is still the first time.
            return self._write_once(method, params)

    def _write_once(self, method: str, params: tuple[object, ...]) -> Any:
        with closing(self._connect()) as proxy:
            try:
                return self._call(proxy, method, params)
            except _CookieChanged:
                raise
            except _ConnectionLost as error:
                raise BitcoinError(
                    ErrorKind.UNAVAILABLE,
                    f"the connection was lost during {method}: the outcome is unknown, "
                    "ask the node for it before sending again",
                ) from error

    def close(self) -> None:
        """Closes the idle connections; the client stays usable."""
        with self._idle_lock:
            idle, self._idle = self._idle, []
        for proxy in idle:
            proxy.close()

    def _read_once(self, method: str, params: tuple[object, ...]) -> Any:
        with self._idle_lock:
            # The one that has rested longest, if another stays behind: Bitcoin Core 31 may still be
            # busy with a connection whose answer has just arrived, and lets a request that follows
            # at once wait for up to 50 ms.
            proxy = self._idle.pop(0) if len(self._idle) > 1 else None
        if proxy is None:
            proxy = self._connect()
        try:
            result = self._call(proxy, method, params)
        except RpcError:
            self._keep(proxy)
            raise
        except BaseException:
            # After a failed exchange http.client refuses every later request with
            # CannotSendRequest, and an unread answer would be taken for the next one. What broke
            # one connection has probably broken the idle ones as well.
            proxy.close()
            self.close()
            raise
        self._keep(proxy)
        return result

    def _keep(self, proxy: _Proxy) -> None:
        with self._idle_lock:
            if len(self._idle) < MAX_IDLE_CONNECTIONS:
                self._idle.append(proxy)
                return
        proxy.close()

    def _connect(self) -> _Proxy:
        connection = _Connection(self._host, self._port, self._timeout_secs, self._login)
        return _Proxy(self._url, connection)

    def _call(self, proxy: _Proxy, method: str, params: tuple[object, ...]) -> Any:
        at = f"{self._host}:{self._port}"
        is_mempool = method == "getrawmempool"
        proxy.connection.max_body_bytes = MAX_MEMPOOL_BYTES if is_mempool else MAX_ANSWER_BYTES
        try:
            return getattr(proxy, method)(*params)
        except JSONRPCError as error:
            raise RpcError(error) from error
        except BitcoinError:
            raise
        except TimeoutError as error:
            raise BitcoinError(
                ErrorKind.TIMEOUT,
                f"no answer to {method} from {at} within {self._timeout_secs:g} s: "
                "look at the node's load or raise timeout_secs",
            ) from error
        except ConnectionRefusedError as error:
            raise BitcoinError(
                ErrorKind.UNAVAILABLE,
                f"nobody listens at {at}: start the node or correct rpc_url (BITCOIN_RPC_URL)",
            ) from error
        except (
            ConnectionError,
            http.client.IncompleteRead,
            http.client.CannotSendRequest,
            http.client.ResponseNotReady,
        ) as error:
            raise _ConnectionLost(
                ErrorKind.UNAVAILABLE, f"the connection to {at} was lost: try again"
            ) from error
        except OSError as error:
            raise BitcoinError(
                ErrorKind.UNAVAILABLE,
                f"cannot reach {at} ({error.strerror or error}): correct rpc_url "
                "(BITCOIN_RPC_URL) or look at the network",
            ) from error
        except (http.client.HTTPException, ValueError, TypeError, AttributeError) as error:
            # RawProxy takes any JSON for an object and any bytes for UTF-8.
            raise BitcoinError(
                ErrorKind.INVALID_RESPONSE,
                f"the answer to {method} from {at} is not json-rpc: check that rpc_url "
                "(BITCOIN_RPC_URL) is the node's rpc port",
            ) from error


class _ConnectionLost(BitcoinError):
    """The connection broke while a call was under way, or before."""


class _CookieChanged(_ConnectionLost):
    """The node refused a cookie that it has replaced since: it was restarted during the call."""

    def __init__(self) -> None:
        super().__init__(ErrorKind.UNAVAILABLE, "the node was restarted during the call: try again")


class _Login:
    """The credentials, as an HTTP header. Has no repr that could show them."""

    def __init__(self, user: str | None, password: str | None, cookie_file: str | None) -> None:
        self._pair = None if user is None or password is None else f"{user}:{password}"
        self._cookie_file = cookie_file

    def header(self) -> str | None:
        """The header's value; reads the cookie again, since the node writes one at each start."""
        pair = self._pair
        if pair is None and self._cookie_file is not None:
            pair = self._read_cookie(self._cookie_file)
        if pair is None:
            return None
        return "Basic " + base64.b64encode(pair.encode()).decode("ascii")

    def refusal(self) -> str:
        """Which setting to look at after the node said 401."""
        if self._pair is not None:
            return "check rpc_user and rpc_password (BITCOIN_RPC_USER, BITCOIN_RPC_PASSWORD)"
        if self._cookie_file is not None:
            return (
                f"check that rpc_cookie_file (BITCOIN_RPC_COOKIE_FILE) {self._cookie_file!r} "
                "exists and belongs to this node"
            )
        return (
            "set rpc_cookie_file (BITCOIN_RPC_COOKIE_FILE), or rpc_user and rpc_password "
            "(BITCOIN_RPC_USER, BITCOIN_RPC_PASSWORD)"
        )

    @staticmethod
    def _read_cookie(path: str) -> str | None:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            # A stopped node has no cookie. Asking it without one tells "stopped" (refused)
            # from "wrong path" (401).
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise BitcoinError(
                ErrorKind.AUTH,
                f"cannot read rpc_cookie_file (BITCOIN_RPC_COOKIE_FILE) {path!r}: "
                "give this user the right to read it",
            ) from error


class _Proxy(RawProxy):  # type: ignore[misc]
    """A `RawProxy` that shows its connection."""

    def __init__(self, url: str, connection: _Connection) -> None:
        super().__init__(url, connection=connection)
        self.connection = connection


class _Connection(http.client.HTTPConnection):
    """An HTTP connection that logs in by itself and reads the status that `RawProxy` ignores.

    `RawProxy` takes credentials from the URL only, does not decode percent signs in them, and
    sends `None:None` without any.
    """

    response_class = BoundedResponse

    def __init__(self, host: str, port: int, timeout: float, login: _Login) -> None:
        super().__init__(host, port, timeout=timeout)
        self.max_body_bytes = MAX_ANSWER_BYTES
        self._login = login
        self._authorization: str | None = None

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, Any] | None = None,
        *,
        encode_chunked: bool = False,
    ) -> None:
        if self.sock is None:
            self._authorization = self._login.header()
        ours = dict(headers or {})
        ours.pop("Authorization", None)
        if self._authorization is not None:
            ours["Authorization"] = self._authorization
        super().request(method, url, body, ours, encode_chunked=encode_chunked)

    def getresponse(self) -> http.client.HTTPResponse:
        response = super().getresponse()
        if response.status == 401:
            if self._authorization != self._login.header():
                raise _CookieChanged
            raise BitcoinError(
                ErrorKind.AUTH,
                f"the node refused the credentials (http 401): {self._login.refusal()}",
            )
        if response.status in (403, 503):
            raise BitcoinError(*explain_http(response.status))
        if isinstance(response, BoundedResponse):
            response.max_body_bytes = self.max_body_bytes
        return response
