"""The shared file: who has it open, older and damaged ones, and one that is lost."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet import shared_file
from btc_legacy.wallet.keys import Keychain
from btc_legacy.wallet.reservations import HOLD_MS, Reservations
from tests.reserving import RECEIVE, TXID, Clock, coin, next_indices, reserved
from tests.wallet_folder import make_wallet, open_files, reservations


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A wallet's folder."""
    return make_wallet(tmp_path / "wallet")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still until it is set."""
    return Clock(monkeypatch)


def test_only_one_has_the_file_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Reservations(folder)
    monkeypatch.setattr(shared_file, "WAIT_SECS", 0.05)
    descriptor = os.open(folder / "reservations.lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        calls: list[Callable[[], object]] = [
            lambda: reserved(ours),
            lambda: ours.take_index(RECEIVE, 0),
        ]
        for call in calls:
            with pytest.raises(BitcoinError, match=r"reservations\.lock") as caught:
                call()
            assert caught.value.kind is ErrorKind.UNAVAILABLE
    finally:
        os.close(descriptor)
    assert ours.take_index(RECEIVE, 0) == 0


def test_no_file_stays_open(folder: Path) -> None:
    ours = Reservations(folder)
    ours.take_index(RECEIVE, 0)
    assert open_files(folder) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"no database" * 100),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
    ],
)
def test_damaged_files_are_refused(folder: Path, spoil: Callable[[Path], object]) -> None:
    spoil(folder / "reservations.sqlite")
    with pytest.raises(BitcoinError, match="damaged") as caught:
        Reservations(folder)
    assert caught.value.kind is ErrorKind.CONFIGURATION


@pytest.mark.parametrize("lose", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_file_that_is_lost_is_made_anew_when_the_wallet_is_opened(
    folder: Path, lose: Callable[[Path], object]
) -> None:
    ours = Reservations(folder)
    ours.take_index(RECEIVE, 0)
    lose(folder / "reservations.sqlite")
    if not (folder / "reservations.sqlite").exists():
        with pytest.raises(BitcoinError, match="is missing") as caught:
            ours.take_index(RECEIVE, 0)
        assert caught.value.kind is ErrorKind.CONFIGURATION
    assert next_indices(Reservations(folder)) == {}
    assert ours.take_index(RECEIVE, 5) == 5
    assert shape(folder) == shape(make_wallet(folder.parent / "new", schema=2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE meta SET value = '3'", "newer version"),
        ("UPDATE meta SET value = 'x'", "no schema"),
        ("UPDATE meta SET value = '0'", "no schema"),
        ("DELETE FROM meta", "no schema"),
    ],
)
def test_other_versions_are_refused(folder: Path, change: str, said: str) -> None:
    with reservations(folder) as database:
        database.execute(change)
    with pytest.raises(BitcoinError, match=said) as caught:
        Reservations(folder)
    assert caught.value.kind is ErrorKind.CONFIGURATION


def shape(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """The tables with their columns, without their order, and the content of `meta`."""
    with reservations(folder) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        columns = {
            name: sorted(
                row[1:4] + row[5:6] for row in database.execute(f"PRAGMA table_info({name})")
            )
            for (name,) in names
        }
        return columns | {"content of meta": database.execute("SELECT * FROM meta").fetchall()}


def test_a_file_of_the_first_schema_becomes_one_of_the_second(tmp_path: Path, clock: Clock) -> None:
    old = make_wallet(tmp_path / "old", schema=1)
    with reservations(old) as database:
        database.execute("INSERT INTO next_index VALUES ('p2tr', 'change', 4)")
        for number, (until_ms, reason) in enumerate(
            [(clock.now_ms + 1000, TXID), (None, "locked"), (clock.now_ms + HOLD_MS + 60_001, TXID)]
        ):
            database.execute(
                "INSERT INTO reserved VALUES (?, ?, ?, ?)",
                (coin(number).txid[::-1].hex(), coin(number).vout, until_ms, reason),
            )
    ours = Reservations(old)
    assert shape(old) == shape(make_wallet(tmp_path / "new", schema=2))
    assert next_indices(ours) == {Keychain("p2tr", "change"): 4}
    assert reserved(ours) == {coin(0), coin(1)}, "the third one's clock was ahead"
    with reservations(old) as database:
        spans = database.execute("SELECT span_ms FROM reserved ORDER BY vout").fetchall()
    assert spans == [(600_000,), (None,), (600_000,)]
    assert next_indices(Reservations(old)) == {Keychain("p2tr", "change"): 4}, "and once only"
