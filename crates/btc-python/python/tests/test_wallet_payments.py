"""Where own payments stand, and which another may replace: pure rules, and their rows."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScript, CScriptWitness

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.payments import (
    Decided,
    Facts,
    OwnPayment,
    PaymentRow,
    PaymentState,
    Standing,
    holders,
    missing,
    named,
    open_descendants,
    parents_first,
    standings,
    token,
)
from btc_legacy.wallet.reservations import Reservations
from tests.wallet_folder import make_wallet, reservations

COIN = Outpoint(b"\x01" * 32, 0)
OTHER_COIN = Outpoint(b"\x02" * 32, 1)


def transaction(*spent: Outpoint, value_sat: int = 1) -> CTransaction:
    """A transaction that spends these."""
    return CTransaction(
        [CTxIn(COutPoint(*outpoint)) for outpoint in spent], [CTxOut(value_sat, CScript())] * 2
    )


def payment(
    tx: CTransaction, *, replaces: tuple[CTransaction, ...] = (), abandoned_ms: int | None = None
) -> OwnPayment:
    """It as an own payment."""
    replaced = frozenset(it.GetTxid() for it in replaces)
    row = PaymentRow(tx.GetTxid(), token(tx), 1, False, 1, abandoned_ms, replaced)
    return OwnPayment(row, tx)


class World:
    """Payments, a chain and a mempool."""

    def __init__(self, *payments: OwnPayment) -> None:
        self.payments = {it.row.txid: it for it in payments}
        self.spent: dict[Outpoint, Decided] = {}
        self.paid: dict[bytes, int] = {}
        self.in_mempool: set[bytes] = set()

    def confirm(self, tx: CTransaction, height: int) -> None:
        """Puts a transaction into the chain that spends coins of the wallet."""
        for txin in tx.vin:
            outpoint = Outpoint(txin.prevout.hash, txin.prevout.n)
            self.spent[outpoint] = Decided(tx.GetTxid(), height)

    def states(self) -> list[str]:
        """The state of each payment, in the order in which they were given."""
        found = self.standings()
        return [
            found[txid].state.value + (" replaced" if found[txid].replaced_by else "")
            for txid in self.payments
        ]

    def standings(self) -> dict[bytes, Standing]:
        """Where each payment stands."""
        return standings(self.payments, Facts(self.spent.get, self.paid.get, self.in_mempool))


def test_the_states_of_one_payment() -> None:
    tx = transaction(COIN, OTHER_COIN)
    world = World(payment(tx))
    assert world.states() == ["missing"]
    world.in_mempool.add(tx.GetTxid())
    assert world.states() == ["in_mempool"]
    world.confirm(tx, 7)
    assert world.states() == ["confirmed"]
    world.spent[OTHER_COIN] = Decided(b"other", 9)
    assert world.states() == ["confirmed"], "whatever else is said"
    del world.spent[COIN]
    assert world.states() == ["in_mempool"]
    world.in_mempool.clear()
    assert world.states() == ["conflicted"]
    assert world.standings()[tx.GetTxid()].height == 9
    world.paid[tx.GetTxid()] = 5
    assert world.states() == ["confirmed"], "an output to the wallet says so, too"
    assert world.standings()[tx.GetTxid()].height == 5


def test_abandoned_payments_count_again_when_they_turn_up() -> None:
    tx = transaction(COIN)
    child = transaction(Outpoint(tx.GetTxid(), 1))
    world = World(payment(tx, abandoned_ms=5), payment(child))
    assert world.states() == ["abandoned", "abandoned"]
    assert holders(world.payments, world.standings(), {}) == {}
    world.in_mempool.add(tx.GetTxid())
    assert world.states() == ["in_mempool", "missing"]
    world.in_mempool.clear()
    world.confirm(tx, 3)
    assert world.states() == ["confirmed", "missing"]


def test_what_descends_from_a_conflicted_payment_is_conflicted() -> None:
    parent = transaction(COIN)
    child = transaction(Outpoint(parent.GetTxid(), 0))
    grandchild = transaction(Outpoint(child.GetTxid(), 0), OTHER_COIN)
    world = World(payment(grandchild), payment(child), payment(parent))
    world.confirm(transaction(COIN, value_sat=9), 4)
    assert world.states() == ["conflicted"] * 3
    assert {it.height for it in world.standings().values()} == {4}
    assert holders(world.payments, world.standings(), {}) == {}


def test_what_was_replaced_holds_its_coins_while_the_replacement_is_open_or_confirmed() -> None:
    old = transaction(COIN, OTHER_COIN)
    new = transaction(COIN, value_sat=2)
    newest = transaction(COIN, value_sat=3)
    world = World(payment(old), payment(new, replaces=(old,)), payment(newest, replaces=(new,)))
    assert world.states() == ["missing replaced", "missing replaced", "missing"]
    assert missing(world.payments, world.standings()) == [newest.GetTxid()]
    assert holders(world.payments, world.standings(), {}).keys() == {COIN, OTHER_COIN}
    world.confirm(newest, 4)
    assert world.states() == ["conflicted replaced", "conflicted replaced", "confirmed"]
    assert holders(world.payments, world.standings(), {}) == {}
    # The replacement is lost to what it was to replace.
    world.spent.clear()
    world.confirm(old, 4)
    assert world.states() == ["confirmed", "conflicted", "conflicted"]


def test_naming_is_handed_on() -> None:
    first, second, third = (transaction(COIN, value_sat=value) for value in (1, 2, 3))
    world = World(
        payment(first), payment(second, replaces=(first,)), payment(third, replaces=(second,))
    )
    txids = [tx.GetTxid() for tx in (first, second, third)]
    assert named(world.payments, [txids[2]]) == set(txids)
    assert named(world.payments, [txids[0], b"unknown"]) == {txids[0], b"unknown"}


def test_descendants_are_the_open_ones() -> None:
    parent = transaction(COIN)
    child = transaction(Outpoint(parent.GetTxid(), 0))
    grandchild = transaction(Outpoint(child.GetTxid(), 1))
    stranger = transaction(OTHER_COIN)
    world = World(*(payment(tx) for tx in (grandchild, stranger, child, parent)))
    family = [child.GetTxid(), grandchild.GetTxid()]
    assert open_descendants(world.payments, world.standings(), parent.GetTxid()) == family
    world.payments[child.GetTxid()] = payment(child, abandoned_ms=3)
    assert open_descendants(world.payments, world.standings(), parent.GetTxid()) == []


@pytest.mark.parametrize("seed", range(20))
def test_parents_come_first_also_in_long_chains(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    made: list[CTransaction] = []
    for number in range(300):
        parents = chance.sample(made, min(len(made), chance.randrange(3))) if seed else made[-1:]
        spent = [Outpoint(tx.GetTxid(), chance.randrange(2)) for tx in parents]
        made.append(transaction(*spent, Outpoint(number.to_bytes(32, "big"), 0)))
    chance.shuffle(made)
    world = World(*(payment(tx) for tx in made))
    order = parents_first(world.payments, world.payments)
    assert sorted(order) == sorted(world.payments)
    seen: set[bytes] = set()
    for txid in order:
        spent_here = {outpoint.txid for outpoint in world.payments[txid].spends}
        assert spent_here & world.payments.keys() <= seen
        seen.add(txid)
    assert set(world.states()) == {PaymentState.MISSING.value}


def test_a_token_is_the_same_before_and_after_signing() -> None:
    bare = transaction(COIN)
    signed = CTransaction(
        [CTxIn(COutPoint(*COIN), CScript(b"\x51"))],
        bare.vout,
        witness=CTxWitness((CTxInWitness(CScriptWitness((b"\x01",))),)),
    )
    assert token(signed) == token(bare) == bare.GetTxid()[::-1].hex()
    assert signed.GetTxid() != bare.GetTxid()
    other = CTransaction([CTxIn(COutPoint(*COIN), nSequence=7)], bare.vout)
    assert token(other) != token(bare)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A wallet's folder."""
    return make_wallet(tmp_path / "wallet")


