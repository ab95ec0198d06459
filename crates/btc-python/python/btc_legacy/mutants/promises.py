"""Faults in what is promised once and must not be promised again."""

from __future__ import annotations

from collections.abc import Iterable

from btc_legacy.mutants.copies import WithWallet, variant
from btc_legacy.wallet import Wallet
from btc_legacy.wallet.booking import Booking, End
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.follower import Follower
from btc_legacy.wallet.keys import HARDENED, Keychain, Place
from btc_legacy.wallet.reservations import Reservations


class _ForgetsIndices(Reservations):
    def take_index(self, keychain: Keychain, at_least: int, end: int = HARDENED) -> int | None:
        with self.reading() as booking:
            return max(at_least, booking.next_indices().get(keychain, 0))


class _RemembersNothing(Follower):
    def note_promised(self, keychain: Keychain, following: int) -> None:
        """Leaves the own file as it is, which would make up for the shared one."""


class SameAddressTwice(WithWallet):
    """Gives an address out again as long as nobody has paid it."""

    wallet_class = variant(Wallet, Reservations=_ForgetsIndices, Follower=_RemembersNothing)


class _NeverUsed(Follower):
    def first_unused(self, keychain: Keychain) -> int:
        return 0

    def first_free(self, keychain: Keychain) -> int:
        return 0


class UsedAddressAgain(WithWallet):
    """Gives out addresses that have been paid, as after a restore from the words."""

    wallet_class = variant(Wallet, Follower=_NeverUsed)


class _ForgetsCoins(Booking):
    def reserve(self, _coins: Iterable[Outpoint], _end: End, _reason: str) -> None:
        """Reserves none."""


class NotReserved(WithWallet):
    """Does not reserve the coins it chose, so that the next payment takes them again."""

    wallet_class = variant(Wallet, Reservations=variant(Reservations, Booking=_ForgetsCoins))


class _ForgetsChange(Booking):
    def reserve_change(self, _place: Place, _end: End, _reason: str) -> None:
        """Reserves none."""


class SameChangeTwice(WithWallet):
    """Pays the change of the next payment to the same address."""

    wallet_class = variant(Wallet, Reservations=variant(Reservations, Booking=_ForgetsChange))


_BELIEVED = """
    SELECT txid, vout, reason FROM reserved WHERE until_ms IS NULL OR until_ms > :now
"""


class TrustsEnds(WithWallet):
    """Believes the end of a reservation that a clock gave which was set back since."""

    wallet_class = variant(
        Wallet,
        Reservations=variant(
            Reservations,
            Booking=variant(
                Booking,
                _RESERVED=_BELIEVED,
                _CLEAR_AWAY=("DELETE FROM reserved WHERE until_ms <= :now",),
            ),
        ),
    )
