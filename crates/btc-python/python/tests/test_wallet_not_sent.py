"""Payments that were not sent, or of which that is not known: what a caller hears of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from btc_legacy.backend import LegacyBackend
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.rpc import RpcClient
from tests.following import TARGET
from tests.paying import forget_mempool, fund, make_due, mempool, pay, rows
from tests.regtest import Node, needs_bitcoind
from tests.wallet_folder import reservations

pytestmark = needs_bitcoind

# The user of the cookie may do what these tests need, and not send.
FORBIDDING = "-rpcwhitelist=__cookie__:" + ",".join(
    [
        "getbestblockhash",
        "getblock",
        "getblockchaininfo",
        "getblockcount",
        "getblockhash",
        "getblockheader",
        "getmempoolinfo",
        "getrawmempool",
        "getrawtransaction",
    ]
)

NOT_SENT = [
    ErrorKind.AUTH,
    ErrorKind.CONFIGURATION,
    ErrorKind.INVALID_INPUT,
    ErrorKind.UNSUPPORTED,
]
UNCLEAR = [kind for kind in ErrorKind if kind not in (*NOT_SENT, ErrorKind.REJECTED)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of `wallet`."""
    return tmp_path / "wallet"


@pytest.fixture(autouse=True)
def _clean(node: Node) -> Iterator[None]:
    """Leaves no transaction in the mempool, and the node as it was started."""
    yield
    node.restart()
    node.mine()


def failing(patch: pytest.MonkeyPatch, kind: ErrorKind) -> None:
    """From now on every handing over ends so."""

    def send(_: RpcClient, raw: bytes, txid: str) -> str:
        raise BitcoinError(kind, f"so it is with {txid}, of {len(raw)} bytes")

    patch.setattr("btc_legacy.wallet.wallet.send", send)


def test_a_payment_that_the_node_forbids_to_send_is_not_sent_by_itself_later(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000, 60_000)
    tx = wallet.create_transaction([(TARGET, 10_000)], 2)
    node.restart(FORBIDDING)
    with pytest.raises(BitcoinError, match="http 403") as caught:
        wallet.broadcast_transaction(tx)
    assert caught.value.kind is ErrorKind.AUTH
    assert rows(folder) == []
    node.restart()
    again = pay(wallet, 10_000)
    make_due(folder)
    wallet.get_balance()
    assert mempool(node) == {again["txid"]}


def test_a_payment_that_is_listed_already_is_not_said_to_be_forbidden(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    tx = pay(wallet, 10_000)
    forget_mempool(node, FORBIDDING)
    with pytest.raises(BitcoinError, match=r"http 403.* was handed over before") as caught:
        wallet.broadcast_transaction(tx)
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert caught.value.context == {"payment": tx["txid"]}
    assert rows(folder, "txid, abandoned_ms") == [(tx["txid"], None)]


def test_a_confirmed_payment_is_success_where_the_node_forbids_to_send(
    node: Node, wallet: LegacyBackend
) -> None:
    fund(node, wallet, 50_000)
    tx = pay(wallet, 10_000)
    node.mine()
    node.restart(FORBIDDING)
    assert wallet.broadcast_transaction(tx) == tx["txid"]


def test_a_payment_that_was_given_up_stays_so_where_the_node_forbids_to_send(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    tx = pay(wallet, 10_000)
    forget_mempool(node, FORBIDDING)
    with reservations(folder) as database:
        database.execute("UPDATE payments SET abandoned_ms = 5")
    with pytest.raises(BitcoinError) as caught:
        wallet.broadcast_transaction(tx)
    assert caught.value.kind is ErrorKind.AUTH
    assert rows(folder, "abandoned_ms") == [5]


@pytest.mark.parametrize("kind", NOT_SENT)
def test_what_no_node_has_got_is_forgotten(
    node: Node,
    wallet: LegacyBackend,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: ErrorKind,
) -> None:
    fund(node, wallet, 50_000)
    tx = wallet.create_transaction([(TARGET, 10_000)], 2)
    failing(monkeypatch, kind)
    with pytest.raises(BitcoinError, match=r"^so it is") as caught:
        wallet.broadcast_transaction(tx)
    assert caught.value.kind is kind
    assert rows(folder) == []


@pytest.mark.parametrize("kind", UNCLEAR)
def test_every_end_that_leaves_a_payment_listed_is_unavailable_and_names_it(
    node: Node,
    wallet: LegacyBackend,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: ErrorKind,
) -> None:
    fund(node, wallet, 50_000)
    tx = wallet.create_transaction([(TARGET, 10_000)], 2)
    failing(monkeypatch, kind)
    for _ in range(2):
        with pytest.raises(BitcoinError, match=r"so it is.* be sent again by itself") as caught:
            wallet.broadcast_transaction(tx)
        assert caught.value.kind is ErrorKind.UNAVAILABLE
        assert caught.value.context == {"payment": tx["txid"]}
        assert rows(folder) == [tx["txid"]]


def test_a_refusal_that_may_not_be_looked_into_does_not_read_as_if_nothing_was_sent(
    node: Node, wallet: LegacyBackend, folder: Path
) -> None:
    fund(node, wallet, 50_000)
    tx = wallet.create_transaction([(TARGET, 10_000)], 1)
    allowed = FORBIDDING.replace("getrawtransaction", "sendrawtransaction")
    node.restart("-minrelaytxfee=0.0001", allowed)
    with pytest.raises(BitcoinError, match=r"min relay fee.*is unknown") as caught:
        wallet.broadcast_transaction(tx)
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert rows(folder) == [tx["txid"]]
