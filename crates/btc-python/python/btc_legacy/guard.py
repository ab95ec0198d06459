"""Ends a worker with its parent, and with the worker all that it started, whatever that does.

The guard is a process of its own: a thread could not run while a call holds the interpreter's lock.
It belongs to the worker's group, so that what ends the group ends it as well.
"""

from __future__ import annotations

import os
import select
import signal
import time

# How long a call under way, and `close`, may take once the parent is gone.
GRACE_SECS = 5.0

_POLL_SECS = 0.05
_LOOK_EVERY_MS = 1000
_MAX_DESCRIPTOR = 1024


def start(requests: int) -> None:
    """Guards this process, whose parent holds the other end of the pipe `requests`.

    To be called before there are threads.
    """
    worker, parent = os.getpid(), os.getppid()
    if os.getpgrp() != worker:
        os.setpgid(0, 0)
    # Forked twice: a class that waits for its children must not find this one among them.
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        return
    try:
        if os.fork() == 0:
            _guard(worker, parent, requests)
    finally:
        os._exit(0)


def _guard(worker: int, parent: int, requests: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.dup2(requests, 0)
    # No pipe may stay open for the guard's sake.
    os.closerange(1, _MAX_DESCRIPTOR)
    input_end = select.poll()
    # Only that it ends: what arrives is the worker's.
    input_end.register(0, 0)
    while not input_end.poll(_LOOK_EVERY_MS):
        # The pipe does not end with the parent where something else holds it open.
        if not (_is_there(worker) and _is_there(parent)):
            break
    deadline = time.monotonic() + GRACE_SECS
    while _is_there(worker) and time.monotonic() < deadline:
        time.sleep(_POLL_SECS)
    # As long as the guard lives, no other group can have this number.
    os.killpg(worker, signal.SIGKILL)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It has become another user.
        return True
    return True
