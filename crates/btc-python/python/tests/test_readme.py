"""The example in the README runs, and the README's tables are complete."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from btc_legacy.errors import ErrorKind
from btc_legacy.host import Host
from tests import vectors
from tests.own_classes import LibraryStyle
from tests.rpc_server import ScriptedNode, result
from tests.test_host import ask, start, started

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The example as a module that can be imported."""
    (source,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "readme_example.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "readme_example", raising=False)
    return "readme_example:Node"


def test_the_example_runs(example: str) -> None:
    tx = ask(started(f"{LibraryStyle.__module__}:LibraryStyle"), "get_transaction", "00" * 32)["ok"]
    host = Host()
    with ScriptedNode(result(7), result(vectors.SEGWIT_TXID)) as node:
        assert "ok" in start(host, example, rpc_url=node.url)
        assert ask(host, "get_block_height") == {"ok": 7}
        assert ask(host, "estimate_fee", 6) == {"ok": 12}
        assert ask(host, "estimate_fee", 101)["error"]["kind"] == "invalid_input"
        assert ask(host, "broadcast_transaction", tx) == {"ok": vectors.SEGWIT_TXID}
        assert ask(host, "get_balance")["error"]["kind"] == "unsupported"
    assert node.requests[1]["params"] == [vectors.SEGWIT_TX]


def test_every_module_is_listed() -> None:
    package = Path(__file__).parent.parent / "btc_legacy"
    names = {str(path.relative_to(package)) for path in package.rglob("*.py")}
    names = {name for name in names if not name.endswith("__init__.py")}
    listed = set(re.findall(r"`([\w/]+\.py)`", README.split("## Behaviour")[0]))
    assert listed == names


def test_only_real_kinds_are_named() -> None:
    table = README.split("## Errors")[1].split("## A class")[0]
    named = set(re.findall(r"`([a-z]+_?[a-z]+)`", table))
    assert named <= {kind.value for kind in ErrorKind}
    assert len(named) >= 8
