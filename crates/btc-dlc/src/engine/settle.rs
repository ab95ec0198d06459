//! Settling: by what the oracles attested, or by the refund.

use std::collections::BTreeSet;

use bitcoin::secp256k1::{PublicKey, Secp256k1};
use bitcoin::{Amount, Txid};
use btc_iface::dlc::{ContractId, Role};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind};
use ddk_messages::oracle_msgs::{OracleAnnouncement, OracleAttestation};
use ddk_messages::{AcceptDlc, OfferDlc};

use super::{Dlc, raw};
use crate::check;
use crate::deal::Deal;
use crate::fault::{error, guard, internal, invalid, refuse};
use crate::store::{Closing, Ending, Row};
use crate::wire;

impl Dlc {
    pub(super) fn settle(&self, id: ContractId, attestations: &[String]) -> BitcoinResult<Txid> {
        let mut row = self.open_contract(id)?;
        let attested = attestations
            .iter()
            .map(|hex| wire::attestation(hex))
            .collect::<BitcoinResult<Vec<_>>>()?;
        let offer = Self::offer_of(&row)?;
        let accept = Self::accept_of(&row)?;
        let deal = self.deal_of(&offer, &accept)?;
        let closing = self.settlement(&row, &offer, &accept, &deal, &attested)?;
        self.hand_over_closing(&mut row, closing)
    }

    /// Those of these attestations that are of events of this contract, each oracle's first for an
    /// event; what cannot be read or is forged is not among them.
    ///
    /// # Errors
    /// `NotFound`: no such contract.
    pub fn belonging(&self, id: ContractId, attestations: &[String]) -> BitcoinResult<Vec<String>> {
        let row = self.row(id)?;
        let offer = Self::offer_of(&row)?;
        let checked = check::contract_info(&offer.contract_info)?;
        let branches = checked.branches.iter();
        let announcements: Vec<_> = branches
            .flat_map(|branch| &branch.execution.oracle_announcements)
            .collect();
        let mut seen = BTreeSet::new();
        let is_own = |hex: &&String| {
            wire::attestation(hex).is_ok_and(|attestation| {
                announcements
                    .iter()
                    .filter(|announcement| is_of(&attestation, announcement))
                    .any(|announcement| verify(&attestation, announcement).is_ok())
                    && seen.insert((attestation.oracle_public_key, attestation.event_id.clone()))
            })
        };
        Ok(attestations.iter().filter(is_own).cloned().collect())
    }

    fn settlement(
        &self,
        row: &Row,
        offer: &OfferDlc,
        accept: &AcceptDlc,
        deal: &Deal,
        attested: &[OracleAttestation],
    ) -> BitcoinResult<Closing> {
        let key = self.key(row, deal)?;
        let (their_key, signatures) = Self::their_signatures(row, offer, accept)?;
        let mut is_known = vec![false; attested.len()];
        // Of events that have all been decided, the one that pays this side most.
        let own = match row.facts.role {
            Role::Offerer => &deal.offer.payout_script_pubkey,
            Role::Accepter => &deal.accept.payout_script_pubkey,
        };
        let mut best = None;
        for branch in 0..deal.branches().len() {
            let belonging = belonging(deal, branch, attested, &mut is_known)?;
            let Some(outcome) = deal.outcome(branch, &belonging)? else {
                continue;
            };
            let outputs = outcome.0.output.iter();
            let to_own = outputs.filter(|output| output.script_pubkey == *own);
            let pays: Amount = to_own.map(|output| output.value).sum();
            if best.as_ref().is_none_or(|(most, _)| pays > *most) {
                best = Some((pays, outcome));
            }
        }
        if let Some((_, (mut cet, index, oracles))) = best {
            let adaptor = signatures
                .get(index)
                .ok_or_else(|| internal("the store lacks a signature of the contract"))?;
            deal.settle(&mut cet, adaptor, &oracles, &key, &their_key)?;
            deal.check_spend(&cet)?;
            return Ok(Closing {
                ending: Ending::Claim,
                txid: cet.compute_txid(),
                raw: raw(&cet),
            });
        }
        if let Some(stranger) = is_known.iter().position(|is_known| !is_known) {
            let message = "the attestation is of no event of this contract";
            return Err(
                refuse("attestation", message).with_context("event", &attested[stranger].event_id)
            );
        }
        let message = "too few oracles have attested, or they disagree; wait for more, or for the \
                       refund";
        Err(refuse("attestations", message))
    }

    /// The other side's key, and its signatures over the outcomes, which were verified when they
    /// came.
    fn their_signatures(
        row: &Row,
        offer: &OfferDlc,
        accept: &AcceptDlc,
    ) -> BitcoinResult<(
        PublicKey,
        Vec<ddk_dlc::secp256k1_zkp::EcdsaAdaptorSignature>,
    )> {
        Ok(match row.facts.role {
            Role::Offerer => (
                accept.funding_pubkey,
                (&accept.cet_adaptor_signatures).into(),
            ),
            Role::Accepter => {
                let sign = row.sign.clone();
                let sign = sign.ok_or_else(unsigned)?;
                let sign = wire::sign(&wire::from_bytes(sign)?)?;
                (offer.funding_pubkey, (&sign.cet_adaptor_signatures).into())
            }
        })
    }

