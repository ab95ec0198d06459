"""`Wallet`: addresses, balance and payments, from a wallet's folder and a node."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from bitcoin.core import CTransaction, b2lx, lx

from btc_legacy import pieces, protocol
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
from btc_legacy.sending import is_final, send
from btc_legacy.wallet.addresses import address_of
from btc_legacy.wallet.booking import Booking
from btc_legacy.wallet.build import Change, Draft, Outpoint, Spendable, check_payments, draft
from btc_legacy.wallet.coins import balance, spendable
from btc_legacy.wallet.conflicts import Refusal
from btc_legacy.wallet.folder import Lock, read_description
from btc_legacy.wallet.follower import Follower, View
from btc_legacy.wallet.handover import Handover
from btc_legacy.wallet.keys import Keychain, Keyring, Place, Signer
from btc_legacy.wallet.node import BlockRef, Node
from btc_legacy.wallet.packages import PendingTransaction
from btc_legacy.wallet.payments import token
from btc_legacy.wallet.reservations import RESTORE_GAP_LIMIT, Reservations, next_change, reserve
from btc_legacy.wallet.sign import sign

# What Bitcoin Core says of inputs that it does not know, or that are spent.
_SPENT = "missingorspent"


class Wallet:
    """A wallet that is open in this process alone. May be used by several threads at once."""

    def __init__(self, folder: Path, config: Config, rpc: RpcClient) -> None:
        """Opens the folder, and unlocks it if the configuration has the words."""
        description = read_description(folder, config.network)
        self._network = config.network
        self._max_fee_rate = config.max_fee_rate
        self._gap_limit = description.gap_limit
        self._rpc = rpc
        self._change_chain = Keychain(description.change_type, "change")
        self._keyring = Keyring(config.network, description.accounts)
        self._signer = _signer(config, self._keyring, description.fingerprint)
        self._mutex = threading.Lock()
        self._lock = Lock(folder)
        try:
            self._reservations = Reservations(folder)
            node = Node(rpc)
            self._follower = Follower(folder, description, self._keyring, self._reservations, node)
            self._handover = Handover(self._reservations, self._follower, node, rpc)
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
            if self._follower.knows_used:
                self._follower.read_shared()
            else:
                self._follower.follow()
            index = self._reservations.take_index(
                keychain, self._follower.first_free(keychain), self._reach(keychain)
            )
            if index is None:
                raise self._out_of_reach(keychain, "give out one of those again (btc address list)")
            self._follower.note_promised(keychain, index + 1)
        return self._address(Place(keychain, index))

    def derive_address(self, address_type: str, index: int) -> Address:
        """The receiving address of a type at an index; promises nothing."""
        return self._address(Place(Keychain(address_type, "receive"), index))

    def get_balance(self) -> int:
        """What is confirmed or trusted at the node's tip, in satoshi.

        Sends missing payments again whose time has come.
        """
        with self._mutex:
            view = self._tended()
        return sum(coin.value_sat for coin in spendable(view.coins))

    def state(self) -> WalletState:
        """What the wallet owns at the node's tip."""
        with self._mutex:
            view = self._follower.follow()
        return {
            "tip": _block(view.tip),
            "balance": balance(view.coins, view.held),
            "coins": [(str(coin.outpoint), coin.value_sat) for coin in view.coins],
        }

    def snapshot(self) -> WalletSnapshot:
        """What `create_transaction` would build on now; reserves nothing."""
        with self._mutex:
            view = self._follower.follow()
            with self._reservations.reading() as booking:
                coins = _free(view, booking)
                change = self._next_change(booking)
        return _snapshot(view, coins, change)

    def create_transaction(
        self, outputs: list[tuple[str, int]], fee_rate: int
    ) -> tuple[Transaction, WalletSnapshot]:
        """Builds and signs a payment and reserves its coins; says what it was built on."""
        signer = self._unlocked()
        payments = check_payments(outputs, fee_rate, self._network, self._max_fee_rate)
        with self._mutex:
            tip = self._tended().tip
            # Nothing else is promised or handed over between the choice and the promise.
            with self._reservations.booking() as booking:
                self._follower.read_payments(booking)
                view = self._follower.view(tip)
                coins = _free(view, booking)
                change = self._change(self._next_change(booking))
                drafted = draft(payments, fee_rate, coins, change, tip.height, view.pending)
                raw = self._sign(drafted, signer)
                reserve(
                    booking,
                    [coin.outpoint for coin in drafted.coins],
                    drafted.change.place if drafted.change else None,
                    token(CTransaction.deserialize(raw)),
                )
        return _planned(raw, drafted), _snapshot(view, coins, change.place)

    def plan_transaction(
        self, outputs: list[tuple[str, int]], fee_rate: int, snapshot: WalletSnapshot
    ) -> PlannedTransaction:
        """Builds and signs what `create_transaction` would on this snapshot; reserves nothing."""
        signer = self._unlocked()
        payments = check_payments(outputs, fee_rate, self._network, self._max_fee_rate)
        with self._mutex:
            view = self._follower.follow()
        coins = [_spendable(coin) for coin in snapshot["coins"]]
        change = self._change(
            Place(Keychain(snapshot["change_type"], "change"), snapshot["change_index"])
        )
        pending = [_pending(transaction) for transaction in snapshot["pending"]]
        drafted = draft(payments, fee_rate, coins, change, snapshot["tip"]["height"], pending)
        return {
            "transaction": _planned(self._sign(drafted, signer), drafted),
            "tip": _block(view.tip),
            "unknown_coins": _unknown(view, coins, pending),
        }

    def broadcast(self, raw: bytes) -> str:
        """Hands a signed transaction to the node; returns its txid.

        One that spends coins of the wallet is on disk before the node is asked.
        """
        tx = CTransaction.deserialize(raw)
        with self._mutex:
            handed = self._handover.prepare(tx)
            # What stood in the way may be decided by now, and what it spends known.
            if (isinstance(handed, Refusal) or not handed.is_own) and self._can_follow():
                handed = self._handover.prepare(tx)
        if isinstance(handed, Refusal):
            raise handed.error
        txid: str = b2lx(tx.GetTxid())
        try:
            send(self._rpc, raw, txid)
        except BitcoinError as error:
            with self._mutex:
                told = self._handover.failed(handed, error)
                # A node without an index of transactions does not know one whose outputs are spent.
                # Its row is gone by now: what is read while it is there counts as used. To be made
                # again from the start would be to send again, so this is one piece.
                is_again = handed.is_own and not handed.is_new
                may_be_there = told is not None and (
                    _SPENT in error.message or (is_again and is_final(error))
                )
                if may_be_there:
                    # Where the node cannot be asked, what was seen before counts.
                    with pieces.whole():
                        self._can_follow()
                is_there = may_be_there and self._follower.is_confirmed(tx)
            if is_there:
                self._handover.succeeded(handed)
                return txid
            if told is error:
                raise
            if told is not None:
                raise told from error
        else:
            self._handover.succeeded(handed)
        return txid

    def refusal(self, raw: bytes) -> str | None:
        """Why `broadcast` would not hand these bytes to the node. Has no effect."""
        tx = CTransaction.deserialize(raw)
        with self._mutex:
            refusal = self._handover.refusal(tx)
            if refusal and self._can_follow():
                refusal = self._handover.refusal(tx)
        return refusal.message if refusal else None

    def _can_follow(self) -> bool:
        """Follows chain and mempool, if the node can be asked."""
        try:
            self._follower.follow()
        except (BitcoinError, OSError):
            return False
        return True

    def _tended(self) -> View:
        """Follows chain and mempool, and attends to the own payments."""
        view = self._follower.follow()
        self._handover.settle(view.tip.height, view.standings)
        if self._handover.send_due(view.payments, view.standings):
            view = self._follower.follow()
        return view

    def _unlocked(self) -> Signer:
        if self._signer is None:
            raise BitcoinError(ErrorKind.UNSUPPORTED, "the wallet is locked or watch-only")
        return self._signer

    def _sign(self, drafted: Draft, signer: Signer) -> bytes:
        try:
            return sign(drafted, self._keyring, signer)
        except (TypeError, ValueError) as error:
            # Within a step on the shared file, these would be taken for damage to that.
            raise BitcoinError(
                ErrorKind.INTERNAL, f"the transaction cannot be signed ({error}): report this"
            ) from error

    def _address(self, place: Place) -> Address:
        script = self._keyring.script(place)
        return {
            "address": address_of(script, self._network),
            "address_type": place.keychain.address_type,
            "network": self._network,
            "script_pubkey": script.hex(),
            "index": place.index,
        }

    def _next_change(self, booking: Booking) -> Place:
        """Where change goes, whether or not there will be any."""
        first_free = self._follower.first_free(self._change_chain)
        index = next_change(booking, self._change_chain, first_free)
        if index >= self._reach(self._change_chain):
            raise self._out_of_reach(
                self._change_chain,
                "hand over what was built, or wait until its reservations end (10 minutes)",
            )
        return Place(self._change_chain, index)

    def _reach(self, keychain: Keychain) -> int:
        """The first index that a wallet which is restored from the words would not look at."""
        return self._follower.first_unused(keychain) + max(self._gap_limit, RESTORE_GAP_LIMIT)

    def _out_of_reach(self, keychain: Keychain, advice: str) -> BitcoinError:
        gap_limit = max(self._gap_limit, RESTORE_GAP_LIMIT)
        return BitcoinError(
            ErrorKind.INVALID_INPUT,
            f"{gap_limit} addresses were given out and none of them was paid: a wallet restored "
            f"from its words would not look further, so {advice}",
            highest_used=self._follower.first_unused(keychain) - 1,
            gap_limit=gap_limit,
        )

    def _change(self, place: Place) -> Change:
        return Change(place, self._keyring.script(place))


