"""Signs drafts: ECDSA with a low R, Schnorr for taproot, no randomness in either."""

from __future__ import annotations

from collections.abc import Sequence

from embit.ec import PrivateKey
from embit.hashes import hash160
from embit.script import Script, Witness
from embit.transaction import (
    SIGHASH,
    Transaction,
    TransactionInput,
    TransactionOutput,
)
from embit.util import secp256k1

from btc_legacy.wallet.build import Draft
from btc_legacy.wallet.keys import Keyring, Signer

VERSION = 2
SEQUENCE = 0xFFFFFFFD

_NO_RANDOMNESS = bytes(32)


def sign(draft: Draft, keyring: Keyring, signer: Signer) -> bytes:
    """The signed transaction, serialised."""
    transaction = Transaction(
        version=VERSION,
        vin=[
            TransactionInput(coin.outpoint.txid[::-1], coin.outpoint.vout, sequence=SEQUENCE)
            for coin in draft.coins
        ],
        vout=[
            TransactionOutput(output.value_sat, Script(output.script)) for output in draft.outputs
        ],
        locktime=draft.lock_time,
    )
    values = [coin.value_sat for coin in draft.coins]
    scripts = [Script(keyring.script(coin.place)) for coin in draft.coins]
    for number, coin in enumerate(draft.coins):
        key = signer.key(coin.place)
        unlock = _UNLOCK[coin.place.keychain.address_type]
        script_sig, witness = unlock(transaction, number, key, scripts, values)
        transaction.vin[number].script_sig = Script(script_sig)
        transaction.vin[number].witness = Witness(witness)
    return bytes(transaction.serialize())


_Unlocked = tuple[bytes, list[bytes]]


def _p2pkh(
    transaction: Transaction,
    number: int,
    key: PrivateKey,
    scripts: Sequence[Script],
    _values: Sequence[int],
) -> _Unlocked:
    digest = transaction.sighash_legacy(number, scripts[number])
    return _push(_sign_ecdsa(digest, key)) + _push(key.sec()), []


def _p2wpkh(
    transaction: Transaction,
    number: int,
    key: PrivateKey,
    _scripts: Sequence[Script],
    values: Sequence[int],
) -> _Unlocked:
    script_code = Script(b"\x76\xa9\x14" + hash160(key.sec()) + b"\x88\xac")
    digest = transaction.sighash_segwit(number, script_code, values[number])
    return b"", [_sign_ecdsa(digest, key), key.sec()]


def _p2sh_p2wpkh(
    transaction: Transaction,
    number: int,
    key: PrivateKey,
    scripts: Sequence[Script],
    values: Sequence[int],
) -> _Unlocked:
    _, witness = _p2wpkh(transaction, number, key, scripts, values)
    return _push(b"\x00\x14" + hash160(key.sec())), witness


def _p2tr(
    transaction: Transaction,
    number: int,
    key: PrivateKey,
    scripts: Sequence[Script],
    values: Sequence[int],
) -> _Unlocked:
    digest = transaction.sighash_taproot(number, scripts, values)
    secret = key.taproot_tweak().secret
    return b"", [secp256k1.schnorrsig_sign(digest, secret, None, _NO_RANDOMNESS)]


_UNLOCK = {"p2pkh": _p2pkh, "p2sh-p2wpkh": _p2sh_p2wpkh, "p2wpkh": _p2wpkh, "p2tr": _p2tr}


def _sign_ecdsa(digest: bytes, key: PrivateKey) -> bytes:
    """The signature in DER with its hash type; the nonce as Bitcoin Core makes it.

    Not embit's own grinding: that looks at the length of the DER form, which is also short when
    only S is, and so ends too early.
    """
    signature = secp256k1.ecdsa_sign(digest, key.secret)
    counter = 0
    while secp256k1.ecdsa_signature_serialize_compact(signature)[0] >= 0x80:
        counter += 1
        entropy = counter.to_bytes(32, "little")
        signature = secp256k1.ecdsa_sign(digest, key.secret, None, entropy)
    return bytes(secp256k1.ecdsa_signature_serialize_der(signature)) + bytes([SIGHASH.ALL])


def _push(data: bytes) -> bytes:
    """Data of at most 75 bytes as a script pushes it."""
    return bytes([len(data)]) + data
