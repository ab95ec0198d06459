//! Offers and accept messages: every field, before a state changes.

use std::collections::BTreeSet;

use bitcoin::{Network, OutPoint, ScriptBuf, TxOut};
use btc_iface::BitcoinResult;
use ddk_messages::{AcceptDlc, FundingInput, OfferDlc};

use super::info::{Checked, contract_info};
use super::oracle::FIRST_TIME;
use crate::fault::{guard, refuse};
use crate::wire;

/// No party brings more coins.
const MAX_INPUTS: usize = 100;
/// The longest witness of the inputs that can be checked: P2WPKH's.
const MAX_WITNESS: u16 = 108;
/// What a side pays for at least: a count, lengths, a signature of the usual size and a key.
const MIN_WITNESS: u16 = 107;
/// The same for taproot: a count, a length, a signature.
const MIN_TAPROOT_WITNESS: u16 = 66;

/// What this side agrees to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) network: Network,
    pub(crate) max_fee_rate_sat_per_vb: u64,
    /// How long after the last event the refund becomes valid, at least and at most, in seconds.
    pub(crate) min_refund_delay_s: u32,
    pub(crate) max_refund_delay_s: u32,
}

/// Checks an offer in full: `now` is this side's clock in Unix seconds.
pub(crate) fn check_offer(offer: &OfferDlc, policy: &Policy, now: u64) -> BitcoinResult<Checked> {
    let checked = offer_fields(offer, policy)?;
    check_room(&offer.funding_inputs)?;
    check_events(&checked)?;
    if u64::from(checked.first_maturity) <= now {
        let message = "an event has matured: its outcome may be known to the other side";
        return Err(refuse("event_maturity_epoch", message));
    }
    guard("offer", || {
        ddk::contract::validate_offer(offer, 0, u32::MAX - checked.first_maturity, now)
            .map_err(|cause| refuse("offer", cause.to_string()))
    })?;
    Ok(checked)
}

/// Checks what does not depend on the time.
pub(crate) fn offer_fields(offer: &OfferDlc, policy: &Policy) -> BitcoinResult<Checked> {
    if offer.protocol_version != ddk::contract::PROTOCOL_VERSION {
        return Err(refuse("protocol_version", "only version 1 is known"));
    }
    if offer.contract_flags != 0 {
        let message = "flags change who gets the refund; only 0 is accepted";
        return Err(refuse("contract_flags", message));
    }
    if let Some(record) = offer.tlvs.raw().next() {
        let message = "an unknown record, which could send the payout to another address";
        return Err(refuse("tlvs", message).with_context("type", record.tlv_type));
    }
    if offer.chain_hash != ddk::contract::chain_hash_from_network(policy.network) {
        return Err(refuse("chain_hash", "the contract is for another chain"));
    }
    if !(1..=policy.max_fee_rate_sat_per_vb).contains(&offer.fee_rate_per_vb) {
        let message = format!(
            "the fee rate is 1 to {} sat/vB; allow more in the configuration",
            policy.max_fee_rate_sat_per_vb
        );
        return Err(refuse("fee_rate_per_vb", message));
    }
    let checked = contract_info(&offer.contract_info)?;
    if offer.offer_collateral > checked.total {
        return Err(refuse("offer_collateral", "more than both sides together"));
    }
    if offer.cet_locktime < FIRST_TIME || offer.cet_locktime > checked.first_maturity {
        let message = "a time in Unix seconds, not after the first event";
        return Err(refuse("cet_locktime", message));
    }
    check_refund(offer.refund_locktime, checked.last_maturity, policy)?;
    check_script("payout_spk", &offer.payout_spk)?;
    check_script("change_spk", &offer.change_spk)?;
    if offer.change_serial_id == offer.fund_output_serial_id {
        return Err(refuse(
            "change_serial_id",
            "the same as that of the funding output",
        ));
    }
    check_inputs(&offer.funding_inputs, offer.offer_collateral.to_sat() == 0)?;
    Ok(checked)
}

