"""Signatures: valid, of a low R, the same each time, and no longer than their weight."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from bitcoin.core.key import CPubKey
from embit.ec import PrivateKey, PublicKey, SchnorrSig, Signature
from embit.script import Script
from embit.transaction import Transaction

from btc_legacy.decode import decode_transaction
from btc_legacy.wallet.build import Change, Outpoint, Spendable, check_payments, draft, weight
from btc_legacy.wallet.keys import Keychain, Keyring, Place, Signer
from btc_legacy.wallet.sign import _sign_ecdsa, sign
from btc_legacy.wire import ADDRESS_TYPES, CHAINS
from tests.wallet_folder import WORDS

SIGNER = Signer("regtest", WORDS, "")
KEYRING = Keyring("regtest", SIGNER.accounts())

# What both implementations must build to the byte; made by this one, and read by the other's tests.
PAYMENTS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "payments.json").read_text(encoding="utf-8")
)


def test_every_signature_has_a_low_r_and_is_the_libraries_own() -> None:
    first_tries = 0
    for number in range(200):
        digest = hashlib.sha256(b"%d" % number).digest()
        key = PrivateKey(hashlib.sha256(b"key %d" % number).digest())
        signature = _sign_ecdsa(digest, key)
        assert signature[-1] == 1
        assert signature[3] <= 32, "R takes 32 bytes at most when its first bit is 0"
        assert len(signature) <= 71
        assert _sign_ecdsa(digest, key) == signature
        # Verified by OpenSSL, not by the library that signed.
        assert CPubKey(key.sec()).verify(digest, signature[:-1])
        first_tries += signature[:-1] == key.sign(digest, grind=False).serialize()
    assert 60 < first_tries < 140


def test_grinding_looks_at_r_and_not_at_the_length() -> None:
    # With these the first attempt has a high R and a short S, so that its DER form has 70 bytes.
    for number in range(100_000):
        digest = hashlib.sha256(b"short s %d" % number).digest()
        key = PrivateKey(b"\x01" * 32)
        plain = key.sign(digest, grind=False).serialize()
        if plain[3] == 33 and len(plain) <= 70:
            assert key.sign(digest).serialize() == plain, "embit's own grinding ends here"
            assert _sign_ecdsa(digest, key)[:-1] != plain
            return
    pytest.fail("no such digest")


@pytest.mark.parametrize("seed", range(40))
def test_signed_transactions_are_as_heavy_as_foreseen_or_a_little_lighter(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    coins = [
        Spendable(
            Outpoint(chance.randbytes(32), chance.randrange(5)),
            chance.randrange(10_000, 200_000),
            Place(
                Keychain(chance.choice(ADDRESS_TYPES), chance.choice(CHAINS)), chance.randrange(20)
            ),
        )
        for _ in range(chance.randrange(1, 12))
    ]
    place = Place(Keychain(chance.choice(ADDRESS_TYPES), "change"), chance.randrange(20))
    change = Change(place, KEYRING.script(place))
    payments = check_payments([("mkHS9ne12qx9pS9VojpwU5xtRd4T7X7ZUt", 546)], 1, "regtest")
    drafted = draft(payments, chance.randrange(1, 4), coins, change, 123)
    raw = sign(drafted, KEYRING, SIGNER)
    assert sign(drafted, KEYRING, SIGNER) == raw
    decoded = decode_transaction(raw)
    types = [coin.place.keychain.address_type for coin in drafted.coins]
    foreseen = weight({name: types.count(name) for name in types}, drafted.outputs)
    # One of 128 signatures has a byte less in R or S, which weighs four times without a witness.
    assert foreseen - 8 * len(types) <= decoded["weight"] <= foreseen
    assert (decoded["version"], decoded["lock_time"]) == (2, 123)
    assert {item["sequence"] for item in decoded["inputs"]} == {0xFFFFFFFD}
    _verify(raw, drafted.coins)


def _verify(raw: bytes, coins: tuple[Spendable, ...]) -> None:
    """Checks each signature against the key of the script it spends."""
    transaction = Transaction.parse(raw)
    scripts = [Script(KEYRING.script(coin.place)) for coin in coins]
    values = [coin.value_sat for coin in coins]
    for number, coin in enumerate(coins):
        spent = transaction.vin[number]
        assert (spent.txid[::-1], spent.vout) == coin.outpoint
        if coin.place.keychain.address_type == "p2tr":
            (signature,) = spent.witness.items
            digest = transaction.sighash_taproot(number, scripts, values)
            key = PublicKey.from_xonly(scripts[number].data[2:])
            assert key.schnorr_verify(SchnorrSig(signature), digest)
            continue
        if coin.place.keychain.address_type == "p2pkh":
            pushed = spent.script_sig.data
            signature, sec = pushed[1 : 1 + pushed[0]], pushed[2 + pushed[0] :]
            digest = transaction.sighash_legacy(number, scripts[number])
        else:
            signature, sec = spent.witness.items
            code = Script(b"\x76\xa9\x14" + hash160(sec) + b"\x88\xac")
            digest = transaction.sighash_segwit(number, code, values[number])
        assert PublicKey.parse(sec).verify(Signature.parse(signature[:-1]), digest)


def hash160(data: bytes) -> bytes:
    return hashlib.new("ripemd160", hashlib.sha256(data).digest()).digest()


@pytest.mark.parametrize("case", PAYMENTS, ids=lambda case: case["name"])
def test_payments_are_built_to_the_byte(case: dict[str, Any]) -> None:
    snapshot = case["snapshot"]
    coins = [
        Spendable(
            Outpoint.parse(coin["outpoint"]),
            coin["value_sat"],
            Place(Keychain(coin["address_type"], coin["chain"]), coin["index"]),
        )
        for coin in snapshot["coins"]
    ]
    place = Place(Keychain(snapshot["change_type"], "change"), snapshot["change_index"])
    change = Change(place, KEYRING.script(place))
    payments = check_payments(case["outputs"], case["fee_rate"], "regtest")
    drafted = draft(payments, case["fee_rate"], coins, change, snapshot["tip"]["height"])
    assert drafted.fee_sat == case["fee_sat"]
    assert sign(drafted, KEYRING, SIGNER).hex() == case["transaction"]
