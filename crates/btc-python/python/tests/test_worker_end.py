"""The end of a worker: its parent decides about it, whatever the backend does meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from btc_legacy.guard import GRACE_SECS
from btc_legacy.worker import EXIT_BROKEN_FRAME, EXIT_OK
from tests.test_worker import COMMAND, PACKAGE_ROOT, ask, frame, is_running, request, run, start

# A class that writes down what happens to it. `C` functions that are called through `PyDLL` keep
# the interpreter's lock.
MODULE = """
import ctypes, multiprocessing, os, pathlib, subprocess, sys, time
HERE = pathlib.Path(__file__).parent

def note(name, text):
    with (HERE / name).open("a") as file:
        file.write(text)

class Own:
    def __init__(self, config):
        pass

    def get_block_height(self):
        if os.fork() == 0:
            note("forked", f"{os.getpid()} ")
            time.sleep(3600)
        note("pid", str(os.getpid()))
        ctypes.PyDLL(None).sleep(3600)

    def estimate_fee(self, target_blocks):
        note("begun", "x")
        time.sleep(target_blocks / 10)
        return 1

    def get_balance(self):
        forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
        forked.start()
        started = subprocess.Popen(["sleep", "3600"])
        for one in (forked, started):
            one.terminate()
        forked.join(10)
        return abs(forked.exitcode) * 100 + abs(started.wait(10))

    def close(self):
        note("closed", "once ")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the class."""
    (tmp_path / "own.py").write_text(MODULE)
    return tmp_path


@pytest.fixture
def worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running worker with the class."""
    with subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=PACKAGE_ROOT,
        env=os.environ | {"PYTHONPATH": str(folder)},
    ) as process:
        assert "ok" in ask(process, start("own:Own"))
        yield process
        process.kill()


def _until(holds: Callable[[], object], secs: float = 20.0) -> None:
    deadline = time.monotonic() + secs
    while not holds():
        assert time.monotonic() < deadline, "it never holds"
        time.sleep(0.02)


def _text(folder: Path, name: str) -> str:
    path = folder / name
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_call_under_way_outlasts_a_request_to_end(
    worker: subprocess.Popen[bytes], folder: Path, number: signal.Signals
) -> None:
    assert worker.stdin
    worker.stdin.write(request("estimate_fee", [5]))
    worker.stdin.flush()
    _until(lambda: _text(folder, "begun"))
    worker.send_signal(number)
    # The first answer is that of the call, the second of the next one.
    assert ask(worker, request("estimate_fee", [1])) == {"ok": 1}
    worker.send_signal(number)
    assert ask(worker, b"") == {"ok": 1}


def test_what_a_class_starts_ends_when_it_is_asked_to(worker: subprocess.Popen[bytes]) -> None:
    assert ask(worker, request("get_balance")) == {"ok": signal.SIGTERM * 101}


@pytest.mark.parametrize(
    ("rest", "code"), [(b"", EXIT_OK), (b"\x01", EXIT_BROKEN_FRAME)], ids=["ended", "broken"]
)
def test_the_class_is_closed_once_when_the_input_has_ended(
    folder: Path, rest: bytes, code: int
) -> None:
    done = run(start("own:Own") + rest, env=os.environ | {"PYTHONPATH": str(folder)})
    assert done.returncode == code
    assert _text(folder, "closed") == "once "


def test_the_class_is_closed_once_when_nobody_reads_its_answer(
    worker: subprocess.Popen[bytes], folder: Path
) -> None:
    assert worker.stdin
    assert worker.stdout
    worker.stdout.close()
    worker.stdin.write(request("estimate_fee", [1]))
    worker.stdin.flush()
    assert worker.wait(timeout=10) == EXIT_OK
    assert _text(folder, "closed") == "once "


def _orphaned(folder: Path, frames: bytes) -> None:
    """Starts a worker whose parent ends as soon as the frames are written."""
    script = (
        "import subprocess, sys, time, pathlib\n"
        f"worker = subprocess.Popen({COMMAND!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "worker.stdin.write(bytes.fromhex(sys.argv[1]))\n"
        "worker.stdin.flush()\n"
        "place = pathlib.Path(sys.argv[2])\n"
        "while not any((place / name).exists() for name in ('pid', 'begun')):\n"
        "    time.sleep(0.02)\n"
        "import os\n"
        "os._exit(0)\n"
    )
    options: dict[str, Any] = {"cwd": PACKAGE_ROOT, "check": True, "timeout": 30}
    options["env"] = os.environ | {"PYTHONPATH": str(folder)}
    subprocess.run([sys.executable, "-c", script, frames.hex(), str(folder)], **options)


def test_a_worker_that_holds_the_interpreters_lock_ends_with_its_parent_and_so_do_its_forks(
    folder: Path,
) -> None:
    _orphaned(folder, start("own:Own") + request("get_block_height"))
    pids = [int(text) for text in (_text(folder, "pid") + " " + _text(folder, "forked")).split()]
    assert len(pids) == 2
    _until(lambda: not any(is_running(pid) for pid in pids), GRACE_SECS + 5)


def test_a_call_under_way_is_finished_and_the_class_closed_when_the_parent_ends(
    folder: Path,
) -> None:
    _orphaned(folder, start("own:Own") + request("estimate_fee", [10]) + frame(b"{}"))
    _until(lambda: _text(folder, "closed"))
    assert _text(folder, "closed") == "once "
