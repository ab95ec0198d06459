//! Which scripts a signature can be judged for: those of one key, and plain multisig.

use bitcoin::script::Instruction;
use bitcoin::taproot::ControlBlock;
use bitcoin::{Script, ScriptBuf, Witness, XOnlyPublicKey};

use crate::wallet::keys::SECP;

/// Whether the library interprets what unlocks this script. What does not fit the script at all
/// counts as understood: it is no signature.
pub(super) fn is_understood(locked: &Script, script_sig: &Script, witness: &Witness) -> bool {
    if locked.is_p2tr() {
        return !is_script_path(locked, witness);
    }
    if locked.is_p2wsh() {
        return is_multisig_of(locked, witness);
    }
    if locked.is_p2sh() {
        let Some(redeem) = last_push(script_sig).filter(|it| it.to_p2sh() == *locked) else {
            return true;
        };
        return if redeem.is_p2wsh() {
            is_multisig_of(&redeem, witness)
        } else {
            redeem.is_p2wpkh() || redeem.is_multisig()
        };
    }
    locked.is_p2pkh() || locked.is_p2wpkh()
}

/// Whether a P2WSH output is unlocked with plain multisig, or with another script than its own.
fn is_multisig_of(locked: &Script, witness: &Witness) -> bool {
    let script = witness.last().map(Script::from_bytes);
    script.is_none_or(|it| it.to_p2wsh() != *locked || it.is_multisig())
}

/// Whether a P2TR output is unlocked with one of its scripts.
fn is_script_path(locked: &Script, witness: &Witness) -> bool {
    let key = locked.as_bytes().get(2..).map(XOnlyPublicKey::from_slice);
    let (Some(Ok(key)), Some(leaf)) = (key, witness.taproot_leaf_script()) else {
        return false;
    };
    let mut items: Vec<&[u8]> = witness.iter().collect();
    // An annex may come last, and is no part of the script.
    if items.len() > 2 && items.last().is_some_and(|it| it.first() == Some(&0x50)) {
        items.pop();
    }
    let control = items.last().map(|it| ControlBlock::decode(it));
    matches!(control, Some(Ok(it)) if it.verify_taproot_commitment(&SECP, key, leaf.script))
}

fn last_push(script_sig: &Script) -> Option<ScriptBuf> {
    let last = script_sig.instructions().last()?.ok()?;
    match last {
        Instruction::PushBytes(bytes) => Some(ScriptBuf::from_bytes(bytes.as_bytes().to_vec())),
        Instruction::Op(_) => None,
    }
}
