"""`Wallet`: addresses, balance and payments, from a wallet's folder and a node."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from btc_legacy import protocol
from btc_legacy.config import Config
from btc_legacy.decode import decode_transaction
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.protocol import (
    Address,
    PlannedTransaction,
    SnapshotCoin,
    Transaction,
    WalletSnapshot,
    WalletState,
)
from btc_legacy.rpc import RpcClient
from btc_legacy.wallet.addresses import address_of
from btc_legacy.wallet.build import Change, Draft, Outpoint, Spendable, check_payments, draft
from btc_legacy.wallet.coins import balance, spendable
from btc_legacy.wallet.folder import Lock, read_description
from btc_legacy.wallet.follower import Follower
from btc_legacy.wallet.keys import Keychain, Keyring, Place, Signer
from btc_legacy.wallet.node import BlockRef, Node
from btc_legacy.wallet.reservations import Reservations
from btc_legacy.wallet.sign import sign

_MAX_ATTEMPTS = 20


class Wallet:
    """A wallet that is open in this process alone. May be used by several threads at once."""

    def __init__(self, folder: Path, config: Config, rpc: RpcClient) -> None:
        """Opens the folder, and unlocks it if the configuration has the words."""
        description = read_description(folder, config.network)
        self._network = config.network
        self._change_chain = Keychain(description.change_type, "change")
        self._keyring = Keyring(config.network, description.accounts)
        self._signer = _signer(config, self._keyring, description.fingerprint)
        self._mutex = threading.Lock()
        self._lock = Lock(folder)
        try:
            self._reservations = Reservations(folder)
            self._follower = Follower(
                folder, description, self._keyring, self._reservations, Node(rpc)
            )
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        """Lets another process open the wallet. This object cannot be used any more."""
        with self._mutex:
            self._follower.close()
            self._lock.close()

    def generate_address(self, address_type: str) -> Address:
        """Promises the next receiving address of a type."""
        keychain = Keychain(address_type, "receive")
        # Fails before anything is promised if there is no such account.
        self._keyring.script(Place(keychain, 0))
        with self._mutex:
            if not self._follower.knows_used:
                self._follower.follow()
            first_unused = self._follower.first_unused(keychain)
            index = self._reservations.take_index(keychain, first_unused)
        return self._address(Place(keychain, index))

    def derive_address(self, address_type: str, index: int) -> Address:
        """The receiving address of a type at an index; promises nothing."""
        return self._address(Place(Keychain(address_type, "receive"), index))

    def get_balance(self) -> int:
        """What is confirmed or trusted at the node's tip, in satoshi."""
        with self._mutex:
            view = self._follower.follow()
        return sum(coin.value_sat for coin in spendable(view.coins))

    def state(self) -> WalletState:
        """What the wallet owns at the node's tip."""
        with self._mutex:
            view = self._follower.follow()
        return {
            "tip": _block(view.tip),
            "balance": balance(view.coins),
            "coins": [(str(coin.outpoint), coin.value_sat) for coin in view.coins],
        }

    def snapshot(self) -> WalletSnapshot:
        """What `create_transaction` would build on now; reserves nothing."""
        with self._mutex:
            view = self._follower.follow()
            reserved = self._reservations.reserved()
            coins = [coin for coin in spendable(view.coins) if coin.outpoint not in reserved]
            return _snapshot(view.tip, coins, self._next_change())

    def create_transaction(
        self, outputs: list[tuple[str, int]], fee_rate: int
    ) -> tuple[Transaction, WalletSnapshot]:
        """Builds and signs a payment and reserves its coins; says what it was built on."""
        signer = self._unlocked()
        payments = check_payments(outputs, fee_rate, self._network)
        with self._mutex:
            view = self._follower.follow()
            for _ in range(_MAX_ATTEMPTS):
                reserved = self._reservations.reserved()
                coins = [coin for coin in spendable(view.coins) if coin.outpoint not in reserved]
                change = self._change(self._next_change())
                drafted = draft(payments, fee_rate, coins, change, view.tip.height)
                transaction = self._sign(drafted, signer)
                if self._reservations.take(
                    [coin.outpoint for coin in drafted.coins],
                    drafted.change.place if drafted.change else None,
                    transaction["txid"],
                ):
                    return transaction, _snapshot(view.tip, coins, change.place)
        raise BitcoinError(
            ErrorKind.UNAVAILABLE, "other callers reserve coins faster than this one: try again"
        )

    def plan_transaction(
        self, outputs: list[tuple[str, int]], fee_rate: int, snapshot: WalletSnapshot
    ) -> PlannedTransaction:
        """Builds and signs what `create_transaction` would on this snapshot; reserves nothing."""
        signer = self._unlocked()
        payments = check_payments(outputs, fee_rate, self._network)
        with self._mutex:
            view = self._follower.follow()
        coins = [_spendable(coin) for coin in snapshot["coins"]]
        change = self._change(
            Place(Keychain(snapshot["change_type"], "change"), snapshot["change_index"])
        )
        drafted = draft(payments, fee_rate, coins, change, snapshot["tip"]["height"])
        # What the other side has reserved for this very transaction is known all the same.
        known = set(spendable(view.coins))
        return {
            "transaction": self._sign(drafted, signer),
            "tip": _block(view.tip),
            "unknown_coins": [str(coin.outpoint) for coin in coins if coin not in known],
        }

    def _unlocked(self) -> Signer:
        if self._signer is None:
            raise BitcoinError(ErrorKind.UNSUPPORTED, "the wallet is locked or watch-only")
        return self._signer

    def _address(self, place: Place) -> Address:
        script = self._keyring.script(place)
        return {
            "address": address_of(script, self._network),
            "address_type": place.keychain.address_type,
            "network": self._network,
            "script_pubkey": script.hex(),
            "index": place.index,
        }

    def _next_change(self) -> Place:
        promised = self._reservations.next_indices().get(self._change_chain, 0)
        return Place(
            self._change_chain, max(promised, self._follower.first_unused(self._change_chain))
        )

    def _change(self, place: Place) -> Change:
        return Change(place, self._keyring.script(place))

    def _sign(self, drafted: Draft, signer: Signer) -> Transaction:
        transaction = decode_transaction(sign(drafted, self._keyring, signer))
        transaction["fee_sat"] = drafted.fee_sat
        return transaction


def _signer(config: Config, keyring: Keyring, fingerprint: str | None) -> Signer | None:
    if config.wallet_words is None:
        return None
    signer = Signer(config.network, config.wallet_words, config.wallet_passphrase or "")
    signer.check_accounts(keyring, fingerprint)
    return signer


def _snapshot(tip: BlockRef, coins: Iterable[Spendable], change: Place) -> WalletSnapshot:
    return {
        "tip": _block(tip),
        "coins": [
            {
                "outpoint": str(coin.outpoint),
                "value_sat": coin.value_sat,
                "address_type": coin.place.keychain.address_type,
                "chain": coin.place.keychain.chain,
                "index": coin.place.index,
            }
            for coin in coins
        ],
        "change_type": change.keychain.address_type,
        "change_index": change.index,
    }


def _spendable(coin: SnapshotCoin) -> Spendable:
    place = Place(Keychain(coin["address_type"], coin["chain"]), coin["index"])
    return Spendable(Outpoint.parse(coin["outpoint"]), coin["value_sat"], place)


def _block(tip: BlockRef) -> protocol.BlockRef:
    return {"height": tip.height, "hash": tip.hash}
