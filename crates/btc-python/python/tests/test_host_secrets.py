"""No secret in what the host says of a module that cannot be imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from btc_legacy.host import Host
from tests.test_host import CONFIG


def test_passwords_in_exceptions_of_an_import_are_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = CONFIG["rpc_password"]
    source = f"raise ValueError('no node at http://alice:{password}@host')\n"
    (tmp_path / "leaking_import.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    start = {"backend": "leaking_import:Own", "config": CONFIG}
    request = json.dumps({"method": "start", "params": start})
    answer = Host().handle(request.encode()).decode()
    error = json.loads(answer)["error"]
    assert error["kind"] == "configuration"
    assert "http://alice:***@host" in error["message"]
    assert str(password) not in answer
