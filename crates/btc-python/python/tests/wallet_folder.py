"""Makes wallet folders for tests. The package itself never does: a Rust command creates wallets."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from btc_legacy.wallet.keys import Signer

WORDS = "abandon " * 11 + "about"
OTHER_WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"

# As docs/wallet.md says, and as it said before.
_SCHEMAS = {
    1: """
        CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
        INSERT INTO meta VALUES ('schema', '1');
        CREATE TABLE next_index (
            address_type TEXT NOT NULL, chain TEXT NOT NULL,
            next INTEGER NOT NULL, PRIMARY KEY (address_type, chain));
        CREATE TABLE reserved (
            txid TEXT NOT NULL, vout INTEGER NOT NULL,
            until_ms INTEGER,
            reason TEXT NOT NULL,
            PRIMARY KEY (txid, vout));
    """,
    2: """
        CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
        INSERT INTO meta VALUES ('schema', '2');
        CREATE TABLE next_index (
            address_type TEXT NOT NULL, chain TEXT NOT NULL,
            next INTEGER NOT NULL, PRIMARY KEY (address_type, chain));
        CREATE TABLE reserved (
            txid TEXT NOT NULL, vout INTEGER NOT NULL,
            until_ms INTEGER, span_ms INTEGER,
            reason TEXT NOT NULL,
            PRIMARY KEY (txid, vout));
        CREATE TABLE change_index (
            address_type TEXT NOT NULL, key_index INTEGER NOT NULL,
            until_ms INTEGER, span_ms INTEGER, reason TEXT NOT NULL,
            PRIMARY KEY (address_type, key_index, reason));
        CREATE TABLE replaces (
            token TEXT NOT NULL, txid TEXT NOT NULL, PRIMARY KEY (token, txid));
        CREATE TABLE payments (
            txid TEXT PRIMARY KEY, token TEXT NOT NULL,
            raw BLOB NOT NULL,
            handed_over_ms INTEGER NOT NULL,
            outcome TEXT NOT NULL,
            next_broadcast_ms INTEGER NOT NULL,
            abandoned_ms INTEGER,
            settled_height INTEGER);
    """,
}


def make_wallet(folder: Path, *, schema: int = 2, **changes: Any) -> Path:
    """A wallet's folder as format 1 says; `changes` replace fields of `wallet.json`.

    `schema` is that of `reservations.sqlite`.
    """
    folder.mkdir(parents=True)
    (folder / "wallet.json").write_text(json.dumps(description() | changes))
    with reservations(folder) as database:
        database.executescript(_SCHEMAS[schema])
    return folder


def description() -> dict[str, Any]:
    """The content of `wallet.json` for the test words on regtest."""
    signer = Signer("regtest", WORDS, "")
    return {
        "format": 1,
        "network": "regtest",
        "fingerprint": signer.fingerprint,
        "birthday": 0,
        "gap_limit": 20,
        "change_type": "p2wpkh",
        "accounts": [account._asdict() for account in signer.accounts()],
    }


@contextmanager
def reservations(folder: Path) -> Iterator[sqlite3.Connection]:
    """`reservations.sqlite`, as another program opens it; what it writes is committed."""
    with closing(sqlite3.connect(folder / "reservations.sqlite")) as database, database:
        yield database


def open_files(folder: Path) -> list[str]:
    """The names of the files of a folder that this process has open."""
    names = []
    for descriptor in Path("/proc/self/fd").iterdir():
        # Other threads close theirs meanwhile, and so does this listing.
        with suppress(FileNotFoundError):
            target = descriptor.readlink()
            if target.parent == folder:
                names.append(target.name)
    return names
