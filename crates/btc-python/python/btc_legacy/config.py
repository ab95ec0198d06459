"""`Config`: what a backend is constructed with, checked once where it enters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from urllib.parse import SplitResult, urlsplit

from btc_legacy.errors import BitcoinError, ErrorKind

NETWORKS = ("mainnet", "testnet3", "testnet4", "signet", "regtest")

DEFAULT_TIMEOUT_SECS = 30.0

DEFAULT_MAX_FEE_RATE = 1000
_U64_MAX = 2**64 - 1

_OPTIONAL_TEXTS = (
    "rpc_user",
    "rpc_password",
    "rpc_cookie_file",
    "wallet_dir",
    "wallet_words",
    "wallet_passphrase",
)


def split_rpc_url(url: str) -> SplitResult:
    """Splits the node's URL and refuses what the client cannot use.

    No message repeats the URL: someone may have put a password into it.
    """
    try:
        parts = urlsplit(url)
        usable = parts.hostname and parts.port
    except ValueError:
        parts, usable = urlsplit(""), None
    if parts.scheme != "http":
        raise _wrong("rpc_url must start with http:// (https needs a proxy in front of the node)")
    if not usable:
        raise _wrong("rpc_url must name a host and a port, like http://127.0.0.1:8332")
    if parts.username is not None or parts.password is not None:
        raise _wrong(
            "rpc_url must not hold credentials: set rpc_user and rpc_password "
            "(BITCOIN_RPC_USER, BITCOIN_RPC_PASSWORD) instead"
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _wrong("rpc_url must not have a path: give host and port only")
    return parts


@dataclass(frozen=True)
class Config:
    """Where the node is, how to log in, and which network it must be on.

    `rpc_user` with `rpc_password` wins over `rpc_cookie_file`; both are optional. `wallet_dir` is
    the wallet's folder; without it there is no wallet. `wallet_words` and `wallet_passphrase`
    (BIP39) unlock it. `max_fee_rate` is the highest fee rate in sat/vB that a payment is built at.
    """

    network: str
    rpc_url: str
    rpc_user: str | None = None
    rpc_password: str | None = field(default=None, repr=False)
    rpc_cookie_file: str | None = None
    timeout_secs: float = DEFAULT_TIMEOUT_SECS
    wallet_dir: str | None = None
    wallet_words: str | None = field(default=None, repr=False)
    wallet_passphrase: str | None = field(default=None, repr=False)
    max_fee_rate: int = DEFAULT_MAX_FEE_RATE

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise _wrong(f"unknown network {self.network!r:.40}: use one of {', '.join(NETWORKS)}")
        split_rpc_url(self.rpc_url)
        if (self.rpc_user is None) != (self.rpc_password is None):
            raise _wrong("rpc_user and rpc_password belong together: set both or neither")
        if not math.isfinite(self.timeout_secs) or self.timeout_secs <= 0:
            raise _wrong("timeout_secs must be a number of seconds above 0")
        if self.wallet_words is not None and self.wallet_dir is None:
            raise _wrong("wallet_words need a wallet: set wallet_dir (WALLET_DIR)")
        if self.wallet_passphrase is not None and self.wallet_words is None:
            raise _wrong("wallet_passphrase belongs to wallet_words: set both or neither")
        if not 1 <= self.max_fee_rate <= _U64_MAX:
            raise _wrong("max_fee_rate (MAX_FEE_RATE) must be a number of sat/vB, at least 1")

    @classmethod
    def from_wire(cls, value: object) -> Config:
        """Reads the `config` object of the start request."""
        if not isinstance(value, Mapping):
            raise _wrong("config must be an object")
        known = {item.name for item in fields(cls)}
        unknown = sorted(str(name) for name in value if name not in known)
        if unknown:
            raise _wrong(f"unknown setting {unknown[0]!r:.60} in config: remove it")
        for name in ("network", "rpc_url"):
            if not isinstance(value.get(name), str):
                raise _wrong(f"{name} must be a string")
        for name in _OPTIONAL_TEXTS:
            if not isinstance(value.get(name), str | None):
                raise _wrong(f"{name} must be a string or null")
        timeout = value.get("timeout_secs", DEFAULT_TIMEOUT_SECS)
        if isinstance(timeout, bool) or not isinstance(timeout, int | float):
            raise _wrong("timeout_secs must be a number of seconds above 0")
        max_fee_rate = value.get("max_fee_rate")
        max_fee_rate = DEFAULT_MAX_FEE_RATE if max_fee_rate is None else max_fee_rate
        if isinstance(max_fee_rate, bool) or not isinstance(max_fee_rate, int):
            raise _wrong("max_fee_rate (MAX_FEE_RATE) must be a whole number of sat/vB")
        return cls(
            network=value["network"],
            rpc_url=value["rpc_url"],
            timeout_secs=float(timeout),
            max_fee_rate=max_fee_rate,
            **{name: value.get(name) for name in _OPTIONAL_TEXTS},
        )


def _wrong(message: str) -> BitcoinError:
    return BitcoinError(ErrorKind.CONFIGURATION, message)
