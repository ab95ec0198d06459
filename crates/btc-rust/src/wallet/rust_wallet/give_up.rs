//! Own payments that a user gives up.

use std::collections::BTreeMap;

use bitcoin::Txid;
use btc_iface::{BitcoinResult, ErrorKind, PaymentState};

use super::RustWallet;
use super::payments::check_missing;
use crate::wallet::fault;
use crate::wallet::ledger::Ledger;
use crate::wallet::reservations::{self, PaymentRow};

impl RustWallet {
    /// `WalletInterface::abandon`.
    pub(super) fn give_up(&self, txid: Txid) -> BitcoinResult<Vec<Txid>> {
        if !self.source.sees_mempool() {
            let message = "this chain source sees no mempool, so whether a node still has the \
                           payment is not known; cancel it (btc cancel), or give it up over \
                           another source (WALLET_SOURCE=core, electrum or esplora)";
            return Err(fault::invalid(message).with_context("payment", txid));
        }
        // From before the mempool is looked at: a handing over that begins later changes a row.
        let before = {
            let ledger = self.ledger();
            self.reservations().payments(ledger.settled_below())?
        };
        self.follow()?;
        let mut ledger = self.settled_ledger();
        if !is_lost_with_parent(&ledger, txid) {
            check_missing(&ledger, txid, "abandoned")?;
        }
        if !self.source.is_mempool_loaded()? {
            let message = "the node has not loaded its mempool yet; ask again in a moment";
            return Err(fault::error(ErrorKind::Unavailable, message));
        }
        let mut reservations = self.reservations();
        let booking = reservations.begin(reservations::now_ms())?;
        self.current_view(&mut ledger, &booking)?;
        let family = given_up_with(&ledger, txid);
        let row = |txid: &Txid| ledger.payments().get(txid).map(|payment| &payment.row);
        let changed = family.iter().find(|txid| row(txid) != before.get(*txid));
        if let Some(changed) = changed
            .copied()
            .or_else(|| replaced_since(&ledger, &before, &family))
        {
            let message = "a payment was handed over since the mempool was looked at; see btc \
                           history, and ask again";
            return Err(
                fault::error(ErrorKind::Unavailable, message).with_context("payment", changed)
            );
        }
        for txid in &family {
            booking.set_abandoned(*txid, Some(booking.now_ms()))?;
        }
        let payments = booking.payments(ledger.settled_below())?;
        let reach = booking.change_reach()?;
        booking.commit()?;
        ledger.set_payments(payments, &reach, |txid| {
            reservations.payment_transaction(txid)
        })?;
        drop(reservations);
        self.publish_settled(&ledger);
        Ok(family)
    }
}

/// Whether a payment is given up only with what it descends from: it may come back with that, and
/// can be given up itself.
fn is_lost_with_parent(ledger: &Ledger, txid: Txid) -> bool {
    let view = ledger.view();
    let standing = view.standing(txid);
    standing.is_some_and(|it| it.state == PaymentState::Abandoned && !it.is_given_up)
}

/// A payment with all that is given up with it: what it replaced, which would come back and be sent
/// again by itself, and what descends from any of these.
fn given_up_with(ledger: &Ledger, txid: Txid) -> Vec<Txid> {
    let mut family: Vec<Txid> = vec![txid];
    let replaced = ledger.named([txid]).into_iter();
    family.extend(replaced.filter(|it| *it != txid && is_missing(ledger, *it)));
    for given_up in family.clone() {
        for descendant in ledger.open_descendants(given_up) {
            if !family.contains(&descendant) {
                family.push(descendant);
            }
        }
    }
    family
}

fn is_missing(ledger: &Ledger, txid: Txid) -> bool {
    let view = ledger.view();
    let standing = view.standing(txid);
    standing.is_some_and(|it| it.state == PaymentState::Missing)
}

/// A payment that is not given up and was said to replace one of these since these rows were read:
/// it may pay the same.
fn replaced_since(
    ledger: &Ledger,
    before: &BTreeMap<Txid, PaymentRow>,
    family: &[Txid],
) -> Option<Txid> {
    let mut others = ledger.payments().iter().filter(|(txid, payment)| {
        payment.row.abandoned_ms.is_none()
            && !family.contains(txid)
            && before.get(*txid) != Some(&payment.row)
    });
    others
        .find(|(_, payment)| {
            let named = ledger.named(payment.row.replaces.iter().copied());
            family.iter().any(|it| named.contains(it))
        })
        .map(|(txid, _)| *txid)
}
