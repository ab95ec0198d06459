//! From signatures to a transaction: combining, finalising, extracting.

use bdk_chain::miniscript::psbt::PsbtExt;
use bitcoin::{Psbt, Transaction};
use btc_iface::{BitcoinResult, BitcoinTransaction, FeeRate};

use super::super::sign::to_bitcoin_transaction;
use super::super::weight::fee_of_weight_sat;
use super::super::{MAX_MONEY_SAT, wrong};
use super::claims::{check_shape, claimed_outputs};
use crate::wallet::keys::SECP;

/// Adds what `other` has to `psbt`: signatures, scripts, outputs that are spent.
///
/// # Errors
/// `InvalidInput`: of another transaction, or with other origins for the same key.
pub fn combine_psbts(psbt: &mut Psbt, other: Psbt) -> BitcoinResult<()> {
    check_shape(psbt)?;
    check_shape(&other)?;
    // Checked here since the library fails on some origins that contradict each other.
    let is_same_origin = |(key, origin)| psbt.xpub.get(key).is_none_or(|it| it == origin);
    if !other.xpub.iter().all(is_same_origin) {
        return Err(wrong(
            "the PSBTs name different origins for one key; use PSBTs of one wallet",
        ));
    }
    psbt.combine(other).map_err(|cause| {
        wrong("the PSBTs are of different transactions; combine those of one").with_source(cause)
    })
}

/// Finalises every input that has its signatures (BIP174); returns whether all are final. Each
/// signature is verified; an input whose signature is wrong stays as it is.
///
/// # Errors
/// `InvalidInput`: the PSBT contradicts itself.
pub fn finalize_psbt(psbt: &mut Psbt) -> BitcoinResult<bool> {
    check_shape(psbt)?;
    claimed_outputs(psbt)?;
    // What is missing shows in the inputs.
    let _ = psbt.finalize_mut(&*SECP);
    Ok(first_open_input(psbt).is_none())
}

/// Takes the transaction out of a final PSBT, with its fee.
///
/// # Errors
/// `InvalidInput`: an input is not final, or does not say what it spends; more is paid than spent;
/// a fee rate above `max_rate` or a fee above 10 % of what is spent, unless `allow_high_fee`.
pub fn extract_psbt(
    psbt: &Psbt,
    max_rate: FeeRate,
    allow_high_fee: bool,
) -> BitcoinResult<BitcoinTransaction> {
    check_shape(psbt)?;
    if let Some(index) = first_open_input(psbt) {
        return Err(wrong(format!(
            "input {index} is not final; sign and finalise it first"
        )));
    }
    let mut inputs_sat = 0_u64;
    for (index, spent) in claimed_outputs(psbt)?.into_iter().enumerate() {
        let value = spent.map(|it| it.value.to_sat()).ok_or_else(|| {
            wrong(format!(
                "input {index} does not say what it spends, so the fee cannot be checked"
            ))
        })?;
        inputs_sat = inputs_sat
            .checked_add(value)
            .filter(|sum_sat| *sum_sat <= MAX_MONEY_SAT)
            .ok_or_else(|| wrong("the inputs claim more than the 21,000,000 BTC there can be"))?;
    }
    let mut outputs = psbt.unsigned_tx.output.iter();
    let fee_sat = outputs
        .try_fold(inputs_sat, |left, it| left.checked_sub(it.value.to_sat()))
        .ok_or_else(|| wrong("the outputs are worth more than the inputs; build it again"))?;
    let transaction = final_transaction(psbt);
    let weight_wu = transaction.weight().to_wu();
    let is_high = u128::from(fee_sat) > fee_of_weight_sat(weight_wu, max_rate)
        || u128::from(fee_sat) * 10 > u128::from(inputs_sat);
    if is_high && !allow_high_fee {
        return Err(wrong(format!(
            "a fee of {fee_sat} sat for {weight_wu} WU and {inputs_sat} sat spent is out of \
             proportion; build it again, or allow a high fee (--allow-high-fee)"
        ))
        .with_context("fee_sat", fee_sat));
    }
    to_bitcoin_transaction(&transaction, fee_sat)
}

fn final_transaction(psbt: &Psbt) -> Transaction {
    let mut transaction = psbt.unsigned_tx.clone();
    for (input, parts) in transaction.input.iter_mut().zip(&psbt.inputs) {
        input.script_sig = parts.final_script_sig.clone().unwrap_or_default();
        input.witness = parts.final_script_witness.clone().unwrap_or_default();
    }
    transaction
}

fn first_open_input(psbt: &Psbt) -> Option<usize> {
    psbt.inputs
        .iter()
        .position(|it| it.final_script_sig.is_none() && it.final_script_witness.is_none())
}
