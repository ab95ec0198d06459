"""Keys and scripts: words to accounts, descriptors to scripts, places to secret keys."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from embit import bip32, bip39
from embit.descriptor import Descriptor
from embit.descriptor.arguments import AllowedDerivation, Key, KeyOrigin
from embit.descriptor.checksum import checksum
from embit.ec import PrivateKey

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.addresses import PARAMETERS
from btc_legacy.wire import CHAINS

HARDENED = 2**31

# BIP44, BIP49, BIP84, BIP86.
_PURPOSES = {"p2pkh": 44, "p2sh-p2wpkh": 49, "p2wpkh": 84, "p2tr": 86}

_DESCRIPTORS = {
    "p2pkh": "pkh({})",
    "p2sh-p2wpkh": "sh(wpkh({}))",
    "p2wpkh": "wpkh({})",
    "p2tr": "tr({})",
}

_WORD_COUNTS = (12, 15, 18, 21, 24)

# BIP32 keeps the depth of a key in one byte.
_MAX_DEPTH = 255

# The one way to write a descriptor, but for its checksum and the mark of a hardened step (BIP380).
# embit reads numbers as `+1`, `01` or `1_0` too, which the Rust side need not guess at.
_STEP = "/(?:0|[1-9][0-9]{0,9})"
_ORIGIN = rf"\[([0-9a-f]{{8}})((?:{_STEP}['h]?)*)\]"
_USUAL_FORM = re.compile(
    rf"(?:pkh|wpkh|tr|sh\(wpkh)\((?:{_ORIGIN})?[1-9A-HJ-NP-Za-km-z]+((?:{_STEP})*)/\*\)\)?"
)


class Keychain(NamedTuple):
    """One of the wallet's chains of keys: an address type, and receive or change."""

    address_type: str
    chain: str


@dataclass(frozen=True)
class Place:
    """Where a key is in the wallet."""

    keychain: Keychain
    index: int


class Account(NamedTuple):
    """The public descriptors of one address type, as in `wallet.json`."""

    address_type: str
    receive: str
    change: str


class Keyring:
    """The public side: every script of the wallet."""

    def __init__(self, network: str, accounts: Iterable[Account]) -> None:
        """Reads the descriptors; one that cannot be watched is an error of configuration."""
        self.network = network
        self._descriptors: dict[Keychain, Descriptor] = {}
        # The fingerprints of the master keys that the descriptors name as their origin.
        self.masters: set[str] = set()
        for account in accounts:
            for chain, text in (("receive", account.receive), ("change", account.change)):
                keychain = Keychain(account.address_type, chain)
                if keychain in self._descriptors:
                    raise _wrong(f"two accounts of type {account.address_type}: keep one")
                self._descriptors[keychain] = _parse_descriptor(keychain, text, network)
                if (master := master_of(text)) is not None:
                    self.masters.add(master)
        if not self._descriptors:
            raise _wrong("no descriptor: give one account at least")
        self._check_first_scripts()

    @property
    def keychains(self) -> tuple[Keychain, ...]:
        """The chains of keys that the wallet has."""
        return tuple(self._descriptors)

    def script(self, place: Place) -> bytes:
        """The script of the output at this place."""
        descriptor = self._descriptors.get(place.keychain)
        if descriptor is None:
            raise _no_account(place.keychain.address_type)
        _check_index(place.index)
        return bytes(descriptor.derive(place.index).script_pubkey().data)

    def _check_first_scripts(self) -> None:
        """Derives the first script of each chain, and refuses two chains that share it."""
        seen: dict[bytes, Keychain] = {}
        for keychain in self.keychains:
            try:
                script = self.script(Place(keychain, 0))
            except Exception:
                # embit raises anything from AssertionError to IndexError.
                raise _wrong(
                    f"the {keychain.chain} descriptor of type {keychain.address_type} cannot be "
                    "derived: give another one"
                ) from None
            if script in seen:
                raise _wrong(
                    f"the {seen[script].chain} and the {keychain.chain} descriptor of type "
                    f"{keychain.address_type} are one chain: give each its own"
                )
            seen[script] = keychain


