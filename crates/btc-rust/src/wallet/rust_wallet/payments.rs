//! Own payments that are stuck: sending them again, settling them.

use std::collections::HashSet;
use std::sync::Arc;

use bitcoin::{Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, PaymentState};

use super::RustWallet;
use super::hand_over::{is_due, next_broadcast_ms};
use super::interface::not_found;
use super::sent_again::{bystanders, held_back};
use crate::wallet::fault;
use crate::wallet::ledger::{Ledger, SETTLED_DEPTH, View};
use crate::wallet::reservations;
use crate::wallet::source::Follower;

/// What Bitcoin Core says of a transaction that pays too little by itself.
const TOO_CHEAP: [&str; 2] = ["min relay fee not met", "mempool min fee not met"];

impl RustWallet {
    /// What is to be done about own payments after the chain was followed, by callers that may
    /// write: closing, opening, sending again. It is not what the caller asked for, so that a
    /// failure is logged, and the next call tries again.
    pub(super) fn keep_payments(&self) {
        if let Err(error) = self.try_keep_payments() {
            tracing::warn!(%error, "own payments could not be looked after");
        }
    }

    fn try_keep_payments(&self) -> BitcoinResult<()> {
        let now_ms = reservations::now_ms();
        let view = self.published().view;
        let (has_to_settle, due) = {
            let ledger = self.ledger();
            let is_due = |txid: &Txid| {
                let row = &ledger.payments()[txid].row;
                is_due(row.next_broadcast_ms, now_ms)
            };
            let due = with_parents(&ledger, &self.to_send(&ledger, &view), is_due);
            let has_to_settle = ledger.undone_to().is_some() || !deep(&ledger, &view).is_empty();
            (has_to_settle, due)
        };
        if has_to_settle {
            self.settle()?;
        }
        // What a node has not read from disk yet it may have; and it takes what it would refuse then.
        if due.is_empty() || !self.source.is_mempool_loaded()? {
            return Ok(());
        }
        for (txid, error) in self.send_each(&due)? {
            match error {
                None => tracing::info!(%txid, "a missing payment was sent again"),
                Some(error) => tracing::warn!(%txid, %error, "a missing payment is refused"),
            }
        }
        Ok(())
    }

    /// Closes payments that are deep in the chain, and opens those again whose blocks were undone.
    fn settle(&self) -> BitcoinResult<()> {
        let mut ledger = self.settled_ledger();
        let undone = ledger.undone_to();
        let deep = deep(&ledger, &ledger.view());
        let mut reservations = self.reservations();
        let booking = reservations.begin(reservations::now_ms())?;
        let mut opened = 0;
        if let Some(height) = undone {
            opened = booking.unsettle_above(height)?;
        }
        for (txid, height) in deep {
            booking.settle(txid, height)?;
        }
        let payments = booking.payments(ledger.settled_below())?;
        let reach = booking.change_reach()?;
        booking.commit()?;
        if opened > 0 {
            tracing::info!(opened, "payments are open again after a reorganisation");
        }
        ledger.set_payments(payments, &reach, |txid| {
            reservations.payment_transaction(txid)
        })?;
        if undone.is_some() {
            ledger.forget_undone()?;
        }
        drop(reservations);
        self.publish_settled(&ledger);
        Ok(())
    }

    /// `WalletInterface::rebroadcast`.
    pub(super) fn send_again(
        &self,
        txid: Option<Txid>,
    ) -> BitcoinResult<Vec<(Txid, Option<BitcoinError>)>> {
        let (chosen, left) = {
            let mut ledger = self.settled_ledger();
            self.read_shared(&mut ledger)?;
            let view = ledger.view();
            let all = self.to_send(&ledger, &view);
            let mut left = held_back(&ledger, &view);
            match txid {
                None => (all, left),
                Some(txid) => {
                    if let Some(at) = left.iter().position(|(it, _)| *it == txid) {
                        return Err(left.swap_remove(at).1);
                    }
                    if !all.contains(&txid) {
                        check_missing(&ledger, txid, "sent again")?;
                    }
                    (with_parents(&ledger, &all, |it| *it == txid), Vec::new())
                }
            }
        };
        let mut outcomes = self.send_each(&chosen)?;
        outcomes.extend(left.into_iter().map(|(txid, why)| (txid, Some(why))));
        Ok(outcomes)
    }

