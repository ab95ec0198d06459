"""When a transaction is judged by rules 2 and 3, and whose it is, over a real node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bitcoin.core import CTransaction

from btc_legacy.backend import LegacyBackend
from btc_legacy.encode import encode_transaction
from btc_legacy.protocol import Transaction
from btc_legacy.wallet.payments import token
from tests.following import TARGET, allow_replacement, opened
from tests.paying import (
    CONFLICT,
    NO_MEMPOOL,
    RESERVED,
    fund,
    mempool,
    not_yet,
    pay,
    plan,
    refused,
    rows,
)
from tests.regtest import Node, needs_bitcoind
from tests.wallet_folder import make_wallet, reservations

pytestmark = needs_bitcoind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of `wallet`."""
    return tmp_path / "wallet"


@pytest.fixture
def elsewhere(node: Node, tmp_path: Path, birthday: int) -> Iterator[LegacyBackend]:
    """The same words in another folder."""
    backend = opened(node, make_wallet(tmp_path / "elsewhere", birthday=birthday))
    yield backend
    backend.close()


@pytest.fixture(autouse=True)
def _clean(node: Node) -> Iterator[None]:
    """Leaves no transaction in the mempool, and the node as it was started."""
    yield
    node.restart()
    node.mine()


@pytest.mark.parametrize("has_scanned", [True, False])
def test_what_seems_foreign_is_looked_at_again_on_the_newest_chain(
    node: Node, wallet: LegacyBackend, elsewhere: LegacyBackend, folder: Path, has_scanned: bool
) -> None:
    if has_scanned:
        wallet.get_balance()
    fund(node, wallet, 50_000)
    tx = elsewhere.create_transaction([(TARGET, 10_000)], 2)
    wallet.broadcast_transaction(tx)
    assert rows(folder, "txid, outcome") == [(tx["txid"], "accepted")]


def test_what_spends_a_coin_that_is_reserved_for_it_is_the_wallets(
    node: Node, wallet: LegacyBackend, elsewhere: LegacyBackend, folder: Path
) -> None:
    fund(node, elsewhere, 50_000)
    tx = elsewhere.create_transaction([(TARGET, 10_000)], 2)
    promise(folder, tx, token_of(tx))
    # Nothing can be followed, and the coin is not known here.
    wallet._open_wallet._follower.follow = lambda: pytest.fail("asks")  # type: ignore[method-assign]
    wallet.broadcast_transaction(tx)
    assert rows(folder) == [tx["txid"]]


def token_of(tx: Transaction) -> str:
    """Its token."""
    return token(CTransaction.deserialize(encode_transaction(tx)))


def promise(folder: Path, tx: Transaction, reason: str) -> None:
    """Reserves the first coin of a transaction."""
    txid, _, vout = tx["inputs"][0]["previous_output"].partition(":")
    with reservations(folder) as database:
        database.execute(
            "INSERT OR REPLACE INTO reserved VALUES (?, ?, NULL, NULL, ?)",
            (txid, int(vout), reason),
        )


def test_a_refusal_is_given_on_the_newest_chain_also_before_a_first_scan(
    node: Node, wallet: LegacyBackend, elsewhere: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 40_000)
    old = pay(wallet, 70_000)
    lost = plan(wallet, old, 20_000, 3)
    node.restart(NO_MEMPOOL)
    not_yet(folder)
    node.rpc.write("sendrawtransaction", encode_transaction(lost).hex())
    node.mine()
    # The other coin is free now: the payment that held it can never be mined.
    tx = elsewhere.create_transaction([(TARGET, 50_000)], 2)
    coins = {it["previous_output"] for it in tx["inputs"]}
    assert coins & {it["previous_output"] for it in old["inputs"]}
    wallet.close()
    (folder / "python.sqlite").unlink()
    for act in (checked, LegacyBackend.broadcast_transaction):
        again = opened(node, folder)
        act(again, tx)
        again.close()
        if act is checked:
            (folder / "python.sqlite").unlink()
    assert mempool(node) == {tx["txid"]}


def checked(wallet: LegacyBackend, tx: Transaction) -> None:
    """Says that a node would take it, or has it."""
    check = wallet.check_broadcast(encode_transaction(tx).hex())
    assert check["verdict"] != "refused", check["reason"]


def test_what_replaces_it_excuses_a_payment_that_is_not_abandoned(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    old = pay(wallet, 10_000)
    second = plan(wallet, old, 20_000, 30)
    allow_replacement(folder, second, old)
    wallet.broadcast_transaction(second)
    third = plan(wallet, old, 20_000, 60)
    allow_replacement(folder, third, second)
    wallet.broadcast_transaction(third)
    # A bump of the last one is being built: it names the first through both others.
    promise(folder, old, "ab" * 32)
    with reservations(folder) as database:
        database.execute("INSERT INTO replaces VALUES (?, ?)", ("ab" * 32, third["txid"]))
    for tx in (old, second, third):
        raw = encode_transaction(tx).hex()
        refusal = wallet._open_wallet.refusal(bytes.fromhex(raw))
        assert refusal is None, refusal
    # Given up, it is handed over like any other.
    with reservations(folder) as database:
        database.execute("UPDATE payments SET abandoned_ms = 5 WHERE txid = ?", (old["txid"],))
    assert refused(wallet, old, CONFLICT).context["payment"] in {second["txid"], third["txid"]}
    with reservations(folder) as database:
        database.execute("UPDATE payments SET abandoned_ms = 5 WHERE txid != ?", (third["txid"],))
        database.execute("DELETE FROM payments WHERE txid = ?", (third["txid"],))
    node.restart(NO_MEMPOOL)
    refused(wallet, old, RESERVED)


def test_the_check_of_a_payment_that_can_never_be_mined_names_what_has_its_coin(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 40_000)
    old = pay(wallet, 70_000)
    lost = plan(wallet, old, 20_000, 3)
    node.restart(NO_MEMPOOL)
    not_yet(folder)
    node.rpc.write("sendrawtransaction", encode_transaction(lost).hex())
    node.mine()
    tx = pay(wallet, 50_000)
    check = wallet.check_broadcast(encode_transaction(old).hex())
    assert (check["reason"] or "").startswith(f"{CONFLICT}: it takes coins of payment {tx['txid']}")


def test_a_payment_that_is_confirmed_while_a_bump_of_it_is_built_is_known(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    tx = pay(wallet, 10_000)
    promise(folder, tx, "ab" * 32)
    with reservations(folder) as database:
        database.execute("INSERT INTO replaces VALUES (?, ?)", ("ab" * 32, tx["txid"]))
    node.mine()
    wallet.get_balance()
    assert wallet.check_broadcast(encode_transaction(tx).hex())["verdict"] == "known"
    assert wallet.broadcast_transaction(tx) == tx["txid"]
