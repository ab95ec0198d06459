//! Handing a transaction to the network: written down before, decided after.

use std::collections::HashSet;

use bitcoin::consensus::encode;
use bitcoin::secp256k1::rand::{Rng, thread_rng};
use bitcoin::{OutPoint, Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BitcoinTransaction, ErrorKind, Operation};

use super::RustWallet;
use crate::convert;
use crate::wallet::ledger::{Ledger, OwnPayment, View};
use crate::wallet::reservations::{self, Booking, LOCKED};
use crate::wallet::source::Follower;

/// When a missing payment is sent again: at a random time within these, so that nodes cannot tell
/// by the interval whose it is.
const SEND_AGAIN_MS: std::ops::Range<u64> = 10 * 60_000..50 * 60_000;

/// What a transaction is to the wallet when it is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handed {
    /// It spends no coin of the wallet.
    Foreign,
    /// A payment that was handed over before.
    Again,
    /// A payment that this call wrote down, with its token.
    New(Txid),
}

impl RustWallet {
    /// Hands a transaction to the network through the wallet's source; what is known already is
    /// success.
    ///
    /// # Errors
    /// As `BitcoinInterface::broadcast_transaction`. `Rejected` also when it spends coins of
    /// another open payment that it does not replace, or coins that are reserved for another
    /// transaction: the context names it, and nothing was sent.
    ///
    /// # Effects
    /// Money moves when it is mined. A payment is on disk before it is sent
    /// (`docs/wallet.md`, "Own payments").
    pub fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<Txid> {
        let operation = Operation::BroadcastTransaction;
        let bytes = convert::encode_transaction(transaction).map_err(|cause| {
            BitcoinError::new(ErrorKind::InvalidInput, operation, cause.to_string())
        })?;
        let sent = self.handing_over(&bytes, |whole| self.source.broadcast(whole));
        sent.map_err(|error| error.during(operation))
    }

    /// Says that this transaction, signed or not, may replace these payments.
    ///
    /// # Errors
    /// Those of the reservations.
    ///
    /// # Effects
    /// On disk before this returns.
    pub fn allow_replacement(
        &self,
        transaction: &Transaction,
        replaced: &[Txid],
    ) -> BitcoinResult<()> {
        let mut reservations = self.reservations();
        let booking = reservations.begin(reservations::now_ms())?;
        booking.allow_replacement(reservations::token(transaction), replaced)?;
        booking.commit()
    }

    /// Writes a payment down before `send` hands it to the network, and what became of it after.
    pub(crate) fn handing_over<T>(
        &self,
        bytes: &[u8],
        send: impl FnOnce(&Transaction) -> BitcoinResult<T>,
    ) -> BitcoinResult<T> {
        let operation = Operation::BroadcastTransaction;
        let transaction: Transaction = encode::deserialize(bytes).map_err(|cause| {
            let message = "the bytes are no transaction";
            BitcoinError::new(ErrorKind::InvalidInput, operation, message).with_source(cause)
        })?;
        let handed = self.hand_over(&transaction)?;
        let outcome = send(&transaction);
        self.decide(&transaction, handed, outcome.as_ref().err())?;
        outcome
    }

    /// The reason why these bytes must not be handed over, if there is one. Writes nothing. Of an
    /// open payment, the reason why it should not have been: else it could not be seen that the
    /// other side handed it over another payment.
    ///
    /// # Errors
    /// `InvalidInput`: not a transaction. Those of the reservations.
    pub(crate) fn refusal_of(&self, bytes: &[u8]) -> BitcoinResult<Option<String>> {
        let operation = Operation::BroadcastTransaction;
        let transaction: Transaction = encode::deserialize(bytes).map_err(|cause| {
            let message = "the bytes are no transaction";
            BitcoinError::new(ErrorKind::InvalidInput, operation, message).with_source(cause)
        })?;
        let mut ledger = self.ledger();
        let mut reservations = self.reservations();
        // Dropped without a commit, it has no effect.
        let booking = reservations.begin(reservations::now_ms())?;
        let view = self.current_view(&mut ledger, &booking)?;
        let txid = transaction.compute_txid();
        let refusal = match ledger.payments().get(&txid) {
            Some(payment) if payment.row.abandoned_ms.is_none() => {
                trespass(&ledger, &view, &booking, payment)?
            }
            None if booking.has_payment(txid)? => None,
            _ => check(&ledger, &view, &booking, &transaction)?.err(),
        };
        Ok(refusal.map(|error| error.message().to_owned()))
    }

