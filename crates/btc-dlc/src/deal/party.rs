//! The parties of a contract as the builder of transactions wants them.

use bitcoin::secp256k1::PublicKey;
use bitcoin::{Amount, ScriptBuf};
use btc_iface::BitcoinResult;
use ddk_dlc::{PartyParams, TxInputInfo};
use ddk_messages::{AcceptDlc, FundingInput, OfferDlc};

use crate::check;
use crate::fault::refuse;

/// What the accepting side brings.
pub(crate) struct Accepting<'a> {
    pub(crate) funding_pubkey: PublicKey,
    pub(crate) payout_spk: &'a ScriptBuf,
    pub(crate) payout_serial_id: u64,
    pub(crate) change_spk: &'a ScriptBuf,
    pub(crate) change_serial_id: u64,
    pub(crate) collateral: Amount,
    pub(crate) inputs: &'a [FundingInput],
}

impl<'a> From<&'a AcceptDlc> for Accepting<'a> {
    fn from(accept: &'a AcceptDlc) -> Self {
        Self {
            funding_pubkey: accept.funding_pubkey,
            payout_spk: &accept.payout_spk,
            payout_serial_id: accept.payout_serial_id,
            change_spk: &accept.change_spk,
            change_serial_id: accept.change_serial_id,
            collateral: accept.accept_collateral,
            inputs: &accept.funding_inputs,
        }
    }
}

/// One party as the builder of transactions wants it.
pub(crate) fn party(side: &Accepting<'_>) -> BitcoinResult<PartyParams> {
    let coins = check::input_outpoints(side.inputs)?;
    let mut input_amount = Amount::ZERO;
    let mut inputs = Vec::with_capacity(coins.len());
    for (input, (outpoint, output)) in side.inputs.iter().zip(coins) {
        input_amount = input_amount
            .checked_add(output.value)
            .ok_or_else(|| refuse("funding_inputs", "more than there is"))?;
        inputs.push(TxInputInfo {
            outpoint,
            max_witness_len: input.max_witness_len.into(),
            redeem_script: input.redeem_script.clone(),
            serial_id: input.input_serial_id,
        });
    }
    Ok(PartyParams {
        fund_pubkey: side.funding_pubkey,
        change_script_pubkey: side.change_spk.clone(),
        change_serial_id: side.change_serial_id,
        payout_script_pubkey: side.payout_spk.clone(),
        payout_serial_id: side.payout_serial_id,
        inputs,
        dlc_inputs: Vec::new(),
        input_amount,
        collateral: side.collateral,
    })
}

/// The offering party of an offer.
pub(crate) fn offering(offer: &OfferDlc) -> Accepting<'_> {
    Accepting {
        funding_pubkey: offer.funding_pubkey,
        payout_spk: &offer.payout_spk,
        payout_serial_id: offer.payout_serial_id,
        change_spk: &offer.change_spk,
        change_serial_id: offer.change_serial_id,
        collateral: offer.offer_collateral,
        inputs: &offer.funding_inputs,
    }
}