    /// `WalletInterface::rescan`.
    pub(super) fn read_again(&self, from_height: u32) -> BitcoinResult<u32> {
        let tip = self.follow()?;
        if from_height > tip.height {
            let message = format!("height {from_height} is above the tip ({})", tip.height);
            return Err(fault::invalid(message));
        }
        let mut ledger = self.settled_ledger();
        let birthday = ledger.birthday();
        if from_height < birthday {
            let message = format!(
                "height {from_height} is below the wallet's birthday ({birthday}), and blocks below \
                 that are never looked at; restore the words with an earlier birthday (btc wallet \
                 restore --birthday), or rescan from {birthday} on"
            );
            return Err(fault::invalid(message));
        }
        ledger.read_again_from(from_height)?;
        drop(ledger);
        Ok(self.follow()?.height)
    }

    /// Sends these payments, in this order, and returns how each ended; not those that were given up
    /// or settled meanwhile.
    fn send_each(&self, txids: &[Txid]) -> BitcoinResult<Vec<(Txid, Option<BitcoinError>)>> {
        let mut outcomes = Vec::with_capacity(txids.len());
        for txid in txids {
            let transaction = match self.claim(*txid) {
                Ok(Some(transaction)) => transaction,
                Ok(None) => continue,
                Err(error) if outcomes.is_empty() => return Err(error),
                // What was sent is told; the rest is sent when it is due.
                Err(error) => {
                    outcomes.push((*txid, Some(error)));
                    break;
                }
            };
            let outcome = match self.send_or_package(&transaction) {
                Ok(taken) => {
                    // It is sent, whatever becomes of the books.
                    if let Err(error) = self.note_taken(&taken) {
                        tracing::warn!(%txid, %error, "that a payment was sent could not be written down");
                    }
                    None
                }
                Err(error) => Some(error),
            };
            outcomes.push((*txid, outcome));
        }
        Ok(outcomes)
    }

    /// Writes down that a node has taken these payments.
    fn note_taken(&self, taken: &[Arc<Transaction>]) -> BitcoinResult<()> {
        let mut ledger = self.ledger();
        let mut reservations = self.reservations();
        let booking = reservations.begin(reservations::now_ms())?;
        for transaction in taken {
            booking.set_accepted(transaction.compute_txid())?;
        }
        booking.commit()?;
        drop(reservations);
        let now_secs = reservations::now_ms() / 1_000;
        for transaction in taken {
            if ledger.concerns(transaction) {
                ledger.insert_unconfirmed(Transaction::clone(transaction), now_secs)?;
            }
        }
        self.publish_change(&ledger);
        Ok(())
    }

    /// Takes on to send a payment, so that no other does; none if it is no longer to be sent.
    fn claim(&self, txid: Txid) -> BitcoinResult<Option<Arc<Transaction>>> {
        let mut ledger = self.ledger();
        let mut reservations = self.reservations();
        let booking = reservations.begin(reservations::now_ms())?;
        let view = self.current_view(&mut ledger, &booking)?;
        // What was handed over meanwhile may stand on what it replaces.
        if !booking.is_to_send(txid, ledger.settled_below())?
            || !bystanders(&ledger, &view, txid).is_empty()
        {
            return Ok(None);
        }
        let Some(transaction) = booking.payment_transaction(txid)? else {
            return Ok(None);
        };
        booking.set_next_broadcast(txid, next_broadcast_ms(booking.now_ms()))?;
        booking.commit()?;
        Ok(Some(Arc::new(transaction)))
    }

