//! Proofs of funds, and scripts that cannot be judged.

use bip322::{LockParams, ProofInput};
use bitcoin::base64::{Engine as _, engine::general_purpose::STANDARD};
use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash;
use bitcoin::opcodes::all::{OP_CHECKSIG, OP_RETURN};
use bitcoin::psbt::raw;
use bitcoin::taproot::TaprootBuilder;
use bitcoin::{
    Address, Amount, OutPoint, PrivateKey, Psbt, PublicKey, ScriptBuf, Transaction, TxOut, Txid,
    Witness, absolute, script, transaction,
};
use btc_iface::{AddressType, Chain, Network};
use btc_rust::wallet::keys::{Keychain, Keyring, Signer};
use btc_rust::wallet::message::Verdict;

use crate::message::{judge, wallet};

fn key(signer: &Signer, keychain: Keychain) -> PrivateKey {
    let secret = signer.key(keychain, 0).expect("a small index");
    PrivateKey::new(secret, Network::Regtest)
}

fn address(keyring: &Keyring, keychain: Keychain) -> Address {
    let text = keyring.address(keychain, 0).expect("a small index").address;
    let parsed: Address<_> = text.parse().expect("own output");
    parsed.assume_checked()
}

/// A coin of each type, two of them of one transaction that is given once.
fn coins(signer: &Signer, keyring: &Keyring) -> Vec<ProofInput> {
    let outputs: Vec<TxOut> = AddressType::ALL
        .into_iter()
        .map(|address_type| TxOut {
            value: Amount::from_sat(7_000),
            script_pubkey: address(keyring, (address_type, Chain::Change)).script_pubkey(),
        })
        .collect();
    let previous = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: Vec::new(),
        output: outputs.clone(),
    };
    let inputs = (0..).zip(AddressType::ALL).zip(outputs);
    inputs
        .map(|((vout, address_type), prevout)| ProofInput {
            outpoint: OutPoint::new(previous.compute_txid(), vout),
            prevout,
            prev_tx: (address_type == AddressType::P2pkh).then(|| previous.clone()),
            private_keys: vec![key(signer, (address_type, Chain::Change))],
            witness_script: None,
        })
        .collect()
}

/// What makes a proof another one.
type Change<'a> = &'a dyn Fn(&mut Psbt);

fn written(psbt: &Psbt) -> String {
    format!("pof{}", STANDARD.encode(psbt.serialize()))
}

#[test]
fn a_proof_of_funds_names_the_outputs_it_was_signed_with() {
    let (signer, keyring) = wallet();
    for address_type in AddressType::ALL {
        let keychain = (address_type, Chain::Receive);
        let own = address(&keyring, keychain);
        let inputs = coins(&signer, &keyring);
        let keys = [key(&signer, keychain)];
        let always = LockParams::default();
        let psbt = bip322::sign_pof(&own, "mine", &keys, None, &inputs, always).expect("own keys");
        let judge = |psbt: &Psbt| judge(&own.to_string(), "mine", &written(psbt));
        let Verdict::Valid(proof) = judge(&psbt) else {
            unreachable!("signed with all keys: {:?}", judge(&psbt));
        };
        let outpoints: Vec<OutPoint> = inputs.iter().map(|it| it.outpoint).collect();
        assert_eq!(
            (proof.form, &proof.funds),
            ("bip322-proof-of-funds", &outpoints)
        );
        // Without the field that says the message, as in BIP322's own examples.
        let spoil = |change: &dyn Fn(&mut Psbt)| {
            let mut spoilt = psbt.clone();
            change(&mut spoilt);
            judge(&spoilt)
        };
        assert!(spoil(&|it| it.unknown.clear()).is_valid());
        let other = |it: &mut Psbt| {
            let key = raw::Key {
                type_value: 9,
                key: Vec::new(),
            };
            it.unknown.insert(key, b"yours".to_vec());
        };
        let changes: [Change<'_>; 8] = [
            &other,
            &|it| it.inputs[2].final_script_sig = None,
            &|it| it.inputs[4].final_script_witness = None,
            &|it| it.inputs[1].non_witness_utxo = None,
            &|it| {
                // Both are missing; the transaction alone would do.
                it.inputs[1].non_witness_utxo = None;
                it.inputs[3].witness_utxo = None;
            },
            &|it| it.unsigned_tx.output[0].value = Amount::ONE_SAT,
            &|it| {
                it.unsigned_tx.output[0]
                    .script_pubkey
                    .push_opcode(OP_RETURN);
            },
            &|it| it.unsigned_tx.lock_time = absolute::LockTime::from_consensus(9),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert_eq!(spoil(change), Verdict::Invalid, "{address_type}: {number}");
        }
        // Another amount than the coin has: as signed, but not as its transaction says.
        let richer = spoil(&|it| {
            it.inputs[1].witness_utxo = Some(TxOut {
                value: Amount::from_sat(8_000),
                script_pubkey: inputs[0].prevout.script_pubkey.clone(),
            });
        });
        assert_eq!(richer, Verdict::Invalid, "{address_type}");
        let other = crate::message::judge(&own.to_string(), "yours", &written(&psbt));
        assert_eq!(other, Verdict::Invalid);
    }
}

