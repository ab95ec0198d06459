//! Keys and scripts: words to accounts, accounts to addresses, indices to secret keys.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::LazyLock;

use bdk_chain::miniscript::descriptor::DescriptorType;
use bdk_chain::miniscript::{Descriptor, DescriptorPublicKey};
use bdk_wallet::keys::bip39::{Error as MnemonicError, Language, Mnemonic};
use bitcoin::bip32::{ChildNumber, DerivationPath, Fingerprint, Xpriv, Xpub};
use bitcoin::secp256k1::{All, Secp256k1, SecretKey};
use bitcoin::{Address, NetworkKind, ScriptBuf};
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinResult, Chain, ErrorKind, Network, Operation,
    Secret,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// One of the wallet's chains of keys.
pub type Keychain = (AddressType, Chain);

/// The context for all elliptic curve operations; making one costs more than a signature.
pub(crate) static SECP: LazyLock<Secp256k1<All>> = LazyLock::new(Secp256k1::new);

/// The public descriptors of one account, as in `wallet.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The script type of both.
    pub address_type: AddressType,
    /// The descriptor of the addresses that are given out, with one wildcard (BIP380).
    pub receive: String,
    /// The descriptor of change.
    pub change: String,
}

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
    /// no wildcard or a secret key; two accounts of one type; none at all.
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
        Ok(Self {
            network,
            descriptors,
        })
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

/// The account that a public descriptor with `<0;1>` for both chains (BIP389) describes.
///
/// # Errors
/// `InvalidInput`: as [`Keyring::new`], or without `<0;1>`.
pub fn watch_account(network: Network, text: &str) -> BitcoinResult<Account> {
    let usage = "give a public descriptor with both chains, as in wpkh([fingerprint/84h/0h/0h]\
                 xpub…/<0;1>/*)";
    // Without the text: someone may have put a secret key into it.
    let both = Descriptor::<DescriptorPublicKey>::from_str(text)
        .map_err(|cause| wrong(usage).with_source(cause))?
        .into_single_descriptors()
        .map_err(|cause| wrong(usage).with_source(cause))?;
    let [receive, change] = both.as_slice() else {
        return Err(wrong(usage));
    };
    let address_type = type_of(receive).ok_or_else(|| {
        wrong("the descriptor is of no type that is watched; use pkh, sh(wpkh), wpkh or tr")
    })?;
    let account = Account {
        address_type,
        // Without the checksum, as `wallet.json` has them.
        receive: format!("{receive:#}"),
        change: format!("{change:#}"),
    };
    Keyring::new(network, std::slice::from_ref(&account))?;
    Ok(account)
}

/// Reads words as people type them: any white space between them.
///
/// # Errors
/// `InvalidInput`: as [`Signer::from_words`].
pub fn parse_words(words: &str) -> BitcoinResult<Mnemonic> {
    Mnemonic::parse_in(Language::English, words).map_err(|cause| {
        let message = match &cause {
            MnemonicError::UnknownWord(position) => {
                let word = words.split_whitespace().nth(*position).unwrap_or_default();
                format!(
                    "word {} (`{word}`) is not in the English list of BIP39; check its spelling",
                    position + 1
                )
            }
            MnemonicError::BadWordCount(count) => {
                format!("{count} words; BIP39 has 12, 15, 18, 21 or 24")
            }
            MnemonicError::InvalidChecksum => {
                "the checksum of the words is wrong; check their order and each word".to_owned()
            }
            _ => "the words are not a BIP39 mnemonic in English".to_owned(),
        };
        wrong(message)
    })
}

/// The words that stand for this entropy of 16 to 32 bytes (BIP39). For new wallets,
/// [`generate_words`](super::secret::generate_words) takes the operating system's.
///
/// # Errors
/// `InvalidInput`: not 16, 20, 24, 28 or 32 bytes.
pub fn words_from_entropy(entropy: &[u8]) -> BitcoinResult<Secret> {
    let mnemonic = Mnemonic::from_entropy_in(Language::English, entropy)
        .map_err(|cause| wrong("entropy has 16, 20, 24, 28 or 32 bytes").with_source(cause))?;
    Ok(Secret::new(mnemonic.to_string()))
}

/// The purpose level of the derivation path: the number of the BIP.
pub(crate) const fn purpose(address_type: AddressType) -> u32 {
    match address_type {
        AddressType::P2shP2wpkh => 49,
        AddressType::P2wpkh => 84,
        AddressType::P2tr => 86,
        _ => 44,
    }
}

fn descriptor_text(address_type: AddressType, key: &str) -> String {
    match address_type {
        AddressType::P2shP2wpkh => format!("sh(wpkh({key}))"),
        AddressType::P2wpkh => format!("wpkh({key})"),
        AddressType::P2tr => format!("tr({key})"),
        _ => format!("pkh({key})"),
    }
}

fn parse_descriptor(
    (address_type, chain): Keychain,
    network: Network,
    text: &str,
) -> BitcoinResult<Descriptor<DescriptorPublicKey>> {
    let fail = |what: &str| {
        wrong(format!(
            "the {chain} descriptor of type {address_type} {what}"
        ))
    };
    // Without the text: someone may have put a secret key into it.
    let descriptor = Descriptor::<DescriptorPublicKey>::from_str(text).map_err(|cause| {
        fail("cannot be read; give a public BIP380 descriptor").with_source(cause)
    })?;
    if type_of(&descriptor) != Some(address_type) {
        return Err(fail(
            "is of another type; use pkh, sh(wpkh), wpkh or tr with one key",
        ));
    }
    if let Descriptor::Tr(tr) = &descriptor
        && tr.tap_tree().is_some()
    {
        return Err(fail(
            "has a script tree; only key path spending is supported",
        ));
    }
    if !descriptor.has_wildcard() || descriptor.is_multipath() {
        return Err(fail(
            "must end in one wildcard, like …/0/*, and be one of the two chains",
        ));
    }
    let kind = NetworkKind::from(network);
    let is_ours = descriptor_keys(&descriptor).all(|key| match key {
        DescriptorPublicKey::XPub(key) => key.xkey.network == kind,
        _ => false,
    });
    if !is_ours {
        return Err(fail("needs an extended public key of the wallet's network"));
    }
    Ok(descriptor)
}

