"""The worker process: frames in, frames out, whatever the backend does meanwhile."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from btc_legacy.worker import EXIT_BROKEN_FRAME, EXIT_OK, MAX_FRAME_BYTES
from tests.test_host import CONFIG

PACKAGE_ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "btc_legacy.worker"]

NOISY_MODULE = """
import os, subprocess, sys
print("printed while imported")

class Noisy:
    def __init__(self, config):
        print("printed by the constructor", flush=True)

    def get_block_height(self):
        print("printed by a method")
        sys.stdout.write("written\\n")
        sys.stdout.flush()
        os.write(1, b"written to descriptor 1\\n")
        subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
        return 7

    def get_balance(self):
        return len(sys.stdin.read()) + len(os.read(0, 100))
"""


def frame(content: bytes) -> bytes:
    """One frame."""
    return struct.pack("<I", len(content)) + content


def request(method: str, params: Any = ()) -> bytes:
    """The frame of a request."""
    return frame(json.dumps({"method": method, "params": params}).encode())


def start(backend: str) -> bytes:
    """The frame that starts a class."""
    return request("start", {"backend": backend, "config": CONFIG})


def _read(stream: IO[bytes]) -> Any:
    header = stream.read(4)
    assert len(header) == 4, "the worker ended"
    (length,) = struct.unpack("<I", header)
    return json.loads(stream.read(length))


def run(stream: bytes, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Runs a worker over this input to its end."""
    return subprocess.run(
        COMMAND,
        input=stream,
        capture_output=True,
        cwd=PACKAGE_ROOT,
        timeout=30,
        check=False,
        **options,
    )


def _answers(output: bytes) -> list[Any]:
    answers = []
    while output:
        (length,) = struct.unpack("<I", output[:4])
        answers.append(json.loads(output[4 : 4 + length]))
        output = output[4 + length :]
    return answers


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A running worker."""
    with subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=PACKAGE_ROOT,
    ) as process:
        yield process
        process.kill()


def ask(worker: subprocess.Popen[bytes], frame: bytes) -> Any:
    """Sends a frame and reads the next answer."""
    assert worker.stdin
    assert worker.stdout
    worker.stdin.write(frame)
    worker.stdin.flush()
    return _read(worker.stdout)


def test_frames_are_answered_in_order_and_the_end_is_clean() -> None:
    done = run(
        start("btc_legacy.planted:Raises")
        + request("estimate_fee", [6])
        + request("get_block_height")
        + frame(b"")
        + request("estimate_fee", [6])
    )
    assert done.returncode == EXIT_OK
    assert done.stderr == b""
    first, second, third, fourth, fifth = _answers(done.stdout)
    assert first["ok"]["protocol"] == 2
    assert second == fifth == {"ok": 1}
    assert third["error"]["kind"] == "internal"
    assert fourth["error"]["kind"] == "invalid_input"


def test_an_empty_input_is_a_clean_end() -> None:
    done = run(b"")
    assert (done.returncode, done.stdout, done.stderr) == (EXIT_OK, b"", b"")


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"\x01", "1 bytes into a frame's length"),
        (b"\x0a\x00\x00\x00{}", "2 bytes into a frame of 10"),
        (struct.pack("<I", MAX_FRAME_BYTES + 1), "more than"),
        (struct.pack("<i", -1), "more than"),
    ],
    ids=["short-length", "short-content", "oversized", "negative"],
)
def test_broken_frames_end_the_process(stream: bytes, text: str) -> None:
    done = run(start("btc_legacy.planted:Raises") + stream)
    assert done.returncode == EXIT_BROKEN_FRAME
    assert text in done.stderr.decode()
    assert len(_answers(done.stdout)) == 1


def test_output_of_a_backend_does_not_get_between_the_frames(tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(NOISY_MODULE)
    done = run(
        start("noisy:Noisy")
        + request("get_block_height")
        + request("get_balance")
        # More than the worker reads ahead, so that there is something to steal.
        + frame(b" " * 100_000),
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == EXIT_OK
    started, height, balance, _ = _answers(done.stdout)
    assert started["ok"]["backend"] == "noisy:Noisy"
    assert height == {"ok": 7}
    assert balance == {"ok": 0}, "the backend must not be able to read the frames"
    for text in (b"imported", b"constructor", b"a method", b"descriptor 1", b"a child"):
        assert text in done.stderr


def test_a_polite_exit_does_not_end_the_worker(worker: subprocess.Popen[bytes]) -> None:
    ask(worker, start("btc_legacy.planted:Exits"))
    assert ask(worker, request("get_block_height"))["error"]["kind"] == "internal"
    assert ask(worker, request("estimate_fee", [6])) == {"ok": 1}


def test_a_crash_ends_the_worker_without_an_answer() -> None:
    done = run(start("btc_legacy.planted:Dies") + request("get_block_height"))
    assert done.returncode == 3
    assert len(_answers(done.stdout)) == 1


def test_interrupts_are_the_parents_business(worker: subprocess.Popen[bytes]) -> None:
    ask(worker, start("btc_legacy.planted:Raises"))
    worker.send_signal(signal.SIGINT)
    assert ask(worker, request("estimate_fee", [6])) == {"ok": 1}


def test_a_hanging_call_can_be_killed(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdin
    ask(worker, start("btc_legacy.planted:Hangs"))
    worker.stdin.write(request("get_block_height"))
    worker.stdin.flush()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(timeout=0.3)
    worker.kill()
    assert worker.wait(timeout=5) == -signal.SIGKILL


def test_a_reader_that_went_away_is_a_clean_end(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdin
    assert worker.stdout
    assert worker.stderr
    ask(worker, start("btc_legacy.planted:Raises"))
    worker.stdout.close()
    worker.stdin.write(request("estimate_fee", [6]))
    worker.stdin.flush()
    assert worker.wait(timeout=5) == EXIT_OK
    assert b"Traceback" not in worker.stderr.read()


def test_a_hanging_worker_does_not_outlive_its_parent() -> None:
    script = (
        "import subprocess, sys, os\n"
        "frames = bytes.fromhex(sys.argv[1])\n"
        "r, w = os.pipe()\n"
        "worker = subprocess.Popen([sys.executable, '-m', 'btc_legacy.worker'], stdin=r,\n"
        "    stdout=subprocess.PIPE, pass_fds=(w,))\n"
        "os.write(w, frames)\n"
        "worker.stdout.read(4)\n"
        "print(worker.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    frames = start("btc_legacy.planted:Hangs") + request("get_block_height")
    parent = subprocess.run(
        [sys.executable, "-c", script, frames.hex()],
        stdout=subprocess.PIPE,
        cwd=PACKAGE_ROOT,
        check=True,
        timeout=30,
    )
    pid = int(parent.stdout)
    for _ in range(100):
        if not is_running(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the worker outlived its parent by 10 s")


def is_running(pid: int) -> bool:
    """Whether a process is there and does not merely wait to be collected."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
