//! The wallet's signatures in a PSBT that may come from anybody.

use bitcoin::psbt::Input;
use bitcoin::sighash::SighashCache;
use bitcoin::{
    EcdsaSighashType, OutPoint, Psbt, PublicKey, Script, ScriptBuf, TapSighashType, TxOut, ecdsa,
    taproot,
};
use btc_iface::{AddressType, BitcoinError, BitcoinResult, ErrorKind, Operation};

use super::super::sign::{Key, redeem_script};
use super::super::wrong;
use super::claims::{check_shape, claimed_outputs, contradiction};
use crate::wallet::keys::{Keychain, Signer};

/// Signs the inputs that spend coins of the wallet; returns how many it signed.
///
/// `is_mine` says where in the wallet a script is; `known` which of the wallet's outputs an
/// outpoint is, spent or not.
///
/// # Behavior
/// - The signatures are those of [`sign`](super::super::sign()). Inputs that are final stay as
///   they are, and so does the whole PSBT when there is an error.
/// - Every claim is checked: a witness output against the previous transaction, both against what
///   the wallet knows, scripts and keys against the wallet's own. A coin of ECDSA type that the
///   wallet does not know is signed only if the previous transaction is there, since its amount
///   may be a lie.
/// - An input of a segwit coin that says nothing of what it spends is told it from the wallet's
///   books, so that others can finalise it.
///
/// # Errors
/// `InvalidInput`: a claim is wrong or what it takes to check it is missing; a signature hash type
/// other than ALL (for taproot DEFAULT or ALL). `Configuration`: the secret is not that of the
/// wallet's scripts. `Unsupported`: no account of a coin's type.
pub fn sign_psbt(
    psbt: &mut Psbt,
    signer: &Signer,
    is_mine: impl Fn(&Script) -> Option<(Keychain, u32)>,
    known: impl Fn(OutPoint) -> Option<TxOut>,
) -> BitcoinResult<usize> {
    check_shape(psbt)?;
    let mut prevouts = claimed_outputs(psbt)?;
    let mut keys = Vec::new();
    for (index, claimed) in prevouts.iter_mut().enumerate() {
        let input = &psbt.inputs[index];
        let known = known(psbt.unsigned_tx.input[index].previous_output);
        match (&*claimed, &known) {
            (Some(claimed), Some(known)) if claimed != known => {
                let what = "claims another amount or script than the wallet knows";
                return Err(contradiction(index, what));
            }
            (None, Some(_)) => claimed.clone_from(&known),
            _ => {}
        }
        let Some(spent) = claimed else { continue };
        if input.final_script_sig.is_some() || input.final_script_witness.is_some() {
            continue;
        }
        let Some((keychain, place)) = is_mine(&spent.script_pubkey) else {
            continue;
        };
        let is_taproot = keychain.0 == AddressType::P2tr;
        if known.is_none() && input.non_witness_utxo.is_none() && !is_taproot {
            let what = "does not prove its amount; add the previous transaction";
            return Err(wrong(format!("input {index} {what}")));
        }
        let key = Key::derive(signer, keychain, place)?;
        check_key(&key, &spent.script_pubkey)?;
        check_input(input, index, &key, keychain.0)?;
        keys.push((index, keychain.0, key));
    }
    let signatures = make_signatures(psbt, &keys, &prevouts)?;
    let count = signatures.len();
    for (index, signature) in signatures {
        let input = &mut psbt.inputs[index];
        // What a creator left out, for those who finish it; of a P2PKH coin it would not do.
        let is_bare = input.witness_utxo.is_none() && input.non_witness_utxo.is_none();
        let spent = prevouts[index].as_ref();
        if is_bare && spent.is_some_and(|it| !it.script_pubkey.is_p2pkh()) {
            input.witness_utxo = spent.cloned();
        }
        match signature {
            Signature::Schnorr(signature) => input.tap_key_sig = Some(signature),
            Signature::Ecdsa(key, signature, redeem_script) => {
                input.partial_sigs.insert(key, signature);
                input.redeem_script = redeem_script.or(input.redeem_script.take());
            }
        }
    }
    Ok(count)
}