def _signer(config: Config, keyring: Keyring, fingerprint: str | None) -> Signer | None:
    if config.wallet_words is None:
        return None
    signer = Signer(config.network, config.wallet_words, config.wallet_passphrase or "")
    signer.check_accounts(keyring, fingerprint)
    return signer


def _free(view: View, booking: Booking) -> list[Spendable]:
    """The coins that may be chosen: neither reserved nor held by an open payment."""
    taken = booking.reserved().keys() | view.held.keys()
    return [coin for coin in spendable(view.coins) if coin.outpoint not in taken]


def _unknown(
    view: View, coins: Iterable[Spendable], pending: Iterable[PendingTransaction]
) -> list[str]:
    """Which of these are not known here as they stand there, reserved or not."""
    known = {coin for coin in spendable(view.coins) if coin.outpoint not in view.held}
    # What an unconfirmed coin comes with, and what that descends from, decides about its choice
    # and the fee.
    differing = _differing(view.pending, pending)
    return [
        str(coin.outpoint) for coin in coins if coin not in known or coin.outpoint.txid in differing
    ]


def _differing(
    ours: Iterable[PendingTransaction], theirs: Iterable[PendingTransaction]
) -> set[bytes]:
    """The unconfirmed transactions that two sides see differently, or whose ancestors they do."""
    here = {transaction.txid: transaction for transaction in ours}
    there = {transaction.txid: transaction for transaction in theirs}
    children: dict[bytes, set[bytes]] = {}
    for transaction in (*here.values(), *there.values()):
        for parent in transaction.spends:
            children.setdefault(parent, set()).add(transaction.txid)
    waiting = [txid for txid in here.keys() | there.keys() if here.get(txid) != there.get(txid)]
    found: set[bytes] = set()
    while waiting:
        txid = waiting.pop()
        if txid not in found:
            found.add(txid)
            waiting.extend(children.get(txid, ()))
    return found


