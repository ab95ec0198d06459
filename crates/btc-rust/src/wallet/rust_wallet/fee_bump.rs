//! Raising the fee of what is not confirmed, by replacing it or by a child that pays for it, and
//! taking it back.

use std::sync::Arc;

use bitcoin::{OutPoint, Psbt, Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, Chain, FeeRate, PaymentState, SnapshotCoin};

use super::RustWallet;
use super::family::Family;
use super::interface::not_found;
use super::operations::{candidate, snapshot_coin};
use crate::wallet::build::{
    self, Change, Draft, Funds, Original, Parent, Purpose, RelayRules, Terms,
};
use crate::wallet::fault;
use crate::wallet::ledger::Ledger;
use crate::wallet::reservations::{self, Booking};

/// How a payment is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Raise {
    /// The new fee rate; `None` for the least that nodes take.
    pub fee_rate: Option<FeeRate>,
    /// The payments of the wallet that descend from it and may be lost: each of them.
    pub drops: Vec<Txid>,
    /// The only recipient is paid less; there is no change, and no coin is added.
    pub from_recipient: bool,
    /// Accept a rate above the highest.
    pub allow_high_fee: bool,
}

/// A replacement that was built, and nothing of it reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// The replacement, signed unless the wallet only watches.
    pub psbt: Psbt,
    /// The payments that it replaces, for [`RustWallet::reserve`].
    pub replaces: Vec<Txid>,
}

impl RustWallet {
    /// Builds what `WalletInterface::bump_fee` would, and reserves nothing.
    ///
    /// # Errors
    /// As there; with `allow_high_fee`, no rate is too high. `InvalidInput` also when the fee shall
    /// come from the recipient and there is change, or not a single recipient.
    pub fn preview_bump(&self, txid: Txid, raise: &Raise) -> BitcoinResult<Replacement> {
        self.preview_replacement(txid, purpose(raise), raise)
    }

    /// Builds what `WalletInterface::cancel` would, and reserves nothing.
    ///
    /// # Errors
    /// As there; with `allow_high_fee`, no rate is too high.
    pub fn preview_cancel(&self, txid: Txid, raise: &Raise) -> BitcoinResult<Replacement> {
        self.preview_replacement(txid, Purpose::Cancel, raise)
    }

    /// Builds what `WalletInterface::accelerate` would, and reserves nothing.
    ///
    /// # Errors
    /// As there; with `allow_high_fee`, no rate is too high.
    pub fn preview_child(
        &self,
        txid: Txid,
        fee_rate: FeeRate,
        allow_high_fee: bool,
    ) -> BitcoinResult<Psbt> {
        let relatives = self.source.relatives(txid)?;
        let mut ledger = self.settled_ledger();
        let mut reservations = self.reservations();
        // Dropped without a commit, it has no effect.
        let booking = reservations.begin(reservations::now_ms())?;
        self.current_view(&mut ledger, &booking)?;
        let family = Family::new(&ledger, txid, relatives, Vec::new());
        let built = self.draft_child(&ledger, &booking, &family, fee_rate, allow_high_fee);
        built.map(|(_, psbt)| psbt)
    }

    /// `WalletInterface::bump_fee`.
    pub(super) fn replace(&self, txid: Txid, raise: &Raise) -> BitcoinResult<Psbt> {
        self.book_replacement(txid, purpose(raise), raise)
    }

    /// `WalletInterface::cancel`.
    pub(super) fn call_back(&self, txid: Txid, raise: &Raise) -> BitcoinResult<Psbt> {
        self.book_replacement(txid, Purpose::Cancel, raise)
    }

    /// `WalletInterface::accelerate`.
    pub(super) fn pay_for(&self, txid: Txid, fee_rate: FeeRate) -> BitcoinResult<Psbt> {
        let relatives = self.source.relatives(txid)?;
        let mut ledger = self.settled_ledger();
        let (_, psbt) = self.book(&mut ledger, |ledger, _, booking| {
            let family = Family::new(ledger, txid, relatives, Vec::new());
            self.draft_child(ledger, booking, &family, fee_rate, false)
        })?;
        Ok(psbt)
    }

    fn preview_replacement(
        &self,
        txid: Txid,
        purpose: Purpose,
        raise: &Raise,
    ) -> BitcoinResult<Replacement> {
        let relatives = self.source.relatives(txid)?;
        let rivals = self.rivals_of(txid)?;
        let terms = self.terms(purpose, raise)?;
        let mut ledger = self.settled_ledger();
        let mut reservations = self.reservations();
        // Dropped without a commit, it has no effect.
        let booking = reservations.begin(reservations::now_ms())?;
        self.current_view(&mut ledger, &booking)?;
        let family = Family::new(&ledger, txid, relatives, rivals);
        let built = self.draft_replacement(&ledger, &booking, &family, terms, &raise.drops);
        built.map(|(_, replacement)| replacement)
    }

