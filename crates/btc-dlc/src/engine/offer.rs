//! Offers: made, and refused.

use bitcoin::Amount;
use bitcoin::secp256k1::{PublicKey, Secp256k1};
use btc_iface::BitcoinResult;
use btc_iface::dlc::{ContractId, ContractTerms, DlcMessage, DlcMessageKind, Role};
use ddk::contract::{CreateOfferParams, PartyParams};

use super::{Dlc, input, serial};
use crate::fault::{guard, internal, invalid, refuse};
use crate::funding::FundingCoin;
use crate::keys::random;
use crate::store::{Facts, Phase, Row};
use crate::{check, terms, wire};

/// How long after the last event an own offer's refund becomes valid, in seconds.
const REFUND_DELAY_S: u32 = 7 * 86_400;
/// No reason for a rejection is longer.
const MAX_REASON: usize = 1_000;

impl Dlc {
    pub(super) fn make_offer(&self, terms: &ContractTerms) -> BitcoinResult<DlcMessage> {
        let info = terms::contract_info(terms)?;
        let checked = check::contract_info(&info)?;
        let id = ContractId(random());
        let now = u32::try_from(self.now()).map_err(|_| internal("the clock is beyond 2106"))?;
        let settle_time = terms.settle_time.unwrap_or(now.min(checked.first_maturity));
        let refund_time = match terms.refund_time {
            Some(time) => time,
            None => checked
                .last_maturity
                .checked_add(REFUND_DELAY_S)
                .ok_or_else(|| refuse("refund_time", "the last event is too late"))?,
        };
        let collateral = Amount::from_sat(terms.offer_collateral_sat);
        let scripts = (
            self.parts.funding.new_script()?,
            self.parts.funding.new_script()?,
        );
        let total = checked.total;
        let rate = terms.fee_rate_sat_per_vb;
        if !(1..=self.config.max_fee_rate_sat_per_vb).contains(&rate) {
            let message = format!("1 to {}", self.config.max_fee_rate_sat_per_vb);
            return Err(refuse("fee_rate_sat_per_vb", message));
        }
        let hold = self.hold(id);
        let coins = self.reserve(id, &hold, collateral, total, rate, &scripts, None)?;
        let made = || -> BitcoinResult<DlcMessage> {
            let secp = Secp256k1::new();
            let key = self.seed.funding_key(id, Role::Offerer)?;
            let offer = guard("terms", || {
                ddk::contract::create_offer(CreateOfferParams {
                    chain_hash: ddk::contract::chain_hash_from_network(self.parts.network),
                    temporary_contract_id: Some(id.0),
                    contract_info: info.clone(),
                    offer_collateral: collateral,
                    party: PartyParams {
                        funding_pubkey: PublicKey::from_secret_key(&secp, &key),
                        funding_inputs: inputs(&coins),
                        payout_spk: scripts.0.clone(),
                        payout_serial_id: Some(serial()),
                        change_spk: scripts.1.clone(),
                        change_serial_id: Some(serial()),
                    },
                    fund_output_serial_id: Some(serial()),
                    fee_rate_per_vb: rate,
                    cet_locktime: Some(settle_time),
                    refund_locktime: refund_time,
                    contract_flags: 0,
                })
                .map_err(|cause| refuse("terms", cause.to_string()))
            })?;
            // What this side would not accept, it does not offer.
            check::check_offer(&offer, &self.policy(), self.now())?;
            let message = wire::message(&offer)?;
            wire::offer(&message)?;
            let from_height = self.height()?;
            let facts = Facts::new(
                Role::Offerer,
                Phase::Offered,
                (total.to_sat(), collateral.to_sat()),
                refund_time,
                from_height,
            );
            let mut row = Row::new(id, facts, message.as_bytes().to_vec());
            row.facts.hold = Some(hold.clone());
            self.store.insert(&mut row)?;
            Ok(message)
        };
        made().inspect_err(|_| self.release_quietly(&hold))
    }

    /// Releases what a failed call reserved; what cannot be released ends by itself.
    pub(super) fn release_quietly(&self, hold: &str) {
        if let Err(cause) = self.parts.funding.release(hold) {
            tracing::warn!(%hold, %cause, "reserved coins are free only when their time ends");
        }
    }

    pub(super) fn reject_offer(
        &self,
        offer: &DlcMessage,
        reason: &str,
    ) -> BitcoinResult<DlcMessage> {
        let read = wire::offer(offer)?;
        let id = ContractId(read.temporary_contract_id);
        if reason.len() > MAX_REASON {
            return Err(invalid("a reason has at most 1,000 bytes"));
        }
        match self.store.get(id)? {
            Some(row) if row.facts.phase == Phase::Rejected => {}
            Some(_) => return Err(invalid("the offer is accepted, or an own one; cancel it")),
            None => {
                let total = read.get_total_collateral();
                let own = total
                    .checked_sub(read.offer_collateral)
                    .ok_or_else(|| refuse("offer_collateral", "more than both sides together"))?;
                let mut facts = Facts::new(
                    Role::Accepter,
                    Phase::Rejected,
                    (total.to_sat(), own.to_sat()),
                    read.refund_locktime,
                    0,
                );
                facts.is_released = true;
                facts.note = Some(reason.to_owned());
                let mut row = Row::new(id, facts, offer.as_bytes().to_vec());
                self.store.insert(&mut row)?;
            }
        }
        rejection(id, reason)
    }

    pub(super) fn take_rejection(&self, message: &DlcMessage) -> BitcoinResult<()> {
        let (id, reason) = read_rejection(message)?;
        let mut row = self.row(id)?;
        if row.facts.phase == Phase::Rejected {
            // The process may have died between the store and the release.
            return match row.facts.role {
                Role::Offerer => self.parts.funding.release(&self.reason(&row)),
                Role::Accepter => Ok(()),
            };
        }
        if row.facts.role != Role::Offerer || row.facts.phase != Phase::Offered {
            return Err(invalid(
                "the contract has come further than an offer; cancel it",
            ));
        }
        row.facts.phase = Phase::Rejected;
        row.facts.note = Some(reason);
        self.store.update(&mut row)?;
        self.parts.funding.release(&self.reason(&row))
    }
}

/// The coins as the messages have them, in an order that says nothing.
pub(super) fn inputs(coins: &[FundingCoin]) -> Vec<ddk_messages::FundingInput> {
    coins.iter().map(|coin| input(coin, serial())).collect()
}

/// The message of this crate's own that says no: the type number, the id, the reason.
fn rejection(id: ContractId, reason: &str) -> BitcoinResult<DlcMessage> {
    let mut bytes = DlcMessageKind::Reject.type_number().to_be_bytes().to_vec();
    bytes.extend_from_slice(&id.0);
    bytes.extend_from_slice(reason.as_bytes());
    wire::from_bytes(bytes)
}

fn read_rejection(message: &DlcMessage) -> BitcoinResult<(ContractId, String)> {
    if message.kind() != DlcMessageKind::Reject {
        return Err(refuse("type", "not a rejection"));
    }
    let rest = message.as_bytes().get(2..).unwrap_or_default();
    let (id, reason) = rest
        .split_first_chunk::<32>()
        .ok_or_else(|| refuse("temporary_contract_id", "shorter than an id"))?;
    if reason.len() > MAX_REASON {
        return Err(refuse("reason", "longer than 1,000 bytes"));
    }
    // What a terminal would obey is not shown.
    let text: String = String::from_utf8_lossy(reason)
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    Ok((ContractId(*id), text))
}
