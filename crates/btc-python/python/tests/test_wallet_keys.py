"""Keys and scripts, against the vectors of the BIPs and of other wallets."""

from __future__ import annotations

import pytest
from embit.descriptor.checksum import add_checksum
from embit.hashes import hash160

from btc_legacy.errors import BitcoinError, ErrorKind
from btc_legacy.wallet.addresses import address_of
from btc_legacy.wallet.keys import HARDENED, Account, Keychain, Keyring, Place, Signer
from btc_legacy.wire import ADDRESS_TYPES, CHAINS
from tests.wallet_folder import OTHER_WORDS, WORDS

FIRST_ADDRESSES = {
    "p2pkh": "1LqBGSKuX5yYUonjxT5qGfpUsXKYYWeabA",
    "p2sh-p2wpkh": "37VucYSaXLCAsxYyAPfbSi9eh4iEcbShgf",
    "p2wpkh": "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
    "p2tr": "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
}


def keyring(network: str = "regtest") -> Keyring:
    """The test words' scripts."""
    return Keyring(network, Signer(network, WORDS, "").accounts())


def keyring_of(passphrase: str, words: str = WORDS) -> Keyring:
    """The scripts of words with a passphrase."""
    return Keyring("regtest", Signer("regtest", words, passphrase).accounts())


@pytest.mark.parametrize("address_type", ADDRESS_TYPES)
def test_addresses_are_those_of_the_bips(address_type: str) -> None:
    script = keyring("mainnet").script(Place(Keychain(address_type, "receive"), 0))
    assert address_of(script, "mainnet") == FIRST_ADDRESSES[address_type]


def test_accounts_are_those_of_bip84() -> None:
    signer = Signer("mainnet", WORDS, "")
    assert signer.fingerprint == "73c5da0a"
    xpub = (
        "xpub6CatWdiZiodmUeTDp8LT5or8nmbKNcuyvz7WyksVFkKB4RHwCD3XyuvPEbvqAQY3rAPshWcMLoP2fMFMKHPJ4Z"
        "eZXYVUhLv1VMrjPC7PW6V"
    )
    assert signer.accounts()[2] == Account(
        "p2wpkh",
        f"wpkh([73c5da0a/84'/0'/0']{xpub}/0/*)",
        f"wpkh([73c5da0a/84'/0'/0']{xpub}/1/*)",
    )
    change = keyring("mainnet").script(Place(Keychain("p2wpkh", "change"), 0))
    assert address_of(change, "mainnet") == "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el"


@pytest.mark.parametrize("network", ["testnet3", "testnet4", "signet", "regtest"])
def test_test_networks_have_their_coin_type(network: str) -> None:
    for account in Signer(network, WORDS, "").accounts():
        assert "'/1'/0']tpub" in account.receive


def test_keys_belong_to_the_scripts() -> None:
    signer, scripts = Signer("regtest", WORDS, "pass"), keyring_of("pass")
    for chain in CHAINS:
        place = Place(Keychain("p2wpkh", chain), 7)
        assert scripts.script(place) == b"\x00\x14" + hash160(signer.key(place).sec())


def test_words_and_passphrase_are_normalised() -> None:
    place = Place(Keychain("p2tr", "receive"), 0)
    untidy = "\n " + WORDS.replace(" ", "\t ") + "  "
    assert keyring_of("", untidy).script(place) == keyring_of("").script(place)
    composed, decomposed = keyring_of("\u00e9"), keyring_of("e\u0301")
    assert composed.script(place) == decomposed.script(place) != keyring_of("").script(place)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("abandon about", "2 words"),
        ("abandon " * 26 + "about", "27 words"),
        ("", "0 words"),
        ("abandon " * 11 + "abuot", "word 12 "),
        ("about " + "abandon " * 10 + "about", "checksum"),
    ],
)
def test_wrong_words_are_not_repeated(words: str, said: str) -> None:
    with pytest.raises(BitcoinError, match=said) as caught:
        Signer("regtest", words, "")
    assert caught.value.kind is ErrorKind.CONFIGURATION
    assert "ab" not in caught.value.message.replace("about", "")
    assert caught.value.__cause__ is None


