//! Whether an input is unlocked, by the rules of consensus for the wallet's four script types.

use bitcoin::consensus::encode::serialize;
use bitcoin::key::{TapTweak, XOnlyPublicKey};
use bitcoin::script::PushBytes;
use bitcoin::secp256k1::{Message, Secp256k1};
use bitcoin::sighash::{Prevouts, SighashCache};
use bitcoin::{
    EcdsaSighashType, PublicKey, Script, ScriptBuf, TapSighashType, Transaction, TxOut, ecdsa,
};

/// Fails unless every input unlocks its coin with the signatures that the wallet makes: ECDSA of
/// 71 bytes at most with SIGHASH_ALL, Schnorr of 64 with SIGHASH_DEFAULT.
pub(crate) fn verify(transaction: &Transaction, prevouts: &[TxOut]) {
    assert_eq!(transaction.input.len(), prevouts.len());
    for index in 0..prevouts.len() {
        verify_input(transaction, index, prevouts);
    }
    let again: Transaction =
        bitcoin::consensus::deserialize(&serialize(transaction)).expect("its own bytes");
    assert_eq!(&again, transaction);
}

fn verify_input(transaction: &Transaction, index: usize, prevouts: &[TxOut]) {
    let secp = Secp256k1::verification_only();
    let input = &transaction.input[index];
    let spent = &prevouts[index];
    let lock = &spent.script_pubkey;
    let mut cache = SighashCache::new(transaction);
    let witness: Vec<&[u8]> = input.witness.iter().collect();
    if lock.is_p2tr() {
        assert!(input.script_sig.is_empty());
        assert_eq!(witness.len(), 1, "a key path witness has one item");
        let signature = witness[0];
        assert_eq!(signature.len(), 64);
        let key = XOnlyPublicKey::from_slice(&lock.as_bytes()[2..]).expect("a point");
        let sighash = cache
            .taproot_key_spend_signature_hash(
                index,
                &Prevouts::All(prevouts),
                TapSighashType::Default,
            )
            .expect("an input");
        let signature = bitcoin::secp256k1::schnorr::Signature::from_slice(signature);
        secp.verify_schnorr(
            &signature.expect("64 bytes"),
            &Message::from(sighash),
            &key.dangerous_assume_tweaked().to_x_only_public_key(),
        )
        .expect("a valid signature");
        return;
    }
    let (signature, key, message) = if lock.is_p2pkh() {
        assert!(witness.is_empty());
        let pushes = pushes(&input.script_sig);
        assert_eq!(pushes.len(), 2, "signature and key");
        let (signature, key) = (&pushes[0], &pushes[1]);
        let sighash = cache
            .legacy_signature_hash(index, lock, EcdsaSighashType::All.to_u32())
            .expect("an input");
        let key = PublicKey::from_slice(key).expect("a key");
        assert_eq!(lock, &ScriptBuf::new_p2pkh(&key.pubkey_hash()));
        (signature.clone(), key, Message::from(sighash))
    } else {
        let program = if lock.is_p2sh() {
            let pushes = pushes(&input.script_sig);
            assert_eq!(pushes.len(), 1, "the redeem script");
            let redeem = ScriptBuf::from_bytes(pushes[0].clone());
            assert_eq!(lock, &ScriptBuf::new_p2sh(&redeem.script_hash()));
            redeem
        } else {
            assert!(input.script_sig.is_empty());
            lock.clone()
        };
        assert!(program.is_p2wpkh());
        assert_eq!(witness.len(), 2, "signature and key");
        let (signature, key) = (witness[0], witness[1]);
        let sighash = cache
            .p2wpkh_signature_hash(index, &program, spent.value, EcdsaSighashType::All)
            .expect("an input");
        let key = PublicKey::from_slice(key).expect("a key");
        let hash = key.wpubkey_hash().expect("compressed");
        assert_eq!(program, ScriptBuf::new_p2wpkh(&hash));
        (signature.to_vec(), key, Message::from(sighash))
    };
    assert!(key.compressed);
    assert!(signature.len() <= 71, "not ground for a low R");
    let signature = ecdsa::Signature::from_slice(&signature).expect("strict DER");
    assert_eq!(signature.sighash_type, EcdsaSighashType::All);
    assert!(signature.signature.serialize_compact()[0] < 0x80);
    secp.verify_ecdsa(&message, &signature.signature, &key.inner)
        .expect("a valid signature with a low S");
}

fn pushes(script: &Script) -> Vec<Vec<u8>> {
    script
        .instructions_minimal()
        .map(|it| {
            let it = it.expect("a valid script");
            let bytes: &PushBytes = it.push_bytes().expect("pushes only");
            bytes.as_bytes().to_vec()
        })
        .collect()
}

#[test]
fn a_spoilt_signature_is_noticed() {
    use btc_iface::AddressType;

    use crate::samples;

    for address_type in AddressType::ALL {
        let coins = vec![samples::coin(1, 100_000, address_type)];
        let prevouts = samples::prevouts(&coins);
        let snapshot = samples::snapshot(coins, address_type);
        let outputs = [(samples::address(2), 20_000)];
        let draft =
            samples::plan(samples::keyring(), &snapshot, &outputs, 2).expect("enough coins");
        let good = btc_rust::wallet::build::sign(&draft, samples::keyring(), samples::signer())
            .expect("own coins");
        verify(&good, &prevouts);
        let mut bad = good;
        bad.output[0].value = bitcoin::Amount::from_sat(20_001);
        let caught = std::panic::catch_unwind(|| verify(&bad, &prevouts));
        assert!(caught.is_err(), "{address_type}: another output, unnoticed");
    }
}
