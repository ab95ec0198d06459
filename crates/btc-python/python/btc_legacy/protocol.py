"""What crosses the border to Rust, and what a class of your own must look like to stand behind it.

A backend is named by `PYTHON_BACKEND=module:Class` and constructed with one `Config`. Every
method of `Backend` is optional: one that is missing, or raises `NotImplementedError`, is reported
as unsupported. A method may raise `BitcoinError` to choose the kind of failure; other exceptions
are classified by `btc_legacy.classify`.

A method may be called from several threads at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, TypedDict

from btc_legacy.config import Config


class Input(TypedDict):
    """An input: the coin it spends and what unlocks it."""

    previous_output: str
    """`<txid>:<vout>`; zeros and 4294967295 in a coinbase."""
    script_sig: str
    sequence: int
    witness: list[str]


class Output(TypedDict):
    """An output: an amount in satoshi and what locks it."""

    value_sat: int
    script_pubkey: str


class _TransactionContent(TypedDict):
    txid: str
    wtxid: str
    version: int
    lock_time: int
    inputs: list[Input]
    outputs: list[Output]
    size: int
    weight: int


class Transaction(_TransactionContent, total=False):
    """A transaction as plain data; bytes are hex, hashes in the order people read.

    The last three say what the operation learned beyond the bytes; left out is the same as None.
    """

    fee_sat: int | None
    block_hash: str | None
    block_height: int | None


class _AddressContent(TypedDict):
    address: str
    address_type: str
    network: str
    script_pubkey: str


class Address(_AddressContent, total=False):
    """An address with its type (p2pkh, p2sh-p2wpkh, p2wpkh, p2tr), network and script."""

    index: int | None


class FeeEstimate(TypedDict):
    """A fee rate, where the number comes from, and the least that the node takes."""

    sat_per_vb: int
    """Whole sat/vB, rounded up; never below the floor."""
    source: str
    """`core` (the node's estimate), `mempool` (what waits there) or `minimum_relay` (the floor)."""
    floor_sat_per_vb: int
    """The node's minimum in whole sat/vB, rounded up; at least 1."""
    target_blocks: int
    """The target that was asked for."""


class BlockRef(TypedDict):
    """A block of the chain."""

    height: int
    hash: str


class WalletBalance(TypedDict):
    """A wallet's coins in satoshi, each in one bucket."""

    confirmed_sat: int
    """Confirmed, without immature coinbase outputs."""
    trusted_pending_sat: int
    """Unconfirmed, from transactions that spend only confirmed or trusted coins of this wallet."""
    untrusted_pending_sat: int
    """Unconfirmed, from anybody else."""
    immature_sat: int
    """Coinbase outputs with fewer than 100 confirmations."""
    held_by_missing_sat: int
    """The part of the sums above that open payments spend which no mempool has."""


class WalletState(TypedDict):
    """A wallet's view of the chain at one moment."""

    tip: BlockRef
    balance: WalletBalance
    coins: list[tuple[str, int]]
    """Its unspent outputs as `<txid>:<vout>` with satoshi, ascending by the bytes of the txid."""


class SnapshotCoin(TypedDict):
    """A coin: its place in the chain and its place in the wallet."""

    outpoint: str
    value_sat: int
    address_type: str
    chain: str
    """`receive` or `change`."""
    index: int


class PendingTransaction(TypedDict):
    """An unconfirmed transaction all of whose inputs were the wallet's."""

    txid: str
    version: int
    size_vb: int
    """Its weight / 4, rounded up."""
    fee_sat: int
    spends: list[str]
    """The transactions of the same list that it spends, ascending by the bytes of the txid."""


class WalletSnapshot(TypedDict):
    """What a transaction was built on: enough to build the same one again."""

    tip: BlockRef
    coins: list[SnapshotCoin]
    """The coins that could be spent."""
    pending: list[PendingTransaction]
    """The transactions of those that are unconfirmed, ascending by the bytes of the txid."""
    change_type: str
    change_index: int


class PlannedTransaction(TypedDict):
    """A transaction that was built and signed without reserving anything."""

    transaction: Transaction
    tip: BlockRef
    """This side's own tip at the time."""
    unknown_coins: list[str]
    """Coins of the snapshot that this side does not know as spendable, as they stand there."""


class BroadcastCheck(TypedDict):
    """What would become of a transaction at the node."""

    txid: str
    wtxid: str
    verdict: str
    """`acceptable`, `known` or `refused`."""
    reason: str | None
    """The node's reason, when it refuses."""


# python-bitcoinlib has no type information; these names say which of its classes is meant.
CTransaction: TypeAlias = Any
CBlock: TypeAlias = Any


class Backend(Protocol):
    """All the methods a backend may have."""

    def __init__(self, config: Config) -> None:
        """Reaches the node, or raises `BitcoinError`."""

    def get_transaction(self, txid: str) -> Transaction | CTransaction:
        """The transaction with this txid, from the mempool or a block."""

    def get_block(self, block_hash: str) -> Sequence[Transaction | CTransaction] | CBlock:
        """The transactions of the block, in order, coinbase first."""

    def get_block_height(self) -> int:
        """The height of the node's best block."""

    def estimate_fee(self, target_blocks: int) -> int:
        """The fee rate in whole sat/vB that should confirm within so many blocks, never 0."""

    def explain_fee(self, target_blocks: int) -> FeeEstimate:
        """The same number as `estimate_fee` returns, with its source and the floor."""

    def broadcast_transaction(self, transaction: Transaction) -> str | bytes:
        """Sends a signed transaction and returns its txid, as hex or as python-bitcoinlib's bytes.

        A transaction that the node already has is success.
        """

    def generate_address(self, address_type: str) -> Address:
        """Reveals and returns the wallet's next receiving address of this type."""

    def create_transaction(
        self, outputs: list[tuple[str, int]], fee_rate: int
    ) -> Transaction | CTransaction:
        """Builds and signs a payment of satoshi to addresses at this many sat/vB."""

    def get_balance(self) -> int:
        """The wallet's balance in satoshi."""

    # What shadow mode asks of the other side: of these, only the one that creates has an effect.

    def derive_address(self, address_type: str, index: int) -> Address:
        """The wallet's receiving address of this type at this index."""

    def plan_transaction(
        self, outputs: list[tuple[str, int]], fee_rate: int, snapshot: WalletSnapshot
    ) -> PlannedTransaction:
        """What `create_transaction` would build from these coins; reserves nothing."""

    def check_broadcast(self, transaction_hex: str) -> BroadcastCheck:
        """Whether the node would take these bytes."""

    def wallet_state(self) -> WalletState:
        """What the wallet owns at the node's tip."""

    def tip(self) -> BlockRef:
        """The tip of the node's active chain."""

    def snapshot(self) -> WalletSnapshot:
        """What `create_transaction` would build on now; reserves nothing."""

    def create_transaction_with_snapshot(
        self, outputs: list[tuple[str, int]], fee_rate: int
    ) -> tuple[Transaction | CTransaction, WalletSnapshot]:
        """`create_transaction`, with what it was built on."""

    def close(self) -> None:
        """Lets go of what is open, such as the wallet; called once, at the end."""
