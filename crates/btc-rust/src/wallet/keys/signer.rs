//! `Signer`: the secret side of a wallet, its accounts' extended private keys.

use std::collections::BTreeMap;

use bitcoin::NetworkKind;
use bitcoin::bip32::{ChildNumber, DerivationPath, Fingerprint, Xpriv, Xpub};
use bitcoin::secp256k1::SecretKey;
use btc_iface::{AddressType, BitcoinError, BitcoinResult, ErrorKind, Network, Operation};
use zeroize::Zeroizing;

use super::descriptor::descriptor_text;
use super::words::parse_words;
use super::{Account, Keychain, SECP, wrong};

/// The secret side: the accounts' extended private keys, zeroed when dropped.
pub struct Signer {
    fingerprint: Fingerprint,
    accounts: BTreeMap<AddressType, SecretAccount>,
}

struct SecretAccount {
    path: DerivationPath,
    xpriv: Xpriv,
}

impl Signer {
    /// Derives the four accounts from words (BIP39) and an optional passphrase.
    ///
    /// # Errors
    /// `InvalidInput`: not 12 to 24 words of the English list with a right checksum; a wrong word
    /// is named by its position and, since a misspelt word is no secret, by its text.
    pub fn from_words(network: Network, words: &str, passphrase: &str) -> BitcoinResult<Self> {
        let mnemonic = parse_words(words)?;
        let seed = Zeroizing::new(mnemonic.to_seed(passphrase));
        let master = Xpriv::new_master(network, seed.as_slice())
            .map_err(|cause| wrong("the words give no key").with_source(cause))?;
        let coin = u32::from(NetworkKind::from(network) != NetworkKind::Main);
        let mut accounts = BTreeMap::new();
        for address_type in AddressType::ALL {
            let path: DerivationPath = [purpose(address_type), coin, 0]
                .map(|index| ChildNumber::Hardened { index })
                .into_iter()
                .collect();
            let xpriv = master
                .derive_priv(&SECP, &path)
                .map_err(|cause| wrong("the words give no account").with_source(cause))?;
            accounts.insert(address_type, SecretAccount { path, xpriv });
        }
        let fingerprint = master.fingerprint(&SECP);
        let mut master = master;
        master.private_key.non_secure_erase();
        Ok(Self {
            fingerprint,
            accounts,
        })
    }

    /// The fingerprint of the master key (BIP32).
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The public descriptors of the four accounts.
    pub fn accounts(&self) -> Vec<Account> {
        self.accounts
            .iter()
            .map(|(address_type, account)| {
                let xpub = Xpub::from_priv(&SECP, &account.xpriv);
                let key = format!("[{}/{}]{xpub}", self.fingerprint, account.path);
                Account {
                    address_type: *address_type,
                    receive: descriptor_text(*address_type, &format!("{key}/0/*")),
                    change: descriptor_text(*address_type, &format!("{key}/1/*")),
                }
            })
            .collect()
    }

    /// The secret key at this index. The caller erases it.
    ///
    /// # Errors
    /// `Unsupported`: no account of this type. `InvalidInput`: an index of 2^31 or more.
    pub fn key(&self, keychain: Keychain, index: u32) -> BitcoinResult<SecretKey> {
        let account = self.accounts.get(&keychain.0).ok_or_else(|| {
            let message = format!("the wallet has no account of type {}", keychain.0);
            BitcoinError::new(ErrorKind::Unsupported, Operation::Wallet, message)
        })?;
        let index = ChildNumber::from_normal_idx(index)
            .map_err(|cause| wrong("an index is below 2147483648").with_source(cause))?;
        let path = [
            ChildNumber::Normal {
                index: keychain.1.branch(),
            },
            index,
        ];
        let child = account
            .xpriv
            .derive_priv(&SECP, &path)
            .map_err(|cause| wrong("the key cannot be derived").with_source(cause))?;
        Ok(child.private_key)
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        for account in self.accounts.values_mut() {
            account.xpriv.private_key.non_secure_erase();
        }
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// The purpose level of the derivation path: the number of the BIP.
const fn purpose(address_type: AddressType) -> u32 {
    match address_type {
        AddressType::P2shP2wpkh => 49,
        AddressType::P2wpkh => 84,
        AddressType::P2tr => 86,
        _ => 44,
    }
}
