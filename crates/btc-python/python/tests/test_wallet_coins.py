"""The buckets of the balance: who made a transaction decides how far it is trusted."""

from __future__ import annotations

from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript

from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.coins import State, balance, owned, spendable
from btc_legacy.wallet.keys import Keychain, Place
from btc_legacy.wallet.mempool import Pending
from btc_legacy.wallet.store import Coin

PLACE = Place(Keychain("p2tr", "receive"), 0)


def outpoint(number: int) -> Outpoint:
    """One of the outputs that the chain has."""
    return Outpoint(bytes([number]) * 32, number)


def confirmed(number: int, height: int = 1, *, is_coinbase: bool = False) -> Coin:
    """A coin of the wallet."""
    return Coin(outpoint(number), 1000 * number, PLACE, height, is_coinbase)


def pending(*spends: Outpoint, ours: int = 1, others: int = 0) -> tuple[bytes, Pending]:
    """A transaction that pays the wallet so often, and others after it."""
    tx = CTransaction(
        vin=[CTxIn(COutPoint(spent.txid, spent.vout)) for spent in spends],
        vout=[CTxOut(7, CScript())] * (ours + others),
    )
    return tx.GetTxid(), Pending(tx, dict.fromkeys(range(ours), PLACE))


COINS = {outpoint(number): confirmed(number) for number in (1, 2)}
FOREIGN = outpoint(9)


def states(*transactions: tuple[bytes, Pending]) -> dict[str, int]:
    """The buckets that are not empty."""
    sums = balance(owned(COINS, dict(transactions), 100))
    return {name: value for name, value in sums.items() if value}  # type: ignore[misc]


def test_every_input_must_be_the_wallets() -> None:
    for spends, name in (
        ([outpoint(1)], "trusted_pending_sat"),
        ([outpoint(1), outpoint(2)], "trusted_pending_sat"),
        ([outpoint(1), FOREIGN], "untrusted_pending_sat"),
        ([FOREIGN], "untrusted_pending_sat"),
    ):
        left = sum(coin.value_sat for spent, coin in COINS.items() if spent not in spends)
        expected = {name: 7} | ({"confirmed_sat": left} if left else {})
        assert states(pending(*spends)) == expected


def test_trust_is_handed_on_through_the_wallets_own_outputs_only() -> None:
    first = pending(outpoint(1), outpoint(2), others=1)
    for vout, name in ((0, "trusted_pending_sat"), (1, "untrusted_pending_sat")):
        child = pending(Outpoint(first[0], vout))
        grandchild = pending(Outpoint(child[0], 0), ours=2)
        kept = {"trusted_pending_sat": 7} if vout else {}
        for order in ([first, child, grandchild], [grandchild, child, first]):
            assert states(*order) == {**kept, name: 14}


def test_what_is_not_trusted_does_not_become_so() -> None:
    stranger = pending(FOREIGN)
    child = pending(Outpoint(stranger[0], 0), outpoint(1))
    assert states(stranger, child) == {"untrusted_pending_sat": 7, "confirmed_sat": 2000}
    coins = owned(COINS, dict([stranger, child]), 100)
    assert [coin.outpoint for coin in spendable(coins)] == [outpoint(2)]


def test_a_coinbase_ripens_with_its_hundredth_confirmation() -> None:
    coins = {outpoint(3): confirmed(3, 50, is_coinbase=True), outpoint(4): confirmed(4, 149)}
    for tip_height, state in ((50, State.IMMATURE), (148, State.IMMATURE), (149, State.CONFIRMED)):
        listed = {coin.outpoint: coin.state for coin in owned(coins, {}, tip_height)}
        assert listed == {outpoint(3): state, outpoint(4): State.CONFIRMED}


def test_coins_ascend_by_the_bytes_of_the_txid() -> None:
    listed = [coin.outpoint for coin in owned(COINS, dict([pending(FOREIGN, ours=3)]), 100)]
    assert listed == sorted(listed)
    assert len(listed) == 5
