"""From a node's raw bytes to the wire's transactions, decoded by python-bitcoinlib."""

from __future__ import annotations

import struct

from bitcoin.core import CBlock, CTransaction, CTxIn, CTxOut, b2lx, b2x
from bitcoin.core.serialize import Hash, SerializationError

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.protocol import Input, Output, Transaction

WITNESS_SCALE_FACTOR = 4
_U64_MASK = 2**64 - 1


def decode_transaction(raw: bytes) -> Transaction:
    """Decodes one serialised transaction; bytes left over are an error."""
    try:
        tx = CTransaction.deserialize(raw)
    except (SerializationError, struct.error, ValueError) as error:
        raise _undecodable("transaction", error) from error
    return transaction_to_wire(tx)


def decode_block(raw: bytes, block_hash: str) -> list[Transaction]:
    """Decodes a serialised block and checks that it is the one asked for.

    The header must hash to `block_hash` (lower case), and the transactions to its merkle root.
    """
    try:
        block = CBlock.deserialize(raw)
    except (SerializationError, struct.error, ValueError) as error:
        raise _undecodable("block", error) from error
    if b2lx(block.GetHash()) != block_hash:
        raise _wrong("the node sent another block than the one asked for: check the node")
    # python-bitcoinlib built the tree while it decoded; its last hash is the root.
    if not block.vtx or block.vMerkleTree[-1] != block.hashMerkleRoot:
        raise _wrong("the block's transactions do not belong to its header: check the node")
    # Repeating the last transactions can leave the root as it is (CVE-2012-2459).
    txids = [tx.GetTxid() for tx in block.vtx]
    if txids[-1] in txids[:-1]:
        raise _wrong("the block holds a transaction twice: check the node")
    return [transaction_to_wire(tx, block_hash=block_hash) for tx in block.vtx]


def transaction_to_wire(tx: CTransaction, *, block_hash: str | None = None) -> Transaction:
    """Reads a `CTransaction` into the wire's form; identifiers and sizes come from its bytes."""
    full = tx.serialize()
    stripped = tx.serialize(params={"include_witness": False}) if tx.has_witness() else full
    stacks = [witness.scriptWitness.stack for witness in tx.wit.vtxinwit]
    # A transaction without any witness has an empty list here instead of empty stacks.
    stacks += [()] * (len(tx.vin) - len(stacks))
    return {
        "txid": b2lx(Hash(stripped)),
        "wtxid": b2lx(Hash(full)),
        "version": tx.nVersion,
        "lock_time": tx.nLockTime,
        "inputs": [_input(txin, stack) for txin, stack in zip(tx.vin, stacks, strict=True)],
        "outputs": [_output(txout) for txout in tx.vout],
        "size": len(full),
        "weight": len(stripped) * (WITNESS_SCALE_FACTOR - 1) + len(full),
        "fee_sat": None,
        "block_hash": block_hash,
        "block_height": None,
    }


def _input(txin: CTxIn, stack: tuple[bytes, ...]) -> Input:
    return {
        "previous_output": f"{b2lx(txin.prevout.hash)}:{txin.prevout.n}",
        "script_sig": b2x(txin.scriptSig),
        "sequence": txin.nSequence,
        "witness": [b2x(item) for item in stack],
    }


def _output(txout: CTxOut) -> Output:
    return {
        # python-bitcoinlib reads the amount as signed, the other implementation as unsigned; an
        # amount beyond both only occurs in invalid transactions, but must read the same.
        "value_sat": txout.nValue & _U64_MASK,
        "script_pubkey": b2x(txout.scriptPubKey),
    }


def _undecodable(what: str, error: Exception) -> BitcoinError:
    return _wrong(f"the node sent a {what} that cannot be decoded ({error}): check the node")


def _wrong(message: str) -> BitcoinError:
    return BitcoinError(ErrorKind.INVALID_RESPONSE, message)
