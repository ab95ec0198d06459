//! Giving up a contract whose funding is in no block yet.

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{Amount, OutPoint, Transaction};
use btc_iface::dlc::{Cancellation, ContractId, ContractState, Role};
use btc_iface::{BitcoinResult, ErrorKind};
use ddk_messages::{AcceptDlc, FundingInput, OfferDlc};

use super::{Dlc, raw};
use crate::fault::{error, internal, invalid, store};
use crate::funding::FundingCoin;
use crate::store::{Phase, Row};
use crate::{check, wire};

/// What an escape pays at least: it must be mined before the funding is, in sat/vB.
const MIN_ESCAPE_RATE: u64 = 2;
/// No escape is larger, in vB: a nested coin in, P2WPKH out.
const ESCAPE_VB: u64 = 140;

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
            (ContractState::Signed | ContractState::Broadcast, _) => self.escape(&mut row),
            (state, _) => {
                let message = format!("the contract is {state}; there is nothing to give up");
                Err(invalid(message).with_context("contract", id))
            }
        }
    }

    /// Spends an own input elsewhere. The transaction is on disk before it leaves; again, the same
    /// one leaves, if it can replace the funding.
    fn escape(&self, row: &mut Row) -> BitcoinResult<Cancellation> {
        let offer = Self::offer_of(row)?;
        let accept = Self::accept_of(row)?;
        let own = match row.facts.role {
            Role::Offerer => &offer.funding_inputs,
            Role::Accepter => &accept.funding_inputs,
        };
        let coins = own.iter().map(coin).collect::<BitcoinResult<Vec<_>>>()?;
        let Some((coin, value)) = coins.iter().max_by_key(|(_, value)| *value) else {
            let message = "no own coin is in the contract; nothing of this wallet is at stake";
            return Err(error(ErrorKind::Unsupported, message));
        };
        let fee = self.escape_fee(&offer, &accept)?;
        let stored = row.facts.escape_raw.as_deref().map(deserialize_hex);
        let stored: Option<Transaction> = stored.transpose().map_err(store)?;
        let paid = stored.map(|escape| {
            let back = escape.output.iter().map(|output| output.value).sum();
            value.checked_sub(back).unwrap_or_default()
        });
        if paid.is_none_or(|paid| paid < fee) {
            let escape = self.parts.funding.spend_back(coin, fee)?;
            row.facts.escape_raw = Some(raw(&escape));
            row.facts.note = Some("given up after signing: an own input is spent elsewhere".into());
            self.store.update(row)?;
        }
        let stored = row.facts.escape_raw.clone().unwrap_or_default();
        let txid = self.broadcast(&stored)?;
        Ok(Cancellation::SpentElsewhere { txid })
    }

    /// What an escape pays: twice the contract's rate, and more than the whole funding does, which
    /// it replaces where that is in the mempool (BIP 125, rules 3 and 4).
    fn escape_fee(&self, offer: &OfferDlc, accept: &AcceptDlc) -> BitcoinResult<Amount> {
        let too_much = || internal("the fees of the funding are more than there is");
        let rate = offer.fee_rate_per_vb.saturating_mul(2).max(MIN_ESCAPE_RATE);
        let of = |rate: u64| rate.checked_mul(ESCAPE_VB).map(Amount::from_sat);
        let plain = of(rate).ok_or_else(too_much)?;
        let mut fee = of(MIN_ESCAPE_RATE).ok_or_else(too_much)?;
        for inputs in [&offer.funding_inputs, &accept.funding_inputs] {
            for (_, output) in check::input_outpoints(inputs)? {
                fee = fee.checked_add(output.value).ok_or_else(too_much)?;
            }
        }
        for output in &self.deal_of(offer, accept)?.transactions.fund.output {
            fee = fee.checked_sub(output.value).ok_or_else(too_much)?;
        }
        Ok(fee.max(plain))
    }
}

/// An input as the coin that it spends, with its value.
fn coin(input: &FundingInput) -> BitcoinResult<(FundingCoin, Amount)> {
    let coin = FundingCoin {
        outpoint: OutPoint::null(),
        previous: wire::transaction("prev_tx", &input.prev_tx)?,
        max_witness_len: input.max_witness_len,
        redeem_script: input.redeem_script.clone(),
    };
    let outpoint = OutPoint::new(coin.previous.compute_txid(), input.prev_tx_vout);
    let coin = FundingCoin { outpoint, ..coin };
    let value = coin.output()?.value;
    Ok((coin, value))
}
