"""What must not be promised twice is not, whoever else asks and whenever a process ends."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet import reservations as module
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.keys import Keychain, Place
from btc_legacy.wallet.reservations import HOLD_MS, Reservations
from tests.wallet_folder import make_wallet, open_files, reservations

RECEIVE = Keychain("p2wpkh", "receive")
CHANGE = Keychain("p2wpkh", "change")
TXID = "ab" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A wallet's folder."""
    return make_wallet(tmp_path / "wallet")


def coin(number: int) -> Outpoint:
    return Outpoint(number.to_bytes(32, "big"), number % 3)


def test_indices_are_promised_once_and_in_order(folder: Path) -> None:
    ours = Reservations(folder)
    assert [ours.take_index(RECEIVE, 0) for _ in range(3)] == [0, 1, 2]
    assert ours.take_index(RECEIVE, 7) == 7, "used indices are passed over"
    assert ours.take_index(RECEIVE, 3) == 8
    assert Reservations(folder).next_indices() == {RECEIVE: 9}
    with reservations(folder) as database:
        row = database.execute("SELECT address_type, chain, next FROM next_index").fetchall()
    assert row == [("p2wpkh", "receive", 9)]


def test_a_chain_ends(folder: Path) -> None:
    ours = Reservations(folder)
    assert ours.take_index(RECEIVE, 2**31 - 1) == 2**31 - 1
    with pytest.raises(BitcoinError, match="no index left") as caught:
        ours.take_index(RECEIVE, 0)
    assert caught.value.kind is ErrorKind.INVALID_INPUT
    assert ours.next_indices() == {RECEIVE: 2**31}
    assert ours.take_index(CHANGE, 0) == 0


def test_coins_are_reserved_all_or_none(folder: Path) -> None:
    ours = Reservations(folder)
    assert ours.take([coin(1), coin(2)], None, TXID)
    assert not ours.take([coin(2), coin(3)], Place(CHANGE, 0), TXID)
    assert ours.reserved() == {coin(1), coin(2)}
    assert ours.next_indices() == {}, "a change index is only promised with the coins"
    assert ours.take([coin(3)], Place(CHANGE, 0), TXID)
    assert ours.next_indices() == {CHANGE: 1}


def test_a_change_index_is_promised_once(folder: Path) -> None:
    ours = Reservations(folder)
    assert ours.take([coin(1)], Place(CHANGE, 4), TXID)
    assert not ours.take([coin(2)], Place(CHANGE, 4), TXID)
    assert ours.reserved() == {coin(1)}
    assert ours.take([coin(2)], Place(CHANGE, 5), TXID)


def test_rows_are_as_the_other_wallet_reads_them(folder: Path) -> None:
    before_ms = time.time_ns() // 1_000_000
    Reservations(folder).take([Outpoint(bytes(31) + b"\x01", 7)], None, TXID)
    with reservations(folder) as database:
        ((txid, vout, until_ms, reason),) = database.execute("SELECT * FROM reserved").fetchall()
    assert (txid, vout, reason) == ("01" + "00" * 31, 7, TXID)
    assert 0 <= until_ms - before_ms - HOLD_MS <= 10_000


def test_reservations_end_and_locks_do_not(folder: Path) -> None:
    over, locked = coin(1), coin(2)
    with reservations(folder) as database:
        database.executemany(
            "INSERT INTO reserved VALUES (?, ?, ?, ?)",
            [
                (over.txid[::-1].hex(), over.vout, 1000, TXID),
                (locked.txid[::-1].hex(), locked.vout, None, "locked"),
            ],
        )
    ours = Reservations(folder)
    assert ours.reserved() == {locked}
    assert not ours.take([locked], None, TXID)
    assert ours.take([over], None, TXID), "the same row is free again"
    with reservations(folder) as database:
        assert database.execute("SELECT count(*) FROM reserved").fetchone() == (2,)


def test_the_next_writer_clears_away_what_is_over(folder: Path) -> None:
    with reservations(folder) as database:
        database.execute("INSERT INTO reserved VALUES (?, 0, 1000, ?)", ("00" * 32, TXID))
    Reservations(folder).take_index(RECEIVE, 0)
    with reservations(folder) as database:
        assert database.execute("SELECT count(*) FROM reserved").fetchone() == (0,)


_TAKER = """
import sys
import time
from pathlib import Path
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.keys import Keychain, Place
from btc_legacy.wallet.reservations import Reservations

ours = Reservations(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    print("index", ours.take_index(Keychain("p2wpkh", "receive"), 0))
    if ours.take([Outpoint(number.to_bytes(32, "big"), 0)], None, "ab" * 32):
        print("coin", number)
    # The others' turn.
    time.sleep(0.001)
"""


def _process(code: str, *arguments: str) -> subprocess.Popen[str]:
    package = Path(__file__).parent.parent
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=package,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_never_get_the_same(folder: Path) -> None:
    processes = [_process(_TAKER, str(folder)) for _ in range(3)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    lines = [process.communicate()[0].splitlines() for process in processes]
    everything = [line for own in lines for line in own]
    assert sorted(everything) == sorted(
        [f"index {number}" for number in range(120)] + [f"coin {number}" for number in range(40)]
    )


def test_threads_never_get_the_same(folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        indices = list(pool.map(lambda _: Reservations(folder).take_index(RECEIVE, 0), range(80)))
    assert sorted(indices) == list(range(80))


_DIES = """
import os, sys, signal
from pathlib import Path
from btc_legacy.wallet import reservations
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.keys import Keychain, Place

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

ours = reservations.Reservations(Path(sys.argv[1]))
# After the coins are written and before the transaction ends.
reservations._TAKE_INDEX = "SELECT die(?, ?, ?)"
connect = reservations.sqlite3.connect
def connecting(*args, **kwargs):
    database = connect(*args, **kwargs)
    database.create_function("die", 3, die)
    return database
reservations.sqlite3.connect = connecting
ours.take([Outpoint(bytes(32), 0)], Place(Keychain("p2wpkh", "change"), 0), "ab" * 32)
"""


def test_a_process_that_is_killed_leaves_nothing_half_done(folder: Path) -> None:
    process = _process(_DIES, str(folder))
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    ours = Reservations(folder)
    assert ours.reserved() == set()
    assert ours.next_indices() == {}
    assert ours.take([Outpoint(bytes(32), 0)], Place(CHANGE, 0), TXID)


def test_only_one_has_the_file_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Reservations(folder)
    monkeypatch.setattr(module, "WAIT_SECS", 0.05)
    descriptor = os.open(folder / "reservations.lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        calls: list[Callable[[], object]] = [ours.reserved, lambda: ours.take_index(RECEIVE, 0)]
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
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b"no database" * 100), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
    ],
)
def test_damaged_files_are_refused(
    folder: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(folder / "reservations.sqlite")
    with pytest.raises(BitcoinError, match=said) as caught:
        Reservations(folder)
    assert caught.value.kind is ErrorKind.CONFIGURATION


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE meta SET value = '2'", "newer version"),
        ("UPDATE meta SET value = 'x'", "no schema"),
        ("DELETE FROM meta", "no schema"),
    ],
)
def test_other_versions_are_refused(folder: Path, change: str, said: str) -> None:
    with reservations(folder) as database:
        database.execute(change)
    with pytest.raises(BitcoinError, match=said) as caught:
        Reservations(folder)
    assert caught.value.kind is ErrorKind.CONFIGURATION
