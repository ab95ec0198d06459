"""The wallet's folder: what is read, what is refused, and who has it open."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from btc_legacy.backend import LegacyBackend
from btc_legacy.config import Config
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.folder import Lock, read_description
from tests.rpc_server import ScriptedNode, result
from tests.wallet_folder import OTHER_WORDS, WORDS, description, make_wallet, open_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A wallet's folder."""
    return make_wallet(tmp_path / "wallet")


def _refused(folder: Path, said: str, network: str = "regtest") -> None:
    with pytest.raises(BitcoinError, match=said) as caught:
        read_description(folder, network)
    assert caught.value.kind is ErrorKind.CONFIGURATION


def test_a_description_is_read(folder: Path) -> None:
    read = read_description(folder, "regtest")
    assert (read.birthday, read.gap_limit, read.change_type) == (0, 20, "p2wpkh")
    assert read.fingerprint == "73c5da0a"
    assert [account.address_type for account in read.accounts] == [
        "p2pkh",
        "p2sh-p2wpkh",
        "p2wpkh",
        "p2tr",
    ]


def test_fields_of_a_later_version_of_the_same_format_are_passed_over(tmp_path: Path) -> None:
    folder = make_wallet(tmp_path / "wallet", fingerprint=None, comment="hello")
    assert read_description(folder, "regtest").fingerprint is None


def test_no_wallet_and_another_network_are_told(tmp_path: Path, folder: Path) -> None:
    _refused(tmp_path / "nothing", "there is no wallet in")
    _refused(folder, "of regtest, the configuration says signet", network="signet")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format 2, written by a newer version"),
        ({"format": 0}, "damaged"),
        ({"format": "1"}, "damaged"),
        ({"format": None}, "damaged"),
        ({"network": 7}, "damaged"),
        ({"fingerprint": "73C5DA0"}, "fingerprint"),
        ({"fingerprint": "73c5da0b"}, "another master key"),
        ({"fingerprint": 7}, "fingerprint"),
        ({"birthday": -1}, "birthday"),
        ({"birthday": 2**32}, "birthday"),
        ({"gap_limit": 0}, "gap_limit"),
        ({"gap_limit": 10**9}, "gap_limit"),
        ({"change_type": "p2wsh"}, "change_type"),
        ({"accounts": description()["accounts"][:1]}, "no account of the change type p2wpkh"),
        ({"accounts": None}, "accounts"),
        ({"accounts": [7]}, r"accounts\[0\]"),
        ({"accounts": [{"address_type": "p2tr", "receive": "x"}]}, r"accounts\[0\]\.change"),
    ],
)
def test_damaged_descriptions_are_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    _refused(make_wallet(tmp_path / "wallet", **change), said)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"null", b"[" * 100_000])
def test_what_is_no_description_is_refused(folder: Path, content: bytes) -> None:
    (folder / "wallet.json").write_bytes(content)
    _refused(folder, "restore it")


def test_the_lock_names_its_holder_and_ends_with_it(folder: Path) -> None:
    lock = Lock(folder)
    assert (folder / "python.lock").read_text() == str(os.getpid())
    with pytest.raises(BitcoinError, match=f"open in process {os.getpid()}:") as caught:
        Lock(folder)
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    lock.close()
    again = Lock(folder)
    del again
    Lock(folder).close()


def test_a_lock_ends_though_another_has_a_copy_of_the_open_file(folder: Path) -> None:
    lock = Lock(folder)
    alive = lock.close.peek()
    assert alive is not None
    (descriptor,) = alive[2]
    # As a process has that is being started.
    copy = os.dup(descriptor)
    try:
        lock.close()
        Lock(folder).close()
    finally:
        os.close(copy)


def test_a_process_that_is_killed_gives_the_lock_back(folder: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom btc_legacy.wallet.folder import Lock\n"
        "lock = Lock(Path(sys.argv[1]))\nprint('open', flush=True)\nsys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(BitcoinError, match=f"open in process {process.pid}:"):
            Lock(folder)
        process.send_signal(signal.SIGKILL)
        process.wait()
        Lock(folder).close()


def _open(folder: Path, **changes: Any) -> LegacyBackend:
    with ScriptedNode(result({"chain": "regtest"})) as node:
        settings = {"network": "regtest", "rpc_url": node.url, "wallet_dir": str(folder)}
        return LegacyBackend(Config(**(settings | changes)))


def test_words_of_another_wallet_are_refused(folder: Path) -> None:
    for settings in (
        {"wallet_words": OTHER_WORDS},
        {"wallet_words": WORDS, "wallet_passphrase": "other"},
    ):
        with pytest.raises(BitcoinError, match=r"accounts of wallet\.json") as caught:
            _open(folder, **settings)
        assert caught.value.kind is ErrorKind.CONFIGURATION
    _open(folder, wallet_words=WORDS, wallet_passphrase="").close()


def test_a_wallet_with_some_of_the_accounts_can_be_unlocked(tmp_path: Path) -> None:
    accounts = description()["accounts"][2:3]
    folder = make_wallet(tmp_path / "wallet", accounts=accounts)
    wallet = _open(folder, wallet_words=WORDS)
    with pytest.raises(BitcoinError, match="no account of type p2tr") as caught:
        wallet.generate_address("p2tr")
    assert caught.value.kind is ErrorKind.UNSUPPORTED
    wallet.close()


def test_a_wallet_opens_once_and_again_after_it_is_closed(folder: Path) -> None:
    wallet = _open(folder)
    with pytest.raises(BitcoinError, match="open in process"):
        _open(folder)
    wallet.close()
    # Nobody calls `close` from the other side of the border: what is let go of closes at once, and
    # not when Python looks for cycles.
    gc.disable()
    try:
        forgotten = _open(folder)
        assert "python.lock" in open_files(folder)
        del forgotten
        assert open_files(folder) == []
        _open(folder).close()
    finally:
        gc.enable()


def test_a_wallet_that_cannot_be_opened_is_not_locked(folder: Path) -> None:
    (folder / "python.sqlite").write_bytes(b"no database" * 1000)
    for _ in range(2):
        with pytest.raises(BitcoinError, match=r"python\.sqlite .* damaged .*: delete it"):
            _open(folder)
    (folder / "python.sqlite").unlink()
    _open(folder).close()


def test_another_description_needs_another_scan(folder: Path) -> None:
    _open(folder).close()
    (folder / "wallet.json").write_text(json.dumps(description() | {"gap_limit": 30}))
    with pytest.raises(BitcoinError, match=r"made for another wallet\.json.*: delete it") as caught:
        _open(folder)
    assert caught.value.kind is ErrorKind.CONFIGURATION


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"wallet_words": WORDS, "wallet_dir": None}, "WALLET_DIR"),
        ({"wallet_passphrase": "x"}, "wallet_passphrase"),
        ({"wallet_words": 7}, "wallet_words must be a string"),
    ],
)
def test_settings_that_do_not_belong_together(settings: dict[str, Any], said: str) -> None:
    config = {"network": "regtest", "rpc_url": "http://127.0.0.1:1", "wallet_dir": "/w"}
    with pytest.raises(BitcoinError, match=said) as caught:
        Config.from_wire(config | settings)
    assert caught.value.kind is ErrorKind.CONFIGURATION


def test_the_configuration_does_not_show_the_secret() -> None:
    config = Config(
        network="regtest",
        rpc_url="http://127.0.0.1:1",
        wallet_dir="/w",
        wallet_words=WORDS,
        wallet_passphrase="hunter2",
    )
    assert "abandon" not in repr(config)
    assert "hunter2" not in repr(config)