    /// Sends a payment, and with it a child that pays for it if it is too cheap by itself; returns
    /// what was taken.
    fn send_or_package(
        &self,
        transaction: &Arc<Transaction>,
    ) -> BitcoinResult<Vec<Arc<Transaction>>> {
        let Err(refusal) = self.source.broadcast(transaction) else {
            return Ok(vec![Arc::clone(transaction)]);
        };
        let is_cheap = TOO_CHEAP.iter().any(|it| refusal.message().contains(it));
        if !is_cheap || refusal.kind() != ErrorKind::Rejected {
            return Err(refusal);
        }
        let txid = transaction.compute_txid();
        let children: Vec<_> = {
            let ledger = self.ledger();
            let all = self.to_send(&ledger, &ledger.view());
            let spends = |child: &Txid| {
                let mut inputs = ledger.payments()[child].transaction.input.iter();
                inputs.any(|input| input.previous_output.txid == txid)
            };
            all.into_iter().filter(spends).collect()
        };
        for child in children {
            // It may have been given up meanwhile.
            let Some(child) = self.claim(child)? else {
                continue;
            };
            match self.source.submit_package(transaction, &child) {
                Ok(()) => return Ok(vec![Arc::clone(transaction), child]),
                Err(error) if error.kind() == ErrorKind::Unsupported => break,
                Err(error) => {
                    tracing::debug!(%txid, %error, "a package is refused, too");
                }
            }
        }
        Err(refusal)
    }
}

/// Those that are wanted, and what they descend from; all of these to send, in their order.
fn with_parents(ledger: &Ledger, to_send: &[Txid], is_wanted: impl Fn(&Txid) -> bool) -> Vec<Txid> {
    let mut wanted: HashSet<Txid> = HashSet::new();
    // Parents come first, so that children come first from the end.
    for txid in to_send.iter().rev() {
        if wanted.contains(txid) || is_wanted(txid) {
            wanted.insert(*txid);
            let inputs = ledger.payments()[txid].transaction.input.iter();
            wanted.extend(inputs.map(|input| input.previous_output.txid));
        }
    }
    let all = to_send.iter().copied();
    all.filter(|txid| wanted.contains(txid)).collect()
}

/// That a payment is missing and not replaced; `what` is what cannot be done with others.
pub(super) fn check_missing(ledger: &Ledger, txid: Txid, what: &str) -> BitcoinResult<()> {
    let view = ledger.view();
    let Some(standing) = view.standing(txid) else {
        let is_confirmed = ledger
            .transaction(txid)
            .is_some_and(|known| known.block.is_some());
        let error = if is_confirmed {
            fault::invalid("the payment is confirmed")
        } else {
            not_found("not a payment of the wallet")
        };
        return Err(error.with_context("payment", txid));
    };
    let message = match (standing.state, standing.replaced_by) {
        (PaymentState::Missing, None) => return Ok(()),
        (PaymentState::Missing, Some(by)) => {
            format!("the payment was replaced by {by}, and cannot be {what}")
        }
        (PaymentState::InMempool, _) => {
            format!(
                "the payment is in the mempool, and cannot be {what}; raise its fee (btc bump) \
                     or cancel it (btc cancel)"
            )
        }
        (state, _) => format!("the payment is {}, and cannot be {what}", state.as_str()),
    };
    Err(fault::invalid(message).with_context("payment", txid))
}

/// The payments that are decided deep enough to be settled, each with the height of its block.
fn deep(ledger: &Ledger, view: &View) -> Vec<(Txid, u32)> {
    let heights = ledger.payments().keys().filter_map(|txid| {
        let block = view.standing(*txid)?.block?;
        let confirmations = (view.tip.height + 1).saturating_sub(block.height);
        (confirmations >= SETTLED_DEPTH).then_some((*txid, block.height))
    });
    heights.collect()
}

/// Those of the payments that are wanted, parents first.
pub(super) fn in_order(ledger: &Ledger, is_wanted: impl Fn(&Txid) -> bool) -> Vec<Txid> {
    let payments = ledger.payments();
    let mut waiting: Vec<Txid> = payments.keys().copied().filter(is_wanted).collect();
    let mut ordered: Vec<Txid> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let (ready, later): (Vec<_>, Vec<_>) = waiting.iter().copied().partition(|txid| {
            let mut inputs = payments[txid].transaction.input.iter();
            !inputs.any(|input| waiting.contains(&input.previous_output.txid))
        });
        if ready.is_empty() {
            // A transaction cannot descend from itself.
            return ordered;
        }
        ordered.extend(ready);
        waiting = later;
    }
    ordered
}
