//! Messages signed with a wallet's addresses, checked here and by a real Bitcoin Core.

use std::env;

use bitcoin::base64::{Engine as _, engine::general_purpose::STANDARD};
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::secp256k1::{Message, Secp256k1};
use bitcoin::sign_message::signed_msg_hash;
use bitcoin::{Address, PrivateKey, ScriptBuf, Transaction};
use btc_iface::{AddressType, Chain, ErrorKind, Network};
use btc_regtest::Node;
use btc_rust::wallet::keys::{Keychain, Keyring, Signer};
use btc_rust::wallet::message::{Form, Verdict, sign, verify};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{RECEIVE, WORDS, refused};

pub(crate) fn wallet() -> (Signer, Keyring) {
    let signer = Signer::from_words(Network::Regtest, WORDS, "").expect("right words");
    let keyring = Keyring::new(Network::Regtest, &signer.accounts()).expect("own output");
    (signer, keyring)
}

pub(crate) fn judge(address: &str, message: &str, signature: &str) -> Verdict {
    verify(address, message, signature, Network::Regtest).expect("an address")
}

pub(crate) fn form_of(verdict: &Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Valid(proof) => Some(proof.form),
        _ => None,
    }
}

#[test]
fn every_address_type_signs_what_is_verified_in_each_form_it_has() {
    let (signer, keyring) = wallet();
    let mut before: Option<String> = None;
    for address_type in AddressType::ALL {
        let usual = Form::usual(address_type);
        for chain in Chain::ALL {
            let keychain = (address_type, chain);
            for message in ["", "Grüße, 世界 🙂", &"long ".repeat(1000)] {
                let mut made = Vec::new();
                for form in Form::ALL {
                    let proof = match sign(&signer, &keyring, keychain, 3, message, Some(form)) {
                        Ok(proof) => proof,
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                            continue;
                        }
                    };
                    let (address, signature) = (&proof.address, &proof.signature);
                    let expected = keyring.address(keychain, 3).expect("a small index");
                    assert_eq!(*address, expected.address);
                    assert_eq!(proof.format, form.as_str());
                    assert_eq!(
                        form_of(&judge(address, message, signature)),
                        Some(form.as_str())
                    );
                    let other = judge(address, &format!("{message} "), signature);
                    assert_eq!(other, Verdict::Invalid, "{proof:?}");
                    if let Some(other) = before.replace(signature.clone()) {
                        assert!(!judge(address, message, &other).is_valid() || !made.is_empty());
                    }
                    if form == usual {
                        let unasked = sign(&signer, &keyring, keychain, 3, message, None);
                        assert_eq!(unasked.expect("own key"), proof);
                    }
                    made.push(form.as_str());
                }
                let expected: &[&str] = match address_type {
                    AddressType::P2pkh => &["bip322-full", "legacy", "bip322-full-unprefixed"],
                    AddressType::P2shP2wpkh => &[
                        "bip322-full",
                        "bip322-simple-unprefixed",
                        "bip322-full-unprefixed",
                    ],
                    _ => &[
                        "bip322-simple",
                        "bip322-full",
                        "bip322-simple-unprefixed",
                        "bip322-full-unprefixed",
                    ],
                };
                assert_eq!(made, expected, "{address_type}");
            }
        }
    }
    let beyond = sign(&signer, &keyring, RECEIVE, 1 << 31, "", None);
    refused(beyond, ErrorKind::InvalidInput, "2147483648");
}

/// A signature of before BIP322 by any address's key, with the flags of BIP137 for its type.
fn compact(signer: &Signer, keychain: Keychain, flags: u8, message: &str) -> String {
    let key = signer.key(keychain, 0).expect("a small index");
    let digest = Message::from_digest(*signed_msg_hash(message).as_ref());
    let signature = Secp256k1::new().sign_ecdsa_recoverable(&digest, &key);
    let (recovery, bytes) = signature.serialize_compact();
    let recovery = u8::try_from(recovery.to_i32()).expect("0 to 3");
    STANDARD.encode([&[flags + recovery], &bytes[..]].concat())
}

