"""Faults in how transactions are signed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from embit.ec import PrivateKey
from embit.hashes import hash160
from embit.script import Script
from embit.transaction import SIGHASH
from embit.util import secp256k1

from btc_legacy.mutants.copies import WithWallet, copied, variant
from btc_legacy.wallet import Wallet
from btc_legacy.wallet import sign as signing

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_ALL = bytes([SIGHASH.ALL])

_Unlocked = tuple[bytes, list[bytes]]


def _signing(**names: object) -> type[Wallet]:
    """A wallet whose signing finds these names."""
    return variant(Wallet, sign=copied(signing.sign, **names))


def _unlocking(**unlock: Callable[..., _Unlocked]) -> type[Wallet]:
    """A wallet with other signatures for these types of address."""
    types = {
        ("p2sh-p2wpkh" if name == "p2sh_p2wpkh" else name): function
        for name, function in unlock.items()
    }
    return _signing(_UNLOCK={**signing._UNLOCK, **types})


def _with_ecdsa(sign: Callable[[bytes, PrivateKey], bytes]) -> type[Wallet]:
    """A wallet with other ECDSA signatures."""
    p2wpkh = copied(signing._p2wpkh, _sign_ecdsa=sign)
    return _unlocking(
        p2pkh=copied(signing._p2pkh, _sign_ecdsa=sign),
        p2sh_p2wpkh=copied(signing._p2sh_p2wpkh, _p2wpkh=p2wpkh),
        p2wpkh=p2wpkh,
    )


class VersionOne(WithWallet):
    """Makes version 1 instead of 2."""

    wallet_class = _signing(VERSION=1)


class NotReplaceable(WithWallet):
    """Does not signal that it may be replaced (BIP125)."""

    wallet_class = _signing(SEQUENCE=0xFFFFFFFE)


def _anyone_can_pay(
    transaction: Any,
    number: int,
    key: PrivateKey,
    _scripts: Sequence[Script],
    values: Sequence[int],
) -> _Unlocked:
    hash_type = SIGHASH.ALL | SIGHASH.ANYONECANPAY
    script_code = Script(b"\x76\xa9\x14" + hash160(key.sec()) + b"\x88\xac")
    digest = transaction.sighash_segwit(number, script_code, values[number], hash_type)
    signature = signing._sign_ecdsa(digest, key)[:-1]
    return b"", [signature + bytes([hash_type]), key.sec()]


class AnyoneCanPay(WithWallet):
    """Signs native segwit inputs without the others (SIGHASH_ANYONECANPAY)."""

    wallet_class = _unlocking(p2wpkh=_anyone_can_pay)


def _high_s(digest: bytes, key: PrivateKey) -> bytes:
    signature = secp256k1.ecdsa_signature_parse_der(signing._sign_ecdsa(digest, key)[:-1])
    compact = secp256k1.ecdsa_signature_serialize_compact(signature)
    high = _ORDER - int.from_bytes(compact[32:], "big")
    signature = secp256k1.ecdsa_signature_parse_compact(compact[:32] + high.to_bytes(32, "big"))
    return bytes(secp256k1.ecdsa_signature_serialize_der(signature)) + _ALL


class HighS(WithWallet):
    """Signs with the other S, which is as valid and which no node relays."""

    wallet_class = _with_ecdsa(_high_s)


def _is_low(signature: bytes) -> bool:
    return bool(secp256k1.ecdsa_signature_serialize_compact(signature)[0] < 0x80)


def _other_nonce(digest: bytes, key: PrivateKey) -> bytes:
    signature = secp256k1.ecdsa_sign(digest, key.secret, None, secrets.token_bytes(32))
    while not _is_low(signature):
        signature = secp256k1.ecdsa_sign(digest, key.secret, None, secrets.token_bytes(32))
    return bytes(secp256k1.ecdsa_signature_serialize_der(signature)) + _ALL


class RandomNonce(WithWallet):
    """Signs with a nonce that is not derived from key and message (RFC6979)."""

    wallet_class = _with_ecdsa(_other_nonce)


def _high_r(digest: bytes, key: PrivateKey) -> bytes:
    signature = secp256k1.ecdsa_sign(digest, key.secret)
    counter = 0
    while _is_low(signature):
        counter += 1
        signature = secp256k1.ecdsa_sign(digest, key.secret, None, counter.to_bytes(32, "little"))
    return bytes(secp256k1.ecdsa_signature_serialize_der(signature)) + _ALL


class HighR(WithWallet):
    """Looks for a high R, which takes a byte more, instead of a low one."""

    wallet_class = _with_ecdsa(_high_r)


class AuxiliaryRandomness(WithWallet):
    """Signs taproot with auxiliary randomness (BIP340)."""

    wallet_class = _unlocking(p2tr=copied(signing._p2tr, _NO_RANDOMNESS=secrets.token_bytes(32)))


def _schnorr(secret_of: Callable[[PrivateKey], PrivateKey]) -> Callable[..., _Unlocked]:
    def unlock(
        transaction: Any,
        number: int,
        key: PrivateKey,
        scripts: Sequence[Script],
        values: Sequence[int],
    ) -> _Unlocked:
        digest = transaction.sighash_taproot(number, scripts, values)
        secret = secret_of(key).secret
        return b"", [secp256k1.schnorrsig_sign(digest, secret, None, bytes(32))]

    return unlock


class SignsUntweaked(WithWallet):
    """Signs taproot with the internal key, untweaked."""

    wallet_class = _unlocking(p2tr=_schnorr(lambda key: key))


class SignsZeroMerkleRoot(WithWallet):
    """Signs taproot with a key that is tweaked with a merkle root of zeros (BIP341)."""

    wallet_class = _unlocking(p2tr=_schnorr(lambda key: key.taproot_tweak(bytes(32))))
