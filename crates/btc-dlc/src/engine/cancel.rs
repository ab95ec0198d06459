//! Giving up a contract that has no funding yet.

use btc_iface::dlc::{Cancellation, ContractId, ContractState, Role};
use btc_iface::{BitcoinResult, ErrorKind};

use super::{Dlc, raw};
use crate::check;
use crate::fault::{error, invalid};
use crate::store::{Phase, Row};

/// What an escape pays at least: it must be mined before the funding is, in sat/vB.
const MIN_ESCAPE_RATE: u64 = 2;

impl Dlc {
    pub(super) fn cancel_contract(&self, id: ContractId) -> BitcoinResult<Cancellation> {
        let mut row = self.row(id)?;
        match (row.facts.state(), row.facts.role) {
            // The process may have died between the store and the release.
            (ContractState::Cancelled | ContractState::Rejected, _) => {
                self.parts.funding.release(&self.reason(&row))?;
                Ok(Cancellation::Safe)
            }
            (ContractState::Offered | ContractState::Accepted, _) => {
                row.facts.phase = Phase::Cancelled;
                row.facts.is_released = true;
                self.store.update(&mut row)?;
                self.parts.funding.release(&self.reason(&row))?;
                Ok(Cancellation::Safe)
            }
            (ContractState::Signed, _) => self.escape(&mut row),
            (state, _) => {
                let message = format!("the contract is {state}: the funding may be on its way");
                Err(invalid(message).with_context("contract", id))
            }
        }
    }

    /// Spends an own input elsewhere. The transaction is on disk before it leaves; again, the same
    /// one leaves.
    fn escape(&self, row: &mut Row) -> BitcoinResult<Cancellation> {
        if row.facts.escape_raw.is_none() {
            let offer = Self::offer_of(row)?;
            let coins = check::input_outpoints(&match row.facts.role {
                Role::Offerer => offer.funding_inputs,
                Role::Accepter => Self::accept_of(row)?.funding_inputs,
            })?;
            let Some((coin, _)) = coins.iter().max_by_key(|(_, output)| output.value) else {
                let message = "no own coin is in the contract; nothing of this wallet is at stake";
                return Err(error(ErrorKind::Unsupported, message));
            };
            let rate = offer.fee_rate_per_vb.saturating_mul(2).max(MIN_ESCAPE_RATE);
            let reason = self.reason(row);
            let escape = self.parts.funding.spend_back(&reason, *coin, rate)?;
            row.facts.escape_raw = Some(raw(&escape));
            row.facts.note = Some("given up after signing: an own input is spent elsewhere".into());
            self.store.update(row)?;
        }
        let stored = row.facts.escape_raw.clone().unwrap_or_default();
        let txid = self.broadcast(&stored)?;
        Ok(Cancellation::SpentElsewhere { txid })
    }
}