#[test]
fn a_genuine_signature_in_another_form_is_told_apart_from_a_forged_one() {
    let (signer, keyring) = wallet();
    for address_type in AddressType::ALL {
        let keychain = (address_type, Chain::Receive);
        let address = keyring.address(keychain, 0).expect("a small index").address;
        for flags in [27, 31, 35, 39] {
            let signature = compact(&signer, keychain, flags, "hello");
            let verdict = judge(&address, "hello", &signature);
            if address_type == AddressType::P2pkh && flags == 31 {
                assert_eq!(form_of(&verdict), Some("legacy"), "{address_type} {flags}");
            } else {
                let is_other = matches!(verdict, Verdict::AnotherForm("bip137"));
                assert!(is_other, "{address_type} {flags}: {verdict:?}");
            }
            assert_eq!(judge(&address, "hullo", &signature), Verdict::Invalid);
            let other = compact(&signer, (address_type, Chain::Change), flags, "hello");
            assert_eq!(judge(&address, "hello", &other), Verdict::Invalid);
        }
        for flags in [0, 26, 43, 255] {
            let mut bytes = STANDARD
                .decode(compact(&signer, keychain, 31, "hello"))
                .expect("own output");
            bytes[0] = flags;
            let verdict = judge(&address, "hello", &STANDARD.encode(bytes));
            assert_eq!(verdict, Verdict::Invalid, "{address_type} {flags}");
        }
    }
    // As versions before BIP322's second signed for nested addresses, with its prefix.
    let nested = (AddressType::P2shP2wpkh, Chain::Receive);
    let older = sign(
        &signer,
        &keyring,
        nested,
        0,
        "hello",
        Some(Form::SimpleUnprefixed),
    );
    let older = older.expect("own key");
    let prefixed = format!("smp{}", older.signature);
    let verdict = judge(&older.address, "hello", &prefixed);
    assert!(matches!(verdict, Verdict::AnotherForm("bip322-simple")));
    assert_eq!(judge(&older.address, "hullo", &prefixed), Verdict::Invalid);
}

#[test]
fn a_signature_beyond_the_bound_is_not_judged() {
    let (_, keyring) = wallet();
    let own = keyring.address(RECEIVE, 0).expect("a small index").address;
    let long = |bytes: usize| judge(&own, "", &"A".repeat(bytes));
    assert_eq!(long(4 << 20), Verdict::Invalid);
    assert_eq!(long((4 << 20) + 1), Verdict::Inconclusive);
}

/// What makes a signature another one.
type Change<'a> = &'a dyn Fn(&mut Transaction);