class Signer:
    """The secret side: the four accounts' extended private keys. Has no repr that shows them."""

    def __init__(self, network: str, words: str, passphrase: str) -> None:
        """Derives the accounts from words (BIP39) and a passphrase, which may be empty."""
        parameters = PARAMETERS[network]
        seed = _seed(words, passphrase)
        self._master = bip32.HDKey.from_seed(seed, version=parameters["xprv"])
        coin_type = parameters["bip32"]
        self._paths = {
            address_type: [HARDENED + purpose, HARDENED + coin_type, HARDENED]
            for address_type, purpose in _PURPOSES.items()
        }
        self._keychains = {
            Keychain(address_type, chain): self._master.derive([*path, branch])
            for address_type, path in self._paths.items()
            for branch, chain in enumerate(CHAINS)
        }

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the master key (BIP32), in hexadecimal."""
        return bytes(self._master.my_fingerprint).hex()

    def accounts(self) -> list[Account]:
        """The public descriptors of the four accounts."""
        return [self._account(address_type) for address_type in self._paths]

    def check_accounts(self, keyring: Keyring, fingerprint: str | None) -> None:
        """Refuses a keyring whose descriptors give other scripts than these words, or name others.

        Without this, whoever can write wallet.json could have addresses of their own given out.
        The first script is enough: no other key derives the same one. By their scripts, since the
        same descriptor can be written in several ways.
        """
        own = Keyring(keyring.network, self.accounts())
        masters = keyring.masters | ({fingerprint} - {None})
        if masters <= {self.fingerprint} and all(
            keyring.script(Place(keychain, 0)) == own.script(Place(keychain, 0))
            for keychain in keyring.keychains
        ):
            return
        raise _wrong(
            "the words do not give the accounts of wallet.json: unlock with the secret of this "
            "wallet"
        )

    def key(self, place: Place) -> PrivateKey:
        """The secret key at this place."""
        keychain = self._keychains.get(place.keychain)
        if keychain is None:
            raise _no_account(place.keychain.address_type)
        _check_index(place.index)
        return keychain.child(place.index).key

    def _account(self, address_type: str) -> Account:
        path = self._paths[address_type]
        steps = "/".join(f"{step - HARDENED}'" for step in path)
        xpub = self._master.derive(path).to_public().to_base58()
        receive, change = (
            _DESCRIPTORS[address_type].format(f"[{self.fingerprint}/{steps}]{xpub}/{branch}/*")
            for branch in range(len(CHAINS))
        )
        return Account(address_type, receive, change)


def _seed(words: str, passphrase: str) -> bytes:
    """The seed, after checks whose messages do not repeat the words."""
    split = unicodedata.normalize("NFKD", words).split()
    if len(split) not in _WORD_COUNTS:
        raise _wrong(f"{len(split)} words: BIP39 has 12, 15, 18, 21 or 24")
    for position, word in enumerate(split, 1):
        if word not in bip39.WORDLIST:
            raise _wrong(f"word {position} is not in the English list of BIP39: check its spelling")
    mnemonic = " ".join(split)
    if not bip39.mnemonic_is_valid(mnemonic):
        raise _wrong("the checksum of the words is wrong: check their order and each word")
    # embit takes the passphrase as it is; BIP39 wants it in this form.
    return bytes(bip39.mnemonic_to_seed(mnemonic, unicodedata.normalize("NFKD", passphrase)))


def _parse_descriptor(keychain: Keychain, text: str, network: str) -> Descriptor:
    # No message repeats the text: someone may have put a secret key into it.
    where = f"the {keychain.chain} descriptor of type {keychain.address_type}"
    body, hash_sign, given = text.partition("#")
    try:
        descriptor = Descriptor.from_string(body)
        is_intact = not hash_sign or checksum(body) == given
    except Exception:
        # embit raises anything from AssertionError to IndexError.
        raise _wrong(f"{where} cannot be read: give a public BIP380 descriptor") from None
    if not is_intact:
        raise _wrong(f"{where} has a wrong checksum: copy it again")
    if _type_of(descriptor) != keychain.address_type:
        raise _wrong(f"{where} is of another type: use pkh, sh(wpkh), wpkh or tr with one key")
    key = descriptor.key
    steps = key.allowed_derivation.indexes if key.allowed_derivation else []
    if not steps or steps[-1] is not None or not all(isinstance(step, int) for step in steps[:-1]):
        raise _wrong(f"{where} must end in one wildcard, like /0/*")
    if key.is_private or key.key.version != PARAMETERS[network]["xpub"]:
        raise _wrong(f"{where} needs an extended public key of {network}")
    form = _USUAL_FORM.fullmatch(body)
    if form is None or any(number >= HARDENED for number in _numbers(form[2] or "")):
        raise _wrong(f"{where} is not in the usual form, such as wpkh([origin]xpub/0/*)")
    if key.key.depth + len(steps) > _MAX_DEPTH:
        raise _wrong(f"{where} has more than {_MAX_DEPTH} steps from the master key")
    try:
        _step_down(descriptor)
    except Exception:
        raise _wrong(f"{where} cannot be derived: give another one") from None
    return descriptor


def _step_down(descriptor: Descriptor) -> None:
    """Takes all steps but the last one, once for all scripts, which halves the time for each."""
    key = descriptor.key
    below = key.key.derive(key.allowed_derivation.indexes[:-1])
    # Without an origin, embit derives a key more for each script to make one up.
    origin = key.origin or KeyOrigin(bytes(4), [])
    descriptor.key = Key(below, origin, AllowedDerivation([None]), key.taproot)


def master_of(text: str) -> str | None:
    """The fingerprint of the master key that a descriptor names as its origin."""
    form = _USUAL_FORM.match(text)
    return form[1] if form else None


def _numbers(steps: str) -> list[int]:
    return [int(step.rstrip("h'")) for step in steps.split("/")[1:]]


def _type_of(descriptor: Descriptor) -> str | None:
    if descriptor.key is None or descriptor.taptree:
        return None
    if descriptor.is_taproot:
        return "p2tr"
    if descriptor.sh:
        return "p2sh-p2wpkh" if descriptor.wpkh else None
    return "p2wpkh" if descriptor.wpkh else "p2pkh"


def _check_index(index: int) -> None:
    if not 0 <= index < HARDENED:
        raise BitcoinError(ErrorKind.INVALID_INPUT, f"index {index}: use one below {HARDENED}")


def _no_account(address_type: str) -> BitcoinError:
    return BitcoinError(
        ErrorKind.UNSUPPORTED, f"the wallet has no account of type {address_type:.40}"
    )


def _wrong(message: str) -> BitcoinError:
    return BitcoinError(ErrorKind.CONFIGURATION, message)