/// A proof of this many coins, each with its transaction, and nothing signed.
fn unsigned(own: &Address, count: u32) -> Psbt {
    let spent = bip322::create_to_spend(own, "mine").expect("an address");
    let mut outpoints = vec![OutPoint::new(spent.compute_txid(), 0)];
    let mut previous = vec![None];
    for number in 0..count {
        let transaction = Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![bitcoin::TxIn::default()],
            output: vec![TxOut {
                value: Amount::from_sat(number.into()),
                script_pubkey: own.script_pubkey(),
            }],
        };
        outpoints.push(OutPoint::new(transaction.compute_txid(), 0));
        previous.push(Some(transaction));
    }
    let transaction = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: outpoints
            .into_iter()
            .map(|previous_output| bitcoin::TxIn {
                previous_output,
                ..bitcoin::TxIn::default()
            })
            .collect(),
        output: vec![TxOut {
            value: Amount::ZERO,
            script_pubkey: script::Builder::new().push_opcode(OP_RETURN).into_script(),
        }],
    };
    let mut psbt = Psbt::from_unsigned_tx(transaction).expect("no signatures");
    for (input, previous) in psbt.inputs.iter_mut().zip(previous) {
        input.non_witness_utxo = previous;
    }
    psbt
}

#[test]
fn a_proof_of_more_coins_than_the_bound_is_not_judged() {
    let (_, keyring) = wallet();
    let own = address(&keyring, (AddressType::P2wpkh, Chain::Receive));
    let judge = |count| {
        let signature = written(&unsigned(&own, count));
        judge(&own.to_string(), "mine", &signature)
    };
    assert_eq!(judge(1_000), Verdict::Invalid, "nothing is signed");
    assert_eq!(judge(1_001), Verdict::Inconclusive);
}

#[test]
fn a_legacy_coin_is_proven_with_the_transaction_that_made_it() {
    let (signer, keyring) = wallet();
    let keychain = (AddressType::P2wpkh, Chain::Receive);
    let own = address(&keyring, keychain);
    let keys = [key(&signer, keychain)];
    let inputs = coins(&signer, &keyring);
    let always = LockParams::default();
    let proof = bip322::sign_pof(&own, "mine", &keys, None, &inputs, always).expect("own keys");
    let legacy = AddressType::ALL
        .iter()
        .position(|it| *it == AddressType::P2pkh);
    let place = legacy.expect("one of the types") + 1;
    // Nothing that is signed says what such a coin is worth: the transaction does.
    let mut claimed = proof.clone();
    claimed.inputs[place].non_witness_utxo = None;
    claimed.inputs[place].witness_utxo = Some(TxOut {
        value: Amount::from_sat(7_000_000),
        ..inputs[place - 1].prevout.clone()
    });
    let verdict = judge(&own.to_string(), "mine", &written(&claimed));
    assert_eq!(verdict, Verdict::Invalid);
    // Nor is another transaction than the coin's taken for it.
    let mut other = proof;
    other.inputs[place + 1].non_witness_utxo = Some(Transaction {
        version: transaction::Version::ONE,
        lock_time: absolute::LockTime::ZERO,
        input: vec![bitcoin::TxIn::default()],
        output: vec![inputs[place].prevout.clone()],
    });
    let verdict = judge(&own.to_string(), "mine", &written(&other));
    assert_eq!(verdict, Verdict::Invalid);
}

