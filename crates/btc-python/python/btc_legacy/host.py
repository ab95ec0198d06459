"""`Host`: one request in, one response out; the only entry point for Rust."""

from __future__ import annotations

import importlib
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import quote

from btc_legacy import PROTOCOL_VERSION, pieces, wire
from btc_legacy.classify import (
    MAX_MESSAGE_CHARS,
    classify,
    summary,
    traceback_of,
    type_name,
)
from btc_legacy.config import Config
from btc_legacy.convert import result_to_wire
from btc_legacy.errors import BitcoinError, ErrorKind

MAX_RESPONSE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class _Method:
    """A method's parameters, and whether only the backend can judge them."""

    checks: tuple[Callable[[str, object], object], ...]
    judged_by_backend: bool = False


def _u8(where: str, value: object) -> int:
    return wire.integer(where, value, 0, wire.U8_MAX)


def _payments(where: str, value: object) -> list[tuple[str, int]]:
    return wire.array(where, value, wire.payment)


_METHODS = {
    "get_transaction": _Method((wire.text,)),
    "get_block": _Method((wire.text,)),
    "get_block_height": _Method(()),
    "estimate_fee": _Method((_u8,)),
    "explain_fee": _Method((_u8,)),
    "broadcast_transaction": _Method((wire.transaction,), judged_by_backend=True),
    "generate_address": _Method((wire.address_type,), judged_by_backend=True),
    "create_transaction": _Method((_payments, wire.u64), judged_by_backend=True),
    "get_balance": _Method(()),
    "derive_address": _Method((wire.address_type, wire.u32), judged_by_backend=True),
    "plan_transaction": _Method(
        (_payments, wire.u64, wire.wallet_snapshot), judged_by_backend=True
    ),
    "check_broadcast": _Method((wire.byte_hex,), judged_by_backend=True),
    "wallet_state": _Method(()),
    "tip": _Method(()),
    "snapshot": _Method(()),
    "create_transaction_with_snapshot": _Method((_payments, wire.u64), judged_by_backend=True),
}


class Host:
    """Holds a backend and answers requests. `handle` may be called from several threads."""

    def __init__(self) -> None:
        self._backend: object | None = None
        self._name = "the backend"
        self._secrets: tuple[str, ...] = ()

    def handle(self, request: bytes) -> bytes:
        """Answers one JSON request with one JSON response. Never raises."""
        try:
            return _encode({"ok": self._answer(*_parse(request))})
        except pieces.Unfinished:
            return _UNFINISHED
        except BaseException as error:
            return self._failure(error)

    def _answer(self, method: object, params: object) -> object:
        if method == "start":
            return self._start(params)
        if method == "close":
            return self._close()
        known = _METHODS.get(method) if isinstance(method, str) else None
        if known is None:
            raise BitcoinError(ErrorKind.INVALID_INPUT, f"unknown method {method!r:.60}")
        return self._call(str(method), known, _checked(str(method), known, params))

    def _start(self, params: object) -> object:
        if not isinstance(params, dict) or not isinstance(params.get("backend"), str):
            raise BitcoinError(ErrorKind.INVALID_INPUT, "start needs a backend and a config")
        spec: str = params["backend"]
        config = Config.from_wire(params.get("config"))
        self._secrets = _secrets(config)
        self._name = spec
        backend_class = _load(spec, self._redacted)
        try:
            self._backend = backend_class(config)
        except BaseException as error:
            raise _Raised(error, f"{backend_class.__qualname__}()", input_suspect=False) from None
        return {
            "protocol": PROTOCOL_VERSION,
            "backend": spec,
            "python": platform.python_version(),
        }

    def _close(self) -> object:
        """Lets go of what the backend holds open, if it has a way to."""
        backend, self._backend = self._backend, None
        close = getattr(backend, "close", None)
        if callable(close):
            close()
        return {}

    def _call(self, method: str, known: _Method, params: list[Any]) -> object:
        if self._backend is None:
            raise BitcoinError(ErrorKind.CONFIGURATION, "the backend is not started: send start")
        name = f"{type(self._backend).__qualname__}.{method}"
        call = getattr(self._backend, method, None)
        if call is None:
            raise BitcoinError(ErrorKind.UNSUPPORTED, f"{self._name} has no method {method}")
        try:
            with pieces.limited():
                value = call(*params)
        except pieces.Unfinished:
            raise
        except BaseException as error:
            suspect = known.judged_by_backend or _is_malformed(method, params)
            raise _Raised(error, name, input_suspect=suspect) from None
        try:
            return result_to_wire(method, params, value)
        except wire.WrongShape as error:
            raise BitcoinError(
                ErrorKind.INVALID_RESPONSE, f"{name} returned a wrong type: {error}"
            ) from error

    def _failure(self, error: BaseException) -> bytes:
        try:
            if isinstance(error, _Raised):
                kind, message = error.kind, error.message
                error = error.original
            else:
                kind, message = classify(error, "btc_legacy.host", input_suspect=False)
            context: dict[str, str] = {}
            if isinstance(error, BitcoinError):
                context = error.context
            else:
                message = self._redacted(message)
            return _encode(
                {
                    "error": {
                        "kind": kind.value,
                        "message": _clean(message)[:MAX_MESSAGE_CHARS],
                        "context": [[name, _clean(text)] for name, text in context.items()],
                        "python_type": _clean(type_name(error)),
                        "traceback": self._redacted(traceback_of(error)),
                    }
                }
            )
        except BaseException:
            # Out of memory or stack while describing the failure.
            return _LAST_RESORT

    def _redacted(self, text: str) -> str:
        """Hides the secrets in text that we did not write."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


class _Raised(Exception):
    """An exception of a backend with its classification."""

    def __init__(self, original: BaseException, raised_by: str, *, input_suspect: bool) -> None:
        super().__init__()
        self.original = original
        self.kind, self.message = classify(original, raised_by, input_suspect=input_suspect)


# As the Rust side compares it, to the byte.
_UNFINISHED = b'{"unfinished":true}'

_LAST_RESORT = (
    b'{"error":{"kind":"internal","message":"the python backend failed and so did the '
    b'description of its failure","context":[],"python_type":"","traceback":""}}'
)


def _parse(request: bytes) -> tuple[object, object]:
    try:
        parsed = json.loads(request, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BitcoinError(ErrorKind.INVALID_INPUT, f"the request is not json: {error}") from error
    if not isinstance(parsed, dict) or "method" not in parsed:
        raise BitcoinError(ErrorKind.INVALID_INPUT, "the request must be an object with a method")
    return parsed["method"], parsed.get("params", [])


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a json number")


def _checked(method: str, known: _Method, params: object) -> list[Any]:
    if not isinstance(params, list) or len(params) != len(known.checks):
        raise BitcoinError(
            ErrorKind.INVALID_INPUT, f"{method} takes a list of {len(known.checks)} parameters"
        )
    try:
        return [
            check(f"params[{index}]", item)
            for index, (check, item) in enumerate(zip(known.checks, params, strict=True))
        ]
    except wire.WrongShape as error:
        raise BitcoinError(ErrorKind.INVALID_INPUT, str(error)) from error


def _is_malformed(method: str, params: list[Any]) -> bool:
    """Whether parameters of the right type are still malformed by the interface's contract."""
    if method in ("get_transaction", "get_block"):
        return not wire.is_hash(params[0])
    return method in ("estimate_fee", "explain_fee") and params[0] == 0


