"""The wallet's scripts, each derived once and then read from `python.sqlite`."""

from __future__ import annotations

from btc_legacy.wallet.keys import Keychain, Keyring, Place
from btc_legacy.wallet.store import Store
from btc_legacy.wallet.store_file import FILE

# How many are derived between two writes: a process that ends meanwhile has lost no more.
_BATCH = 1000


class StoredScripts:
    """Scripts from the store, or else from the keyring. Deriving one takes 0.1 ms."""

    def __init__(self, keyring: Keyring, store: Store) -> None:
        self._keyring = keyring
        self._store = store

    @property
    def keychains(self) -> tuple[Keychain, ...]:
        """The chains of keys that the wallet has."""
        return self._keyring.keychains

    def scripts(self, keychain: Keychain, first: int, end: int) -> list[bytes]:
        """The scripts of a chain from one index on, up to another one."""
        scripts = self._store.scripts(keychain, first, end)
        # They are of this wallet.json; that they are whole, the last one shows.
        if scripts and scripts[-1] != self._script(keychain, first + len(scripts) - 1):
            raise FILE.damaged(f"wrong scripts of type {keychain.address_type}")
        for batch in range(first + len(scripts), end, _BATCH):
            derived = [
                self._script(keychain, index) for index in range(batch, min(batch + _BATCH, end))
            ]
            self._store.add_scripts(keychain, batch, derived)
            scripts += derived
        return scripts

    def _script(self, keychain: Keychain, index: int) -> bytes:
        return self._keyring.script(Place(keychain, index))
