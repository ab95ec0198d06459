"""Long work in pieces: a call stops between two of them, and goes on when it is made again.

Only the host asks for it. It answers that the call is unfinished, and the Rust side makes it again,
after others that must not wait. Without a limit nothing stops.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# How long a piece takes, and a little more.
PIECE_SECS = 1.0

_limit: ContextVar[float | None] = ContextVar("piece_secs", default=None)


class Unfinished(Exception):
    """The work goes on when the same is asked again: what was done is kept."""


@contextmanager
def limited(secs: float = PIECE_SECS) -> Iterator[None]:
    """Lets work stop after this time."""
    token = _limit.set(secs)
    try:
        yield
    finally:
        _limit.reset(token)


@contextmanager
def whole() -> Iterator[None]:
    """Lets nothing stop: for work after an effect, which must not be made again."""
    token = _limit.set(None)
    try:
        yield
    finally:
        _limit.reset(token)


def pause(since: float) -> None:
    """Stops if pieces are wanted and this one, begun then (`time.monotonic`), was long enough.

    To be called when something was done and kept.
    """
    limit = _limit.get()
    if limit is not None and time.monotonic() - since >= limit:
        raise Unfinished