def _load(spec: str, redacted: Callable[[str], str]) -> type[Any]:
    module_name, colon, class_name = spec.partition(":")
    if not (colon and module_name and class_name):
        raise _misconfigured(f"{spec!r:.100} is not of the form module:Class")
    try:
        target: object = importlib.import_module(module_name)
    except BaseException as error:
        raise _not_importable(module_name, error, redacted) from error
    for name in class_name.split("."):
        target = getattr(target, name, None)
    if not isinstance(target, type):
        raise _misconfigured(f"module {module_name} has no class {class_name}")
    return target


def _not_importable(
    module_name: str, error: BaseException, redacted: Callable[[str], str]
) -> BitcoinError:
    missing = error.name or "" if isinstance(error, ImportError) else ""
    if missing == "bitcoin" or missing.startswith("bitcoin."):
        return BitcoinError(
            ErrorKind.CONFIGURATION,
            "python-bitcoinlib is not installed for this python: run `cargo xtask setup`",
        )
    if missing == "embit" or missing.startswith("embit."):
        return BitcoinError(
            ErrorKind.CONFIGURATION,
            "embit is not installed for this python: run `cargo xtask setup`",
        )
    if _is_libssl_missing(error):
        return BitcoinError(
            ErrorKind.CONFIGURATION,
            "python-bitcoinlib cannot load the libssl library (Debian's libssl3): run "
            "`cargo xtask setup`",
        )
    return _misconfigured(f"importing module {module_name} raised {redacted(summary(error))}")


def _is_libssl_missing(error: BaseException) -> bool:
    """Whether `bitcoin.core.key` failed to load: it opens libssl through ctypes when imported."""
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_globals.get("__name__") == "bitcoin.core.key":
            return isinstance(error, OSError | AttributeError)
        step = step.tb_next
    return False


def _misconfigured(what: str) -> BitcoinError:
    return BitcoinError(ErrorKind.CONFIGURATION, f"correct PYTHON_BACKEND: {what}")


def _secrets(config: Config) -> tuple[str, ...]:
    secrets = [config.rpc_password, config.wallet_words, config.wallet_passphrase]
    secrets += [quote(config.rpc_password, safe="")] if config.rpc_password else []
    return tuple(secret for secret in secrets if secret)


def _clean(text: str) -> str:
    """Text without half characters, which JSON in other languages does not accept."""
    return text.encode("utf-8", "backslashreplace").decode()


def _encode(response: dict[str, object]) -> bytes:
    encoded = json.dumps(response, allow_nan=False, separators=(",", ":")).encode()
    if len(encoded) > MAX_RESPONSE_BYTES:
        raise BitcoinError(
            ErrorKind.INVALID_RESPONSE,
            f"the response has {len(encoded)} bytes, more than the {MAX_RESPONSE_BYTES} allowed: "
            "ask for less at once",
        )
    return encoded
