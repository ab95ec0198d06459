//! Accepting an offer: verified, signed for every outcome, stored.

use bitcoin::secp256k1::{PublicKey, Secp256k1};
use btc_iface::BitcoinResult;
use btc_iface::dlc::{ContractId, DlcMessage, Role};
use ddk_messages::{AcceptDlc, CetAdaptorSignatures, OfferDlc};

use super::offer::inputs;
use super::{Dlc, serial};
use crate::check::{self, Checked};
use crate::deal::{Accepting, Deal};
use crate::fault::{invalid, refuse};
use crate::store::{Facts, Phase, Row};
use crate::wire;

impl Dlc {
    pub(super) fn accept_offer(&self, message: &DlcMessage) -> BitcoinResult<DlcMessage> {
        let offer = wire::offer(message)?;
        let id = ContractId(offer.temporary_contract_id);
        if let Some(row) = self.store.get(id)? {
            return Self::accepted_before(&row, message);
        }
        let checked = check::check_offer(&offer, &self.policy(), self.now())?;
        self.refuse_own_coins(&offer.funding_inputs)?;
        self.refuse_missing_coins(&offer.funding_inputs)?;
        let hold = self.hold(id);
        let made = self.new_accept(id, &hold, message, &offer, checked);
        made.or_else(|failure| {
            // Another call may have been faster with the same offer: its answer and its coins count.
            let found = self.store.get(id)?;
            let own = found.as_ref().and_then(|row| row.facts.hold.as_deref());
            if own != Some(hold.as_str()) {
                self.release_quietly(&hold);
            }
            match found {
                Some(row) => Self::accepted_before(&row, message),
                None => Err(failure),
            }
        })
    }

    /// The same offer again: the same answer, and nothing is reserved twice.
    fn accepted_before(row: &Row, offer: &DlcMessage) -> BitcoinResult<DlcMessage> {
        if row.facts.role == Role::Offerer {
            return Err(invalid("this is an own offer; the other side accepts it"));
        }
        if row.offer != offer.as_bytes() {
            let message = "another offer has this id";
            return Err(refuse("temporary_contract_id", message));
        }
        match (row.facts.phase, &row.accept) {
            (Phase::Accepted | Phase::Signed, Some(accept)) => wire::from_bytes(accept.clone()),
            _ => Err(invalid(
                "the offer was rejected or given up; ask for another one",
            )),
        }
    }

    fn new_accept(
        &self,
        id: ContractId,
        hold: &str,
        message: &DlcMessage,
        offer: &OfferDlc,
        checked: Checked,
    ) -> BitcoinResult<DlcMessage> {
        let total = checked.total;
        let collateral = total
            .checked_sub(offer.offer_collateral)
            .ok_or_else(|| refuse("offer_collateral", "more than both sides together"))?;
        let scripts = (
            self.parts.funding.new_script()?,
            self.parts.funding.new_script()?,
        );
        let theirs = Some(&offer.payout_spk);
        let coins = self.reserve(
            id,
            hold,
            collateral,
            total,
            offer.fee_rate_per_vb,
            &scripts,
            theirs,
        )?;
        let funding_inputs = inputs(&coins);
        let key = self.seed.funding_key(id, Role::Accepter)?;
        let accepting = Accepting {
            funding_pubkey: PublicKey::from_secret_key(&Secp256k1::new(), &key),
            payout_spk: &scripts.0,
            payout_serial_id: serial(),
            change_spk: &scripts.1,
            change_serial_id: serial(),
            collateral,
            inputs: &funding_inputs,
        };
        let refund_time = offer.refund_locktime;
        let deal = Deal::build(offer, checked, &accepting)?;
        let signatures = deal.sign_outcomes(&key)?;
        let accept = AcceptDlc {
            protocol_version: offer.protocol_version,
            temporary_contract_id: offer.temporary_contract_id,
            accept_collateral: collateral,
            funding_pubkey: accepting.funding_pubkey,
            payout_spk: scripts.0.clone(),
            payout_serial_id: accepting.payout_serial_id,
            funding_inputs: funding_inputs.clone(),
            change_spk: scripts.1.clone(),
            change_serial_id: accepting.change_serial_id,
            cet_adaptor_signatures: CetAdaptorSignatures::from(signatures.as_slice()),
            refund_signature: deal.sign_refund(&key)?,
            negotiation_fields: None,
            tlvs: ddk_messages::TlvStream::default(),
        };
        let answer = wire::message(&accept)?;
        let mut facts = Facts::new(
            Role::Accepter,
            Phase::Accepted,
            (total.to_sat(), collateral.to_sat()),
            refund_time,
            self.height()?,
        );
        facts.bind(id, &deal);
        let mut row = Row::new(id, facts, message.as_bytes().to_vec());
        row.accept = Some(answer.as_bytes().to_vec());
        row.facts.hold = Some(hold.to_owned());
        self.store.insert(&mut row)?;
        Ok(answer)
    }
}