#[test]
fn what_no_node_would_take_is_no_signature() {
    let (signer, keyring) = wallet();
    for address_type in AddressType::ALL {
        let keychain = (address_type, Chain::Receive);
        let proof = sign(&signer, &keyring, keychain, 0, "hello", Some(Form::Full));
        let proof = proof.expect("own key");
        let bytes = STANDARD.decode(&proof.signature[3..]).expect("own output");
        let transaction: Transaction = deserialize(&bytes).expect("own output");
        let judge = |bytes: &[u8]| {
            judge(
                &proof.address,
                "hello",
                &format!("ful{}", STANDARD.encode(bytes)),
            )
        };
        let spoil = |change: &dyn Fn(&mut Transaction)| {
            let mut spoilt = transaction.clone();
            change(&mut spoilt);
            judge(&serialize(&spoilt))
        };
        assert!(judge(&bytes).is_valid(), "{address_type}");
        assert_eq!(judge(&[&bytes[..], &[0]].concat()), Verdict::Invalid);
        assert_eq!(judge(&bytes[..bytes.len() - 1]), Verdict::Invalid);
        let changes: [Change<'_>; 8] = [
            &|it| it.output[0].value = bitcoin::Amount::ONE_SAT,
            &|it| {
                it.output[0]
                    .script_pubkey
                    .push_opcode(bitcoin::opcodes::all::OP_RETURN);
            },
            &|it| it.output.push(it.output[0].clone()),
            &|it| it.output.clear(),
            &|it| it.input[0].previous_output.vout = 1,
            &|it| it.input.push(it.input[0].clone()),
            &|it| it.lock_time = bitcoin::absolute::LockTime::from_consensus(1),
            &|it| it.input[0].sequence = bitcoin::Sequence(1),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert_eq!(spoil(change), Verdict::Invalid, "{address_type}: {number}");
        }
        // Without the script that P2SH asks for, and with one where none belongs.
        let is_nested = address_type == AddressType::P2shP2wpkh;
        let script_sig = if is_nested {
            ScriptBuf::new()
        } else {
            ScriptBuf::from_bytes(vec![0])
        };
        let bare = spoil(&|it| it.input[0].script_sig = script_sig.clone());
        assert_eq!(bare, Verdict::Invalid, "{address_type}");
        // Rules for other versions may come.
        let newer = spoil(&|it| it.version = bitcoin::transaction::Version(3));
        assert_eq!(newer, Verdict::Inconclusive, "{address_type}");
    }
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
        let proof = sign(&signer, &keyring, keychain, index, &message, None)?;
        let params = |message: &str| [json!(proof.address), json!(proof.signature), json!(message)];
        assert!(node.call::<bool>("verifymessage", &params(&message))?);
        assert!(!node.call::<bool>("verifymessage", &params("another"))?);

        let key = PrivateKey::new(signer.key(keychain, index)?, Network::Regtest);
        let cores: String = node.call(
            "signmessagewithprivkey",
            &[json!(key.to_wif()), json!(message)],
        )?;
        assert_eq!(cores, proof.signature);
        assert!(judge(&proof.address, &message, &cores).is_valid());
    }
    Ok(())
}

#[test]
fn an_address_that_cannot_be_asked_is_an_error() {
    let (_, keyring) = wallet();
    let own = keyring.address(RECEIVE, 0).expect("a small index").address;
    let asked = verify("nonsense", "", "", Network::Regtest);
    refused(asked, ErrorKind::InvalidInput, "no Bitcoin address");
    let asked = verify(&own, "", "", Network::Bitcoin);
    refused(asked, ErrorKind::InvalidInput, "another network");
    // A witness program of version 2, for which there are no rules yet.
    let program = bitcoin::WitnessProgram::new(bitcoin::WitnessVersion::V2, &[7; 32]);
    let program = program.expect("a program of 32 bytes");
    let unknown = Address::from_witness_program(program, Network::Regtest).to_string();
    assert_eq!(judge(&unknown, "", "AQA="), Verdict::Inconclusive);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_signature_is_judged(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        prefix in "(smp|ful|pof)?",
        kind in 0..4_usize,
    ) {
        let (_, keyring) = wallet();
        let keychain = (AddressType::ALL[kind], Chain::Receive);
        let address = keyring.address(keychain, 0).expect("a small index").address;
        let signature = format!("{prefix}{}", STANDARD.encode(bytes));
        prop_assert!(!judge(&address, "message", &signature).is_valid());
    }

    #[test]
    fn a_spoilt_signature_is_not_valid(
        kind in 0..4_usize,
        form in 0..Form::ALL.len(),
        place in any::<prop::sample::Index>(),
        with in 1..=255_u8,
    ) {
        let (signer, keyring) = wallet();
        let keychain = (AddressType::ALL[kind], Chain::Receive);
        let Ok(proof) = sign(&signer, &keyring, keychain, 0, "m", Some(Form::ALL[form])) else {
            return Ok(());
        };
        let has_prefix = ["smp", "ful"].iter().any(|it| proof.signature.starts_with(it));
        let (prefix, body) = proof.signature.split_at(if has_prefix { 3 } else { 0 });
        let mut bytes = STANDARD.decode(body).expect("own output");
        let place = place.index(bytes.len());
        bytes[place] ^= with;
        let spoilt = format!("{prefix}{}", STANDARD.encode(bytes));
        let verdict = judge(&proof.address, "m", &spoilt);
        // Another version of the transaction is not understood; other flags name another form.
        prop_assert!(!verdict.is_valid(), "{verdict:?}");
    }
}
