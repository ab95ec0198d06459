//! Closing by agreement.

use bitcoin::secp256k1::PublicKey;
use bitcoin::{Amount, Transaction, Txid};
use btc_iface::BitcoinResult;
use btc_iface::dlc::{ContractId, ContractState, DlcMessage, Role};
use ddk_messages::{AcceptDlc, CloseDlc, FundingSignatures, OfferDlc};

use super::{Dlc, raw, serial};
use crate::deal::Deal;
use crate::fault::{guard, invalid, refuse, refused};
use crate::store::{Closing, Ending, Row};
use crate::wire;

impl Dlc {
    pub(super) fn make_proposal(&self, id: ContractId, own_sat: u64) -> BitcoinResult<DlcMessage> {
        let mut row = self.confirmed(id)?;
        let offer = Self::offer_of(&row)?;
        let accept = Self::accept_of(&row)?;
        let deal = self.deal_of(&offer, &accept)?;
        let total = Amount::from_sat(row.facts.total_sat);
        let own = Amount::from_sat(own_sat);
        let theirs = total
            .checked_sub(own)
            .ok_or_else(|| refuse("own_payout_sat", "more than the collateral of both"))?;
        let accept_payout = match row.facts.role {
            Role::Offerer => theirs,
            Role::Accepter => own,
        };
        let rate = offer.fee_rate_per_vb;
        let spend = closing(&deal, total, accept_payout, rate)?;
        let key = self.key(&row, &deal)?;
        let message = wire::message(&CloseDlc {
            protocol_version: offer.protocol_version,
            contract_id: deal.contract_id(&id.0),
            close_signature: deal.half(&spend, &key)?,
            accept_payout,
            fee_rate_per_vb: rate,
            fund_input_serial_id: serial(),
            funding_inputs: Vec::new(),
            funding_signatures: FundingSignatures {
                funding_signatures: Vec::new(),
            },
        })?;
        let known = (spend.compute_txid(), own_sat);
        if !row.facts.proposals.contains(&known) {
            row.facts.proposals.push(known);
            self.store.update(&mut row)?;
        }
        Ok(message)
    }

    pub(super) fn take_proposal(&self, message: &DlcMessage, own_sat: u64) -> BitcoinResult<Txid> {
        let close = wire::close(message)?;
        let id = self.by_contract_id(ContractId(close.contract_id))?.id;
        let mut row = self.confirmed(id)?;
        let offer = Self::offer_of(&row)?;
        let accept = Self::accept_of(&row)?;
        let deal = self.deal_of(&offer, &accept)?;
        let total = Amount::from_sat(row.facts.total_sat);
        check(&close, &offer, total)?;
        let own = match row.facts.role {
            Role::Accepter => close.accept_payout,
            Role::Offerer => total - close.accept_payout,
        };
        if own.to_sat() != own_sat {
            let message = format!("the proposal gives this side {} sat", own.to_sat());
            return Err(refuse("accept_payout", message).with_context("expected_sat", own_sat));
        }
        let mut spend = closing(&deal, total, close.accept_payout, close.fee_rate_per_vb)?;
        let their_key = their_key(&row, &offer, &accept);
        let signature = &close.close_signature;
        deal.verify_half("close_signature", &spend, &their_key, signature)?;
        deal.complete(&mut spend, &self.key(&row, &deal)?, &their_key, signature)?;
        deal.check_spend(&spend)?;
        let closing = Closing {
            ending: Ending::Close,
            txid: spend.compute_txid(),
            raw: raw(&spend),
        };
        // Beside a settlement, not in its place: a node may refuse a closing for ever.
        let stored = closing.raw.clone();
        let known = (closing.txid, own_sat);
        if !row.facts.proposals.contains(&known) {
            row.facts.proposals.push(known);
        }
        row.facts.agreed = Some(closing);
        self.store.update(&mut row)?;
        self.broadcast(&stored)
    }

    fn confirmed(&self, id: ContractId) -> BitcoinResult<Row> {
        let row = self.row(id)?;
        match row.facts.state() {
            ContractState::Confirmed => Ok(row),
            state => Err(invalid(format!("the contract is {state}, not confirmed"))),
        }
    }
}

fn their_key(row: &Row, offer: &OfferDlc, accept: &AcceptDlc) -> PublicKey {
    match row.facts.role {
        Role::Offerer => accept.funding_pubkey,
        Role::Accepter => offer.funding_pubkey,
    }
}

fn check(close: &CloseDlc, offer: &OfferDlc, total: Amount) -> BitcoinResult<()> {
    if close.protocol_version != offer.protocol_version {
        return Err(refuse("protocol_version", "another than the offer's"));
    }
    if !close.funding_inputs.is_empty() {
        return Err(refuse(
            "funding_inputs",
            "a closing with further coins is not supported",
        ));
    }
    if !close.funding_signatures.funding_signatures.is_empty() {
        return Err(refuse("funding_signatures", "signatures of no coin"));
    }
    if close.accept_payout > total {
        return Err(refuse("accept_payout", "more than the collateral of both"));
    }
    if close.fee_rate_per_vb != offer.fee_rate_per_vb {
        return Err(refuse("fee_rate_per_vb", "another than the contract's"));
    }
    Ok(())
}

/// The transaction that both sign.
fn closing(
    deal: &Deal,
    total: Amount,
    accept_payout: Amount,
    rate: u64,
) -> BitcoinResult<Transaction> {
    let offer_payout = total
        .checked_sub(accept_payout)
        .ok_or_else(|| refuse("accept_payout", "more than the collateral of both"))?;
    let spend = guard("accept_payout", || {
        ddk_dlc::create_collaborative_close_transaction(
            &deal.offer,
            offer_payout,
            &deal.accept,
            accept_payout,
            deal.outpoint(),
            deal.transactions.get_fund_output().value,
            rate,
            &[],
        )
        .map_err(refused("accept_payout"))
    })?;
    if spend.output.is_empty() {
        return Err(refuse("accept_payout", "the closing pays nothing but dust"));
    }
    Ok(spend)
}
