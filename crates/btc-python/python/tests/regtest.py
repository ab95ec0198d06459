"""A real Bitcoin Core for tests, on a regtest chain of its own.

Needs `BITCOIND_EXE`, the path of a bitcoind; a wallet is not needed.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bitcoin.core import (
    COutPoint,
    CTransaction,
    CTxIn,
    CTxInWitness,
    CTxOut,
    CTxWitness,
    lx,
)
from bitcoin.core.script import CScript, CScriptWitness

from btc_legacy.config import Config
from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.rpc import RpcClient

BITCOIND_EXE = os.environ.get("BITCOIND_EXE")

needs_bitcoind = pytest.mark.skipif(
    not BITCOIND_EXE, reason="BITCOIND_EXE is not set to the path of a bitcoind"
)

COINBASE_MATURITY = 100
START_SECS = 60.0

# Anyone may spend these coins: no wallet and no key is needed.
ANYONE = CScript(b"\x51")
PAY_TO_ANYONE = CScript(b"\x00\x20" + hashlib.sha256(ANYONE).digest())
FEE_SAT = 1000


class Node:
    """A bitcoind with its data in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.cookie = folder / "regtest" / ".cookie"
        self.rpc = RpcClient(self.url, cookie_file=str(self.cookie))
        self._process: subprocess.Popen[bytes] | None = None
        self._heights = itertools.count(1)
        self._nonces = itertools.count()

    def config(self, **changes: Any) -> Config:
        """The configuration of a backend that uses this node."""
        settings = {
            "network": "regtest",
            "rpc_url": self.url,
            "rpc_cookie_file": str(self.cookie),
        }
        return Config(**(settings | changes))

    def start(self, *arguments: str) -> None:
        """Starts bitcoind, with more arguments if need be, and waits until it is ready.

        That is: it answers and has read its mempool, unless it is kept from that by blocks to load.
        """
        reads_mempool = not any(argument.startswith("-loadblock") for argument in arguments)
        assert BITCOIND_EXE
        self._process = subprocess.Popen(
            [
                BITCOIND_EXE,
                "-regtest",
                f"-datadir={self.folder}",
                f"-rpcport={self.port}",
                "-listen=0",
                "-txindex=1",
                "-printtoconsole=0",
                *arguments,
            ]
        )
        deadline = time.monotonic() + START_SECS
        while True:
            try:
                is_ready = self.rpc.read("getmempoolinfo")["loaded"] or not reads_mempool
            except BitcoinError as error:
                transient = (ErrorKind.UNAVAILABLE, ErrorKind.AUTH)
                if error.kind not in transient or time.monotonic() > deadline:
                    raise
                assert self._process.poll() is None, "bitcoind ended while starting"
                time.sleep(0.05)
            else:
                if is_ready:
                    return
                assert time.monotonic() < deadline, "bitcoind does not read its mempool"
                time.sleep(0.02)

    def stop(self) -> None:
        """Stops bitcoind and waits for its end."""
        assert self._process
        self.rpc.close()
        self._process.terminate()
        self._process.wait(timeout=START_SECS)

    def restart(self, *arguments: str) -> None:
        """Stops and starts it; the mempool stays unless an argument says otherwise."""
        self.stop()
        self.start(*arguments)

    def mine(self, count: int = 1) -> list[str]:
        """Mines blocks whose coins anyone may spend; returns their hashes."""
        return self._mine(count, PAY_TO_ANYONE)

    def mine_branch(self, count: int = 1) -> list[str]:
        """Mines blocks like no others, as a branch beside invalidated ones needs."""
        return self._mine(count, b"\x6a\x08" + next(self._nonces).to_bytes(8, "big"))

    def mine_empty(self, count: int = 1) -> None:
        """Mines blocks like no others, without any transaction of the mempool."""
        for _ in range(count):
            nonce = next(self._nonces).to_bytes(8, "big")
            self.rpc.write("generateblock", self._raw(b"\x6a\x08" + nonce), [])

    def mine_to(self, address: str) -> None:
        """Mines a block whose coin belongs to this address."""
        self.rpc.write("generatetoaddress", 1, address)
        self.rpc.read("syncwithvalidationinterfacequeue")

    def _mine(self, count: int, script: bytes) -> list[str]:
        hashes: list[str] = self.rpc.write("generatetodescriptor", count, self._raw(script))
        self.rpc.read("syncwithvalidationinterfacequeue")
        return hashes

    def _raw(self, script: bytes) -> str:
        descriptor: str = self.rpc.read("getdescriptorinfo", f"raw({script.hex()})")["descriptor"]
        return descriptor

    def coin(self) -> COutPoint:
        """A mature coin that anyone may spend and that no other test spends."""
        block_hash = self.rpc.read("getblockhash", next(self._heights))
        coinbase = self.rpc.read("getblock", block_hash)["tx"][0]
        return COutPoint(lx(coinbase), 0)

    def pay(
        self, outputs: Sequence[tuple[bytes, int]], *, fee_sat: int = FEE_SAT, send: bool = True
    ) -> CTransaction:
        """A transaction that pays scripts from coins that anyone may spend."""
        return self.spend(self.coin(), outputs, fee_sat=fee_sat, send=send)

    def spend(
        self,
        coin: COutPoint,
        outputs: Sequence[tuple[bytes, int]],
        *,
        fee_sat: int = FEE_SAT,
        send: bool = True,
    ) -> CTransaction:
        """A transaction that pays scripts from this coin that anyone may spend."""
        where = coin.hash[::-1].hex(), coin.n
        # One that the mempool spends already can be spent again, to replace that.
        found = self.rpc.read("gettxout", *where, True) or self.rpc.read("gettxout", *where, False)
        value = found["value"]
        left = int(value * 10**8) - sum(value for _, value in outputs) - fee_sat
        tx = CTransaction(
            vin=[CTxIn(coin, nSequence=0xFFFFFFFD)],
            vout=[
                *(CTxOut(value, CScript(script)) for script, value in outputs),
                CTxOut(left, PAY_TO_ANYONE),
            ],
            nVersion=2,
            witness=CTxWitness((CTxInWitness(CScriptWitness((ANYONE,))),)),
        )
        if send:
            self.send(tx)
        return tx

    def send(self, tx: CTransaction) -> str:
        """Sends a transaction; returns its txid."""
        txid: str = self.rpc.write("sendrawtransaction", tx.serialize().hex())
        return txid


@contextmanager
def running_node(coins: int) -> Iterator[Node]:
    """A running node with so many mature coins."""
    with tempfile.TemporaryDirectory(prefix="btc-legacy-") as folder:
        node = Node(Path(folder))
        node.start()
        node.mine(COINBASE_MATURITY + coins)
        yield node
        node.stop()
