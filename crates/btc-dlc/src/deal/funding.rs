//! The funding output: one alone, with a script of its own and the value that both put in.

use bitcoin::Amount;
use btc_iface::BitcoinResult;
use ddk_dlc::{DlcTransactions, PartyParams};

use crate::fault::{internal, refuse, refused};

/// Refuses transactions whose funding output could be taken for another one: it is found by its
/// script alone.
pub(super) fn check(
    transactions: &DlcTransactions,
    offer: &PartyParams,
    accept: &PartyParams,
    rate: u64,
) -> BitcoinResult<()> {
    let script = transactions.funding_script_pubkey();
    for party in [offer, accept] {
        for (field, own) in [
            ("change_spk", &party.change_script_pubkey),
            ("payout_spk", &party.payout_script_pubkey),
        ] {
            if *own == script {
                return Err(refuse(field, "the script of the contract's own funding"));
            }
        }
    }
    let outputs = transactions.fund.output.iter();
    let found: Vec<_> = outputs.filter(|it| it.script_pubkey == script).collect();
    if found.len() != 1 || found[0].value != value(offer, accept, rate)? {
        return Err(internal("the funding does not pay what both put in, once"));
    }
    Ok(())
}

/// What both put in, and the fees of a settlement.
fn value(offer: &PartyParams, accept: &PartyParams, rate: u64) -> BitcoinResult<Amount> {
    let too_much = || refuse("total_collateral", "more than there is");
    let total = offer.collateral.checked_add(accept.collateral);
    let total = total.ok_or_else(too_much)?;
    let mut value = total;
    for (party, other) in [(offer, accept), (accept, offer)] {
        let theirs = Some(other.payout_script_pubkey.as_script());
        let (_, _, fee) = party
            .get_change_output_and_fees_with_counterparty(total, rate, Amount::ZERO, theirs)
            .map_err(refused("funding_inputs"))?;
        value = value.checked_add(fee).ok_or_else(too_much)?;
    }
    Ok(value)
}
