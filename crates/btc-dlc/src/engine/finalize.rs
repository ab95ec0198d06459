//! Completing the funding: verified, stored, and only then handed to the network.

use bitcoin::{Txid, Witness};
use btc_iface::dlc::{ContractId, ContractState, DlcMessage, Role};
use btc_iface::{BitcoinError, BitcoinResult};
use ddk_messages::{AcceptDlc, FundingInput, OfferDlc, SignDlc};

use super::coins::outpoints;
use super::{Dlc, position, raw};
use crate::check;
use crate::deal::Deal;
use crate::fault::{internal, invalid, refuse};
use crate::store::{Facts, Phase, Row};
use crate::wire;

impl Dlc {
    pub(super) fn finalize_contract(&self, message: &DlcMessage) -> BitcoinResult<Txid> {
        let sign = wire::sign(message)?;
        let mut row = self.by_contract_id(ContractId(sign.contract_id))?;
        if row.facts.role != Role::Accepter {
            return Err(invalid(
                "this is an own sign message; the other side completes it",
            ));
        }
        match row.facts.phase {
            Phase::Accepted => match row.facts.state() {
                ContractState::Accepted | ContractState::Confirmed => {
                    self.complete(&mut row, message, &sign)?;
                }
                state => {
                    let message = format!("the contract is {state}; nothing is signed");
                    return Err(invalid(message));
                }
            },
            Phase::Signed if row.facts.escape_raw.is_some() => {
                return Err(invalid("the contract was given up"));
            }
            // Again: what is stored counts, and leaves once more, if it still may.
            Phase::Signed if row.sign.as_deref() == Some(message.as_bytes()) => {
                if row.facts.funding_height.is_none() && self.has_matured(&row.facts) {
                    return Err(matured());
                }
            }
            Phase::Signed => return Err(refuse("contract_id", "completed with another message")),
            _ => return Err(invalid("the contract was given up")),
        }
        self.hand_over_funding(&mut row)
    }

    fn complete(&self, row: &mut Row, message: &DlcMessage, sign: &SignDlc) -> BitcoinResult<()> {
        let offer = Self::offer_of(row)?;
        let accept = Self::accept_of(row)?;
        let deal = self.deal_of(&offer, &accept)?;
        Self::verify_sign(&deal, &offer, sign, row.id)?;
        if row.facts.state() == ContractState::Confirmed || self.is_funded(&deal)? {
            // A copy of the store that is older than the funding: nothing is signed once more.
            Self::their_witnesses(&deal, &offer, sign)?;
            self.key(row, &deal)?;
            row.facts.phase = Phase::Signed;
            row.sign = Some(message.as_bytes().to_vec());
            return self.store.update(row);
        }
        let checked = check::contract_info(&offer.contract_info)?;
        if u64::from(checked.first_maturity) <= self.now() {
            return Err(matured());
        }
        self.refuse_missing_coins(&offer.funding_inputs)?;
        // Without it nothing could be settled.
        self.key(row, &deal)?;
        // Theirs first: an own signature exists only once theirs are known to be right.
        let theirs = Self::their_witnesses(&deal, &offer, sign)?;
        let reason = self.reason(row);
        let coins = outpoints(&accept.funding_inputs)?;
        // If an own coin is gone, the funding could never be: nothing is signed.
        self.parts.funding.extend(&reason, &coins, None)?;
        let funding = self.signed_funding(&deal, &offer, &accept, theirs);
        funding
            .and_then(|funding| {
                row.facts.phase = Phase::Signed;
                row.facts.funding_raw = Some(raw(&funding));
                row.sign = Some(message.as_bytes().to_vec());
                self.store.update(row)
            })
            .inspect_err(|_| self.wait_again(row.id, &coins))
    }

    fn verify_sign(
        deal: &Deal,
        offer: &OfferDlc,
        sign: &SignDlc,
        id: ContractId,
    ) -> BitcoinResult<()> {
        if sign.protocol_version != offer.protocol_version {
            return Err(refuse("protocol_version", "another than the offer's"));
        }
        if let Some(record) = sign.tlvs.raw().next() {
            return Err(refuse("tlvs", "an unknown record").with_context("type", record.tlv_type));
        }
        if sign.contract_id != deal.contract_id(&id.0) {
            return Err(refuse("contract_id", "not that of the contract's funding"));
        }
        if sign.funding_signatures.funding_signatures.len() != offer.funding_inputs.len() {
            return Err(refuse(
                "funding_signatures",
                "not one for each coin of the offer",
            ));
        }
        deal.verify_half(
            "refund_signature",
            &deal.transactions.refund,
            &offer.funding_pubkey,
            &sign.refund_signature,
        )?;
        let theirs: Vec<_> = (&sign.cet_adaptor_signatures).into();
        deal.verify_outcomes(&offer.funding_pubkey, &theirs)
    }

