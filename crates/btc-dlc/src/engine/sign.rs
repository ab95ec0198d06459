//! Signing an accepted offer: everything of the answer verified, then stored, then handed out.

use bitcoin::secp256k1::SecretKey;
use btc_iface::dlc::{ContractId, DlcMessage, Role};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind};
use ddk_messages::{AcceptDlc, CetAdaptorSignatures, FundingSignatures, OfferDlc, SignDlc};

use super::Dlc;
use super::coins::outpoints;
use crate::check;
use crate::deal::{Accepting, Deal};
use crate::fault::{error, invalid, refuse};
use crate::store::{Phase, Row};
use crate::wire;

impl Dlc {
    pub(super) fn sign_contract(&self, message: &DlcMessage) -> BitcoinResult<DlcMessage> {
        let accept = wire::accept(message)?;
        let id = ContractId(accept.temporary_contract_id);
        let mut row = self.row(id)?;
        if row.facts.role != Role::Offerer {
            return Err(invalid(
                "this is an own accept message; the other side signs it",
            ));
        }
        match row.facts.phase {
            Phase::Offered => {}
            Phase::Signed if row.accept.as_deref() == Some(message.as_bytes()) => {
                return wire::from_bytes(row.sign.ok_or_else(restored)?);
            }
            Phase::Signed => {
                let message = "the offer is signed with another accept message";
                return Err(refuse("temporary_contract_id", message));
            }
            _ => {
                return Err(invalid(
                    "the offer was rejected or given up; make another one",
                ));
            }
        }
        let offer = Self::offer_of(&row)?;
        let fields = check::offer_fields(&offer, &self.lenient())?;
        check::accept_fields(&offer, &fields, &accept)?;
        let deal = Deal::build(&offer, fields, &Accepting::from(&accept))?;
        let is_funded = self.is_funded(&deal)?;
        if !is_funded {
            // An outcome that is known by now is no reason to sign.
            let checked = check::check_offer(&offer, &self.policy(), self.now())?;
            check::accept(&offer, &checked, &accept)?;
            self.refuse_own_coins(&accept.funding_inputs)?;
            self.refuse_missing_coins(&accept.funding_inputs)?;
        }
        deal.verify_half(
            "refund_signature",
            &deal.transactions.refund,
            &accept.funding_pubkey,
            &accept.refund_signature,
        )?;
        let theirs: Vec<_> = (&accept.cet_adaptor_signatures).into();
        deal.verify_outcomes(&accept.funding_pubkey, &theirs)?;
        drop(theirs);
        let key = self.key(&row, &deal)?;
        if is_funded {
            return Err(self.restore(&mut row, message, &deal)?);
        }
        // From here on the coins are the contract's until it ends: the other side can use what is
        // signed at any time. If they are gone, nothing is signed.
        let reason = self.reason(&row);
        let coins = outpoints(&offer.funding_inputs)?;
        self.parts.funding.extend(&reason, &coins, None)?;
        self.signed(&mut row, message, &offer, &accept, &deal, &key)
            .inspect_err(|_| self.wait_again(id, &coins))
    }

    /// Takes the answer of a contract into a copy of the store that is older than its signature:
    /// with it the contract can be settled and refunded. The blocks since the offer are read again.
    fn restore(
        &self,
        row: &mut Row,
        message: &DlcMessage,
        deal: &Deal,
    ) -> BitcoinResult<BitcoinError> {
        self.store.rewind(row.facts.from_height.saturating_sub(1))?;
        row.facts.phase = Phase::Signed;
        row.facts.bind(row.id, deal);
        row.accept = Some(message.as_bytes().to_vec());
        self.store.update(row)?;
        Ok(restored())
    }

    /// Signs, stores, and only then returns what leaves.
    fn signed(
        &self,
        row: &mut Row,
        message: &DlcMessage,
        offer: &OfferDlc,
        accept: &AcceptDlc,
        deal: &Deal,
        key: &SecretKey,
    ) -> BitcoinResult<DlcMessage> {
        let id = row.id;
        let all: Vec<_> = offer
            .funding_inputs
            .iter()
            .chain(&accept.funding_inputs)
            .collect();
        let funding_signatures = self.sign_funding(deal, &offer.funding_inputs, &all)?;
        let signatures = deal.sign_outcomes(key)?;
        let contract_id = deal.contract_id(&id.0);
        let sign = SignDlc {
            protocol_version: offer.protocol_version,
            contract_id,
            cet_adaptor_signatures: CetAdaptorSignatures::from(signatures.as_slice()),
            refund_signature: deal.sign_refund(key)?,
            funding_signatures: FundingSignatures { funding_signatures },
            tlvs: ddk_messages::TlvStream::default(),
        };
        drop(signatures);
        let answer = wire::message(&sign)?;
        row.facts.phase = Phase::Signed;
        row.facts.bind(id, deal);
        row.accept = Some(message.as_bytes().to_vec());
        row.sign = Some(answer.as_bytes().to_vec());
        self.store.update(row)?;
        Ok(answer)
    }
}

/// What a store that was put back from a copy answers: it signs nothing a second time.
fn restored() -> BitcoinError {
    let message = "the network has the funding already: the contract is in this store again, and \
                   nothing was signed once more; sync now";
    error(ErrorKind::Unsupported, message)
}
