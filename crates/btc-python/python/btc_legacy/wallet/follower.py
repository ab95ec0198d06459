"""`Follower`: chain and mempool together, as one view of what the wallet owns at one moment."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.chain import Chain
from btc_legacy.wallet.coins import OwnedCoin, owned
from btc_legacy.wallet.folder import Description
from btc_legacy.wallet.keys import Keychain, Keyring
from btc_legacy.wallet.mempool import Mempool
from btc_legacy.wallet.node import BlockRef, Node
from btc_legacy.wallet.reservations import Reservations
from btc_legacy.wallet.store import Store
from btc_legacy.wallet.window import Window

_MAX_ATTEMPTS = 20


class View(NamedTuple):
    """The tip, and the unspent outputs there, ascending by outpoint."""

    tip: BlockRef
    coins: list[OwnedCoin]


class Follower:
    """Keeps what the wallet knows in step with the node."""

    def __init__(
        self,
        folder: Path,
        description: Description,
        keyring: Keyring,
        reservations: Reservations,
        node: Node,
    ) -> None:
        """Opens what was learned so far; asks the node nothing yet."""
        self._store = Store(folder, description.identity)
        window = Window(keyring, description.gap_limit)
        for keychain, highest in self._store.used.items():
            window.cover(keychain, highest + 1)

        def read_promises() -> None:
            for keychain, following in reservations.next_indices().items():
                window.cover(keychain, following)

        self._read_promises = read_promises
        self._chain = Chain(node, self._store, window, description.birthday, read_promises)
        self._mempool = Mempool(node, self._store, window, read_promises)

    def close(self) -> None:
        """Closes the file of what was learned."""
        self._store.close()

    @property
    def knows_used(self) -> bool:
        """Whether the first scan has come to its end, so that `first_unused` can be relied on."""
        return self._store.first_scan is None

    def first_unused(self, keychain: Keychain) -> int:
        """One more than the highest index that was ever seen."""
        return self._store.used.get(keychain, -1) + 1

    def follow(self) -> View:
        """Follows chain and mempool until both were seen at the same tip."""
        for _ in range(_MAX_ATTEMPTS):
            self._read_promises()
            tip = self._chain.follow()
            if self._mempool.follow(tip):
                return View(tip, owned(self._store.coins, self._mempool.pending, tip.height))
        raise BitcoinError(
            ErrorKind.UNAVAILABLE, "the chain changes faster than it can be followed: try again"
        )
