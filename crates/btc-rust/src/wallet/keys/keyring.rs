//! `Keyring`: the public side of a wallet, every script of it.

use std::collections::{BTreeMap, BTreeSet};

use bdk_chain::miniscript::{Descriptor, DescriptorPublicKey, ForEachKey};
use bitcoin::bip32::Fingerprint;
use bitcoin::{Address, ScriptBuf};
use btc_iface::{
    BitcoinAddress, BitcoinError, BitcoinResult, Chain, ErrorKind, Network, Operation,
};

use super::descriptor::parse_descriptor;
use super::{Account, Keychain, SECP, wrong};

/// The public side: every script of the wallet.
#[derive(Debug, Clone)]
pub struct Keyring {
    network: Network,
    descriptors: BTreeMap<Keychain, Descriptor<DescriptorPublicKey>>,
}

impl Keyring {
    /// Reads the descriptors of these accounts.
    ///
    /// # Errors
    /// `InvalidInput`: a descriptor that cannot be read, is of another type than it claims, has
    /// no wildcard or a secret key, or cannot be derived; both chains are the same; two accounts
    /// of one type; none at all.
    pub fn new(network: Network, accounts: &[Account]) -> BitcoinResult<Self> {
        let mut descriptors = BTreeMap::new();
        for account in accounts {
            for (chain, text) in [
                (Chain::Receive, &account.receive),
                (Chain::Change, &account.change),
            ] {
                let keychain = (account.address_type, chain);
                let descriptor = parse_descriptor(keychain, network, text)?;
                if descriptors.insert(keychain, descriptor).is_some() {
                    let message = format!("two accounts of type {}; keep one", keychain.0);
                    return Err(wrong(message));
                }
            }
        }
        if descriptors.is_empty() {
            return Err(wrong("no descriptor; give one account at least"));
        }
        let keyring = Self {
            network,
            descriptors,
        };
        keyring.check_first_scripts()?;
        Ok(keyring)
    }

    /// Derives the first script of each chain, and refuses two chains that share it.
    fn check_first_scripts(&self) -> BitcoinResult<()> {
        let mut seen = BTreeMap::new();
        for (keychain, _) in self.keychains() {
            let script = self.script(keychain, 0)?;
            if let Some((address_type, chain)) = seen.insert(script, keychain) {
                let message = format!(
                    "the {chain} and the {} descriptor of type {address_type} are one chain; give \
                     each its own, as in …/<0;1>/*",
                    keychain.1
                );
                return Err(wrong(message));
            }
        }
        Ok(())
    }

    /// The network of the addresses.
    pub fn network(&self) -> Network {
        self.network
    }

    /// The chains of keys, in ascending order.
    pub fn keychains(&self) -> impl Iterator<Item = (Keychain, &Descriptor<DescriptorPublicKey>)> {
        self.descriptors
            .iter()
            .map(|(keychain, it)| (*keychain, it))
    }

    /// The descriptor of one chain.
    ///
    /// # Errors
    /// `Unsupported`: the wallet has no account of this type.
    pub fn descriptor(
        &self,
        keychain: Keychain,
    ) -> BitcoinResult<&Descriptor<DescriptorPublicKey>> {
        self.descriptors.get(&keychain).ok_or_else(|| {
            let message = format!("the wallet has no account of type {}", keychain.0);
            BitcoinError::new(ErrorKind::Unsupported, Operation::Wallet, message)
        })
    }

    /// The master keys that the descriptors name as their origin; `None` for one that names none.
    pub(crate) fn origins(&self) -> BTreeSet<Option<Fingerprint>> {
        let mut found = BTreeSet::new();
        for descriptor in self.descriptors.values() {
            descriptor.for_each_key(|key| {
                found.insert(match key {
                    DescriptorPublicKey::XPub(key) => key.origin.as_ref().map(|origin| origin.0),
                    _ => None,
                });
                true
            });
        }
        found
    }

    /// The script at this index.
    ///
    /// # Errors
    /// As [`Keyring::address`].
    pub fn script(&self, keychain: Keychain, index: u32) -> BitcoinResult<ScriptBuf> {
        let descriptor = self.descriptor(keychain)?;
        let derived = descriptor
            .derived_descriptor(&SECP, index)
            .map_err(|cause| {
                let message = "an index is below 2147483648";
                wrong(message)
                    .with_context("index", index)
                    .with_source(cause)
            })?;
        Ok(derived.script_pubkey())
    }

    /// The address at this index.
    ///
    /// # Errors
    /// `Unsupported`: the wallet has no account of this type. `InvalidInput`: an index of 2^31
    /// or more.
    pub fn address(&self, keychain: Keychain, index: u32) -> BitcoinResult<BitcoinAddress> {
        let script_pubkey = self.script(keychain, index)?;
        let address = Address::from_script(&script_pubkey, self.network)
            .map_err(|cause| wrong("the script has no address").with_source(cause))?;
        Ok(BitcoinAddress {
            address: address.to_string(),
            address_type: keychain.0,
            network: self.network,
            script_pubkey,
            index: Some(index),
        })
    }
}
