"""`LegacyBackend`: the operations over Bitcoin Core's RPC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitcoin.core import x

from btc_legacy import fees, versions, wire
from btc_legacy.config import Config
from btc_legacy.core_errors import MAX_REASON_CHARS
from btc_legacy.decode import decode_block, decode_transaction
from btc_legacy.encode import encode_transaction
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.protocol import (
    Address,
    BlockRef,
    BroadcastCheck,
    FeeEstimate,
    PlannedTransaction,
    Transaction,
    WalletSnapshot,
    WalletState,
)
from btc_legacy.rpc import RpcClient
from btc_legacy.sending import is_confirmed, knows, send
from btc_legacy.wallet import Wallet

_CHAIN_OF_NETWORK = {
    "mainnet": "main",
    "testnet3": "test",
    "testnet4": "testnet4",
    "signet": "signet",
    "regtest": "regtest",
}

# What `testmempoolaccept` says of a transaction in the mempool, or in a block and not all spent.
_KNOWN_REASONS = (
    "txn-already-in-mempool",
    "txn-same-nonwitness-data-in-mempool",
    "txn-already-known",
)


class LegacyBackend:
    """The Python implementation. May be used by several threads at once."""

    def __init__(self, config: Config) -> None:
        """Reaches the node and refuses one that is on another network.

        So it does packages of other versions than it was tested with.
        """
        versions.check()
        self._rpc = RpcClient.from_config(config)
        chain = _field(self._rpc.read("getblockchaininfo"), "chain")
        if chain != _CHAIN_OF_NETWORK[config.network]:
            networks = {chain: network for network, chain in _CHAIN_OF_NETWORK.items()}
            found = networks.get(chain, chain) if isinstance(chain, str) else chain
            raise BitcoinError(
                ErrorKind.CONFIGURATION,
                f"the node is on {found!s:.40}, the configuration says {config.network}: correct "
                "network (BITCOIN_NETWORK) or rpc_url (BITCOIN_RPC_URL)",
            )
        self._wallet = (
            None
            if config.wallet_dir is None
            else Wallet(Path(config.wallet_dir), config, self._rpc)
        )

    def get_transaction(self, txid: str) -> Transaction:
        """Asks `getrawtransaction`; a node without -txindex only knows its mempool."""
        txid = _hash(txid, "txid")
        answer = self._rpc.read("getrawtransaction", txid, 1)
        transaction = decode_transaction(_bytes(_field(answer, "hex")))
        if transaction["txid"] != txid:
            raise _nonsense("another transaction than the one asked for")
        if is_confirmed(answer):
            try:
                transaction["block_hash"] = wire.hash_hex("blockhash", answer.get("blockhash"))
            except wire.WrongShape as error:
                raise _nonsense(str(error)) from error
        return transaction

    def get_block(self, block_hash: str) -> list[Transaction]:
        """Asks `getblock` for the raw bytes."""
        block_hash = _hash(block_hash, "block hash")
        return decode_block(_bytes(self._rpc.read("getblock", block_hash, 0)), block_hash)

    def get_block_height(self) -> int:
        """Asks `getblockcount`."""
        try:
            return wire.u32("getblockcount", self._rpc.read("getblockcount"))
        except wire.WrongShape as error:
            raise _nonsense(str(error)) from error

    def tip(self) -> BlockRef:
        """Asks `getblockchaininfo`."""
        info = self._rpc.read("getblockchaininfo")
        tip = {"height": _field(info, "blocks"), "hash": _field(info, "bestblockhash")}
        try:
            return wire.block_ref("getblockchaininfo", tip)
        except wire.WrongShape as error:
            raise _nonsense(str(error)) from error

    def estimate_fee(self, target_blocks: int) -> int:
        """The number of `explain_fee`."""
        return self.explain_fee(target_blocks)["sat_per_vb"]

    def explain_fee(self, target_blocks: int) -> FeeEstimate:
        """Asks `estimatesmartfee`, `getmempoolinfo`, and `getrawmempool` if that decides."""
        return fees.explain_fee(self._rpc, target_blocks)

    def broadcast_transaction(self, transaction: Transaction) -> str:
        """Sends the bytes once with `sendrawtransaction`, within the node's default limits.

        A payment of the wallet's is written down before, and refused if it takes coins of another.
        """
        raw = encode_transaction(transaction)
        if self._wallet is None:
            return send(self._rpc, raw, transaction["txid"].lower())
        return self._wallet.broadcast(raw)

    def check_broadcast(self, transaction_hex: str) -> BroadcastCheck:
        """Asks `testmempoolaccept`, and `getrawtransaction` about one that is refused.

        What `broadcast_transaction` would not hand to the node is refused for the same reason.
        """
        try:
            raw = wire.byte_hex("transaction", transaction_hex)
        except wire.WrongShape as error:
            raise BitcoinError(ErrorKind.INVALID_INPUT, str(error)) from error
        # Core judges the bytes before python-bitcoinlib, which forgives more, reads them.
        answer = self._rpc.read("testmempoolaccept", [raw])
        allowed = _field(answer[0] if isinstance(answer, list) and answer else None, "allowed")
        transaction = decode_transaction(_bytes(raw))
        refusal = None if self._wallet is None else self._wallet.refusal(_bytes(raw))
        if refusal is not None:
            allowed, answer = False, [{"reject-reason": refusal}]
        reason = None if allowed else str(answer[0].get("reject-reason"))[:MAX_REASON_CHARS]
        is_known = refusal is None and (
            reason in _KNOWN_REASONS or (reason and knows(self._rpc, transaction["txid"], reason))
        )
        return {
            "txid": transaction["txid"],
            "wtxid": transaction["wtxid"],
            "verdict": "known" if is_known else "refused" if reason else "acceptable",
            "reason": None if is_known else reason,
        }

    def generate_address(self, address_type: str) -> Address:
        """Promises the next address of the wallet."""
        return self._open_wallet.generate_address(address_type)

    def derive_address(self, address_type: str, index: int) -> Address:
        """An address of the wallet; promises nothing."""
        return self._open_wallet.derive_address(address_type, index)

    def create_transaction(self, outputs: list[tuple[str, int]], fee_rate: int) -> Transaction:
        """Builds, signs and reserves."""
        return self._open_wallet.create_transaction(outputs, fee_rate)[0]

    def create_transaction_with_snapshot(
        self, outputs: list[tuple[str, int]], fee_rate: int
    ) -> tuple[Transaction, WalletSnapshot]:
        """The same, with the coins it chose from."""
        return self._open_wallet.create_transaction(outputs, fee_rate)

    def plan_transaction(
        self, outputs: list[tuple[str, int]], fee_rate: int, snapshot: WalletSnapshot
    ) -> PlannedTransaction:
        """Builds and signs from the snapshot's coins; reserves nothing."""
        return self._open_wallet.plan_transaction(outputs, fee_rate, snapshot)

    def get_balance(self) -> int:
        """Follows the chain and answers what is confirmed or trusted."""
        return self._open_wallet.get_balance()

    def wallet_state(self) -> WalletState:
        """Follows the chain and answers with all the wallet's coins."""
        return self._open_wallet.state()

    def snapshot(self) -> WalletSnapshot:
        """Follows the chain and answers what a payment would be built on."""
        return self._open_wallet.snapshot()

    def close(self) -> None:
        """Closes the wallet, so that another process can open it."""
        if self._wallet is not None:
            self._wallet.close()

    @property
    def _open_wallet(self) -> Wallet:
        if self._wallet is None:
            raise BitcoinError(ErrorKind.UNSUPPORTED, "no wallet is configured")
        return self._wallet


def _hash(value: object, what: str) -> str:
    if not isinstance(value, str) or not wire.is_hash(value):
        raise BitcoinError(
            ErrorKind.INVALID_INPUT, f"not a {what}: give 64 hexadecimal digits in either case"
        )
    return value.lower()


def _bytes(value: object) -> bytes:
    try:
        return bytes(x(wire.byte_hex("the hex", value)))
    except wire.WrongShape as error:
        raise _nonsense(str(error)) from error


def _field(answer: object, name: str) -> Any:
    if not isinstance(answer, dict) or name not in answer:
        raise _nonsense(f"no {name}")
    return answer[name]


def _nonsense(what: str) -> BitcoinError:
    return BitcoinError(
        ErrorKind.INVALID_RESPONSE, f"the node answered with {what}: check its version"
    )