def test_rows_are_as_the_other_wallet_reads_them(folder: Path) -> None:
    ours = Reservations(folder)
    tx = transaction(COIN)
    with ours.booking() as booking:
        booking.add_payment(tx, 77)
        now_ms = booking.now_ms
    name = tx.GetTxid()[::-1].hex()
    with reservations(folder) as database:
        rows = database.execute(
            "SELECT txid, token, raw, handed_over_ms, outcome, next_broadcast_ms, abandoned_ms, "
            "settled_height FROM payments"
        ).fetchall()
        assert rows == [(name, token(tx), tx.serialize(), now_ms, "unknown", 77, None, None)]
        database.execute("INSERT INTO replaces VALUES (?, ?)", (token(tx), "ab" * 32))
    with ours.reading() as booking:
        assert booking.payments() == {
            tx.GetTxid(): PaymentRow(
                tx.GetTxid(), token(tx), now_ms, False, 77, None, frozenset([b"\xab" * 32])
            )
        }
        assert booking.transaction(tx.GetTxid()).serialize() == tx.serialize()
    with ours.booking() as booking:
        booking.set_accepted(tx.GetTxid())
        assert not booking.delete_payment(tx, 77)
        assert booking.has_payment(tx.GetTxid()), "what a node has taken is not forgotten"
        booking.settle(tx.GetTxid(), 50)
        assert booking.payments() == {}
        assert booking.payments(above=49).keys() == {tx.GetTxid()}
        assert booking.payments(above=50) == {}
        booking.unsettle_above(50)
        assert booking.payments() == {}
        booking.unsettle_above(49)
        assert booking.payments().keys() == {tx.GetTxid()}