    fn hand_over(&self, transaction: &Transaction) -> BitcoinResult<Handed> {
        let txid = transaction.compute_txid();
        let mut ledger = self.ledger();
        let mut reservations = self.reservations();
        let booking = reservations.begin(reservations::now_ms())?;
        let view = self.current_view(&mut ledger, &booking)?;
        if booking.has_payment(txid)? {
            let known = ledger.payments().get(&txid);
            if known.is_some_and(|payment| payment.row.abandoned_ms.is_some()) {
                // Its coins may be another payment's by now.
                check(&ledger, &view, &booking, transaction)??;
            }
            booking.set_abandoned(txid, None)?;
            booking.set_next_broadcast(txid, next_broadcast_ms(booking.now_ms()))?;
            booking.commit()?;
            return Ok(Handed::Again);
        }
        check(&ledger, &view, &booking, transaction)??;
        if !spends_own(&ledger, transaction) {
            return Ok(Handed::Foreign);
        }
        booking.add_payment(transaction, next_broadcast_ms(booking.now_ms()))?;
        booking.commit()?;
        Ok(Handed::New(reservations::token(transaction)))
    }

    /// Writes down how the handing over ended.
    fn decide(
        &self,
        transaction: &Transaction,
        handed: Handed,
        error: Option<&BitcoinError>,
    ) -> BitcoinResult<()> {
        let txid = transaction.compute_txid();
        let mut ledger = self.ledger();
        if handed != Handed::Foreign {
            let mut reservations = self.reservations();
            let booking = reservations.begin(reservations::now_ms())?;
            match (handed, error) {
                (_, None) => booking.set_accepted(txid)?,
                #[cfg(feature = "planted")]
                (Handed::New(_), Some(_))
                    if crate::planted::is(crate::planted::Planted::KeepsRefused) => {}
                (Handed::New(token), Some(error)) if error.kind() == ErrorKind::Rejected => {
                    booking.delete_payment(txid, token)?;
                }
                // What became of it is not known, or it was handed over before.
                _ => {}
            }
            let payments = booking.payments(ledger.settled_below())?;
            booking.commit()?;
            ledger.set_payments(payments, |txid| reservations.payment_transaction(txid))?;
        }
        if error.is_none() && ledger.concerns(transaction) {
            ledger.insert_unconfirmed(transaction.clone(), reservations::now_ms() / 1_000)?;
        }
        self.publish_change(&ledger);
        Ok(())
    }
}

/// When a payment is sent again that is handed over now.
pub(super) fn next_broadcast_ms(now_ms: u64) -> u64 {
    now_ms.saturating_add(thread_rng().gen_range(SEND_AGAIN_MS))
}

/// Whether the time to send a payment again has come. A time further ahead than any was set is
/// that of a clock that was set back.
pub(super) fn is_due(next_broadcast_ms: u64, now_ms: u64) -> bool {
    const AN_HOUR_MS: u64 = 3_600_000;
    next_broadcast_ms <= now_ms || next_broadcast_ms - now_ms > AN_HOUR_MS
}

fn spends_own(ledger: &Ledger, transaction: &Transaction) -> bool {
    spent(transaction).any(|outpoint| ledger.owns(outpoint))
}

/// Whether the transaction, new or given up, may be handed over: it takes no coin from another open
/// payment that it is not said to replace, and none that is reserved for another transaction.
fn check(
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
    let own = token.to_string();
    let refusal = reserved_for_another(booking, transaction, |reason| Ok(*reason == own))?;
    Ok(refusal.map_or(Ok(()), Err))
}

/// Why an open payment should not have been handed over, if it should not: of two open payments
/// that spend one coin, one must have been said to replace the other.
fn trespass(
    ledger: &Ledger,
    view: &View,
    booking: &Booking<'_>,
    payment: &OwnPayment,
) -> BitcoinResult<Option<BitcoinError>> {
    let txid = payment.row.txid;
    if !is_open(view, payment) {
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
    let txid = transaction.compute_txid();
    let inputs: HashSet<OutPoint> = spent(transaction).collect();
    let others = ledger.payments().iter().filter(|(other, payment)| {
        **other != txid
            && is_open(view, payment)
            && spent(&payment.transaction).any(|coin| inputs.contains(&coin))
    });
    others.map(|(other, _)| *other).collect()
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

/// Whether a payment is open. One that the view does not know was handed over since.
fn is_open(view: &View, payment: &OwnPayment) -> bool {
    match view.standing(payment.row.txid) {
        Some(standing) => standing.is_open(),
        None => payment.row.abandoned_ms.is_none(),
    }
}

fn conflict(payment: Txid, why: &str) -> BitcoinError {
    let message = format!(
        "spends-coins-of-another-payment: the transaction takes coins from payment {payment}, \
         {why}; say that it replaces that payment (btc bump, btc cancel), or choose other coins"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_send_again_survives_a_clock_that_is_set() {
        let now = 1_000_000_000;
        let next = next_broadcast_ms(now);
        assert!(!is_due(next, now) && is_due(next, next));
        assert!(next - now >= 600_000 && next - now < 3_000_000);
        assert!(is_due(now + 10 * 365 * 86_400_000, now));
    }
}
