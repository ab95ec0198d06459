"""The watched scripts: of each chain, the used and promised indices and a gap beyond them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from btc_legacy.wallet.keys import Keychain, Keyring, Place


class Window:
    """Says which scripts are the wallet's. Only grows."""

    def __init__(self, keyring: Keyring, gap_limit: int) -> None:
        """Watches the first `gap_limit` scripts of each chain."""
        self._keyring = keyring
        self._gap_limit = gap_limit
        self._scripts: list[bytes] = []
        self._places: dict[bytes, Place] = {}
        self._sizes: dict[Keychain, int] = {}
        for keychain in keyring.keychains:
            self.cover(keychain, 0)

    def __len__(self) -> int:
        return len(self._scripts)

    def since(self, size: int) -> list[bytes]:
        """The scripts that came after the first `size` ones."""
        return self._scripts[size:]

    def place(self, script: bytes) -> Place | None:
        """Where a script is in the wallet, if it is watched."""
        return self._places.get(script)

    def cover(self, keychain: Keychain, first_free: int) -> None:
        """Watches what is below this index, and the gap from it on."""
        if keychain not in self._keyring.keychains:
            return
        size = first_free + self._gap_limit
        for index in range(self._sizes.get(keychain, 0), size):
            place = Place(keychain, index)
            script = self._keyring.script(place)
            self._scripts.append(script)
            self._places[script] = place
            self._sizes[keychain] = index + 1

    def find(self, outputs: Sequence[Any]) -> dict[int, Place]:
        """Which of these `CTxOut` are the wallet's, by their number; moves the window with them.

        An output may move the window so that another one of the same transaction is found.
        """
        while True:
            size = len(self)
            found = {
                number: place
                for number, output in enumerate(outputs)
                if (place := self._places.get(output.scriptPubKey)) is not None
            }
            self.use(found.values())
            if len(self) == size:
                return found

    def use(self, places: Iterable[Place]) -> None:
        """Moves the window with places that were seen."""
        for place in places:
            self.cover(place.keychain, place.index + 1)