def _account(receive: str) -> Account:
    good = Signer("regtest", WORDS, "").accounts()[2]
    return good._replace(receive=receive)


GOOD = Signer("regtest", WORDS, "").accounts()[2].receive
KEY = GOOD.removeprefix("wpkh(").removesuffix(")")
MAINNET = Signer("mainnet", WORDS, "").accounts()[2].receive
SECRET = Signer("regtest", WORDS, "")._master.to_base58()


@pytest.mark.parametrize(
    ("receive", "said"),
    [
        ("", "cannot be read"),
        ("wpkh(nonsense)", "cannot be read"),
        ("wpkh(", "cannot be read"),
        (GOOD.replace("wpkh", "pkh"), "another type"),
        (f"sh(wpkh({KEY}))", "another type"),
        (f"tr({KEY})", "another type"),
        (f"wsh(pk({KEY}))", "another type"),
        (GOOD.replace("/0/*", "/0/1"), "wildcard"),
        (GOOD.replace("/0/*", ""), "wildcard"),
        (GOOD.replace("/0/*", "/*/0"), "wildcard"),
        (GOOD.replace("/0/*", "/<0;1>/*"), "wildcard"),
        (GOOD.replace("/0/*", "/0/*h"), "cannot be read"),
        (MAINNET, "of regtest"),
        (f"wpkh({SECRET}/0/*)", "of regtest"),
        ("wpkh(0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798)", "wildcard"),
        (add_checksum(GOOD)[:-1] + "q", "checksum"),
        (GOOD + "#", "checksum"),
    ],
)
def test_descriptors_that_cannot_be_watched_are_refused(receive: str, said: str) -> None:
    with pytest.raises(BitcoinError, match=said) as caught:
        Keyring("regtest", [_account(receive)])
    assert caught.value.kind is ErrorKind.CONFIGURATION
    assert "prv" not in caught.value.message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("receive", [add_checksum(GOOD), GOOD.replace("'", "h"), f"wpkh({KEY})"])
def test_descriptors_may_be_written_in_several_ways(receive: str) -> None:
    place = Place(Keychain("p2wpkh", "receive"), 3)
    assert Keyring("regtest", [_account(receive)]).script(place) == keyring().script(place)


def test_a_script_tree_is_refused() -> None:
    account = Account("p2tr", f"tr({KEY},pk({KEY}))", f"tr({KEY})")
    with pytest.raises(BitcoinError, match="another type"):
        Keyring("regtest", [account])


def test_accounts_must_be_there_once() -> None:
    account = Signer("regtest", WORDS, "").accounts()[0]
    for accounts, said in (([], "no descriptor"), ([account, account], "two accounts")):
        with pytest.raises(BitcoinError, match=said):
            Keyring("regtest", accounts)


def test_places_that_do_not_exist() -> None:
    watch_only = Keyring("regtest", Signer("regtest", WORDS, "").accounts()[:1])
    signer = Signer("regtest", OTHER_WORDS, "")
    with pytest.raises(BitcoinError, match="no account of type p2tr") as caught:
        watch_only.script(Place(Keychain("p2tr", "receive"), 0))
    assert caught.value.kind is ErrorKind.UNSUPPORTED
    for index in (HARDENED, 2**32 - 1):
        for derive in (watch_only.script, signer.key):
            with pytest.raises(BitcoinError, match="index") as caught:
                derive(Place(Keychain("p2pkh", "receive"), index))
            assert caught.value.kind is ErrorKind.INVALID_INPUT
    watch_only.script(Place(Keychain("p2pkh", "receive"), HARDENED - 1))


def test_nothing_shows_the_secret() -> None:
    signer = Signer("regtest", WORDS, "pass")
    assert "prv" not in repr(signer)
    assert "abandon" not in repr(signer)