    fn book_replacement(&self, txid: Txid, purpose: Purpose, raise: &Raise) -> BitcoinResult<Psbt> {
        let relatives = self.source.relatives(txid)?;
        let rivals = self.rivals_of(txid)?;
        let terms = self.terms(purpose, raise)?;
        let mut ledger = self.settled_ledger();
        let (_, psbt) = self.book(&mut ledger, |ledger, _, booking| {
            let family = Family::new(ledger, txid, relatives, rivals);
            let drops = &raise.drops;
            let (draft, built) = self.draft_replacement(ledger, booking, &family, terms, drops)?;
            let token = reservations::token(&draft.transaction);
            // What was reserved for a transaction that is replaced is for this one now.
            for replaced in &built.replaces {
                if let Some(known) = ledger.transaction(*replaced) {
                    booking.release_coins(reservations::token(&known.transaction))?;
                }
            }
            booking.allow_replacement(token, &built.replaces)?;
            Ok((draft, built.psbt))
        })?;
        Ok(psbt)
    }

    /// What is asked of a replacement, by the caller and by nodes.
    fn terms(&self, purpose: Purpose, raise: &Raise) -> BitcoinResult<Terms> {
        Ok(Terms {
            purpose,
            fee_rate: raise.fee_rate,
            relay: self.source.relay_rules()?.unwrap_or(RelayRules::CAUTIOUS),
            allow_high_fee: raise.allow_high_fee,
        })
    }

    fn draft_replacement(
        &self,
        ledger: &Ledger,
        booking: &Booking<'_>,
        family: &Family,
        terms: Terms,
        drops: &[Txid],
    ) -> BitcoinResult<(Draft, Replacement)> {
        let txid = family.txid;
        let transaction = replaceable(ledger, txid)?;
        let inputs = transaction
            .input
            .iter()
            .map(|input| own_coin(ledger, input.previous_output))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| {
                let message = "not all inputs are the wallet's; raise the fee with a child instead";
                fault::invalid(message).with_context("payment", txid)
            })?;
        check_parents(ledger, txid, &transaction)?;
        family.check_drops(drops)?;
        let original = Original {
            transaction: &transaction,
            inputs: &inputs,
            change: change_of(ledger, &transaction),
            descendants: &family.descendants,
            rivals: &family.rivals,
        };
        let view = ledger.view();
        let reserved = booking.reserved()?;
        let coins: Vec<_> = view
            .coins
            .iter()
            .map(|coin| candidate(coin, &view, reserved.get(&coin.outpoint)))
            .collect();
        let funds = Funds {
            coins: &coins,
            pending: &family.ancestors,
            tip_height: view.tip.height,
            change: self.change_place(ledger, booking)?,
            max_rate: self.max_fee_rate,
        };
        let draft = build::bump(self.keyring(), &original, &funds, terms)
            .map_err(|error| error.with_context("payment", txid))?;
        self.check_change(ledger, &draft)?;
        let mut psbt = self.to_psbt(ledger, &draft)?;
        self.sign_own(ledger, &mut psbt)?;
        let mut replaces = vec![txid];
        replaces.extend(&family.own);
        Ok((draft, Replacement { psbt, replaces }))
    }

    fn draft_child(
        &self,
        ledger: &Ledger,
        booking: &Booking<'_>,
        family: &Family,
        fee_rate: FeeRate,
        allow_high_fee: bool,
    ) -> BitcoinResult<(Draft, Psbt)> {
        let txid = family.txid;
        let transaction = in_mempool(ledger, txid)?;
        let pending = family.with_itself(ledger)?;
        let view = ledger.view();
        let reserved = booking.reserved()?;
        let coins: Vec<SnapshotCoin> = view
            .coins
            .iter()
            .filter(|coin| coin.outpoint.txid == txid)
            .filter(|coin| !reserved.contains_key(&coin.outpoint))
            .filter(|coin| !view.held.contains_key(&coin.outpoint))
            .map(snapshot_coin)
            .collect();
        let parent = Parent {
            transaction: &transaction,
            coins: &coins,
            has_child: family.has_child(),
        };
        let funds = Funds {
            coins: &[],
            pending: &pending,
            tip_height: view.tip.height,
            change: self.change_place(ledger, booking)?,
            max_rate: self.max_fee_rate,
        };
        let draft = build::accelerate(self.keyring(), &parent, &funds, fee_rate, allow_high_fee)
            .map_err(|error| error.with_context("payment", txid))?;
        self.check_change(ledger, &draft)?;
        let mut psbt = self.to_psbt(ledger, &draft)?;
        self.sign_own(ledger, &mut psbt)?;
        Ok((draft, psbt))
    }
}