fn check_refund(refund: u32, last_maturity: u32, policy: &Policy) -> BitcoinResult<()> {
    let overflows = || refuse("event_maturity_epoch", "too late for a refund after it");
    let earliest = last_maturity
        .checked_add(policy.min_refund_delay_s)
        .ok_or_else(overflows)?;
    let latest = last_maturity.saturating_add(policy.max_refund_delay_s);
    if (earliest..=latest).contains(&refund) {
        return Ok(());
    }
    let message = format!(
        "the refund must become valid {} to {} seconds after the last event",
        policy.min_refund_delay_s, policy.max_refund_delay_s
    );
    Err(refuse("refund_locktime", message))
}

/// Checks an answer to an offer, but for its signatures.
pub(crate) fn accept(offer: &OfferDlc, checked: &Checked, accept: &AcceptDlc) -> BitcoinResult<()> {
    accept_fields(offer, checked, accept)?;
    check_room(&accept.funding_inputs)
}

/// Checks what is asked of contracts of old, too.
pub(crate) fn accept_fields(
    offer: &OfferDlc,
    checked: &Checked,
    accept: &AcceptDlc,
) -> BitcoinResult<()> {
    if accept.protocol_version != offer.protocol_version {
        return Err(refuse("protocol_version", "another than the offer's"));
    }
    if accept.temporary_contract_id != offer.temporary_contract_id {
        return Err(refuse("temporary_contract_id", "another than the offer's"));
    }
    if let Some(record) = accept.tlvs.raw().next() {
        return Err(refuse("tlvs", "an unknown record").with_context("type", record.tlv_type));
    }
    if accept.negotiation_fields.is_some() {
        let message = "the terms are not negotiated; make another offer";
        return Err(refuse("negotiation_fields", message));
    }
    if offer.offer_collateral.checked_add(accept.accept_collateral) != Some(checked.total) {
        return Err(refuse("accept_collateral", "not what the offer asks for"));
    }
    if accept.funding_pubkey == offer.funding_pubkey {
        return Err(refuse("funding_pubkey", "the offering side's own key"));
    }
    check_script("payout_spk", &accept.payout_spk)?;
    check_script("change_spk", &accept.change_spk)?;
    if [offer.change_serial_id, offer.fund_output_serial_id].contains(&accept.change_serial_id) {
        return Err(refuse("change_serial_id", "a number that is taken"));
    }
    if accept.payout_serial_id == offer.payout_serial_id {
        return Err(refuse("payout_serial_id", "a number that is taken"));
    }
    check_inputs(
        &accept.funding_inputs,
        accept.accept_collateral.to_sat() == 0,
    )?;
    let all = || offer.funding_inputs.iter().chain(&accept.funding_inputs);
    let serials: BTreeSet<u64> = all().map(|input| input.input_serial_id).collect();
    if serials.len() != all().count() {
        return Err(refuse("input_serial_id", "a number that is taken"));
    }
    let mut outpoints = input_outpoints(&offer.funding_inputs)?;
    outpoints.extend(input_outpoints(&accept.funding_inputs)?);
    let distinct: BTreeSet<_> = outpoints.iter().map(|(outpoint, _)| outpoint).collect();
    if distinct.len() != outpoints.len() {
        return Err(refuse("funding_inputs", "a coin is there twice"));
    }
    Ok(())
}

/// A script that everybody can be paid by, no longer than the fees count with.
fn check_script(field: &str, script: &ScriptBuf) -> BitcoinResult<()> {
    let is_standard = script.is_p2wpkh()
        || script.is_p2wsh()
        || script.is_p2tr()
        || script.is_p2pkh()
        || script.is_p2sh();
    if is_standard {
        return Ok(());
    }
    Err(refuse(
        field,
        "not an address that every node relays payments to",
    ))
}

