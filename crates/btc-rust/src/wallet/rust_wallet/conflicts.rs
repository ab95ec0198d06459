//! Which transactions may be handed over: none takes the coins of another payment unsaid.

use std::collections::HashSet;

use bitcoin::{OutPoint, Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use crate::wallet::ledger::{Ledger, OwnPayment, View};
use crate::wallet::reservations::{self, Booking, LOCKED};

/// Whether the transaction spends a coin that these books know to be the wallet's.
pub(super) fn spends_own(ledger: &Ledger, transaction: &Transaction) -> bool {
    spent(transaction).any(|outpoint| ledger.owns(outpoint))
}

/// Whether the transaction, new or given up, may be handed over: it takes no coin from another open
/// payment that it is not said to replace, and none that is reserved for another transaction.
pub(super) fn check(
    ledger: &Ledger,
    view: &View,
    booking: &Booking<'_>,
    transaction: &Transaction,
) -> BitcoinResult<Result<(), BitcoinError>> {
    let token = reservations::token(transaction);
    let named = ledger.named(booking.replaces(token)?);
    for other in rivals(ledger, view, transaction) {
        if !named.contains(&other) {
            return Ok(Err(conflict(other, "which is not confirmed")));
        }
        let descendants = ledger.open_descendants_in(view, other);
        if let Some(lost) = descendants.iter().find(|it| !named.contains(*it)) {
            return Ok(Err(conflict(*lost, "which would be lost with it")));
        }
    }
    if let Some(left) = spared(ledger, view, transaction, &named) {
        return Ok(Err(spares(left)));
    }
    let own = token.to_string();
    let refusal = reserved_for_another(booking, transaction, |reason| Ok(*reason == own))?;
    Ok(refusal.map_or(Ok(()), Err))
}

/// Why an open payment should not have been handed over, if it should not: of two open payments
/// that spend one coin, one must have been said to replace the other.
pub(super) fn trespass(
    ledger: &Ledger,
    view: &View,
    booking: &Booking<'_>,
    payment: &OwnPayment,
) -> BitcoinResult<Option<BitcoinError>> {
    let txid = payment.row.txid;
    if !payment.is_open_in(view) {
        return Ok(None);
    }
    let named = ledger.named(payment.row.replaces.iter().copied());
    for other in rivals(ledger, view, &payment.transaction) {
        if !named.contains(&other) && !ledger.named([other]).contains(&txid) {
            return Ok(Some(conflict(other, "which is not confirmed")));
        }
    }
    let own = payment.row.token.to_string();
    reserved_for_another(booking, &payment.transaction, |reason| {
        // For what replaces it, or what replaces its replacement.
        Ok(*reason == own
            || match reason.parse() {
                Ok(token) => ledger.named(booking.replaces(token)?).contains(&txid),
                Err(_) => false,
            })
    })
}

/// The other open payments that spend an input of this transaction.
fn rivals(ledger: &Ledger, view: &View, transaction: &Transaction) -> Vec<Txid> {
    #[cfg(feature = "planted")]
    if crate::planted::is(crate::planted::Planted::HandsOverTwice) {
        return Vec::new();
    }
    let txid = transaction.compute_txid();
    let inputs: HashSet<OutPoint> = spent(transaction).collect();
    let others = ledger.payments().iter().filter(|(other, payment)| {
        **other != txid
            && payment.is_open_in(view)
            && spent(&payment.transaction).any(|coin| inputs.contains(&coin))
    });
    others.map(|(other, _)| *other).collect()
}

/// A payment that the transaction is said to replace, and that could be mined beside it: it neither
/// spends one of its coins, nor descends from what does, nor was replaced by what descends.
pub(super) fn spared(
    ledger: &Ledger,
    view: &View,
    transaction: &Transaction,
    named: &HashSet<Txid>,
) -> Option<Txid> {
    let inputs: HashSet<OutPoint> = spent(transaction).collect();
    let mut descendants = Vec::new();
    let mut left = Vec::new();
    for txid in named {
        let payment = ledger.payments().get(txid);
        let Some(payment) = payment.filter(|payment| payment.is_open_in(view)) else {
            continue;
        };
        if *txid == transaction.compute_txid()
            || spent(&payment.transaction).any(|coin| inputs.contains(&coin))
        {
            continue;
        }
        if descends(ledger, &payment.transaction, &inputs) {
            descendants.push(*txid);
        } else {
            left.push(*txid);
        }
    }
    let fallen = ledger.named(descendants);
    left.into_iter().filter(|it| !fallen.contains(it)).min()
}

/// Whether an ancestor of a transaction, of the wallet or of others, spends one of these coins.
fn descends(ledger: &Ledger, transaction: &Transaction, coins: &HashSet<OutPoint>) -> bool {
    let mut seen: HashSet<Txid> = HashSet::new();
    let mut waiting: Vec<Txid> = spent(transaction).map(|coin| coin.txid).collect();
    while let Some(txid) = waiting.pop() {
        if !seen.insert(txid) {
            continue;
        }
        let Some(known) = ledger.transaction(txid).filter(|it| it.block.is_none()) else {
            continue;
        };
        if spent(&known.transaction).any(|coin| coins.contains(&coin)) {
            return true;
        }
        waiting.extend(spent(&known.transaction).map(|coin| coin.txid));
    }
    false
}

/// The refusal of a transaction whose coin is reserved for a reason that is not permitted. A user's
/// lock is for what the wallet chooses by itself.
fn reserved_for_another(
    booking: &Booking<'_>,
    transaction: &Transaction,
    is_permitted: impl Fn(&String) -> BitcoinResult<bool>,
) -> BitcoinResult<Option<BitcoinError>> {
    let reserved = booking.reserved()?;
    for coin in spent(transaction) {
        if let Some(reservation) = reserved.get(&coin)
            && reservation.reason != LOCKED
            && !is_permitted(&reservation.reason)?
        {
            let message = "coin-reserved-for-another-transaction: a coin is reserved; wait until \
                           the reservation ends, or release it (btc utxo unlock)";
            return Ok(Some(
                refused(message)
                    .with_context("coin", coin)
                    .with_context("reserved_for", &reservation.reason),
            ));
        }
    }
    Ok(None)
}

fn spent(transaction: &Transaction) -> impl Iterator<Item = OutPoint> + '_ {
    transaction.input.iter().map(|input| input.previous_output)
}