fn purpose(raise: &Raise) -> Purpose {
    if raise.from_recipient {
        Purpose::LowerRecipient
    } else {
        Purpose::RaiseFee
    }
}

/// A payment that can be replaced: in the mempool, or handed over and missing.
fn replaceable(ledger: &Ledger, txid: Txid) -> BitcoinResult<Arc<Transaction>> {
    let Some(standing) = ledger.view().standing(txid) else {
        return in_mempool(ledger, txid);
    };
    let message = match (standing.state, standing.replaced_by) {
        (PaymentState::Confirmed, _) => "the payment is confirmed".to_owned(),
        (PaymentState::InMempool | PaymentState::Missing, Some(by)) => {
            let message = format!("the payment was replaced by {by}; replace that one");
            return Err(fault::invalid(message).with_context("payment", by));
        }
        (PaymentState::InMempool | PaymentState::Missing, None) => {
            let known = ledger.transaction(txid).map(|known| known.transaction);
            return known.ok_or_else(|| unknown(txid));
        }
        (state, _) => format!(
            "the payment is {}, and its coins are free; pay anew",
            state.as_str()
        ),
    };
    Err(fault::invalid(message).with_context("payment", txid))
}

/// A transaction of the wallet's that waits in the mempool.
fn in_mempool(ledger: &Ledger, txid: Txid) -> BitcoinResult<Arc<Transaction>> {
    let known = ledger.transaction(txid).ok_or_else(|| unknown(txid))?;
    if known.block.is_some() {
        return Err(fault::invalid("the transaction is confirmed").with_context("payment", txid));
    }
    if !known.is_counted {
        let message = "the transaction is not in the mempool; send it again (btc rebroadcast)";
        return Err(fault::invalid(message).with_context("payment", txid));
    }
    Ok(known.transaction)
}

/// Refuses to replace what spends an output that no node has, or that nodes take nothing of this
/// version on.
fn check_parents(ledger: &Ledger, txid: Txid, transaction: &Transaction) -> BitcoinResult<()> {
    for input in &transaction.input {
        let parent = input.previous_output.txid;
        let Some(known) = ledger.transaction(parent) else {
            continue;
        };
        if !known.is_counted && ledger.payments().contains_key(&parent) {
            let message = format!(
                "it spends an output of {parent}, which is missing itself; send that one again \
                 first (btc rebroadcast), or cancel it"
            );
            return Err(fault::invalid(message).with_context("payment", parent));
        }
        let message = if !known.is_counted {
            format!(
                "it spends an output of {parent}, a payment of others that no node has any more; \
                 wait until its sender sends that again, or give this one up (btc abandon)"
            )
        } else if known.block.is_none() && !build::may_spend(transaction, &known.transaction) {
            format!(
                "it spends an output of {parent}, which is not confirmed any more, and nodes take \
                 no transaction of version {} on one of version {} (BIP431); wait until that is \
                 confirmed again",
                transaction.version, known.transaction.version
            )
        } else {
            continue;
        };
        return Err(fault::invalid(message)
            .with_context("payment", txid)
            .with_context("parent", parent));
    }
    Ok(())
}

/// The wallet's output with this name, whether or not it is spent.
fn own_coin(ledger: &Ledger, outpoint: OutPoint) -> Option<SnapshotCoin> {
    let known = ledger.transaction(outpoint.txid)?;
    let output = known.transaction.output.get(outpoint.vout as usize)?;
    let ((address_type, chain), index) = ledger.index_of(&output.script_pubkey)?;
    Some(SnapshotCoin {
        outpoint,
        value_sat: output.value.to_sat(),
        address_type,
        chain,
        index,
    })
}

/// The output that returns money to the wallet.
fn change_of(ledger: &Ledger, transaction: &Transaction) -> Option<Change> {
    (0..).zip(&transaction.output).find_map(|(vout, output)| {
        let ((address_type, chain), index) = ledger.index_of(&output.script_pubkey)?;
        (chain == Chain::Change).then(|| Change {
            vout,
            address_type,
            index,
            value_sat: output.value.to_sat(),
        })
    })
}

fn unknown(txid: Txid) -> BitcoinError {
    not_found("not a transaction of the wallet").with_context("txid", txid)
}
