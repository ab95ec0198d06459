//! Handing a transaction to the network: written down before, decided after.

use bitcoin::consensus::encode;
use bitcoin::secp256k1::rand::{Rng, thread_rng};
use bitcoin::{Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BitcoinTransaction, ErrorKind, Operation};

use super::RustWallet;
use super::conflicts::{check, dropped_by, is_promised, spends_own, trespass};
use crate::convert;
use crate::wallet::source::Follower;
use crate::wallet::{fault, reservations};

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
    /// A payment that this call wrote down.
    New {
        /// Its token.
        token: Txid,
        /// What this call wrote: another one that hands it over writes another time.
        next_broadcast_ms: u64,
    },
}

/// What the books say of a handing over that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decided {
    /// What the node said.
    AsSaid,
    /// It was refused, and a node has taken it from another caller meanwhile.
    TakenMeanwhile,
    /// It was refused, and another caller has handed it over meanwhile.
    StillListed,
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
    /// `InvalidInput`: one of them is not known. Those of the reservations.
    ///
    /// # Effects
    /// On disk before this returns.
    pub fn allow_replacement(
        &self,
        transaction: &Transaction,
        replaced: &[Txid],
    ) -> BitcoinResult<()> {
        let mut ledger = self.ledger();
        self.read_shared(&mut ledger)?;
        for txid in replaced {
            if !ledger.payments().contains_key(txid) && ledger.transaction(*txid).is_none() {
                let message = "no payment of the wallet to replace; `btc history` lists them";
                return Err(fault::invalid(message).with_context("payment", txid));
            }
        }
        let mut reservations = self.reservations();
        let booking = reservations.begin(reservations::now_ms())?;
        booking.allow_replacement(reservations::token(transaction), replaced)?;
        booking.commit()
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

    /// Takes back that this transaction may replace these payments.
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

    /// Writes a payment down before `send` hands it to the network, and what became of it after.
    pub(crate) fn handing_over<T>(
        &self,
        bytes: &[u8],
        send: impl Fn(&Transaction) -> BitcoinResult<T>,
    ) -> BitcoinResult<T> {
        let operation = Operation::BroadcastTransaction;
        let transaction: Transaction = encode::deserialize(bytes).map_err(|cause| {
            let message = "the bytes are no transaction";
            BitcoinError::new(ErrorKind::InvalidInput, operation, message).with_source(cause)
        })?;
        let handed = self.hand_over(&transaction)?;
        let outcome = send(&transaction);
        let decided = self.decide(&transaction, handed, outcome.as_ref().err());
        match (outcome, decided) {
            (outcome, Ok(Decided::AsSaid)) => outcome,
            // It is sent, whatever became of the books.
            (Ok(answer), decided) => {
                if let Err(error) = decided {
                    tracing::warn!(%error, "that a payment was sent could not be written down");
                }
                Ok(answer)
            }
            // What a node knows is success.
            (Err(_), Ok(Decided::TakenMeanwhile)) => send(&transaction),
            (Err(_), Ok(Decided::StillListed)) => {
                let why = "another caller has handed it over meanwhile";
                Err(still_listed(&transaction, why))
            }
            (Err(refusal), Err(error)) if refusal.kind() == ErrorKind::Rejected => {
                Err(still_listed(&transaction, "that could not be written down").with_source(error))
            }
            (Err(error), Err(_)) => Err(error),
        }
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
        let txid = transaction.compute_txid();
        let look = || {
            let mut ledger = self.ledger();
            let mut reservations = self.reservations();
            // Dropped without a commit, it has no effect.
            let booking = reservations.begin(reservations::now_ms())?;
            let view = self.current_view(&mut ledger, &booking)?;
            match ledger.payments().get(&txid) {
                Some(payment) if payment.row.abandoned_ms.is_none() => {
                    trespass(&ledger, &view, &booking, payment)
                }
                None if booking.has_payment(txid)? => Ok(None),
                _ => Ok(check(&ledger, &view, &booking, &transaction)?.err()),
            }
        };
        let mut refusal = look()?;
        if refusal.is_some() && self.followed().is_ok() {
            refusal = look()?;
        }
        Ok(refusal.map(|error| error.message().to_owned()))
    }

    /// As [`try_hand_over`](Self::try_hand_over), which looks once more on the newest chain before
    /// it refuses a transaction, or takes one for another's.
    fn hand_over(&self, transaction: &Transaction) -> BitcoinResult<Handed> {
        let handed = self.try_hand_over(transaction)?;
        if !matches!(handed, Err(_) | Ok(Handed::Foreign)) || self.followed().is_err() {
            return handed;
        }
        self.try_hand_over(transaction)?
    }

    /// Writes down that the transaction is handed over, unless the rules refuse it.
    fn try_hand_over(
        &self,
        transaction: &Transaction,
    ) -> BitcoinResult<Result<Handed, BitcoinError>> {
        let txid = transaction.compute_txid();
        let mut ledger = self.ledger();
        let mut reservations = self.reservations();
        let booking = reservations.begin(reservations::now_ms())?;
        let view = self.current_view(&mut ledger, &booking)?;
        if booking.has_payment(txid)? {
            let known = ledger.payments().get(&txid);
            if known.is_some_and(|payment| payment.row.abandoned_ms.is_some()) {
                // Its coins may be another payment's by now.
                if let Err(refusal) = check(&ledger, &view, &booking, transaction)? {
                    return Ok(Err(refusal));
                }
            }
            booking.set_abandoned(txid, None)?;
            booking.set_next_broadcast(txid, next_broadcast_ms(booking.now_ms()))?;
            booking.commit()?;
            return Ok(Ok(Handed::Again));
        }
        if let Err(refusal) = check(&ledger, &view, &booking, transaction)? {
            return Ok(Err(refusal));
        }
        let token = reservations::token(transaction);
        if !spends_own(&ledger, transaction) && !is_promised(&booking, transaction, token)? {
            return Ok(Ok(Handed::Foreign));
        }
        let next_broadcast_ms = next_broadcast_ms(booking.now_ms());
        booking.add_payment(transaction, next_broadcast_ms)?;
        booking.commit()?;
        Ok(Ok(Handed::New {
            token,
            next_broadcast_ms,
        }))
    }

    /// Writes down how the handing over ended.
    fn decide(
        &self,
        transaction: &Transaction,
        handed: Handed,
        error: Option<&BitcoinError>,
    ) -> BitcoinResult<Decided> {
        let txid = transaction.compute_txid();
        let mut ledger = self.ledger();
        let mut decided = Decided::AsSaid;
        if handed != Handed::Foreign {
            let mut reservations = self.reservations();
            let booking = reservations.begin(reservations::now_ms())?;
            match (handed, error) {
                (_, None) => {
                    booking.set_accepted(txid)?;
                    let now_ms = booking.now_ms();
                    for dropped in dropped_by(&ledger, &booking, transaction)? {
                        booking.set_abandoned(dropped, Some(now_ms))?;
                    }
                }
                #[cfg(feature = "planted")]
                (Handed::New { .. }, Some(_))
                    if crate::planted::is(crate::planted::Planted::KeepsRefused) => {}
                (
                    Handed::New {
                        token,
                        next_broadcast_ms,
                    },
                    Some(error),
                ) if error.kind() == ErrorKind::Rejected => {
                    let is_deleted = booking.delete_payment(txid, token, next_broadcast_ms)?;
                    decided = if is_deleted {
                        Decided::AsSaid
                    } else {
                        Decided::StillListed
                    };
                }
                // What became of it is not known, or it was handed over before.
                _ => {}
            }
            let payments = booking.payments(ledger.settled_below())?;
            booking.commit()?;
            let is_taken = payments.get(&txid).is_some_and(|row| row.is_accepted);
            if decided == Decided::StillListed && is_taken {
                decided = Decided::TakenMeanwhile;
            }
            ledger.set_payments(payments, |txid| reservations.payment_transaction(txid))?;
        }
        if error.is_none() && ledger.concerns(transaction) {
            ledger.insert_unconfirmed(transaction.clone(), reservations::now_ms() / 1_000)?;
        }
        self.publish_change(&ledger);
        Ok(decided)
    }
}

/// That the node refused a payment, which may be sent again all the same.
fn still_listed(transaction: &Transaction, why: &str) -> BitcoinError {
    let message = format!(
        "the node refused the payment, and {why}: it is still listed, and may be sent again; see \
         btc history before you pay anew"
    );
    let operation = Operation::BroadcastTransaction;
    BitcoinError::new(ErrorKind::Unavailable, operation, message)
        .with_context("payment", transaction.compute_txid())
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
