"""What an interpreter in another program's process must not do with that program's streams."""

from __future__ import annotations

import io
import sys


def quieten() -> None:
    """Leads standard output to standard error, and standard input to nothing.

    The output is the program's answer, and the input what it was given. For Python's own streams:
    descriptors 0 and 1 stay the program's.
    """
    sys.stdout = sys.stderr
    sys.stdin = io.StringIO()