fn conflict(payment: Txid, why: &str) -> BitcoinError {
    let message = format!(
        "spends-coins-of-another-payment: the transaction takes coins from payment {payment}, \
         {why}; say that it replaces that payment (btc bump, btc cancel, btc broadcast \
         --replaces), or choose other coins"
    );
    refused(&message).with_context("payment", payment)
}

pub(super) fn spares(payment: Txid) -> BitcoinError {
    let message = format!(
        "replaces-no-coin-of-the-payment: the transaction is said to replace payment {payment} and \
         spends none of its coins, so that both could be mined; build one that spends them (btc \
         bump, btc cancel), or do not name it"
    );
    refused(&message).with_context("payment", payment)
}

fn refused(message: &str) -> BitcoinError {
    BitcoinError::new(
        ErrorKind::Rejected,
        Operation::BroadcastTransaction,
        message,
    )
}

/// Whether one of its coins is reserved for a transaction, or it was said to replace a payment: one
/// of its own, of which these books may not know the coins.
pub(super) fn is_promised(
    booking: &Booking<'_>,
    transaction: &Transaction,
    token: Txid,
) -> BitcoinResult<bool> {
    if !booking.replaces(token)?.is_empty() {
        return Ok(true);
    }
    let reserved = booking.reserved()?;
    let mut spent = transaction.input.iter().map(|input| input.previous_output);
    Ok(spent.any(|coin| {
        let reservation = reserved.get(&coin);
        reservation.is_some_and(|it| it.reason == token.to_string())
    }))
}

/// The payments that a transaction names and shares no coin with: they descend from what it
/// replaces, and are given up with it.
pub(super) fn dropped_by(
    ledger: &Ledger,
    booking: &Booking<'_>,
    transaction: &Transaction,
) -> BitcoinResult<Vec<Txid>> {
    let inputs = transaction.input.iter().map(|input| input.previous_output);
    let inputs: HashSet<OutPoint> = inputs.collect();
    let named = ledger.named(booking.replaces(reservations::token(transaction))?);
    let mut dropped: Vec<Txid> = named.into_iter().collect();
    dropped.retain(|txid| {
        ledger.payments().get(txid).is_some_and(|payment| {
            let mut spent = payment.transaction.input.iter();
            payment.row.abandoned_ms.is_none()
                && !spent.any(|input| inputs.contains(&input.previous_output))
        })
    });
    Ok(dropped)
}
