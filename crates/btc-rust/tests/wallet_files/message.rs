//! Messages signed with a wallet's addresses, checked here and by a real Bitcoin Core.

use std::env;

use btc_iface::{AddressType, Chain, ErrorKind, Network};
use btc_regtest::Node;
use btc_rust::wallet::keys::{Keyring, Signer};
use btc_rust::wallet::message::{sign, verify};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{RECEIVE, WORDS, refused};

fn wallet() -> (Signer, Keyring) {
    let signer = Signer::from_words(Network::Regtest, WORDS, "").expect("right words");
    let keyring = Keyring::new(Network::Regtest, &signer.accounts()).expect("own output");
    (signer, keyring)
}

#[test]
fn every_address_type_signs_what_is_verified() {
    let (signer, keyring) = wallet();
    let check = |address: &str, message: &str, signature: &str| {
        verify(address, message, signature, Network::Regtest).expect("an address")
    };
    let mut before: Option<String> = None;
    for address_type in AddressType::ALL {
        for chain in Chain::ALL {
            for message in ["", "Grüße, 世界 🙂", &"long ".repeat(1000)] {
                let keychain = (address_type, chain);
                let proof = sign(&signer, &keyring, keychain, 3, message).expect("own key");
                let (address, signature) = (&proof.address, &proof.signature);
                let expected = keyring.address(keychain, 3).expect("a small index");
                assert_eq!(*address, expected.address);
                assert!(check(address, message, signature), "{proof:?}");
                assert!(!check(address, &format!("{message} "), signature));
                if let Some(other) = before.replace(signature.clone()) {
                    assert!(!check(address, message, &other), "of another address");
                }
            }
        }
    }
    let beyond = sign(&signer, &keyring, RECEIVE, 1 << 31, "");
    refused(beyond, ErrorKind::InvalidInput, "2147483648");
}

#[test]
fn bitcoin_core_verifies_the_legacy_form() -> Result<(), Box<dyn std::error::Error>> {
    let builder = Node::builder();
    let node = match env::var_os("BITCOIND_EXE") {
        Some(exe) => builder.exe(exe).start()?,
        None => builder.start()?,
    };
    let (signer, keyring) = wallet();
    let keychain = (AddressType::P2pkh, Chain::Receive);
    for index in 0..5 {
        let message = format!("message {index} äöü");
        let proof = sign(&signer, &keyring, keychain, index, &message)?;
        let params = |message: &str| [json!(proof.address), json!(proof.signature), json!(message)];
        assert!(node.call::<bool>("verifymessage", &params(&message))?);
        assert!(!node.call::<bool>("verifymessage", &params("another"))?);

        let key = bitcoin::PrivateKey::new(signer.key(keychain, index)?, Network::Regtest);
        let cores: String = node.call(
            "signmessagewithprivkey",
            &[json!(key.to_wif()), json!(message)],
        )?;
        assert_eq!(cores, proof.signature);
        assert!(verify(&proof.address, &message, &cores, Network::Regtest)?);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_signature_is_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..4_usize) {
        let (_, keyring) = wallet();
        let keychain = (AddressType::ALL[kind], Chain::Receive);
        let address = keyring.address(keychain, 0).expect("a small index").address;
        let signature = bitcoin::base64::Engine::encode(
            &bitcoin::base64::engine::general_purpose::STANDARD,
            bytes,
        );
        let judged = verify(&address, "message", &signature, Network::Regtest);
        prop_assert!(!matches!(judged, Ok(true)));
    }
}