    pub(super) fn take_refund(&self, id: ContractId) -> BitcoinResult<Txid> {
        let mut row = self.open_contract(id)?;
        let offer = Self::offer_of(&row)?;
        let accept = Self::accept_of(&row)?;
        let deal = self.deal_of(&offer, &accept)?;
        let (their_key, theirs) = match row.facts.role {
            Role::Offerer => (accept.funding_pubkey, accept.refund_signature),
            Role::Accepter => {
                let sign = row.sign.clone();
                let sign = sign.ok_or_else(unsigned)?;
                let sign = wire::sign(&wire::from_bytes(sign)?)?;
                (offer.funding_pubkey, sign.refund_signature)
            }
        };
        let mut refund = deal.transactions.refund.clone();
        deal.complete(&mut refund, &self.key(&row, &deal)?, &their_key, &theirs)?;
        deal.check_spend(&refund)?;
        let closing = Closing {
            ending: Ending::Refund,
            txid: refund.compute_txid(),
            raw: raw(&refund),
        };
        // The refund is built anew at any time: only one that the network takes is written down,
        // or it would stand where a settlement may still come.
        match self.broadcast(&closing.raw) {
            Ok(txid) => {
                row.facts.closing = Some(closing);
                self.store.update(&mut row)?;
                Ok(txid)
            }
            Err(failure) => Err(not_yet(failure, row.facts.refund_time)),
        }
    }

    /// Writes an ending down and hands it to the network.
    pub(super) fn hand_over_closing(&self, row: &mut Row, closing: Closing) -> BitcoinResult<Txid> {
        let stored = closing.raw.clone();
        row.facts.closing = Some(closing);
        self.store.update(row)?;
        self.broadcast(&stored)
    }

    /// A contract whose funding output can be spent.
    pub(super) fn open_contract(&self, id: ContractId) -> BitcoinResult<Row> {
        use btc_iface::dlc::ContractState::{Broadcast, Confirmed, Signed};
        let row = self.row(id)?;
        match row.facts.state() {
            Broadcast | Confirmed | Signed => Ok(row),
            state => {
                let message = format!("the contract is {state}; there is nothing to settle");
                Err(invalid(message).with_context("contract", id))
            }
        }
    }
}

/// The attestations that belong to this event, each with the place of its oracle, verified.
fn belonging(
    deal: &Deal,
    branch: usize,
    attested: &[OracleAttestation],
    is_known: &mut [bool],
) -> BitcoinResult<Vec<(usize, OracleAttestation)>> {
    let announcements = &deal.branches()[branch].execution.oracle_announcements;
    let mut found: Vec<(usize, OracleAttestation)> = Vec::new();
    for (position, attestation) in attested.iter().enumerate() {
        let mut of_this = announcements
            .iter()
            .enumerate()
            .filter(|(_, announcement)| is_of(attestation, announcement));
        let Some((index, announcement)) = of_this.next() else {
            continue;
        };
        is_known[position] = true;
        verify(attestation, announcement)?;
        // The same attestation twice counts once.
        match found.iter().find(|(known, _)| *known == index) {
            Some((_, known)) if known == attestation => {}
            Some(_) => {
                let message = "an oracle attested to two outcomes of one event";
                return Err(refuse("attestation", message));
            }
            None => found.push((index, attestation.clone())),
        }
    }
    // ddk looks a combination of oracles up in ascending order only.
    found.sort_by_key(|(index, _)| *index);
    Ok(found)
}

fn is_of(attestation: &OracleAttestation, announcement: &OracleAnnouncement) -> bool {
    announcement.oracle_public_key == attestation.oracle_public_key
        && announcement.oracle_event.event_id == attestation.event_id
}

fn verify(attestation: &OracleAttestation, announcement: &OracleAnnouncement) -> BitcoinResult<()> {
    if attestation.signatures.len() != announcement.oracle_event.oracle_nonces.len() {
        return Err(refuse("attestation", "not one signature for each nonce"));
    }
    guard("attestation", || {
        attestation
            .validate(&Secp256k1::verification_only(), announcement)
            .map_err(|cause| refuse("attestation", cause.to_string()))
    })
}

fn unsigned() -> BitcoinError {
    let message = "this store does not have the other side's signatures: finalize its sign message, \
                   also if that was done before this copy of the store was put back";
    invalid(message)
}

/// A refund before its time is refused as not final: says when it is.
fn not_yet(failure: BitcoinError, refund_time: u32) -> BitcoinError {
    if failure.kind() != ErrorKind::Rejected || !failure.to_string().contains("non-final") {
        return failure;
    }
    let message = "the refund is not valid yet: the median time of the last 11 blocks must pass it";
    error(ErrorKind::Rejected, message)
        .with_context("refund_time", refund_time)
        .with_source(failure)
}
