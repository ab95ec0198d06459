//! Which missing payments are sent again, and which are not, since others would be lost with what
//! they replace.

use std::collections::BTreeSet;

use bitcoin::Txid;
use btc_iface::{BitcoinError, ErrorKind, PaymentState};

use super::RustWallet;
use super::payments::in_order;
use crate::wallet::fault;
use crate::wallet::ledger::{Ledger, OwnPayment, View};

impl RustWallet {
    /// The payments that nodes may have forgotten, parents first: the missing ones, and all open
    /// ones where no mempool is seen. One that is replaced is not among them, nor one that would
    /// take payments with it which it does not name; what that one replaces is.
    pub(super) fn to_send(&self, ledger: &Ledger, view: &View) -> Vec<Txid> {
        let sees_mempool = self.source.sees_mempool();
        in_order(ledger, |txid| {
            view.standing(*txid).is_some_and(|it| {
                let is_forgotten = it.state == PaymentState::Missing;
                let is_open = is_forgotten || (!sees_mempool && it.is_open());
                let is_replaced = it
                    .replaced_by
                    .is_some_and(|by| !is_replaced_in_vain(ledger, view, *txid, by));
                is_open && !is_replaced && bystanders(ledger, view, *txid).is_empty()
            })
        })
    }
}

/// The missing payments that are not sent, each with the reason.
pub(super) fn held_back(ledger: &Ledger, view: &View) -> Vec<(Txid, BitcoinError)> {
    let all = ledger.payments().keys().filter(|txid| {
        view.standing(**txid)
            .is_some_and(|it| it.state == PaymentState::Missing && it.replaced_by.is_none())
    });
    let reasons = all.map(|txid| (*txid, bystanders(ledger, view, *txid)));
    reasons
        .filter(|(_, others)| !others.is_empty())
        .map(|(txid, others)| (txid, would_lose(ErrorKind::InvalidInput, txid, &others)))
        .collect()
}

/// The open payments that a payment does not name, and that would be lost with what it replaces:
/// they stand on that. It is not sent again while there are any.
pub(super) fn bystanders(ledger: &Ledger, view: &View, txid: Txid) -> BTreeSet<Txid> {
    let Some(payment) = ledger.payments().get(&txid) else {
        return BTreeSet::new();
    };
    let named = ledger.named(payment.row.replaces.iter().copied());
    let waits = |it: &&Txid| {
        let known = ledger.transaction(**it);
        **it != txid && known.is_none_or(|it| it.block.is_none())
    };
    let descendants = named
        .iter()
        .filter(waits)
        .flat_map(|it| ledger.open_descendants_in(view, *it));
    let is_lost = |it: &Txid| *it != txid && !named.contains(it);
    descendants.filter(is_lost).collect()
}

/// Whether a payment that is replaced has to be sent again all the same, since what replaces it is
/// not sent.
fn is_replaced_in_vain(ledger: &Ledger, view: &View, txid: Txid, by: Txid) -> bool {
    let replaces = |(other, payment): (&Txid, &OwnPayment)| {
        *other != txid
            && payment.is_open_in(view)
            && ledger
                .named(payment.row.replaces.iter().copied())
                .contains(&txid)
            && !ledger.named([txid]).contains(other)
            && bystanders(ledger, view, *other).is_empty()
    };
    !bystanders(ledger, view, by).is_empty() && !ledger.payments().iter().any(replaces)
}

/// Why a payment is not sent that would take these with it.
pub(super) fn would_lose(
    kind: ErrorKind,
    payment: Txid,
    bystanders: &BTreeSet<Txid>,
) -> BitcoinError {
    let names: Vec<String> = bystanders.iter().map(ToString::to_string).collect();
    let names = names.join(",");
    let message = format!(
        "the payment is not sent now: payments stand on what it replaces, which it does not name \
         and which would be lost ({names}); wait until they are decided, or give it up (btc \
         abandon)"
    );
    fault::error(kind, message)
        .with_context("payment", payment)
        .with_context("descendants", names)
}