    /// The other side's witnesses of the funding, each verified.
    fn their_witnesses<'a>(
        deal: &Deal,
        offer: &'a OfferDlc,
        sign: &SignDlc,
    ) -> BitcoinResult<Vec<(&'a FundingInput, Witness)>> {
        offer
            .funding_inputs
            .iter()
            .zip(&sign.funding_signatures.funding_signatures)
            .map(|(input, signature)| Ok((input, deal.verify_funding(&input.into(), signature)?)))
            .collect()
    }

    fn signed_funding(
        &self,
        deal: &Deal,
        offer: &OfferDlc,
        accept: &AcceptDlc,
        theirs: Vec<(&FundingInput, Witness)>,
    ) -> BitcoinResult<bitcoin::Transaction> {
        let mut funding = deal.transactions.fund.clone();
        let all: Vec<_> = offer
            .funding_inputs
            .iter()
            .chain(&accept.funding_inputs)
            .collect();
        let own = self.sign_funding(deal, &accept.funding_inputs, &all)?;
        let own = accept
            .funding_inputs
            .iter()
            .zip(&own)
            .map(|(input, signature)| Ok((input, deal.verify_funding(&input.into(), signature)?)))
            .collect::<BitcoinResult<Vec<_>>>()?;
        for (input, witness) in theirs.into_iter().chain(own) {
            let previous = wire::transaction("prev_tx", &input.prev_tx)?;
            let outpoint = bitcoin::OutPoint::new(previous.compute_txid(), input.prev_tx_vout);
            let index = position(&funding, outpoint)?;
            funding.input[index].witness = witness;
        }
        let expected = deal.transactions.fund.compute_txid();
        if funding.compute_txid() != expected {
            return Err(internal("the signed funding is another transaction"));
        }
        Ok(funding)
    }

    /// Hands the stored funding to the network, and says so in the store.
    pub(super) fn hand_over_funding(&self, row: &mut Row) -> BitcoinResult<Txid> {
        let Some(stored) = row.facts.funding_raw.clone() else {
            // The network has it, and this store is a copy from before it.
            let txid = row.facts.funding_txid;
            return txid.ok_or_else(|| internal("the funding is not stored"));
        };
        match self.broadcast(&stored) {
            Ok(txid) => {
                if !row.facts.is_seen {
                    row.facts.is_seen = true;
                    row.facts.note = None;
                    self.store.update(row)?;
                }
                Ok(txid)
            }
            Err(failure) => {
                row.facts.note = Some(failure.to_string());
                self.store.update(row)?;
                Err(failure)
            }
        }
    }

    /// Whether the outcome may be known to the other side.
    pub(super) fn has_matured(&self, facts: &Facts) -> bool {
        let first = facts.first_maturity;
        first.is_some_and(|first| u64::from(first) <= self.now())
    }

    /// Gives coins the end again that they had before a call that failed.
    pub(super) fn wait_again(&self, id: ContractId, coins: &[bitcoin::OutPoint]) {
        // Another call may have come through meanwhile: then they are the contract's until it ends.
        let Ok(row) = self.row(id) else {
            return;
        };
        if row.facts.phase == Phase::Signed {
            return;
        }
        let until = Some(self.patience_ms());
        let held = self.parts.funding.extend(&self.reason(&row), coins, until);
        if let Err(cause) = held {
            tracing::warn!(contract = %id, %cause, "coins stay reserved until the contract is cancelled");
        }
    }

    /// The contract with this id of the specification.
    pub(super) fn by_contract_id(&self, contract_id: ContractId) -> BitcoinResult<Row> {
        let all = self.store.all()?;
        let found = all
            .iter()
            .find(|(_, facts)| facts.contract_id == Some(contract_id));
        let (id, _) = found.ok_or_else(|| super::unknown(contract_id))?;
        self.row(*id)
    }
}

fn matured() -> BitcoinError {
    let message = "an event has matured: its outcome may be known to the other side";
    refuse("event_maturity_epoch", message)
}
