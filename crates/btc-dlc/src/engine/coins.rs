//! Coins of either side: the own ones reserved, the other side's looked up.

use bitcoin::secp256k1::{PublicKey, Secp256k1};
use bitcoin::{Amount, OutPoint, ScriptBuf};
use btc_iface::BitcoinResult;
use btc_iface::dlc::{ContractId, Role};
use ddk_messages::FundingInput;

use super::{Dlc, input};
use crate::check;
use crate::deal::{Accepting, party};
use crate::fault::refuse;
use crate::funding::FundingCoin;

/// How deep a block's reward is before it can be spent.
const MATURITY: u32 = 100;

impl Dlc {
    /// Refuses coins that this side's node does not have as confirmed and unspent: a funding with
    /// one of them would never be, or not in time.
    pub(super) fn refuse_missing_coins(&self, inputs: &[FundingInput]) -> BitcoinResult<()> {
        const FIELD: &str = "funding_inputs";
        for coin in outpoints(inputs)? {
            let wrong = match self.parts.index.unspent(coin)? {
                None => "this side's node does not know the coin, or it is spent",
                Some(found) if found.confirmations == 0 => "the coin is in no block yet",
                Some(found) if found.is_coinbase && found.confirmations < MATURITY => {
                    "the coin is a block's reward and cannot be spent yet"
                }
                Some(_) => continue,
            };
            return Err(refuse(FIELD, wrong).with_context("coin", coin));
        }
        Ok(())
    }

    /// Reserves what a side of a contract needs, for this reason: its collateral and its share of
    /// the fees.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is another thing that the coins must reach"
    )]
    pub(super) fn reserve(
        &self,
        id: ContractId,
        hold: &str,
        collateral: Amount,
        total: Amount,
        fee_rate: u64,
        scripts: &(ScriptBuf, ScriptBuf),
        theirs: Option<&ScriptBuf>,
    ) -> BitcoinResult<Vec<FundingCoin>> {
        // Two bytes and a hash of 32: no address that is accepted has a longer script.
        let longest = ScriptBuf::from_bytes(vec![0; 34]);
        let secret = self.seed.funding_key(id, Role::Offerer)?;
        let key = PublicKey::from_secret_key(&Secp256k1::new(), &secret);
        let enough = |coins: &[FundingCoin]| {
            let inputs: Vec<FundingInput> = coins.iter().map(|coin| input(coin, 0)).collect();
            let has: Amount = coins
                .iter()
                .filter_map(|coin| coin.output().ok())
                .map(|output| output.value)
                .sum();
            let side = Accepting {
                funding_pubkey: key,
                payout_spk: &scripts.0,
                payout_serial_id: 0,
                change_spk: &scripts.1,
                change_serial_id: 0,
                collateral,
                inputs: &inputs,
            };
            let mut party = party(&side).map_err(|_| Amount::MAX_MONEY)?;
            party.input_amount = Amount::MAX_MONEY;
            let (_, fund_fee, settle_fee) = party
                .get_change_output_and_fees_with_counterparty(
                    total,
                    fee_rate,
                    Amount::ZERO,
                    Some(theirs.unwrap_or(&longest)),
                )
                .map_err(|_| Amount::MAX_MONEY)?;
            let needed = if collateral == Amount::ZERO {
                Amount::ZERO
            } else {
                collateral + fund_fee + settle_fee
            };
            match needed.checked_sub(has) {
                None | Some(Amount::ZERO) => Ok(()),
                Some(missing) => Err(missing),
            }
        };
        let until = Some(self.patience_ms());
        self.parts.funding.reserve(hold, until, fee_rate, &enough)
    }

    /// Refuses a message that brings coins of this very wallet as the other side's.
    pub(super) fn refuse_own_coins(&self, inputs: &[FundingInput]) -> BitcoinResult<()> {
        let coins = outpoints(inputs)?;
        match self.parts.funding.own(&coins)?.first() {
            None => Ok(()),
            Some(own) => {
                let message = "the other side brings a coin of this wallet as its own";
                Err(refuse("funding_inputs", message).with_context("coin", own))
            }
        }
    }
}

/// The coins that these inputs spend.
pub(super) fn outpoints(inputs: &[FundingInput]) -> BitcoinResult<Vec<OutPoint>> {
    let coins = check::input_outpoints(inputs)?;
    Ok(coins.into_iter().map(|(outpoint, _)| outpoint).collect())
}
