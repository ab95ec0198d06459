//! Keys and scripts: words to accounts, accounts to addresses, indices to secret keys.

mod descriptor;
mod keyring;
mod signer;
mod words;

use std::sync::LazyLock;

use bitcoin::secp256k1::{All, Secp256k1};
use btc_iface::{AddressType, BitcoinError, Chain, ErrorKind, Operation};
use serde::{Deserialize, Serialize};

pub use self::descriptor::{both_chains, watch_account};
pub use self::keyring::Keyring;
pub use self::signer::Signer;
pub use self::words::{parse_words, words_from_entropy};

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

fn wrong(message: impl Into<String>) -> BitcoinError {
    BitcoinError::new(ErrorKind::InvalidInput, Operation::Wallet, message)
}

#[cfg(test)]
mod tests {
    use bitcoin::ScriptBuf;
    use btc_iface::Network;

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