def test_a_refused_payment_leaves_nothing(folder: Path) -> None:
    ours = Reservations(folder)
    tx = transaction(COIN)
    with ours.booking() as booking:
        booking.add_payment(tx, 77)
    with reservations(folder) as database:
        database.execute("INSERT INTO replaces VALUES (?, ?)", (token(tx), "ab" * 32))
        database.execute("INSERT INTO replaces VALUES (?, ?)", ("cd" * 32, "ab" * 32))
    with ours.booking() as booking:
        assert not booking.delete_payment(tx, 78)
        assert booking.has_payment(tx.GetTxid()), "another caller has handed it over"
        assert booking.replaces(token(tx)) == {b"\xab" * 32}
        assert booking.delete_payment(tx, 77)
        assert not booking.has_payment(tx.GetTxid())
        assert booking.replaces(token(tx)) == set()
        assert booking.replaces("cd" * 32) == {b"\xab" * 32}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE payments SET outcome = 'lost'",
        "UPDATE payments SET raw = x'00'",
        "UPDATE payments SET raw = 'text'",
        "UPDATE payments SET txid = '" + "ab" * 32 + "'",
        "UPDATE payments SET txid = 'zz'",
    ],
)
def test_damaged_rows_are_refused(folder: Path, change: str) -> None:
    ours = Reservations(folder)
    with ours.booking() as booking:
        booking.add_payment(transaction(COIN), 77)
    with reservations(folder) as database:
        database.execute(change)

    def read() -> None:
        with ours.reading() as booking:
            for txid in booking.payments():
                booking.transaction(txid)

    with pytest.raises(BitcoinError, match="damaged") as caught:
        read()
    assert caught.value.kind is ErrorKind.CONFIGURATION


_DIES = """
import os, sys, signal
from pathlib import Path
from bitcoin.core import CTransaction
from btc_legacy.wallet import booking
from btc_legacy.wallet.reservations import Reservations

ours = Reservations(Path(sys.argv[1]))
# After the payment is written and before what was reserved for it is released.
booking.Booking.release = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with ours.booking() as it:
    it.add_payment(CTransaction.deserialize(bytes.fromhex(sys.argv[2])), 1)
"""


def test_a_process_that_is_killed_leaves_nothing_half_done(folder: Path) -> None:
    ours = Reservations(folder)
    tx = transaction(COIN)
    with reservations(folder) as database:
        database.execute(
            "INSERT INTO reserved VALUES (?, 0, NULL, NULL, ?)", ("01" * 32, token(tx))
        )
    process = subprocess.Popen(
        [sys.executable, "-c", _DIES, str(folder), tx.serialize().hex()],
        cwd=Path(__file__).parent.parent,
    )
    assert process.wait() == -signal.SIGKILL
    with ours.reading() as booking:
        assert booking.payments() == {}
        assert booking.reserved() == {COIN: token(tx)}
