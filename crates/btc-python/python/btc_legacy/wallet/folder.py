"""The wallet's folder: `wallet.json`, and the lock that lets one process at a time have it open."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from btc_legacy import wire
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.keys import Account, master_of

FORMAT = 1

DESCRIPTION = "wallet.json"
LOCK = "python.lock"

_FINGERPRINT = re.compile(r"[0-9a-fA-F]{8}")
# As the Rust side, which makes the folders.
_MAX_GAP_LIMIT = 1000


@dataclass(frozen=True)
class Description:
    """What `wallet.json` says. No secret."""

    network: str
    fingerprint: str | None
    birthday: int
    gap_limit: int
    change_type: str
    accounts: tuple[Account, ...]

    @property
    def identity(self) -> str:
        """A digest of what decides which coins are found."""
        deciding = [self.network, self.birthday, self.gap_limit, self.accounts]
        return hashlib.sha256(json.dumps(deciding).encode()).hexdigest()


def read_description(folder: Path, network: str) -> Description:
    """Reads `wallet.json` and refuses a wallet of another network or of a newer version."""
    path = folder / DESCRIPTION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _wrong(
            f"there is no wallet in {str(folder)!r}: correct wallet_dir (WALLET_DIR), or create one"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise _wrong(f"{str(path)!r} cannot be read ({error}): restore it") from error
    if not isinstance(content, dict):
        raise _wrong(f"{str(path)!r} is no wallet's description: restore it")
    newest = content.get("format")
    if isinstance(newest, int) and newest > FORMAT:
        raise _wrong(
            f"{str(path)!r} has format {newest}, written by a newer version: use that version"
        )
    try:
        description = _description(content)
    except wire.WrongShape as error:
        raise _wrong(f"{str(path)!r} is damaged ({error}): restore it") from error
    _check(description, path)
    if description.network != network:
        raise _wrong(
            f"the wallet in {str(folder)!r} is of {description.network}, the configuration says "
            f"{network}: correct wallet_dir (WALLET_DIR) or network (BITCOIN_NETWORK)"
        )
    return description


class Lock:
    """The lock on the folder, held from construction until `close` or the end of the object."""

    def __init__(self, folder: Path) -> None:
        """Takes the lock, or names the process that has it."""
        path = folder / LOCK
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _wrong(
                f"{str(path)!r} cannot be opened ({error.strerror}): give this user the right to "
                "write to the wallet's folder"
            ) from error
        self.close = weakref.finalize(self, unlock, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            self.close()
            raise BitcoinError(
                ErrorKind.UNAVAILABLE,
                f"the wallet is open in process {holder}: close it there, or wait",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def unlock(descriptor: int) -> None:
    """Ends a lock and closes its file.

    Closing would not be enough: a process that is being started has copies of all open files for
    a moment, and the lock would live on with them.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _description(content: dict[str, Any]) -> Description:
    wire.integer("format", content.get("format"), FORMAT, FORMAT)
    return Description(
        network=wire.text("network", content.get("network")),
        fingerprint=wire.optional("fingerprint", content.get("fingerprint"), _fingerprint),
        birthday=wire.u32("birthday", content.get("birthday")),
        gap_limit=wire.integer("gap_limit", content.get("gap_limit"), 1, _MAX_GAP_LIMIT),
        change_type=wire.address_type("change_type", content.get("change_type")),
        accounts=tuple(wire.array("accounts", content.get("accounts"), _account)),
    )


def _check(description: Description, path: Path) -> None:
    """Checks what no single field shows."""
    if description.change_type not in (account.address_type for account in description.accounts):
        raise _wrong(
            f"{str(path)!r} is damaged (no account of the change type {description.change_type}): "
            "restore it"
        )
    texts = (text for account in description.accounts for text in (account.receive, account.change))
    masters = {master_of(text) for text in texts} - {None}
    if description.fingerprint is not None and not masters <= {description.fingerprint}:
        raise _wrong(
            f"{str(path)!r} is damaged (a descriptor comes from another master key than "
            f"{description.fingerprint}): restore it"
        )


def _account(where: str, value: object) -> Account:
    if not isinstance(value, dict):
        raise wire.WrongShape(where, value, "an object")
    return Account(
        address_type=wire.address_type(f"{where}.address_type", value.get("address_type")),
        receive=wire.text(f"{where}.receive", value.get("receive")),
        change=wire.text(f"{where}.change", value.get("change")),
    )


def _fingerprint(where: str, value: object) -> str:
    if not isinstance(value, str) or not _FINGERPRINT.fullmatch(value):
        raise wire.WrongShape(where, value, "a str of 8 hexadecimal digits")
    return value.lower()


def _wrong(message: str) -> BitcoinError:
    return BitcoinError(ErrorKind.CONFIGURATION, message)