/// A signature, with what finalising takes besides.
enum Signature {
    Ecdsa(PublicKey, ecdsa::Signature, Option<ScriptBuf>),
    Schnorr(taproot::Signature),
}

fn make_signatures(
    psbt: &Psbt,
    keys: &[(usize, AddressType, Key)],
    prevouts: &[Option<TxOut>],
) -> BitcoinResult<Vec<(usize, Signature)>> {
    // A taproot signature is over everything that the transaction spends.
    let all: Option<Vec<TxOut>> = prevouts.iter().cloned().collect();
    let mut cache = SighashCache::new(&psbt.unsigned_tx);
    let mut signatures = Vec::with_capacity(keys.len());
    for (index, address_type, key) in keys {
        let index = *index;
        let public = PublicKey::new(key.public());
        let signature = match address_type {
            AddressType::P2tr => {
                let all = all.as_deref().ok_or_else(|| {
                    wrong("a taproot input is to be signed, and some input does not say what it spends; add its witness_utxo")
                })?;
                let sighash_type = match psbt.inputs[index].sighash_type {
                    None => TapSighashType::Default,
                    Some(it) => it.taproot_hash_ty().unwrap_or(TapSighashType::Default),
                };
                Signature::Schnorr(key.sign_schnorr(&mut cache, index, all, sighash_type)?)
            }
            AddressType::P2wpkh | AddressType::P2shP2wpkh => {
                let spent = prevouts[index]
                    .as_ref()
                    .ok_or_else(|| contradiction(index, "does not say what it spends"))?;
                let signature = key.sign_segwit(&mut cache, index, spent.value)?;
                let redeem = (*address_type == AddressType::P2shP2wpkh)
                    .then(|| redeem_script(&key.public()));
                Signature::Ecdsa(public, signature, redeem)
            }
            _ => Signature::Ecdsa(public, key.sign_legacy(&cache, index)?, None),
        };
        signatures.push((index, signature));
    }
    Ok(signatures)
}

/// The wallet's books say whose script it is; its secret must agree.
fn check_key(key: &Key, script_pubkey: &Script) -> BitcoinResult<()> {
    if key.script_pubkey() == script_pubkey {
        return Ok(());
    }
    Err(BitcoinError::new(
        ErrorKind::Configuration,
        Operation::CreateTransaction,
        "the secret does not belong to the wallet's descriptors; open the wallet with its own",
    ))
}

/// What the input says about how it is unlocked must be how the wallet unlocks it.
fn check_input(
    input: &Input,
    index: usize,
    key: &Key,
    address_type: AddressType,
) -> BitcoinResult<()> {
    let is_allowed = match (input.sighash_type, address_type) {
        (None, _) => true,
        (Some(it), AddressType::P2tr) => matches!(
            it.taproot_hash_ty(),
            Ok(TapSighashType::Default | TapSighashType::All)
        ),
        (Some(it), _) => it.ecdsa_hash_ty() == Ok(EcdsaSighashType::All),
    };
    if !is_allowed {
        return Err(wrong(format!(
            "input {index} asks for a signature that leaves parts of the transaction open; only \
             the signature hash types ALL and DEFAULT are signed"
        )));
    }
    let redeem = redeem_script(&key.public());
    if input.redeem_script.is_some()
        && (address_type != AddressType::P2shP2wpkh
            || input.redeem_script.as_ref() != Some(&redeem))
    {
        return Err(contradiction(
            index,
            "has another redeem script than the wallet",
        ));
    }
    if input.witness_script.is_some() {
        return Err(contradiction(
            index,
            "has a witness script, which the wallet's coins have not",
        ));
    }
    let internal = key.public().x_only_public_key().0;
    if input.tap_internal_key.is_some_and(|it| it != internal)
        || input.tap_merkle_root.is_some()
        || !input.tap_scripts.is_empty()
    {
        return Err(contradiction(
            index,
            "has another taproot key or script tree than the wallet",
        ));
    }
    Ok(())
}
