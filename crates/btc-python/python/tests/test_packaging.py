"""The package as `pip` builds it: with every module, for hosts without a clone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).parent.parent


def test_the_wheel_has_every_module(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    # A copy: the build leaves folders beside the sources.
    copy = tmp_path / "source"
    copy.mkdir()
    for name in ["pyproject.toml", "README.md"]:
        (copy / name).write_bytes((PACKAGE / name).read_bytes())
    wanted = set()
    for source in (PACKAGE / "btc_legacy").rglob("*"):
        if source.is_file() and source.suffix in {".py", ".typed"}:
            module = source.relative_to(PACKAGE)
            (copy / module).parent.mkdir(parents=True, exist_ok=True)
            (copy / module).write_bytes(source.read_bytes())
            wanted.add(module.as_posix())
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(copy)], check=True, timeout=120)
    [wheel] = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert wanted <= packed, f"left out: {sorted(wanted - packed)}"
    assert len(wanted) > 30
