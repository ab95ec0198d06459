"""Makes wallet folders for tests. The package itself never does: a Rust command creates wallets."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from btc_legacy.wallet.keys import Account, Signer

WORDS = "abandon " * 11 + "about"
OTHER_WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"

RESERVATIONS = """
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
"""


def make_wallet(
    folder: Path, *, words: str = WORDS, network: str = "regtest", **changes: Any
) -> Path:
    """A wallet's folder as format 1 says; `changes` replace fields of `wallet.json`."""
    folder.mkdir(parents=True)
    signer = Signer(network, words, "")
    description = {
        "format": 1,
        "network": network,
        "fingerprint": signer.fingerprint,
        "birthday": 0,
        "gap_limit": 20,
        "change_type": "p2wpkh",
        "accounts": [account_to_json(account) for account in signer.accounts()],
    }
    (folder / "wallet.json").write_text(json.dumps(description | changes, indent=2))
    make_reservations(folder)
    return folder


def make_reservations(folder: Path) -> None:
    """An empty `reservations.sqlite`."""
    with closing(sqlite3.connect(folder / "reservations.sqlite")) as database:
        database.executescript(RESERVATIONS)


def account_to_json(account: Account) -> dict[str, str]:
    """An account as `wallet.json` has it."""
    return account._asdict()
