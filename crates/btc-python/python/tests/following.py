"""A wallet that follows a real node, and what it sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitcoin.core import CTransaction

from btc_legacy.backend import LegacyBackend
from btc_legacy.encode import encode_transaction
from btc_legacy.protocol import Transaction
from btc_legacy.wallet.payments import token
from tests.regtest import Node
from tests.wallet_folder import WORDS, reservations

# Nobody's key is known here.
TARGET = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"


def opened(node: Node, folder: Path) -> LegacyBackend:
    """The backend with a wallet's words."""
    return LegacyBackend(node.config(wallet_dir=str(folder), wallet_words=WORDS))


def allow_replacement(folder: Path, tx: Transaction, *replaced: Transaction) -> None:
    """Writes down that a transaction may replace payments, as the commands of the Rust side do."""
    own_token = token(CTransaction.deserialize(encode_transaction(tx)))
    with reservations(folder) as database:
        database.executemany(
            "INSERT INTO replaces VALUES (?, ?)", [(own_token, old["txid"]) for old in replaced]
        )


def script(wallet: LegacyBackend, index: int, address_type: str = "p2wpkh") -> bytes:
    """The script of a receiving address."""
    return bytes.fromhex(wallet.derive_address(address_type, index)["script_pubkey"])


def buckets(wallet: LegacyBackend) -> dict[str, int]:
    """The buckets of the balance that are not empty."""
    balance: dict[str, Any] = dict(wallet.wallet_state()["balance"])
    return {name.removesuffix("_sat"): value for name, value in balance.items() if value}
