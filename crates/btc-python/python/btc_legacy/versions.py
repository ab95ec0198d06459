"""The packages that decide about money, in the versions that this one was tested with."""

from __future__ import annotations

from importlib import metadata

from btc_legacy.errors import BitcoinError, ErrorKind

# As in requirements.in.
PINNED = {"embit": "0.8.0", "python-bitcoinlib": "0.12.2"}


def check() -> None:
    """Refuses other versions: they are other code, which nothing was compared with."""
    for name, pinned in PINNED.items():
        found = _installed(name)
        if found != pinned:
            raise BitcoinError(
                ErrorKind.CONFIGURATION,
                f"{name} is {found or 'not installed'} here, and {pinned} is what the package "
                "btc_legacy was tested with: run `cargo xtask setup`, or install requirements.txt "
                "into the environment that PYTHON_VENV names",
            )


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
