//! Which transactions may be handed over: none takes the coins of another payment unsaid.

use std::collections::HashSet;

use bitcoin::{OutPoint, Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use crate::wallet::ledger::{Ledger, OwnPayment, View};
use crate::wallet::reservations::{self, Booking, LOCKED};

/// Whether the transaction spends a coin that these books know to be the wallet's.
pub(super) fn spends_own(ledger: &Ledger, transaction: &Transaction) -> bool {
    let mut spent = transaction.input.iter().map(|input| input.previous_output);
    spent.any(|outpoint| ledger.owns(outpoint))
}

/// Whether one of its coins is reserved for a transaction: one of its own, of which these books may
/// not know the coins yet.
pub(super) fn is_promised(
    booking: &Booking<'_>,
    transaction: &Transaction,
    token: Txid,
) -> BitcoinResult<bool> {
    let reserved = booking.reserved()?;
    let mut spent = transaction.input.iter().map(|input| input.previous_output);
    Ok(spent.any(|coin| {
        let reservation = reserved.get(&coin);
        reservation.is_some_and(|it| it.reason == token.to_string())
    }))
}

/// What a transaction is judged as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// It is handed over first, or anew after it was given up.
    New,
    /// It was handed over: what replaces it was so after it.
    HandedOver,
}

/// Whether the transaction may be handed over: it takes no coin from another open payment that it
/// is not said to replace, and none that is reserved for another transaction.
pub(super) fn check(
    ledger: &Ledger,
    view: &View,
    booking: &Booking<'_>,
    transaction: &Transaction,
    rule: Rule,
) -> BitcoinResult<Result<(), BitcoinError>> {
    let txid = transaction.compute_txid();
    let token = reservations::token(transaction);
    let inputs = transaction.input.iter().map(|input| input.previous_output);
    let inputs: HashSet<OutPoint> = inputs.collect();
    let named = ledger.named(booking.replaces(token)?);
    let names_it = |other: Txid| rule == Rule::HandedOver && ledger.named([other]).contains(&txid);
    for (other, payment) in ledger.payments() {
        let is_open = is_open(view, payment);
        #[cfg(feature = "planted")]
        let is_open = is_open && !crate::planted::is(crate::planted::Planted::HandsOverTwice);
        let mut spent = payment.transaction.input.iter();
        let conflicts = spent.any(|input| inputs.contains(&input.previous_output));
        if !is_open || !conflicts || *other == txid || names_it(*other) {
            continue;
        }
        if !named.contains(other) {
            return Ok(Err(conflict(*other, "which is not confirmed")));
        }
        let descendants = ledger.open_descendants_in(view, *other);
        if let Some(lost) = descendants.iter().find(|it| !named.contains(*it)) {
            return Ok(Err(conflict(*lost, "which would be lost with it")));
        }
    }
    let reserved = booking.reserved()?;
    for coin in &inputs {
        if let Some(reservation) = reserved.get(coin)
            && reservation.reason != LOCKED
            && reservation.reason != token.to_string()
            && (rule == Rule::New || !replaces_it(ledger, booking, &reservation.reason, txid)?)
        {
            let message = "coin-reserved-for-another-transaction: a coin is reserved; wait until \
                           the reservation ends, or release it (btc utxo unlock)";
            return Ok(Err(refused(message)
                .with_context("coin", coin)
                .with_context("reserved_for", &reservation.reason)));
        }
    }
    Ok(Ok(()))
}

/// Whether a payment is open. One that the view does not know was handed over since.
fn is_open(view: &View, payment: &OwnPayment) -> bool {
    match view.standing(payment.row.txid) {
        Some(standing) => standing.is_open(),
        None => payment.row.abandoned_ms.is_none(),
    }
}

/// Whether a coin is reserved for a replacement of this payment that is not handed over yet.
fn replaces_it(
    ledger: &Ledger,
    booking: &Booking<'_>,
    reason: &str,
    txid: Txid,
) -> BitcoinResult<bool> {
    match reason.parse() {
        Ok(token) => Ok(ledger.named(booking.replaces(token)?).contains(&txid)),
        Err(_) => Ok(false),
    }
}

fn conflict(payment: Txid, why: &str) -> BitcoinError {
    let message = format!(
        "spends-coins-of-another-payment: the transaction takes coins from payment {payment}, \
         {why}; say that it replaces that payment (btc bump, btc \
         cancel, btc broadcast --replaces), or choose other coins"
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
