"""Addresses and scripts, and the smallest amount that is worth an output."""

from __future__ import annotations

from typing import Any

from embit import base58, bech32
from embit.networks import NETWORKS
from embit.script import Script

# embit's parameters by our names of the networks; the public test networks share theirs.
PARAMETERS: dict[str, dict[str, Any]] = {
    "mainnet": NETWORKS["main"],
    "testnet3": NETWORKS["test"],
    "testnet4": NETWORKS["test"],
    "signet": NETWORKS["signet"],
    "regtest": NETWORKS["regtest"],
}

_MAX_BASE58_CHARS = 50
_HASH_BYTES = 20

_OP_1 = 0x51
_OP_16 = 0x60

# What nodes take as the size of the input that will spend an output, in bytes.
_SPENDING_WITNESS_BYTES = 67
_SPENDING_OTHER_BYTES = 148
_DUST_SAT_PER_BYTE = 3
_AMOUNT_BYTES = 8


def script_of(address: str, network: str) -> bytes | None:
    """The script that a payment to this address carries; None if it is none of the network's."""
    return _segwit_script(address, network) or _base58_script(address, network)


def address_of(script: bytes, network: str) -> str:
    """The address of one of the wallet's scripts."""
    return str(Script(script).address(PARAMETERS[network]))


def dust_limit_sat(script: bytes) -> int:
    """The least amount that nodes relay in an output with this script, at 3 sat/vB."""
    spending = _SPENDING_WITNESS_BYTES if _is_witness_program(script) else _SPENDING_OTHER_BYTES
    return _DUST_SAT_PER_BYTE * (_AMOUNT_BYTES + 1 + len(script) + spending)


def _segwit_script(address: str, network: str) -> bytes | None:
    version, program = bech32.decode(PARAMETERS[network]["bech32"], address)
    if version is None:
        return None
    return bytes([_OP_1 + version - 1 if version else 0, len(program), *program])


def _base58_script(address: str, network: str) -> bytes | None:
    # The time to decode grows with the square of the length.
    if len(address) > _MAX_BASE58_CHARS:
        return None
    try:
        payload = base58.decode_check(address)
    except ValueError:
        return None
    prefix, content = payload[:1], bytes(payload[1:])
    if len(content) != _HASH_BYTES:
        return None
    if prefix == PARAMETERS[network]["p2pkh"]:
        return b"\x76\xa9\x14" + content + b"\x88\xac"
    if prefix == PARAMETERS[network]["p2sh"]:
        return b"\xa9\x14" + content + b"\x87"
    return None


def _is_witness_program(script: bytes) -> bool:
    """A version and one push of 2 to 40 bytes (BIP141)."""
    return (
        4 <= len(script) <= 42
        and (script[0] == 0 or _OP_1 <= script[0] <= _OP_16)
        and script[1] == len(script) - 2
    )