def _planned(raw: bytes, drafted: Draft) -> Transaction:
    transaction = decode_transaction(raw)
    transaction["fee_sat"] = drafted.fee_sat
    return transaction


def _snapshot(view: View, coins: Iterable[Spendable], change: Place) -> WalletSnapshot:
    return {
        "tip": _block(view.tip),
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
        "pending": [
            {
                "txid": b2lx(transaction.txid),
                "version": transaction.version,
                "size_vb": transaction.size_vb,
                "fee_sat": transaction.fee_sat,
                "spends": [b2lx(txid) for txid in transaction.spends],
            }
            for transaction in view.pending
        ],
        "change_type": change.keychain.address_type,
        "change_index": change.index,
    }


def _spendable(coin: SnapshotCoin) -> Spendable:
    place = Place(Keychain(coin["address_type"], coin["chain"]), coin["index"])
    return Spendable(Outpoint.parse(coin["outpoint"]), coin["value_sat"], place)


def _pending(transaction: protocol.PendingTransaction) -> PendingTransaction:
    return PendingTransaction(
        lx(transaction["txid"]),
        transaction["version"],
        transaction["size_vb"],
        transaction["fee_sat"],
        tuple(lx(txid) for txid in transaction["spends"]),
    )


def _block(tip: BlockRef) -> protocol.BlockRef:
    return {"height": tip.height, "hash": tip.hash}
