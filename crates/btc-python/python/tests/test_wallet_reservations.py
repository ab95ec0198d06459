"""What must not be promised twice is not, whoever else asks and whenever a process ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.keys import Place
from btc_legacy.wallet.reservations import HOLD_MS, Reservations, next_change
from tests.reserving import (
    CHANGE,
    RECEIVE,
    TXID,
    Clock,
    coin,
    free_change,
    insert,
    next_indices,
    reserved,
    take,
)
from tests.wallet_folder import make_wallet, reservations


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A wallet's folder."""
    return make_wallet(tmp_path / "wallet")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still until it is set."""
    return Clock(monkeypatch)


def test_indices_are_promised_once_and_in_order(folder: Path) -> None:
    ours = Reservations(folder)
    assert [ours.take_index(RECEIVE, 0) for _ in range(3)] == [0, 1, 2]
    assert ours.take_index(RECEIVE, 7) == 7, "used indices are passed over"
    assert ours.take_index(RECEIVE, 3) == 8
    assert next_indices(Reservations(folder)) == {RECEIVE: 9}
    with reservations(folder) as database:
        row = database.execute("SELECT address_type, chain, next FROM next_index").fetchall()
    assert row == [("p2wpkh", "receive", 9)]


def test_a_chain_ends(folder: Path) -> None:
    ours = Reservations(folder)
    assert ours.take_index(RECEIVE, 2**31 - 1) == 2**31 - 1
    with pytest.raises(BitcoinError, match="no index left") as caught:
        ours.take_index(RECEIVE, 0)
    assert caught.value.kind is ErrorKind.INVALID_INPUT
    assert next_indices(ours) == {RECEIVE: 2**31}
    assert ours.take_index(CHANGE, 0) == 0


def test_an_index_at_the_end_is_not_promised(folder: Path) -> None:
    ours = Reservations(folder)
    assert ours.take_index(RECEIVE, 3, end=4) == 3
    assert ours.take_index(RECEIVE, 0, end=4) is None
    assert next_indices(ours) == {RECEIVE: 4}
    assert ours.take_index(RECEIVE, 0, end=5) == 4


def test_coins_are_reserved_all_or_none(folder: Path) -> None:
    ours = Reservations(folder)
    assert take(ours, [coin(1), coin(2)])
    assert not take(ours, [coin(2), coin(3)], Place(CHANGE, 0))
    assert reserved(ours) == {coin(1), coin(2)}
    assert free_change(ours) == 0, "a change index is only promised with the coins"
    assert take(ours, [coin(3)], Place(CHANGE, 0))
    assert free_change(ours) == 1
    assert next_indices(ours) == {}, "the next index of a chain of change stays where it is"


def test_a_change_index_is_promised_once(folder: Path) -> None:
    ours = Reservations(folder)
    assert take(ours, [coin(1)], Place(CHANGE, 0))
    assert not take(ours, [coin(2)], Place(CHANGE, 0))
    assert reserved(ours) == {coin(1)}
    assert take(ours, [coin(2)], Place(CHANGE, 1))
    with reservations(folder) as database:
        database.execute("INSERT INTO next_index VALUES ('p2wpkh', 'change', 7)")
    assert not take(ours, [coin(3)], Place(CHANGE, 2)), "promised while the schema was 1"
    assert take(ours, [coin(3)], Place(CHANGE, 7))
    with ours.reading() as booking:
        assert next_change(booking, CHANGE, 9) == 9, "used ones are passed over"


def test_a_change_index_goes_back_when_its_reservation_ends(folder: Path, clock: Clock) -> None:
    ours = Reservations(folder)
    assert take(ours, [coin(1)], Place(CHANGE, 0), token="01" * 32)
    clock.now_ms += 1000
    assert take(ours, [coin(2)], Place(CHANGE, 1), token="02" * 32)
    clock.now_ms += HOLD_MS - 1000
    assert free_change(ours) == 2, "the later one still has the index above"
    clock.now_ms += 1000
    assert free_change(ours) == 0
    assert take(ours, [coin(3)], Place(CHANGE, 0), token="03" * 32)


def test_rows_are_as_the_other_wallet_reads_them(folder: Path, clock: Clock) -> None:
    take(Reservations(folder), [Outpoint(bytes(31) + b"\x01", 7)], Place(CHANGE, 0))
    with reservations(folder) as database:
        rows = database.execute(
            "SELECT txid, vout, until_ms, span_ms, reason FROM reserved"
        ).fetchall()
        change = database.execute(
            "SELECT address_type, key_index, until_ms, span_ms, reason FROM change_index"
        ).fetchall()
    until_ms = clock.now_ms + HOLD_MS
    assert rows == [("01" + "00" * 31, 7, until_ms, HOLD_MS, TXID)]
    assert change == [("p2wpkh", 0, until_ms, HOLD_MS, TXID)]


def test_reservations_end_and_locks_do_not(folder: Path) -> None:
    over, locked, held = coin(1), coin(2), coin(3)
    insert(folder, over, 1000, HOLD_MS)
    insert(folder, locked, None, None, "locked")
    insert(folder, held, None, None, "hold:a contract")
    ours = Reservations(folder)
    assert reserved(ours) == {locked, held}
    assert not take(ours, [locked])
    assert not take(ours, [held])
    assert take(ours, [over]), "the same row is free again"
    with reservations(folder) as database:
        assert database.execute("SELECT count(*) FROM reserved").fetchone() == (3,)


@pytest.mark.parametrize(
    ("until_ms", "span_ms", "is_reserved"),
    [
        (-1, HOLD_MS, False),
        (0, HOLD_MS, False),
        (1, HOLD_MS, True),
        (HOLD_MS, HOLD_MS, True),
        # A minute is the wait for the file, or a clock that was corrected.
        (HOLD_MS + 60_000, HOLD_MS, True),
        # Nothing can end later than it was granted for: the clock was ahead when it was.
        (HOLD_MS + 60_001, HOLD_MS, False),
        (10**12, HOLD_MS, False),
        (10**9, 10**9, True),
        (10**9 + 60_001, 10**9, False),
    ],
)
def test_an_end_is_not_believed_beyond_what_was_granted(
    folder: Path, clock: Clock, until_ms: int, span_ms: int, is_reserved: bool
) -> None:
    insert(folder, coin(1), clock.now_ms + until_ms, span_ms)
    with reservations(folder) as database:
        database.execute(
            "INSERT INTO change_index VALUES ('p2wpkh', 5, ?, ?, ?)",
            (clock.now_ms + until_ms, span_ms, TXID),
        )
    ours = Reservations(folder)
    assert (coin(1) in reserved(ours)) is is_reserved
    assert free_change(ours) == (6 if is_reserved else 0)
    # What is not believed is what the next writer clears away.
    ours.take_index(RECEIVE, 0)
    with reservations(folder) as database:
        for table in ("reserved", "change_index"):
            (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
            assert count == is_reserved


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "wait", "set"]), st.integers(-2 * HOLD_MS, 2 * HOLD_MS)),
        max_size=15,
    )
)
def test_however_the_clock_is_set_a_coin_is_kept_within_what_was_granted(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    folder = make_wallet(tmp_path_factory.mktemp("clock") / "wallet")
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        ours = Reservations(folder)
        granted: dict[Outpoint, int] = {}
        # Those since which the clock was not set.
        true: set[Outpoint] = set()
        for number, (step, amount) in enumerate(steps):
            if step == "take":
                assert take(ours, [coin(number)])
                granted[coin(number)] = clock.now_ms
                true.add(coin(number))
            elif step == "wait":
                clock.now_ms += abs(amount)
            else:
                clock.now_ms += amount
                true = set()
            within = {
                taken
                for taken, at_ms in granted.items()
                if at_ms - 60_000 <= clock.now_ms < at_ms + HOLD_MS
            }
            assert reserved(ours) <= within
            assert reserved(ours) & true == within & true


def test_the_next_writer_clears_away_what_is_over(folder: Path) -> None:
    insert(folder, coin(0), 1000, HOLD_MS)
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
from tests.reserving import take

ours = Reservations(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    print("index", ours.take_index(Keychain("p2wpkh", "receive"), 0))
    if take(ours, [Outpoint(number.to_bytes(32, "big"), 0)]):
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
        indices = list(
            pool.map(lambda _: Reservations(folder).take_index(RECEIVE, 0) or 0, range(80))
        )
    assert sorted(indices) == list(range(80))


_DIES = """
import os, sys, signal
from pathlib import Path
from btc_legacy.wallet import booking, shared_file
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.keys import Keychain, Place
from btc_legacy.wallet.reservations import Reservations
from tests.reserving import take

ours = Reservations(Path(sys.argv[1]))
# After the coins are written and before the transaction ends.
booking.Booking.reserve_change = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
take(ours, [Outpoint(bytes(32), 0)], Place(Keychain("p2wpkh", "change"), 0))
"""


def test_a_process_that_is_killed_leaves_nothing_half_done(folder: Path) -> None:
    process = _process(_DIES, str(folder))
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    ours = Reservations(folder)
    assert reserved(ours) == set()
    assert next_indices(ours) == {}
    assert take(ours, [Outpoint(bytes(32), 0)], Place(CHANGE, 0))
