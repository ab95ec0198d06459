"""Follows the node's active chain, from the wallet's birthday on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from btc_legacy import pieces
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.build import Outpoint
from btc_legacy.wallet.node import Block, BlockRef, Node
from btc_legacy.wallet.payments import spends
from btc_legacy.wallet.store import BlockEffect, Coin, Store
from btc_legacy.wallet.window import Window

_MAX_ATTEMPTS = 20

# How many blocks are fetched between two looks at what was promised meanwhile.
_BATCH = 16


class Chain:
    """Brings the store up to the node's best block."""

    def __init__(
        self,
        node: Node,
        store: Store,
        window: Window,
        birthday: int,
        read_promises: Callable[[], object],
    ) -> None:
        """`read_promises` moves the window with the addresses given out by either side.

        It is called between fetching a block and looking into it: what pays an address can only
        be mined after the address was promised.
        """
        self._node = node
        self._store = store
        self._window = window
        self._birthday = birthday
        self._read_promises = read_promises

    def follow(self) -> BlockRef:
        """Reaches the node's best block and returns it. All blocks were read with all scripts."""
        tip = self._reach_tip()
        while not self.is_read:
            self._read_again()
            tip = self._reach_tip()
        if self._store.is_first_scan:
            self._store.end_first_scan()
        return tip

    @property
    def is_read(self) -> bool:
        """Whether every block was read with everything watched that is watched for use now."""
        return self._store.reread is None and self._window.by_use == self._store.read_with

    def _read_again(self) -> None:
        """Reads all blocks once more, since an address that is found late may have been paid early.

        A pass that was interrupted is continued where it stopped. What moves the window during the
        pass leads to another one.
        """
        if self._store.reread is None:
            self._store.begin_reading(self._window.by_use, self._birthday)
        begun = time.monotonic()
        while (
            (read := self._store.reread) is not None
            and (tip := self._store.tip) is not None
            and read < tip.height
        ):
            # As they were read first, whatever the node's chain is now: that is followed after.
            last = min(read + _BATCH, tip.height)
            heights = range(max(read + 1, self._birthday), last + 1)
            known = [BlockRef(height, self._known_hash(height)) for height in heights]
            self._take([self._node.block(ref) for ref in known])
            if last < tip.height:
                pieces.pause(begun)
        self._store.end_reading()

    def _known_hash(self, height: int) -> str:
        block_hash = self._store.block_hash(height)
        if block_hash is None:
            raise BitcoinError(ErrorKind.INTERNAL, f"no block at height {height} was examined")
        return block_hash

    def _reach_tip(self) -> BlockRef:
        for _ in range(_MAX_ATTEMPTS):
            best_hash = self._node.best_hash()
            tip = self._store.tip
            if tip is not None and tip.hash == best_hash:
                return tip
            target = BlockRef(self._node.height(best_hash), best_hash)
            if self._reach(target):
                return target
        raise BitcoinError(
            ErrorKind.UNAVAILABLE, "the chain changes faster than it can be followed: try again"
        )

    def _reach(self, target: BlockRef) -> bool:
        """Undoes and applies blocks up to this one; False if the chain changed on the way."""
        fork = self._fork_height(target)
        if self._store.tip is not None and fork < self._store.tip.height:
            self._store.undo_above(fork)
        if self._store.tip is None:
            self._read_promises()
            if self._window.by_use != self._store.read_with:
                self._store.begin_reading(self._window.by_use, self._birthday)
        begun = time.monotonic()
        for first in range(fork + 1, target.height + 1, _BATCH):
            last = min(first + _BATCH - 1, target.height)
            blocks = list(self._fetch(first, last))
            if not self._take(blocks) or len(blocks) < last - first + 1:
                return False
            if last < target.height:
                pieces.pause(begun)
        return target.height < self._birthday or self._store.tip == target

    def _take(self, blocks: Iterable[Block]) -> bool:
        """Looks into blocks; False if one does not follow the tip."""
        self._read_promises()
        for block in blocks:
            if self._is_new(block) and not self._follows_tip(block):
                return False
            self._store.apply(self._examine(block))
        return True

    def _fork_height(self, target: BlockRef) -> int:
        """The height of the last block that the node's chain and the store share."""
        low = self._birthday - 1
        tip = self._store.tip
        high = low if tip is None else min(tip.height, target.height)
        # Mostly the chain has only grown.
        middle = high
        while low < high:
            if self._store.block_hash(middle) == self._node.block_hash(middle):
                low = middle
            else:
                high = middle - 1
            middle = (low + high + 1) // 2
        return low

    def _fetch(self, first: int, last: int) -> Iterator[Block]:
        """The blocks at these heights, until the chain turns out to be shorter."""
        for height in range(first, last + 1):
            block_hash = self._node.block_hash(height)
            if block_hash is None:
                return
            yield self._node.block(BlockRef(height, block_hash))

    def _is_new(self, block: Block) -> bool:
        return self._store.tip is None or block.ref.height > self._store.tip.height

    def _follows_tip(self, block: Block) -> bool:
        tip = self._store.tip
        return tip is None or (tip.height + 1, tip.hash) == (block.ref.height, block.previous)

    def _examine(self, block: Block) -> BlockEffect:
        effect = BlockEffect(block.ref, {}, {})
        for number, tx in enumerate(block.transactions):
            inputs = spends(tx)
            spent = [
                outpoint
                for outpoint in inputs
                if outpoint in self._store.coins or outpoint in effect.received
            ]
            found = self._window.find(tx.vout)
            # The txid is only computed for the few transactions that matter.
            txid = tx.GetTxid() if found or spent else b""
            effect.spent |= dict.fromkeys(spent, txid)
            if txid and number > 0:
                # One of these may be an input of an own payment, too.
                effect.inputs |= dict.fromkeys(set(inputs).difference(spent), txid)
            for vout, place in found.items():
                outpoint = Outpoint(txid, vout)
                effect.received[outpoint] = Coin(
                    outpoint=outpoint,
                    value_sat=tx.vout[vout].nValue,
                    place=place,
                    height=block.ref.height,
                    is_coinbase=number == 0,
                )
        return effect
