"""What the tests of own payments share: paying, and looking at what was written down."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from btc_legacy.backend import LegacyBackend
from btc_legacy.encode import encode_transaction
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.protocol import Transaction
from btc_legacy.wallet import reservations as module
from btc_legacy.wallet.keys import Keychain, Place
from btc_legacy.wallet.payments import PaymentState
from tests.following import TARGET, script
from tests.regtest import Node
from tests.wallet_folder import reservations

NO_MEMPOOL = "-persistmempool=0"

CONFLICT = "spends-coins-of-another-payment"
RESERVED = "coin-reserved-for-another-transaction"


def forget_mempool(node: Node, *arguments: str) -> None:
    """The node starts again without its mempool, for good, with these arguments."""
    # What it wrote at its first end would be read at a later start.
    for _ in range(2):
        node.restart(NO_MEMPOOL, *arguments)
    (node.folder / "regtest" / "mempool.dat").unlink(missing_ok=True)


def fund(node: Node, wallet: LegacyBackend, *values_sat: int) -> None:
    """Pays the wallet, and mines it."""
    node.pay([(script(wallet, number), value) for number, value in enumerate(values_sat)])
    node.mine()


def pay(wallet: LegacyBackend, value_sat: int, fee_rate: int = 2) -> Transaction:
    """Builds a payment and hands it over."""
    tx = wallet.create_transaction([(TARGET, value_sat)], fee_rate)
    assert wallet.broadcast_transaction(tx) == tx["txid"]
    return tx


def plan(wallet: LegacyBackend, tx: Transaction, value_sat: int, fee_rate: int) -> Transaction:
    """A rival: what spends the first coin of a payment that is in the chain already."""
    snapshot: Any = {**wallet.snapshot(), "pending": []}
    snapshot["coins"] = [coin_at(wallet, tx["inputs"][0]["previous_output"])]
    return wallet.plan_transaction([(TARGET, value_sat)], fee_rate, snapshot)["transaction"]


def coin_at(wallet: LegacyBackend, outpoint: str) -> dict[str, Any]:
    """A coin of the wallet's that is spent or held, as a snapshot writes it."""
    txid, _, vout = outpoint.partition(":")
    paid = wallet.get_transaction(txid)["outputs"][int(vout)]
    found = next(
        (chain, index)
        for index in range(30)
        for chain in ("receive", "change")
        if script_at(wallet, chain, index) == paid["script_pubkey"]
    )
    return {
        "outpoint": outpoint,
        "value_sat": paid["value_sat"],
        "address_type": "p2wpkh",
        "chain": found[0],
        "index": found[1],
    }


def script_at(wallet: LegacyBackend, chain: str, index: int) -> str:
    """The script at a place of type P2WPKH."""
    return wallet._open_wallet._keyring.script(Place(Keychain("p2wpkh", chain), index)).hex()


def rows(folder: Path, columns: str = "txid") -> list[Any]:
    """What the file says of payments, one column or several."""
    with reservations(folder) as database:
        found = database.execute(f"SELECT {columns} FROM payments").fetchall()  # noqa: S608
    return [row[0] if len(row) == 1 else row for row in found]


def states(wallet: LegacyBackend) -> dict[str, PaymentState]:
    """Where each own payment stands after a look at chain and mempool, by txid."""
    follower = wallet._open_wallet._follower
    follower.follow()
    return {txid[::-1].hex(): it.state for txid, it in follower.standings().items()}


def make_due(folder: Path) -> None:
    """Says that every missing payment is to be sent again now."""
    with reservations(folder) as database:
        database.execute("UPDATE payments SET next_broadcast_ms = 1")


def not_yet(folder: Path) -> None:
    """Says that no missing payment is to be sent again for now."""
    with reservations(folder) as database:
        database.execute(
            "UPDATE payments SET next_broadcast_ms = ?", (module.now_ms() + 30 * 60 * 1000,)
        )


def mempool(node: Node) -> set[str]:
    """The txids in the mempool."""
    return set(node.rpc.read("getrawmempool"))


def refused(wallet: LegacyBackend, tx: Transaction, reason: str) -> BitcoinError:
    """The error of a broadcast that is not handed to the node, and the check that says the same."""
    check = wallet.check_broadcast(encode_transaction(tx).hex())
    assert check["verdict"] == "refused"
    assert (check["reason"] or "").startswith(f"{reason}:")
    with pytest.raises(BitcoinError, match=reason) as caught:
        wallet.broadcast_transaction(tx)
    assert caught.value.kind is ErrorKind.REJECTED
    assert caught.value.message == check["reason"]
    return caught.value


@contextmanager
def unloaded_mempool(node: Node) -> Iterator[None]:
    """The node, started again, has not read its mempool: it waits for blocks from a pipe first."""
    pipe = node.folder / "blocks"
    os.mkfifo(pipe)
    node.restart(f"-loadblock={pipe}")
    try:
        assert node.rpc.read("getmempoolinfo")["loaded"] is False
        assert mempool(node) == set()
        yield
    finally:
        with pipe.open("wb"):
            pass
        pipe.unlink()
        while not node.rpc.read("getmempoolinfo")["loaded"]:
            threading.Event().wait(0.02)
