"""Which `wallet.json` is read: the table that the Rust side is held to as well, and any text."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btc_legacy.config import Config
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.rpc import RpcClient
from btc_legacy.wallet.folder import read_description
from btc_legacy.wallet.keys import HARDENED, Account, Keyring, Place
from btc_legacy.wallet.wallet import Wallet
from btc_legacy.wire import ADDRESS_TYPES
from tests.wallet_folder import WORDS, description, make_wallet

_TEXT = (Path(__file__).parent / "wallets.json").read_text(encoding="utf-8")
KEYS: dict[str, str] = json.loads(_TEXT)["keys"]
for _name, _key in KEYS.items():
    _TEXT = _TEXT.replace("{" + _name + "}", _key)
TABLE = json.loads(_TEXT)


def _open(folder: Path) -> None:
    """Opens what is there as a wallet does, up to its first addresses."""
    read = read_description(folder, "regtest")
    keyring = Keyring("regtest", read.accounts)
    for keychain in keyring.keychains:
        for index in (0, 1, 20, HARDENED - 1):
            keyring.script(Place(keychain, index))


def _refusal(work: Callable[[], object]) -> BitcoinError | None:
    try:
        work()
    except BitcoinError as error:
        return error
    return None


def _is_read(folder: Path, **fields: Any) -> bool:
    make_wallet(folder, **fields)
    refusal = _refusal(lambda: _open(folder))
    if refusal is not None:
        assert refusal.kind is ErrorKind.CONFIGURATION
        assert "prv" not in refusal.message
    return refusal is None


@pytest.mark.parametrize("case", TABLE["accounts"], ids=lambda case: case["receive"][:60])
def test_descriptors_that_cannot_be_watched_are_refused(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    account = {name: case[name] for name in ("address_type", "receive", "change")}
    fields = {
        "fingerprint": None,
        "change_type": account["address_type"],
        "accounts": [account],
    }
    assert _is_read(tmp_path / "wallet", **fields) == case["is_read"]


@pytest.mark.parametrize("case", TABLE["fields"], ids=lambda case: str(case["fields"])[:60])
def test_what_a_description_may_say_is_what_the_table_says(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    assert _is_read(tmp_path / "wallet", **case["fields"]) == case["is_read"]


def _forms(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    forms = ("pkh({})", "sh(wpkh({}))", "wpkh({})", "tr({})", "wsh(pk({}))", "{}")
    return st.builds(lambda form, key: form.format(key), st.sampled_from(forms), inner)


_STEP = st.builds(
    lambda number, mark: f"{number}{mark}",
    st.one_of(st.integers(0, 3), st.integers(0, 2**32), st.text("0123456789+- _*<>;", max_size=3)),
    st.sampled_from(["", "", "", "h", "'", "H"]),
)
_KEY = st.builds(
    lambda origin, key, steps, end: origin + key + "".join(f"/{step}" for step in steps) + end,
    st.one_of(
        st.sampled_from(["", KEYS["origin"], "[73c5da0a]"]),
        st.text("[]0123456789abcdef/'h", max_size=14),
    ),
    st.sampled_from(list(KEYS.values())),
    st.lists(_STEP, max_size=3),
    st.sampled_from(["/*", "/*", "/*", "/*h", "/*'", ""]),
)


@given(receive=st.one_of(_forms(_KEY), st.text(max_size=80)), change=_forms(_KEY))
def test_any_account_is_refused_or_derives(receive: str, change: str) -> None:
    for address_type in ADDRESS_TYPES:
        account = Account(address_type, receive, change)
        refusal = _refusal(partial(Keyring, "regtest", [account]))
        if refusal is None:
            keyring = Keyring("regtest", [account])
            for keychain in keyring.keychains:
                keyring.script(Place(keychain, HARDENED - 1))
        else:
            assert refusal.kind is ErrorKind.CONFIGURATION


def test_the_default_description_is_read(tmp_path: Path) -> None:
    assert _is_read(tmp_path / "wallet", **description())


@pytest.mark.parametrize("case", TABLE["unlocked"], ids=lambda case: str(case["fields"])[:60])
def test_descriptors_of_other_words_are_found_when_the_wallet_is_unlocked(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    folder = make_wallet(tmp_path / "wallet", **case["fields"])
    url = "http://127.0.0.1:1"
    config = Config(network="regtest", rpc_url=url, wallet_dir=str(folder))
    rpc = RpcClient(url)
    Wallet(folder, config, rpc).close()
    unlocking = replace(config, wallet_words=WORDS)
    refusal = _refusal(lambda: Wallet(folder, unlocking, rpc).close())
    if case["is_own"]:
        assert refusal is None
    else:
        assert refusal is not None
        assert refusal.kind is ErrorKind.CONFIGURATION
        assert "the words do not give" in refusal.message
