"""`python -m btc_legacy.worker`: a `Host` over standard input and output.

A frame is a length of 4 bytes, unsigned and little-endian, and that many bytes of JSON. The process
ends with 0 when its input ends between two frames, and with 2 after a broken frame; the backend is
closed before, once. Interrupts and requests to end are the parent's business.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from io import FileIO
from typing import BinaryIO

from btc_legacy import guard
from btc_legacy.host import MAX_RESPONSE_BYTES, Host

EXIT_OK = 0
EXIT_BROKEN_FRAME = 2

MAX_FRAME_BYTES = MAX_RESPONSE_BYTES

_LENGTH = struct.Struct("<I")
_CLOSE = b'{"method":"close","params":[]}'


class BrokenFrame(Exception):
    """The stream does not follow the protocol, so that nothing after it can be read."""


def main() -> int:
    """Answers frames until the input ends; returns the process's exit code."""
    guard.start(0)
    _leave_signals_to_the_parent()
    requests, responses = _take_streams()
    host = Host()
    try:
        while (request := read_frame(requests)) is not None:
            write_frame(responses, host.handle(request))
    except BrokenFrame as error:
        print(f"btc_legacy.worker: {error}", file=sys.stderr)
        return EXIT_BROKEN_FRAME
    except BrokenPipeError:
        # The parent does not want the answer any more.
        return EXIT_OK
    finally:
        host.handle(_CLOSE)
    return EXIT_OK


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next frame's content, or None where the stream ends before a frame."""
    header = stream.read(_LENGTH.size)
    if not header:
        return None
    if len(header) < _LENGTH.size:
        raise BrokenFrame(f"the input ended {len(header)} bytes into a frame's length")
    (length,) = _LENGTH.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise BrokenFrame(f"a frame of {length} bytes is more than the {MAX_FRAME_BYTES} allowed")
    content = stream.read(length)
    if len(content) < length:
        raise BrokenFrame(f"the input ended {len(content)} bytes into a frame of {length}")
    return content


def write_frame(stream: FileIO, content: bytes) -> None:
    """Writes one frame."""
    rest = memoryview(_LENGTH.pack(len(content)) + content)
    while rest:
        rest = rest[stream.write(rest) :]


def _take_streams() -> tuple[BinaryIO, FileIO]:
    """Keeps the two streams for the frames alone.

    Descriptors 0 and 1 then lead elsewhere, so that neither `print()` nor `input()`, nor a child
    process of a backend, can get between the frames.
    """
    requests = os.fdopen(os.dup(0), "rb")
    # Unbuffered: nothing is left to be flushed, and to fail again, when the parent is gone.
    responses = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, responses


def _leave_signals_to_the_parent() -> None:
    """Goes on when a terminal or a service manager asks the whole group to end.

    A call may be in the middle of a broadcast. What the backend starts ends as usual: a handler,
    unlike `SIG_IGN`, is not inherited by another program, and a fork puts the usual one back.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)

    def end_as_usual() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    os.register_at_fork(after_in_child=end_as_usual)


if __name__ == "__main__":
    sys.exit(main())
