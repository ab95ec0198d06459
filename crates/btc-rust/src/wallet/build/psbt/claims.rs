//! What a PSBT claims about the outputs it spends, checked as far as it can be by itself.

use bitcoin::{Psbt, TxOut};
use btc_iface::{BitcoinError, BitcoinResult};

use super::super::wrong;

/// Refuses a PSBT that its own transaction does not fit, or of another version than 0.
///
/// # Errors
/// `InvalidInput`.
pub(super) fn check_shape(psbt: &Psbt) -> BitcoinResult<()> {
    if psbt.version != 0 {
        let version = psbt.version;
        return Err(wrong(format!("a PSBT of version {version}; use version 0")));
    }
    let transaction = &psbt.unsigned_tx;
    let is_unsigned = transaction
        .input
        .iter()
        .all(|input| input.script_sig.is_empty() && input.witness.is_empty());
    if psbt.inputs.len() != transaction.input.len()
        || psbt.outputs.len() != transaction.output.len()
        || !is_unsigned
    {
        return Err(wrong(
            "the PSBT does not fit its transaction; build it again",
        ));
    }
    Ok(())
}

/// The output that input `index` spends, if the PSBT says. A previous transaction must be the one
/// the input names; a witness output beside it must be the same.
///
/// # Errors
/// `InvalidInput`: it contradicts itself.
pub(super) fn claimed_output(psbt: &Psbt, index: usize) -> BitcoinResult<Option<TxOut>> {
    let input = &psbt.inputs[index];
    let outpoint = psbt.unsigned_tx.input[index].previous_output;
    let Some(previous) = &input.non_witness_utxo else {
        return Ok(input.witness_utxo.clone());
    };
    if previous.compute_txid() != outpoint.txid {
        return Err(contradiction(
            index,
            "has another previous transaction than the one it spends",
        ));
    }
    let output = usize::try_from(outpoint.vout)
        .ok()
        .and_then(|vout| previous.output.get(vout))
        .ok_or_else(|| contradiction(index, "spends an output that does not exist"))?;
    if input.witness_utxo.as_ref().is_some_and(|it| it != output) {
        return Err(contradiction(
            index,
            "claims another amount or script than its previous transaction has",
        ));
    }
    Ok(Some(output.clone()))
}

/// All of them, for a PSBT of the right shape.
pub(super) fn claimed_outputs(psbt: &Psbt) -> BitcoinResult<Vec<Option<TxOut>>> {
    (0..psbt.inputs.len())
        .map(|index| claimed_output(psbt, index))
        .collect()
}

/// `InvalidInput` about one input.
pub(super) fn contradiction(index: usize, what: &str) -> BitcoinError {
    wrong(format!("input {index} {what}; do not sign this"))
}
