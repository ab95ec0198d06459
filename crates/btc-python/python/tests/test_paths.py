"""Where modules are looked for, whatever the interpreter came with."""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

import pytest

from btc_legacy.paths import arrange

LIBRARY = str(Path(os.__file__).parent)
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
SYSTEM = ["/usr/lib/python3/dist-packages", "/srv/user/.local/lib/python3/site-packages"]


@pytest.mark.parametrize("lets_in", [False, True])
def test_the_environments_packages_go_before_those_of_system_and_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lets_in: bool
) -> None:
    packages = tmp_path / "lib" / VERSION / "site-packages"
    added = tmp_path / "added"
    added.mkdir()
    packages.mkdir(parents=True)
    (packages / "more.pth").write_text(f"{added}\n")
    (tmp_path / "pyvenv.cfg").write_text(f"include-system-site-packages = {lets_in}\n")
    monkeypatch.setenv("PYTHONPATH", f"/given{os.pathsep}")
    before = ["", "/given", LIBRARY, f"{LIBRARY}/lib-dynload", *SYSTEM, "/program", "/first"]
    monkeypatch.setattr(sys, "path", before)
    expected = ["/first", "/second", LIBRARY, f"{LIBRARY}/lib-dynload", str(packages), str(added)]
    expected += ["/given", "/program", *(SYSTEM if lets_in else [])]
    arrange(str(tmp_path), "/first", "/second")
    assert sys.path == expected
    # A second time changes nothing.
    arrange(str(tmp_path), "/first", "/second")
    assert sys.path[: len(expected) - len(SYSTEM)] == expected[: len(expected) - len(SYSTEM)]


def test_other_threads_find_what_they_import_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "lib" / VERSION / "site-packages"
    packages.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [LIBRARY, "/program"])
    arrange(str(tmp_path), "/first")
    wanted = set(sys.path)
    # As an import that is under way goes through it.
    under_way = iter(sys.path)
    seen = {next(under_way)}
    missing: list[set[str]] = []
    add = site.addsitedir

    def looked_at(folder: str, known: set[str] | None = None) -> set[str] | None:
        # A list that is read from a file lets other threads run.
        missing.append(wanted - set(sys.path))
        return add(folder, known)

    monkeypatch.setattr(site, "addsitedir", looked_at)
    arrange(str(tmp_path))
    assert missing == [set()]
    assert wanted <= seen | set(under_way), "places have moved beneath it"
