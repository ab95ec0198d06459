"""Faults in addresses: of another network, another script or another place of the wallet."""

from __future__ import annotations

from embit import script as scripts
from embit.ec import PublicKey

from btc_legacy.backend import LegacyBackend
from btc_legacy.protocol import Address
from btc_legacy.wallet.addresses import address_of
from btc_legacy.wallet.keys import HARDENED, Keychain, Place

_SCRIPTS = {
    "p2pkh": scripts.p2pkh,
    "p2sh-p2wpkh": lambda key: scripts.p2sh(scripts.p2wpkh(key)),
    "p2wpkh": scripts.p2wpkh,
    "p2tr": scripts.p2tr,
}
_PURPOSES = {"p2pkh": 44, "p2sh-p2wpkh": 49, "p2wpkh": 84, "p2tr": 86}
_HASHED = ("p2pkh", "p2sh-p2wpkh")
_TAPROOT = b"\x51\x20"


class _Readdressed(LegacyBackend):
    """Gives out other addresses than the wallet watches."""

    def generate_address(self, address_type: str) -> Address:
        return self._altered(super().generate_address(address_type))

    def derive_address(self, address_type: str, index: int) -> Address:
        return self._altered(super().derive_address(address_type, index))

    def _altered(self, address: Address) -> Address:
        keychain = Keychain(address["address_type"], "receive")
        return self._alter(address, Place(keychain, address.get("index") or 0))

    def _alter(self, address: Address, place: Place) -> Address:
        raise NotImplementedError

    def _with_script(self, address: Address, script: bytes) -> Address:
        address["script_pubkey"] = script.hex()
        address["address"] = address_of(script, address["network"])
        return address

    def _at(self, address: Address, place: Place) -> Address:
        """The address of another place."""
        return self._with_script(address, self._open_wallet._keyring.script(place))

    def _on_path(self, address: Address, place: Place, *account: int) -> Address:
        """The address of the place in another account."""
        purpose = HARDENED + _PURPOSES[place.keychain.address_type]
        master = self._open_wallet._unlocked()._master
        key = master.derive([purpose, *account, 0, place.index]).key.get_public_key()
        return self._with_script(address, _SCRIPTS[place.keychain.address_type](key).data)

    def _internal_key(self, place: Place) -> PublicKey:
        descriptor = self._open_wallet._keyring._descriptors[place.keychain]
        return descriptor.derive(place.index).key.get_public_key()


class WrongHrp(_Readdressed):
    """Gives segwit addresses the prefix of the public test networks."""

    def _alter(self, address: Address, _place: Place) -> Address:
        address["address"] = address_of(bytes.fromhex(address["script_pubkey"]), "signet")
        return address


class MainnetVersion(_Readdressed):
    """Gives addresses of hashes the version byte of mainnet."""

    def _alter(self, address: Address, _place: Place) -> Address:
        if address["address_type"] in _HASHED:
            address["address"] = address_of(bytes.fromhex(address["script_pubkey"]), "mainnet")
        return address


class WrongNetwork(_Readdressed):
    """Says that an address is of another network."""

    def _alter(self, address: Address, _place: Place) -> Address:
        address["network"] = "signet"
        return address


class NativeForNested(_Readdressed):
    """Gives the native script of an index where the nested one belongs."""

    def _alter(self, address: Address, place: Place) -> Address:
        if address["address_type"] != "p2sh-p2wpkh":
            return address
        return self._with_script(address, scripts.p2wpkh(self._internal_key(place)).data)


class NextIndex(_Readdressed):
    """Derives the address of the next index."""

    def _alter(self, address: Address, place: Place) -> Address:
        return self._at(address, Place(place.keychain, place.index + 1))


class ChangeForReceive(_Readdressed):
    """Derives receiving addresses on the chain of change."""

    def _alter(self, address: Address, place: Place) -> Address:
        return self._at(address, Place(Keychain(address["address_type"], "change"), place.index))


class SecondAccount(_Readdressed):
    """Derives addresses in the second account."""

    def _alter(self, address: Address, place: Place) -> Address:
        return self._on_path(address, place, HARDENED + 1, HARDENED + 1)


class MainnetCoinType(_Readdressed):
    """Derives addresses with the coin type of mainnet."""

    def _alter(self, address: Address, place: Place) -> Address:
        return self._on_path(address, place, HARDENED, HARDENED)


class NotHardened(_Readdressed):
    """Forgets that the step to the account is hardened."""

    def _alter(self, address: Address, place: Place) -> Address:
        return self._on_path(address, place, HARDENED + 1, 0)


class UntweakedOutput(_Readdressed):
    """Pays to the internal key of taproot without a tweak."""

    def _alter(self, address: Address, place: Place) -> Address:
        if address["address_type"] != "p2tr":
            return address
        return self._with_script(address, _TAPROOT + self._internal_key(place).xonly())


class ZeroMerkleRoot(_Readdressed):
    """Tweaks the key of taproot with a merkle root of zeros instead of none (BIP341)."""

    def _alter(self, address: Address, place: Place) -> Address:
        if address["address_type"] != "p2tr":
            return address
        tweaked = self._internal_key(place).taproot_tweak(bytes(32))
        return self._with_script(address, _TAPROOT + tweaked.xonly())
