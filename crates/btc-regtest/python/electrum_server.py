"""Runs ElectrumX for tests: its settings from a file, its answers without delay."""

import json
import os
import sys
from pathlib import Path


def main(settings: Path) -> None:
    """Serve until SIGTERM."""
    # Whatever the caller has exported, only the settings count.
    os.environ.clear()
    os.environ.update(json.loads(settings.read_text()))
    try:
        import plyvel  # noqa: F401
    except ModuleNotFoundError:
        # The fork for newer Pythons goes by another name.
        import plyvel_next

        sys.modules["plyvel"] = plyvel_next
    from electrumx.cli.electrumx_server import main as serve
    from electrumx.server.transport import PaddedRSTransport

    # It holds small answers back for up to a second, so that who watches the line learns less.
    PaddedRSTransport.WAIT_FOR_BUFFER_GROWTH_SECONDS = 0.0
    serve()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