#[test]
fn scripts_that_are_not_understood_are_neither_valid_nor_forged() {
    let secp = &bitcoin::secp256k1::Secp256k1::new();
    let (signer, _) = wallet();
    let key = PublicKey::new(
        key(&signer, (AddressType::P2wpkh, Chain::Receive))
            .inner
            .public_key(secp),
    );
    let script = script::Builder::new()
        .push_key(&key)
        .push_opcode(OP_CHECKSIG)
        .into_script();
    let unlocked = |items: &[&[u8]]| STANDARD.encode(serialize(&Witness::from_slice(items)));
    // One key in P2WSH: no multisig.
    let wsh = Address::p2wsh(&script, Network::Regtest);
    let signature = format!("smp{}", unlocked(&[&[1; 71], script.as_bytes()]));
    assert_eq!(
        judge(&wsh.to_string(), "", &signature),
        Verdict::Inconclusive
    );
    let other = Address::p2wsh(&ScriptBuf::new(), Network::Regtest);
    assert_eq!(judge(&other.to_string(), "", &signature), Verdict::Invalid);
    // A script of a taproot output.
    let leaf = script::Builder::new()
        .push_x_only_key(&key.into())
        .push_opcode(OP_CHECKSIG)
        .into_script();
    let tree = TaprootBuilder::new()
        .add_leaf(0, leaf.clone())
        .expect("one leaf");
    let spend = tree.finalize(secp, key.into()).expect("a whole tree");
    let control = spend
        .control_block(&(leaf.clone(), bitcoin::taproot::LeafVersion::TapScript))
        .expect("its leaf");
    let taproot = Address::p2tr_tweaked(spend.output_key(), Network::Regtest);
    let items: [&[u8]; 3] = [&[1; 64], leaf.as_bytes(), &control.serialize()];
    let signature = format!("smp{}", unlocked(&items));
    assert_eq!(
        judge(&taproot.to_string(), "", &signature),
        Verdict::Inconclusive
    );
    let strange = Address::p2tr(secp, key.into(), None, Network::Regtest);
    assert_eq!(
        judge(&strange.to_string(), "", &signature),
        Verdict::Invalid
    );
    // In the full form, the transaction must be the message's all the same.
    let mut to_sign = Transaction {
        version: transaction::Version(0),
        lock_time: absolute::LockTime::ZERO,
        input: vec![bitcoin::TxIn {
            previous_output: OutPoint::new(Txid::all_zeros(), 0),
            witness: Witness::from_slice(&items),
            ..bitcoin::TxIn::default()
        }],
        output: vec![TxOut {
            value: Amount::ZERO,
            script_pubkey: script::Builder::new().push_opcode(OP_RETURN).into_script(),
        }],
    };
    let full = |it: &Transaction| {
        let signature = format!("ful{}", STANDARD.encode(serialize(it)));
        judge(&taproot.to_string(), "hello", &signature)
    };
    assert_eq!(full(&to_sign), Verdict::Invalid);
    let challenge = bip322::create_to_spend(&taproot, "hello").expect("an address");
    to_sign.input[0].previous_output = OutPoint::new(challenge.compute_txid(), 0);
    assert_eq!(full(&to_sign), Verdict::Inconclusive);
}
