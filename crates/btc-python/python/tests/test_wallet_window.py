"""The window, against a reference: what a wallet restored from its words would find in the end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript
from hypothesis import given
from hypothesis import strategies as st

from btc_legacy.wallet.chain import Chain
from btc_legacy.wallet.keys import HARDENED, Keychain, Keyring, Place, Signer
from btc_legacy.wallet.node import Block, BlockRef
from btc_legacy.wallet.scripts import StoredScripts
from btc_legacy.wallet.store import Store
from btc_legacy.wallet.window import Window, size_by_promise, size_by_use
from tests.wallet_folder import WORDS

CHAINS = (Keychain("p2wpkh", "receive"), Keychain("p2tr", "change"))


class _Scripts:
    """Scripts that cost nothing."""

    keychains = CHAINS

    def __init__(self) -> None:
        self.derived: list[tuple[Keychain, int, int]] = []

    def scripts(self, keychain: Keychain, first: int, end: int) -> Sequence[bytes]:
        self.derived.append((keychain, first, end))
        return [_script(Place(keychain, index)) for index in range(first, end)]


def _script(place: Place) -> bytes:
    return b"\x00\x14" + repr(place).encode()


@pytest.mark.parametrize(
    ("gap_limit", "highest_used", "size"),
    [
        (20, -1, 40),
        (20, 18, 40),
        (20, 19, 60),
        (20, 39, 80),
        (1000, -1, 2000),
        (1000, 998, 2000),
        (1000, 999, 3000),
        (1, -1, 2),
        (1, 0, 3),
        (20, HARDENED - 1, HARDENED),
    ],
)
def test_the_window_moves_in_steps(gap_limit: int, highest_used: int, size: int) -> None:
    assert size_by_use(gap_limit, highest_used) == size


@given(st.integers(1, 2000), st.integers(-1, 10**6), st.integers(0, 10**6))
def test_the_window_looks_a_gap_ahead_and_not_much_more(
    gap_limit: int, highest_used: int, following: int
) -> None:
    size = size_by_use(gap_limit, highest_used)
    assert size % gap_limit == 0
    assert highest_used + gap_limit < size <= highest_used + 1 + 2 * gap_limit
    promised = size_by_promise(gap_limit, following)
    assert promised % gap_limit == 0
    assert following <= promised < following + gap_limit


def test_nothing_is_derived_before_it_is_asked_for_nor_twice() -> None:
    source = _Scripts()
    window = Window(source, 20)
    window.use([Place(CHAINS[0], 45)])
    window.promise(CHAINS[1], 61)
    window.promise(Keychain("p2pkh", "receive"), 100)
    assert source.derived == []
    assert window.place(_script(Place(CHAINS[1], 79))) == Place(CHAINS[1], 79)
    assert source.derived == [(CHAINS[0], 0, 80), (CHAINS[1], 0, 80)]
    window.use([Place(CHAINS[0], 3)])
    assert len(window) == 160
    assert len(source.derived) == 2
    assert window.by_use == {CHAINS[0]: 80, CHAINS[1]: 40}, "whatever was promised"


def test_a_gap_limit_of_nothing_is_one() -> None:
    assert len(Window(_Scripts(), 0)) == 4


def test_scripts_are_derived_once_for_all_and_checked(tmp_path: Path) -> None:
    keyring = Keyring("regtest", Signer("regtest", WORDS, "").accounts())
    store = Store(tmp_path, "w")
    keychain = CHAINS[0]
    first = StoredScripts(keyring, store).scripts(keychain, 0, 30)
    assert first == [keyring.script(Place(keychain, index)) for index in range(30)]
    store.close()
    store = Store(tmp_path, "w")
    asked: list[Place] = []

    class Asked(Keyring):
        def script(self, place: Place) -> bytes:
            asked.append(place)
            return super().script(place)

    again = Asked("regtest", Signer("regtest", WORDS, "").accounts())
    asked.clear()
    assert StoredScripts(again, store).scripts(keychain, 10, 35)[:20] == first[10:]
    assert asked == [Place(keychain, index) for index in (29, 30, 31, 32, 33, 34)]
    with pytest.raises(Exception, match=r"python\.sqlite .*damaged .*wrong scripts"):
        StoredScripts(
            Keyring("regtest", Signer("regtest", WORDS, "other").accounts()), store
        ).scripts(keychain, 0, 35)
    store.close()


class _Interrupted(Exception):
    """The process ends here, or the node does."""


class _Node:
    """Blocks in memory. Ends the process at a block once in a while."""

    def __init__(self, chance: random.Random) -> None:
        self.blocks: list[Block] = []
        self.fetched: list[int] = []
        self._chance = chance
        self.dies_in: int | None = None

    def mine(self, payments: Sequence[Sequence[Place]]) -> None:
        """Adds a block with these transactions."""
        height = len(self.blocks)
        previous = self.blocks[-1].ref.hash if self.blocks else "00" * 32
        transactions = [
            CTransaction(
                [CTxIn(COutPoint(self._chance.randbytes(32), 0))],
                [CTxOut(1000, CScript(_script(place))) for place in places],
            )
            for places in payments
        ]
        ref = BlockRef(height, self._chance.randbytes(32).hex())
        self.blocks.append(Block(ref, previous, transactions))

    def best_hash(self) -> str:
        return self.blocks[-1].ref.hash

    def height(self, block_hash: str) -> int:
        return next(it.ref.height for it in self.blocks if it.ref.hash == block_hash)

    def block_hash(self, height: int) -> str | None:
        return self.blocks[height].ref.hash if height < len(self.blocks) else None

    def block(self, ref: BlockRef) -> Block:
        if self.dies_in == 0:
            self.dies_in = None
            raise _Interrupted
        self.dies_in = None if self.dies_in is None else self.dies_in - 1
        self.fetched.append(ref.height)
        found = self.blocks[ref.height]
        assert found.ref == ref
        return found


class _Paid(NamedTuple):
    place: Place
    height: int


def _found_by_a_restored_wallet(paid: set[_Paid], gap_limit: int) -> set[_Paid]:
    """The least fixed point: what is in the window that all of it together gives."""
    used = dict.fromkeys(CHAINS, -1)
    while True:
        found = {
            it for it in paid if it.place.index < size_by_use(gap_limit, used[it.place.keychain])
        }
        more = dict(used)
        for it in found:
            more[it.place.keychain] = max(more[it.place.keychain], it.place.index)
        if more == used:
            return found
        used = more


@pytest.mark.parametrize("seed", range(60))
def test_a_running_wallet_is_a_restored_one(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    gap_limit = chance.choice([1, 2, 5, 20])
    node = _Node(chance)
    paid: set[_Paid] = set()
    reach = gap_limit * 12

    def open_wallet() -> tuple[Store, Chain]:
        store = Store(tmp_path, "w")
        window = Window(_Scripts(), gap_limit)
        window.use(Place(keychain, index) for keychain, index in store.used.items())
        return store, Chain(node, store, window, 0, lambda: None)  # type: ignore[arg-type]

    store, chain = open_wallet()
    for _ in range(chance.randrange(2, 14)):
        for _ in range(chance.randrange(1, 4)):
            payments = [
                [
                    Place(chance.choice(CHAINS), chance.randrange(reach))
                    for _ in range(chance.randrange(1, 4))
                ]
                for _ in range(chance.randrange(3))
            ]
            node.mine(payments)
            height = len(node.blocks) - 1
            paid |= {_Paid(place, height) for places in payments for place in places}
        if chance.random() < 0.4:
            node.dies_in = chance.randrange(2 * len(node.blocks))
        try:
            chain.follow()
        except _Interrupted:
            # At this point the process is killed, or only the call fails.
            if chance.random() < 0.7:
                store.close()
                store, chain = open_wallet()
            continue
        expected = _found_by_a_restored_wallet(paid, gap_limit)
        assert {_Paid(coin.place, coin.height) for coin in store.coins.values()} == expected
        for keychain in CHAINS:
            indices = [it.place.index for it in expected if it.place.keychain == keychain]
            assert store.used.get(keychain, -1) == max(indices, default=-1)
    node.dies_in = None
    chain.follow()
    expected = _found_by_a_restored_wallet(paid, gap_limit)
    assert {_Paid(coin.place, coin.height) for coin in store.coins.values()} == expected
    assert not store.is_first_scan
    # Nothing is left to be read.
    node.fetched.clear()
    chain.follow()
    assert node.fetched == []
    store.close()


def test_an_interrupted_pass_continues_where_it_stopped(tmp_path: Path) -> None:
    node = _Node(random.Random(1))  # noqa: S311
    for height in range(200):
        # 5 moves the window of gap 2 far enough for 11, which was paid before.
        index = {10: 11, 150: 1, 160: 3, 170: 5, 180: 7, 190: 9}.get(height)
        node.mine([] if index is None else [[Place(CHAINS[0], index)]])
    store = Store(tmp_path, "w")
    chain = Chain(node, store, Window(_Scripts(), 2), 0, lambda: None)  # type: ignore[arg-type]
    # In the second pass, after the first one has read all blocks.
    node.dies_in = 250
    with pytest.raises(_Interrupted):
        chain.follow()
    assert len(store.coins) == 6
    assert store.is_first_scan
    store.close()
    store = Store(tmp_path, "w")
    assert len(store.coins) == 6, "what is known stays known in between"
    node.fetched.clear()
    window = Window(_Scripts(), 2)
    window.use(Place(keychain, index) for keychain, index in store.used.items())
    Chain(node, store, window, 0, lambda: None).follow()  # type: ignore[arg-type]
    assert node.fetched[0] == 48, "a whole batch is read or none of it"
    assert node.fetched.count(10) <= 1
    assert not store.is_first_scan
    store.close()


def test_later_passes_leave_the_first_scan_done(tmp_path: Path) -> None:
    node = _Node(random.Random(1))  # noqa: S311
    for _ in range(40):
        node.mine([])
    store = Store(tmp_path, "w")
    chain = Chain(node, store, Window(_Scripts(), 2), 0, lambda: None)  # type: ignore[arg-type]
    chain.follow()
    assert not store.is_first_scan
    node.mine([[Place(CHAINS[0], 3)]])
    node.dies_in = 20
    with pytest.raises(_Interrupted):
        chain.follow()
    assert not store.is_first_scan, "which addresses were used is known as well as before"
    store.close()
    assert not Store(tmp_path, "w").is_first_scan


@pytest.mark.parametrize("seed", range(30))
def test_what_was_promised_is_found_and_what_its_use_brings_into_the_window(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311
    gap_limit = chance.choice([2, 5, 20])
    node = _Node(chance)
    store = Store(tmp_path, "w")
    window = Window(_Scripts(), gap_limit)
    promised = dict.fromkeys(CHAINS, 0)

    def read_promises() -> None:
        for keychain, following in promised.items():
            window.promise(keychain, following)

    chain = Chain(node, store, window, 0, read_promises)  # type: ignore[arg-type]
    paid: set[_Paid] = set()
    for _ in range(12):
        keychain = chance.choice(CHAINS)
        promised[keychain] += chance.randrange(3 * gap_limit)
        places = [
            Place(keychain, chance.randrange(promised[keychain]))
            for _ in range(chance.randrange(3) if promised[keychain] else 0)
        ]
        # Someone else pays what was not promised to anyone.
        places += [
            Place(keychain, chance.randrange(10 * gap_limit)) for _ in range(chance.randrange(2))
        ]
        node.mine([[place] for place in places])
        height = len(node.blocks) - 1
        sure = {_Paid(place, height) for place in places if place.index < promised[place.keychain]}
        paid |= {_Paid(place, height) for place in places}
        chain.follow()
        found = {_Paid(coin.place, coin.height) for coin in store.coins.values()}
        assert sure <= found <= paid
        sizes = {it: size_by_use(gap_limit, store.used.get(it, -1)) for it in CHAINS}
        assert {it for it in paid if it.place.index < sizes[it.place.keychain]} <= found
    store.close()
