"""Only the pinned versions of the packages that decide about money are used."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from btc_legacy import versions
from btc_legacy.backend import LegacyBackend
from btc_legacy.config import Config
from btc_legacy.errors import BitcoinError, ErrorKind
from tests.test_host import CONFIG

ROOT = Path(__file__).parent.parent


def test_the_versions_are_those_that_are_installed_and_required() -> None:
    versions.check()
    lines = (ROOT / "requirements.in").read_text().split()
    assert sorted(lines) == [f"{name}=={pinned}" for name, pinned in versions.PINNED.items()]


@pytest.mark.parametrize("name", versions.PINNED)
@pytest.mark.parametrize("found", ["9.9.9", None])
def test_another_version_is_refused_at_the_start(
    name: str, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = metadata.version

    def told(asked: str) -> str:
        if asked != name:
            return version(asked)
        if found is None:
            raise metadata.PackageNotFoundError(asked)
        return found

    monkeypatch.setattr(metadata, "version", told)
    with pytest.raises(BitcoinError, match=name) as raised:
        LegacyBackend(Config(**CONFIG))  # type: ignore[arg-type]
    assert raised.value.kind is ErrorKind.CONFIGURATION
    assert (found or "not installed") in raised.value.message
