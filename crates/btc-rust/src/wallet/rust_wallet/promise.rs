//! Making good on a preview: what was shown is what is reserved.

use bitcoin::{OutPoint, Psbt, Transaction, Txid};
use btc_iface::{BitcoinResult, Chain};

use super::conflicts::{spared, spares};
use super::{RESERVATION_MS, RustWallet};
use crate::wallet::fault;
use crate::wallet::keys::Keychain;
use crate::wallet::ledger::Ledger;
use crate::wallet::reservations::{self, End};

impl RustWallet {
    /// Reserves the coins and the change index of a transaction that was previewed, for 10
    /// minutes, and writes down which payments it replaces.
    ///
    /// # Errors
    /// `InvalidInput`: a coin was reserved, spent or the change index promised since; preview it
    /// again. The context names the coin, and the payment that has it.
    ///
    /// # Effects
    /// Coins and the change index are reserved, on disk.
    pub fn reserve(&self, psbt: &Psbt, replaces: &[Txid]) -> BitcoinResult<()> {
        let mut ledger = self.ledger();
        let transaction = &psbt.unsigned_tx;
        let token = reservations::token(transaction);
        let now_ms = reservations::now_ms();
        let mut reservations = self.reservations();
        let booking = reservations.begin(now_ms)?;
        let view = self.current_view(&mut ledger, &booking)?;
        let named = ledger.named(replaces.iter().copied());
        let coins: Vec<OutPoint> = transaction
            .input
            .iter()
            .map(|input| input.previous_output)
            .filter(|coin| ledger.owns(*coin))
            .collect();
        for coin in &coins {
            let holder = view.held.get(coin).copied();
            // What it replaces may be a transaction that another wallet handed over.
            let is_spent_by = |txid: &Txid| {
                let known = ledger.transaction(*txid);
                known.is_some_and(|known| {
                    let mut inputs = known.transaction.input.iter();
                    known.block.is_none() && inputs.any(|input| input.previous_output == *coin)
                })
            };
            let is_replaced =
                holder.is_some_and(|it| named.contains(&it)) || named.iter().any(is_spent_by);
            let is_unspent = view.coins.iter().any(|it| it.outpoint == *coin);
            if is_replaced || (is_unspent && holder.is_none()) {
                continue;
            }
            let message = "a coin of the transaction was spent since; build this one again";
            let error = fault::invalid(message).with_context("coin", coin);
            return Err(match holder {
                Some(payment) => error.with_context("payment", payment),
                None => error,
            });
        }
        // What was reserved for a transaction that is replaced is for this one now.
        for replaced in &named {
            if let Some(known) = ledger.transaction(*replaced) {
                booking.release_coins(reservations::token(&known.transaction))?;
            }
        }
        let end = End::after(now_ms, RESERVATION_MS);
        booking.reserve(&coins, end, token)?;
        booking.allow_replacement(token, replaces)?;
        let reach = booking.change_reach()?;
        let outputs = transaction.output.iter();
        let scripts: Vec<_> = outputs.map(|it| it.script_pubkey.clone()).collect();
        for (keychain, index) in ledger.places_of(&scripts, &reach) {
            let (address_type, chain) = keychain;
            if chain != Chain::Change {
                continue;
            }
            let is_taken = if ledger.is_used(keychain, index) {
                // A replacement may keep the change of what it replaces.
                !named.iter().any(|it| pays(&ledger, *it, keychain, index))
            } else {
                let promised = booking.reserved_change(address_type)?;
                promised.is_some_and(|promised| promised >= index)
            };
            if is_taken {
                let message = "the change address was promised to another transaction since; \
                               build this one again";
                return Err(fault::invalid(message));
            }
            booking.reserve_change(address_type, index, end, token)?;
        }
        booking.commit()
    }

    /// Releases what is reserved for a transaction, signed or not, that is not sent; returns how
    /// many coins. Locks stay, and so does what a transaction replaces that was handed over.
    ///
    /// # Errors
    /// Those of the reservations.
    pub fn release(&self, transaction: &Transaction) -> BitcoinResult<usize> {
        let token = reservations::token(transaction);
        self.reservations().release_for(token)
    }

    /// Says that this transaction, signed or not, may replace these payments.
    ///
    /// # Errors
    /// `InvalidInput`: one of them is not known. `Rejected`: the transaction was handed over
    /// before, and one of them could be mined beside it. Those of the reservations.
    ///
    /// # Effects
    /// On disk before this returns.
    pub fn allow_replacement(
        &self,
        transaction: &Transaction,
        replaced: &[Txid],
    ) -> BitcoinResult<()> {
        let mut allowed = self.try_allow_replacement(transaction, replaced)?;
        // A refusal is of the newest chain, as that of a handing over.
        if allowed.is_err() && self.followed().is_ok() {
            allowed = self.try_allow_replacement(transaction, replaced)?;
        }
        allowed
    }

    fn try_allow_replacement(
        &self,
        transaction: &Transaction,
        replaced: &[Txid],
    ) -> BitcoinResult<BitcoinResult<()>> {
        let mut ledger = self.ledger();
        let mut reservations = self.reservations();
        let booking = reservations.begin(reservations::now_ms())?;
        let view = self.current_view(&mut ledger, &booking)?;
        for txid in replaced {
            if !ledger.payments().contains_key(txid) && ledger.transaction(*txid).is_none() {
                let message = "no payment of the wallet to replace; `btc history` lists them";
                return Err(fault::invalid(message).with_context("payment", txid));
            }
        }
        let token = reservations::token(transaction);
        // A new one is held to this when it is handed over.
        if booking.is_handed_over(token)? {
            let named = ledger.named(replaced.iter().copied());
            if let Some(left) = spared(&ledger, &view, transaction, &named) {
                return Ok(Err(spares(left)));
            }
        }
        booking.allow_replacement(token, replaced)?;
        booking.commit()?;
        Ok(Ok(()))
    }

    /// Whether a transaction was handed over as a payment of the wallet, settled or not.
    ///
    /// # Errors
    /// Those of the reservations.
    pub fn is_payment(&self, txid: Txid) -> BitcoinResult<bool> {
        let mut reservations = self.reservations();
        reservations
            .begin(reservations::now_ms())?
            .has_payment(txid)
    }

    /// Whether a transaction, signed or not, was handed over as a payment of the wallet, settled or
    /// not.
    ///
    /// # Errors
    /// Those of the reservations.
    pub fn is_handed_over(&self, transaction: &Transaction) -> BitcoinResult<bool> {
        let mut reservations = self.reservations();
        reservations
            .begin(reservations::now_ms())?
            .is_handed_over(reservations::token(transaction))
    }

    /// Takes back that this transaction may replace these payments, unless it was handed over.
    ///
    /// # Errors
    /// Those of the reservations.
    ///
    /// # Effects
    /// On disk before this returns.
    pub fn disallow_replacement(
        &self,
        transaction: &Transaction,
        replaced: &[Txid],
    ) -> BitcoinResult<()> {
        let mut reservations = self.reservations();
        let booking = reservations.begin(reservations::now_ms())?;
        booking.disallow_replacement(reservations::token(transaction), replaced)?;
        booking.commit()
    }
}

/// Whether a transaction pays this address of the wallet.
fn pays(ledger: &Ledger, txid: Txid, keychain: Keychain, index: u32) -> bool {
    let known = ledger.transaction(txid);
    known.is_some_and(|known| {
        let mut outputs = known.transaction.output.iter();
        outputs.any(|output| ledger.index_of(&output.script_pubkey) == Some((keychain, index)))
    })
}
