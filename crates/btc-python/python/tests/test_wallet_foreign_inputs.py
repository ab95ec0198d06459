"""Payments that spend a coin of others beside one of the wallet's, which its owner spends again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut, lx
from bitcoin.core.script import CScript

from btc_legacy.backend import LegacyBackend
from btc_legacy.decode import decode_transaction
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.rpc import RpcClient
from btc_legacy.wallet.payments import PaymentState
from tests.following import opened, script
from tests.paying import fund, not_yet, states
from tests.regtest import PAY_TO_ANYONE, Node, needs_bitcoind

pytestmark = needs_bitcoind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of `wallet`."""
    return tmp_path / "wallet"


@pytest.fixture(autouse=True)
def _clean(node: Node) -> Iterator[None]:
    """Leaves no transaction in the mempool."""
    yield
    node.restart()
    node.mine()


def own_coin(wallet: LegacyBackend) -> str:
    """The coin that is the wallet's from the beginning."""
    (coin,) = (it["outpoint"] for it in wallet.snapshot()["coins"] if it["value_sat"] == 50_000)
    return coin


def jointly(
    wallet: LegacyBackend, coin: str, foreign: COutPoint, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A payment of a coin of the wallet and this one, which does not reach the node."""
    txid, _, vout = coin.partition(":")
    tx = CTransaction(
        [CTxIn(COutPoint(lx(txid), int(vout))), CTxIn(foreign)],
        [CTxOut(60_000, CScript(script(wallet, 5)))],
    )

    def lost(_rpc: RpcClient, _raw: bytes, _txid: str) -> str:
        raise BitcoinError(ErrorKind.TIMEOUT, "no answer")

    with monkeypatch.context() as patch:
        patch.setattr("btc_legacy.wallet.wallet.send", lost)
        with pytest.raises(BitcoinError, match="no answer"):
            wallet.broadcast_transaction(decode_transaction(tx.serialize()))
    return bytes(tx.GetTxid())[::-1].hex()


@pytest.mark.parametrize("is_known_first", [True, False])
def test_a_payment_whose_foreign_input_is_spent_by_what_pays_the_wallet_is_conflicted(
    node: Node,
    wallet: LegacyBackend,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_known_first: bool,
) -> None:
    fund(node, wallet, 50_000)
    foreign = node.coin()
    coin = own_coin(wallet)
    if is_known_first:
        txid = jointly(wallet, coin, foreign, monkeypatch)
        assert states(wallet)[txid] is PaymentState.MISSING
        assert wallet.snapshot()["coins"] == []
    node.spend(foreign, [(script(wallet, 2), 59_000)])
    (block_hash,) = node.mine()
    if not is_known_first:
        wallet.get_balance()
        txid = jointly(wallet, coin, foreign, monkeypatch)
    assert states(wallet)[txid] is PaymentState.CONFLICTED
    assert coin in {it["outpoint"] for it in wallet.snapshot()["coins"]}
    # Opened again, it is so as well; and open again without that block.
    wallet.close()
    wallet = opened(node, folder)
    assert states(wallet)[txid] is PaymentState.CONFLICTED
    not_yet(folder)
    node.rpc.write("invalidateblock", block_hash)
    node.mine_empty(2)
    assert states(wallet)[txid] is PaymentState.MISSING
    assert coin not in {it["outpoint"] for it in wallet.snapshot()["coins"]}
    wallet.close()


def test_a_double_spend_that_does_not_concern_the_wallet_is_not_seen(
    node: Node, wallet: LegacyBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(node, wallet, 50_000)
    foreign = node.coin()
    txid = jointly(wallet, own_coin(wallet), foreign, monkeypatch)
    node.spend(foreign, [(PAY_TO_ANYONE, 59_000)])
    node.mine()
    # As the Rust wallet says, which reads by scripts: it is given up by hand.
    assert states(wallet)[txid] is PaymentState.MISSING
