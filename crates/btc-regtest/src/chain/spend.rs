//! Payments: to whom the caller says, and single transactions for tests of broadcasting.

use bitcoin::script::ScriptBuf;
use bitcoin::{Amount, Transaction, Txid};

use super::draft::{Draft, Out};
use super::lock::{Coin, Lock};
use super::{Chain, Kind};
use crate::NodeError;

/// Fee rate of [`Chain::spend_one`], in sat/vB.
const FEE_RATE: u64 = 5;
/// Fee rate of [`Chain::double_spend`]: high enough to replace.
const DOUBLE_SPEND_FEE_RATE: u64 = 25;
/// The smallest coin that [`Chain::spend_one`] takes.
const SPENDABLE: Amount = Amount::from_sat(50_000);
/// A version that is valid in a block and that no node relays.
const UNRELAYED_VERSION: i32 = 4;

impl Chain<'_> {
    /// Pays to these scripts and sends the transaction; [`Chain::mine`] confirms it.
    /// `fee_rate` is in sat/vB.
    ///
    /// # Errors
    ///
    /// [`NodeError::NoCoin`] when there is not enough: mine 101 blocks or more first.
    /// [`NodeError::Rpc`] with Core's reason when it refuses, as for dust.
    pub fn pay(
        &mut self,
        outputs: &[(ScriptBuf, Amount)],
        fee_rate: u64,
    ) -> Result<Txid, NodeError> {
        let label = Kind::Payment.label();
        // An input and the frame take less than 300 vB, a further coinbase less than 150.
        let size: usize = 1_000
            + outputs
                .iter()
                .map(|(script, _)| script.len() + 11)
                .sum::<usize>();
        let fee = fee_rate.checked_mul(size as u64).map(Amount::from_sat);
        let amount = outputs
            .iter()
            .try_fold(fee.unwrap_or(Amount::MAX), |sum, (_, value)| {
                sum.checked_add(*value)
            })
            .ok_or_else(|| NodeError::build(label, "the sum of its values overflows"))?;
        let outputs = outputs
            .iter()
            .map(|(script, value)| Out::foreign(script.clone(), *value));
        let outputs = outputs.collect();
        let inputs = self.coins_worth(amount)?;
        let draft = self.draft(inputs, outputs, fee_rate);
        let built = draft.finish(&self.keys, label)?;
        self.send(&[&built])?;
        Ok(built.txid)
    }

    /// A valid signed transaction that spends a confirmed coin and was not sent. Each call gives
    /// another one.
    ///
    /// # Errors
    ///
    /// [`NodeError::NoCoin`] when nothing mature is left.
    pub fn spend_one(&mut self) -> Result<Transaction, NodeError> {
        let coin = match self.take_confirmed(SPENDABLE) {
            Some(coin) => coin,
            None => self.take_coinbase()?,
        };
        self.issued.insert(coin.outpoint, coin);
        self.spend(coin, FEE_RATE)
    }

    /// The same, paying this amount to this script, so that [`Chain::double_spend`] can take it
    /// back.
    ///
    /// # Errors
    ///
    /// [`NodeError::NoCoin`] when there is no single coin worth enough.
    pub fn spend_to(
        &mut self,
        script: &ScriptBuf,
        amount: Amount,
    ) -> Result<Transaction, NodeError> {
        let draft = self.draft_to(script, amount)?;
        Ok(draft.finish(&self.keys, "spend")?.tx)
    }

    /// The same, of a version that no mempool takes: for [`Chain::mine_transactions`], and lost
    /// for ever when its block is taken back.
    ///
    /// # Errors
    ///
    /// As [`Chain::spend_to`].
    pub fn spend_unrelayed_to(
        &mut self,
        script: &ScriptBuf,
        amount: Amount,
    ) -> Result<Transaction, NodeError> {
        let mut draft = self.draft_to(script, amount)?;
        draft.version = UNRELAYED_VERSION;
        Ok(draft.finish(&self.keys, "spend of an odd version")?.tx)
    }

    /// Another transaction that spends the same coin as one of [`Chain::spend_one`] or
    /// [`Chain::spend_to`], pays someone else and pays more for it, so that a mempool with the first takes it as a replacement.
    ///
    /// # Errors
    ///
    /// [`NodeError::Build`] for a transaction that did not come from there.
    pub fn double_spend(&mut self, original: &Transaction) -> Result<Transaction, NodeError> {
        let spent = original
            .input
            .first()
            .and_then(|input| self.issued.get(&input.previous_output));
        let coin = *spent.ok_or_else(|| {
            NodeError::build(
                "double spend",
                "the transaction is not from spend_one() or spend_to()",
            )
        })?;
        self.spend(coin, DOUBLE_SPEND_FEE_RATE)
    }

    fn draft_to(&mut self, script: &ScriptBuf, amount: Amount) -> Result<Draft, NodeError> {
        let coin = match self.take_confirmed(amount + SPENDABLE) {
            Some(coin) => coin,
            None => self.take_coinbase()?,
        };
        self.issued.insert(coin.outpoint, coin);
        let payment = Out::foreign(script.clone(), amount);
        Ok(self.draft(vec![coin], vec![payment], FEE_RATE))
    }

    fn spend(&mut self, coin: Coin, fee_rate: u64) -> Result<Transaction, NodeError> {
        let payment = self.out(Lock::P2wpkh, coin.value / 2);
        let draft = self.draft(vec![coin], vec![payment], fee_rate);
        Ok(draft.finish(&self.keys, "spend")?.tx)
    }

    /// One coin of at least this value, else as many coinbases as it takes.
    fn coins_worth(&mut self, amount: Amount) -> Result<Vec<Coin>, NodeError> {
        if let Some(coin) = self.take_confirmed(amount) {
            return Ok(vec![coin]);
        }
        let fits = |coin: &Coin| coin.lock == Lock::P2wpkh && coin.value >= amount;
        if let Some(place) = self.pending.iter().position(fits) {
            return Ok(vec![self.pending.remove(place)]);
        }
        self.coinbases_worth(amount)
    }

    fn take_confirmed(&mut self, least: Amount) -> Option<Coin> {
        let pool = self.coins.get_mut(&Lock::P2wpkh)?;
        let place = pool.iter().position(|coin| coin.value >= least)?;
        pool.remove(place)
    }
}
