"""The watched scripts: of each chain, the used and promised indices and a gap beyond them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from btc_legacy.wallet.keys import HARDENED, Keychain, Place

_MAX_AHEAD = 1000
"""How far beyond the window change is looked for at the most: as far as a restored wallet looks."""


class Scripts(Protocol):
    """Where the wallet's scripts come from."""

    @property
    def keychains(self) -> tuple[Keychain, ...]:
        """The chains of keys that the wallet has."""

    def scripts(self, keychain: Keychain, first: int, end: int) -> Sequence[bytes]:
        """The scripts of a chain from one index on, up to another one."""


def size_by_use(gap_limit: int, highest_used: int) -> int:
    """The first index that is not watched for what was used, the highest of which is this or -1.

    In steps of the gap limit, and at least a gap limit beyond what was used.
    """
    return min(gap_limit * (2 + (highest_used + 1) // gap_limit), HARDENED)


def size_by_promise(gap_limit: int, following: int) -> int:
    """The first index that is not watched for what was given out, which is below this one."""
    return min(gap_limit * -(-following // gap_limit), HARDENED)


class Window:
    """Says which scripts are the wallet's. Only grows."""

    def __init__(self, source: Scripts, gap_limit: int) -> None:
        """Watches two gap limits of each chain. Derives nothing before it is asked."""
        self._source = source
        self._gap_limit = max(gap_limit, 1)
        self._scripts: list[bytes] = []
        self._places: dict[bytes, Place] = {}
        self._watched = dict.fromkeys(source.keychains, 0)
        self._by_use = {keychain: size_by_use(self._gap_limit, -1) for keychain in source.keychains}
        self._sizes = dict(self._by_use)

    def __len__(self) -> int:
        self._extend()
        return len(self._scripts)

    @property
    def by_use(self) -> Mapping[Keychain, int]:
        """How far each chain is watched for what was used, whatever was promised.

        Blocks that were read while this was less are read again: an address that is found late
        may have been paid early. One that was promised cannot have been paid before.
        """
        return dict(self._by_use)

    def since(self, size: int) -> list[bytes]:
        """The scripts that came after the first `size` ones."""
        self._extend()
        return self._scripts[size:]

    def place(self, script: bytes) -> Place | None:
        """Where a script is in the wallet, if it is watched."""
        self._extend()
        return self._places.get(script)

    def promise(self, keychain: Keychain, following: int) -> None:
        """Watches what was given out, which is below this index."""
        self._cover(keychain, size_by_promise(self._gap_limit, following))

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

    def find_change(self, outputs: Sequence[Any], reach: Mapping[Keychain, int]) -> None:
        """Moves the window with an own payment's change that is beyond it.

        More change may be reserved than the window holds. `reach` is the highest index of each
        chain that was ever reserved; where none is beyond the window, nothing is derived.
        """
        self._extend()
        paid = {output.scriptPubKey for output in outputs} - self._places.keys()
        for keychain, highest in reach.items():
            first = self._watched.get(keychain, HARDENED)
            end = min(highest + 1, HARDENED, first + _MAX_AHEAD)
            if first < end and paid:
                scripts = self._source.scripts(keychain, first, end)
                ahead = (index for index, script in enumerate(scripts, first) if script in paid)
                self.use(Place(keychain, index) for index in list(ahead))

    def use(self, places: Iterable[Place]) -> None:
        """Moves the window with places that were seen."""
        for place in places:
            size = size_by_use(self._gap_limit, place.index)
            if size > self._by_use.get(place.keychain, size):
                self._by_use[place.keychain] = size
                self._cover(place.keychain, size)

    def _cover(self, keychain: Keychain, size: int) -> None:
        # The shared file may hold promises of a type that the wallet has no account of.
        if keychain in self._sizes:
            self._sizes[keychain] = max(size, self._sizes[keychain])

    def _extend(self) -> None:
        for keychain, size in self._sizes.items():
            first = self._watched[keychain]
            if first >= size:
                continue
            scripts = self._source.scripts(keychain, first, size)
            self._scripts += scripts
            self._places |= {
                script: Place(keychain, index) for index, script in enumerate(scripts, first)
            }
            self._watched[keychain] = size
