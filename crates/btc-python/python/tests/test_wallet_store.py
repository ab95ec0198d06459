"""What was learned from the chain, on disk: kept, made anew when it is older, refused when not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.keys import Keychain, Place
from btc_legacy.wallet.node import BlockRef
from btc_legacy.wallet.payments import Decided
from btc_legacy.wallet.store import BlockEffect, Coin, Store

PLACE = Place(Keychain("p2tr", "receive"), 3)


@contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    """The file, as another program opens it."""
    with closing(sqlite3.connect(folder / "python.sqlite")) as opened, opened:
        yield opened


def coin(number: int, height: int) -> Coin:
    return Coin(Outpoint(bytes([number]) * 32, 0), 1000, PLACE, height, is_coinbase=False)


def effect(height: int, *received: Coin, spent: dict[Outpoint, bytes] | None = None) -> BlockEffect:
    """What a block does."""
    ref = BlockRef(height, f"{height:064x}")
    return BlockEffect(ref, {it.outpoint: it for it in received}, spent or {})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with two coins, one of which is spent in the third block."""
    store = Store(tmp_path, "wallet")
    first, second = coin(1, 0), coin(2, 1)
    store.begin_reading({PLACE.keychain: 40}, 0)
    store.apply(effect(0, first))
    store.apply(effect(1, second))
    store.apply(effect(2, spent={first.outpoint: b"spender"}))
    yield store
    store.close()


def test_what_is_learned_is_there_when_it_is_opened_again(store: Store, tmp_path: Path) -> None:
    store.add_pending(b"txid", b"raw", [Place(PLACE.keychain, 9)])
    store.note_promised({PLACE.keychain: 12})
    store.note_promised({PLACE.keychain: 5})
    store.add_scripts(PLACE.keychain, 0, [b"a", b"b"])
    store.close()
    again = Store(tmp_path, "wallet")
    assert again.tip == BlockRef(2, f"{2:064x}")
    assert again.coins == {coin(2, 1).outpoint: coin(2, 1)}
    assert again.spent(coin(1, 0).outpoint) == Decided(b"spender", 2)
    assert again.spent(coin(2, 1).outpoint) is None
    assert (again.paid(coin(2, 1).outpoint.txid), again.paid(b"other")) == (1, None)
    assert again.used == {PLACE.keychain: 9}
    assert again.promised == {PLACE.keychain: 12}
    assert again.pending() == {b"txid": b"raw"}
    assert again.read_with == {PLACE.keychain: 40}
    assert again.scripts(PLACE.keychain, 1, 5) == [b"b"]
    again.drop_pending([b"txid"])
    again.close()


def test_undoing_frees_what_was_spent_above_and_is_remembered(store: Store, tmp_path: Path) -> None:
    version = store.version
    store.undo_above(1)
    assert store.version != version
    assert set(store.coins) == {coin(1, 0).outpoint, coin(2, 1).outpoint}
    assert store.spent(coin(1, 0).outpoint) is None
    assert store.undone == 1
    store.undo_above(0)
    store.apply(effect(1))
    assert store.undone == 0
    store.close()
    again = Store(tmp_path, "wallet")
    assert again.undone == 0
    again.note_undone_read()
    assert again.undone is None
    again.close()
    assert Store(tmp_path, "wallet").undone is None


def test_a_block_that_is_read_again_adds_what_was_not_known(store: Store) -> None:
    late = coin(3, 0)
    store.begin_reading({PLACE.keychain: 80}, 0)
    assert store.reread == -1
    store.apply(effect(0, coin(1, 0), late))
    assert set(store.coins) == {coin(2, 1).outpoint, late.outpoint}, "spent ones stay spent"
    store.apply(effect(1, coin(2, 1), spent={late.outpoint: b"other"}))
    assert store.spent(late.outpoint) == Decided(b"other", 1)
    assert store.reread == 1
    assert store.tip == BlockRef(2, f"{2:064x}")
    store.undo_above(0)
    assert store.reread == 0
    assert set(store.coins) == {coin(1, 0).outpoint, late.outpoint}
    store.end_reading()
    assert store.reread is None


def test_a_file_of_an_older_version_is_made_anew(store: Store, tmp_path: Path) -> None:
    store.close()
    with database(tmp_path) as opened:
        opened.execute("UPDATE meta SET value = '1' WHERE key = 'schema'")
        opened.execute("DROP TABLE scripts")
        opened.execute("ALTER TABLE coins DROP COLUMN spent_by")
    again = Store(tmp_path, "another wallet.json")
    assert (again.tip, again.coins, again.used) == (None, {}, {})
    assert again.is_first_scan
    again.apply(effect(0, coin(1, 0)))
    again.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE meta SET value = '3' WHERE key = 'schema'", "newer version"),
        ("UPDATE meta SET value = 'x' WHERE key = 'schema'", "no schema"),
        ("UPDATE meta SET value = 'other' WHERE key = 'wallet'", "another wallet.json"),
        ("UPDATE meta SET value = 'x' WHERE key = 'first_scan'", None),
        ("INSERT INTO meta VALUES ('reread', 'x')", "damaged"),
        ("DROP TABLE used", "damaged"),
    ],
)
def test_other_files_are_refused(
    store: Store, tmp_path: Path, change: str, said: str | None
) -> None:
    store.close()
    with database(tmp_path) as opened:
        opened.execute(change)
    if said is None:
        assert Store(tmp_path, "wallet").is_first_scan, "it is scanned once more"
        return
    with pytest.raises(BitcoinError, match=said) as caught:
        Store(tmp_path, "wallet")
    assert caught.value.kind is ErrorKind.CONFIGURATION