fn type_of(descriptor: &Descriptor<DescriptorPublicKey>) -> Option<AddressType> {
    match descriptor.desc_type() {
        DescriptorType::Pkh => Some(AddressType::P2pkh),
        DescriptorType::ShWpkh => Some(AddressType::P2shP2wpkh),
        DescriptorType::Wpkh => Some(AddressType::P2wpkh),
        DescriptorType::Tr => Some(AddressType::P2tr),
        _ => None,
    }
}

fn descriptor_keys(
    descriptor: &Descriptor<DescriptorPublicKey>,
) -> impl Iterator<Item = DescriptorPublicKey> {
    use bdk_chain::miniscript::ForEachKey;
    let mut keys = Vec::new();
    descriptor.for_each_key(|key| {
        keys.push(key.clone());
        true
    });
    keys.into_iter()
}

fn wrong(message: impl Into<String>) -> BitcoinError {
    BitcoinError::new(ErrorKind::InvalidInput, Operation::Wallet, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                         abandon abandon about";

    fn first_address(address_type: AddressType) -> String {
        let signer = Signer::from_words(Network::Bitcoin, WORDS, "").expect("right words");
        let keyring = Keyring::new(Network::Bitcoin, &signer.accounts()).expect("own output");
        keyring
            .address((address_type, Chain::Receive), 0)
            .expect("an account of each type")
            .address
    }

    #[test]
    fn addresses_are_those_of_the_bips() {
        // BIP49 publishes a testnet vector only; this one is from BIP44's and BIP49's wallets.
        assert_eq!(
            first_address(AddressType::P2pkh),
            "1LqBGSKuX5yYUonjxT5qGfpUsXKYYWeabA"
        );
        assert_eq!(
            first_address(AddressType::P2shP2wpkh),
            "37VucYSaXLCAsxYyAPfbSi9eh4iEcbShgf"
        );
        assert_eq!(
            first_address(AddressType::P2wpkh),
            "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"
        );
        assert_eq!(
            first_address(AddressType::P2tr),
            "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"
        );
    }

    #[test]
    fn keys_belong_to_the_scripts() {
        let signer = Signer::from_words(Network::Regtest, WORDS, "pass").expect("right words");
        let keyring = Keyring::new(Network::Regtest, &signer.accounts()).expect("own output");
        for chain in Chain::ALL {
            let keychain = (AddressType::P2wpkh, chain);
            let key = signer.key(keychain, 7).expect("a small index");
            let public = bitcoin::CompressedPublicKey::from_private_key(
                &SECP,
                &bitcoin::PrivateKey::new(key, Network::Regtest),
            )
            .expect("compressed by default");
            assert_eq!(
                keyring.script(keychain, 7).expect("a small index"),
                ScriptBuf::new_p2wpkh(&public.wpubkey_hash())
            );
        }
    }

    #[test]
    fn a_wrong_word_is_named_and_the_others_are_not() {
        let words = WORDS.replace("about", "abuot");
        let error = parse_words(&words).expect_err("a misspelt word");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains("word 12 (`abuot`)"), "{error}");
        assert!(!error.to_string().contains("abandon"), "{error}");
        let short = parse_words("abandon about").expect_err("two words");
        assert!(short.message().starts_with("2 words"), "{short}");
        let order = WORDS.replacen("abandon", "about", 1);
        let order = parse_words(&order).expect_err("a wrong checksum");
        assert!(order.message().contains("checksum"), "{order}");
    }

    #[test]
    fn a_descriptor_of_both_chains_is_an_account() {
        let signer = Signer::from_words(Network::Regtest, WORDS, "").expect("right words");
        for account in signer.accounts() {
            let both = account.receive.replace("/0/*", "/<0;1>/*");
            assert_eq!(
                watch_account(Network::Regtest, &both).expect("both"),
                account
            );
            assert!(watch_account(Network::Bitcoin, &both).is_err());
            assert!(watch_account(Network::Regtest, &account.receive).is_err());
        }
    }

    #[test]
    fn descriptors_that_cannot_be_watched_are_refused() {
        let signer = Signer::from_words(Network::Regtest, WORDS, "").expect("right words");
        let good = signer.accounts().remove(2);
        let refuse = |account: Account, said: &str| {
            let error = Keyring::new(Network::Regtest, &[account]).expect_err(said);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{said}");
            assert!(error.message().contains(said), "{error}");
        };
        let changed = |receive: String| Account {
            receive,
            ..good.clone()
        };
        refuse(changed("wpkh(nonsense)".to_owned()), "cannot be read");
        refuse(changed(good.receive.replace("wpkh", "pkh")), "another type");
        refuse(changed(good.receive.replace("/0/*", "/0/1")), "wildcard");
        refuse(
            changed(good.receive.replace("/0/*", "/<0;1>/*")),
            "wildcard",
        );
        assert!(Keyring::new(Network::Bitcoin, std::slice::from_ref(&good)).is_err());
        assert!(Keyring::new(Network::Regtest, &[]).is_err());
        assert!(Keyring::new(Network::Regtest, &[good.clone(), good]).is_err());
    }
}