fn check_inputs(inputs: &[FundingInput], is_free: bool) -> BitcoinResult<()> {
    if is_free && !inputs.is_empty() {
        let message = "a side without collateral brings no coin: it would be lost as a fee";
        return Err(refuse("funding_inputs", message));
    }
    if !is_free && !(1..=MAX_INPUTS).contains(&inputs.len()) {
        return Err(refuse("funding_inputs", "a side brings 1 to 100 coins"));
    }
    let outpoints = input_outpoints(inputs)?;
    let mut sum: u64 = 0;
    let mut seen = BTreeSet::new();
    for (input, (outpoint, output)) in inputs.iter().zip(&outpoints) {
        if !seen.insert(*outpoint) {
            return Err(refuse("funding_inputs", "a coin is there twice"));
        }
        let is_nested = output.script_pubkey.is_p2sh();
        let is_bare = input.redeem_script.is_empty();
        let is_right = if is_nested {
            input.redeem_script.is_p2wpkh() && input.redeem_script.to_p2sh() == output.script_pubkey
        } else {
            is_bare && (output.script_pubkey.is_p2wpkh() || output.script_pubkey.is_p2tr())
        };
        if !is_right {
            let message = "a coin of a kind that cannot be verified: use P2WPKH, nested P2WPKH or \
                           taproot";
            return Err(refuse("funding_inputs", message).with_context("coin", outpoint));
        }
        if input.max_witness_len > MAX_WITNESS {
            return Err(refuse(
                "max_witness_len",
                "longer than any witness of these coins",
            ));
        }
        sum = sum
            .checked_add(output.value.to_sat())
            .filter(|sum| *sum <= 21_000_000 * 100_000_000)
            .ok_or_else(|| refuse("funding_inputs", "more than there is"))?;
    }
    let serials: BTreeSet<u64> = inputs.iter().map(|input| input.input_serial_id).collect();
    if serials.len() != inputs.len() {
        return Err(refuse("input_serial_id", "a number is there twice"));
    }
    Ok(())
}

/// Refuses an event, or a nonce, that is there twice: one attestation would decide two branches, of
/// which the settlements exclude each other. Contracts of old may have that.
fn check_events(checked: &Checked) -> BitcoinResult<()> {
    const FIELD: &str = "oracle_announcements";
    let (mut events, mut nonces) = (BTreeSet::new(), BTreeSet::new());
    let branches = checked.branches.iter();
    for announcement in branches.flat_map(|branch| &branch.execution.oracle_announcements) {
        let event = &announcement.oracle_event;
        if !events.insert((announcement.oracle_public_key, &event.event_id)) {
            let message = "an event is there twice: each branch needs one of its own";
            return Err(refuse(FIELD, message).with_context("event", &event.event_id));
        }
        if !event
            .oracle_nonces
            .iter()
            .all(|nonce| nonces.insert(*nonce))
        {
            let message =
                "a nonce is there twice: signing with it would give away the oracle's key";
            return Err(refuse(FIELD, message).with_context("event", &event.event_id));
        }
    }
    Ok(())
}

/// Refuses inputs that pay for a shorter witness than they will have: the funding would have a lower
/// rate than was agreed on, and might never come into a block. Contracts of old may have them.
fn check_room(inputs: &[FundingInput]) -> BitcoinResult<()> {
    for (input, (outpoint, output)) in inputs.iter().zip(input_outpoints(inputs)?) {
        let shortest = if output.script_pubkey.is_p2tr() {
            MIN_TAPROOT_WITNESS
        } else {
            MIN_WITNESS
        };
        if input.max_witness_len < shortest {
            let message = format!("a witness of this coin has {shortest} bytes or more");
            return Err(refuse("max_witness_len", message).with_context("coin", outpoint));
        }
    }
    Ok(())
}

/// The coins that these inputs spend, each with its output.
pub(crate) fn input_outpoints(inputs: &[FundingInput]) -> BitcoinResult<Vec<(OutPoint, TxOut)>> {
    let coin = |input: &FundingInput| {
        if input.dlc_input.is_some() {
            let message = "an input that is another contract's funding (splice)";
            return Err(refuse("dlc_input", message));
        }
        let previous = wire::transaction("prev_tx", &input.prev_tx)?;
        let output = usize::try_from(input.prev_tx_vout)
            .ok()
            .and_then(|vout| previous.output.get(vout))
            .ok_or_else(|| refuse("prev_tx_vout", "the transaction has no such output"))?;
        let outpoint = OutPoint::new(previous.compute_txid(), input.prev_tx_vout);
        Ok((outpoint, output.clone()))
    };
    inputs.iter().map(coin).collect()
}
