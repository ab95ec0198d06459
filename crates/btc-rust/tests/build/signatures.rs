//! Signatures are those of the contract: the counter that grinds, the randomness that is none.

use bitcoin::hashes::{Hash, sha256};
use bitcoin::key::{Keypair, TapTweak};
use bitcoin::secp256k1::{Message, Secp256k1};
use bitcoin::sighash::{Prevouts, SighashCache};
use bitcoin::{Amount, EcdsaSighashType, TapSighashType, ecdsa};
use btc_iface::{AddressType, Chain, ErrorKind, Network};
use btc_rust::wallet::build::sign;
use btc_rust::wallet::keys::{Keyring, Signer};

use crate::samples::{WORDS, address, coin, keyring, plan, prevouts, script, signer, snapshot};

#[test]
fn ecdsa_is_ground_with_the_counter_of_bitcoin_core() {
    let secp = Secp256k1::new();
    let mut ground = 0;
    for number in 0..40 {
        let spent = coin(number, 100_000, AddressType::P2wpkh);
        let coins = snapshot(vec![spent], AddressType::P2wpkh);
        let draft = plan(keyring(), &coins, &[(address(number), 20_000)], 3).expect("enough");
        let signed = sign(&draft, keyring(), signer()).expect("own coin");

        let sighash = SighashCache::new(&draft.transaction)
            .p2wpkh_signature_hash(
                0,
                &script(&spent),
                Amount::from_sat(100_000),
                EcdsaSighashType::All,
            )
            .expect("the input");
        let message = Message::from(sighash);
        let key = signer()
            .key((spent.address_type, spent.chain), spent.index)
            .expect("its key");
        let mut expected = secp.sign_ecdsa(&message, &key);
        let mut counter = 0_u32;
        while expected.serialize_compact()[0] >= 0x80 {
            counter += 1;
            let mut entropy = [0; 32];
            entropy[..4].copy_from_slice(&counter.to_le_bytes());
            expected = secp.sign_ecdsa_with_noncedata(&message, &key, &entropy);
        }
        ground += u32::from(counter > 1);
        let found = ecdsa::Signature::from_slice(&signed.input[0].witness[0]).expect("DER");
        assert_eq!(found.signature, expected);
    }
    assert!(ground > 0, "no signature needed the counter twice");
}

#[test]
fn schnorr_has_zeros_for_randomness() {
    let secp = Secp256k1::new();
    for number in 0..10 {
        let spent = coin(number, 100_000, AddressType::P2tr);
        let coins = snapshot(vec![spent], AddressType::P2tr);
        let draft = plan(keyring(), &coins, &[(address(number), 20_000)], 3).expect("enough");
        let signed = sign(&draft, keyring(), signer()).expect("own coin");
        let prevouts = prevouts(&draft.inputs);
        let sighash = SighashCache::new(&draft.transaction)
            .taproot_key_spend_signature_hash(0, &Prevouts::All(&prevouts), TapSighashType::Default)
            .expect("the input");
        let key = signer()
            .key((spent.address_type, spent.chain), spent.index)
            .expect("its key");
        let pair = Keypair::from_secret_key(&secp, &key)
            .tap_tweak(&secp, None)
            .to_keypair();
        let expected = secp.sign_schnorr_with_aux_rand(&Message::from(sighash), &pair, &[0; 32]);
        assert_eq!(&signed.input[0].witness[0], &expected.serialize()[..]);
    }
}

/// Bytes that change here break the agreement with the other implementation.
#[test]
fn the_bytes_stay_as_they_are() {
    let coins = (0..).zip(AddressType::ALL);
    let coins: Vec<_> = coins
        .map(|(number, address_type)| coin(number, 10_000 + u64::from(number), address_type))
        .collect();
    let outputs = [(address(4), 20_000), (address(3), 15_000)];
    let draft = plan(
        keyring(),
        &snapshot(coins, AddressType::P2wpkh),
        &outputs,
        5,
    )
    .expect("enough");
    let signed = sign(&draft, keyring(), signer()).expect("own coins");
    let bytes = bitcoin::consensus::encode::serialize(&signed);
    assert_eq!(
        sha256::Hash::hash(&bytes).to_string(),
        "a58b7e38208ce4e11d91b709a8868883d91fef6d18389a48e1fe6db2f0a2759b"
    );
}

#[test]
fn another_wallets_secret_signs_nothing() {
    let other = Signer::from_words(Network::Regtest, WORDS, "another").expect("right words");
    for address_type in AddressType::ALL {
        let coins = snapshot(vec![coin(1, 100_000, address_type)], address_type);
        let draft = plan(keyring(), &coins, &[(address(1), 20_000)], 1).expect("enough");
        let error = sign(&draft, keyring(), &other).expect_err("the wrong secret");
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }
}

#[test]
fn a_watched_account_is_all_that_is_needed_to_plan() {
    let accounts: Vec<_> = signer().accounts().into_iter().skip(3).collect();
    let watched = Keyring::new(Network::Regtest, &accounts).expect("own output");
    let coins = vec![coin(1, 100_000, AddressType::P2tr)];
    let outputs = [(address(1), 20_000)];
    let draft = plan(
        &watched,
        &snapshot(coins.clone(), AddressType::P2tr),
        &outputs,
        1,
    )
    .expect("enough");
    assert_eq!(
        draft.transaction.output[1].script_pubkey,
        keyring()
            .script((AddressType::P2tr, Chain::Change), 7)
            .expect("a small index")
    );
    let error = plan(&watched, &snapshot(coins, AddressType::P2wpkh), &outputs, 1)
        .expect_err("no such account for change");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
