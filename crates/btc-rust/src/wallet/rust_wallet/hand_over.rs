//! Handing a transaction to the network: written down before, decided after.

use bitcoin::consensus::encode;
use bitcoin::secp256k1::rand::{Rng, thread_rng};
use bitcoin::{Transaction, Txid};
use btc_iface::{
    BitcoinError, BitcoinResult, BitcoinTransaction, ErrorKind, Operation, PaymentState,
};

use super::RustWallet;
use super::conflicts::{check, dropped_by, is_promised, spends_own, trespass};
use super::listed::{BY_ANOTHER, UNCLEAR, WITH_PARENT, is_final, still_listed, why_listed};
use super::sent_again::{bystanders, would_lose};
use crate::convert;
use crate::wallet::reservations;
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
    Again {
        /// When it was given up, if it was.
        abandoned_ms: Option<u64>,
        /// What this call wrote.
        next_broadcast_ms: u64,
    },
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
    /// It may be sent again by itself, for this reason.
    StillListed(&'static str),
}

impl RustWallet {
    /// Hands a transaction to the network through the wallet's source; what is known already is
    /// success.
    ///
    /// # Errors
    /// As `BitcoinInterface::broadcast_transaction`. `Rejected` also when it spends coins of
    /// another open payment that it does not replace, or coins that are reserved for another
    /// transaction: the context names it, and nothing was sent. `Unavailable` with its txid as
    /// `payment`, whatever the cause: it is listed as a payment, and may be sent again by itself.
    ///
    /// # Effects
    /// Money moves when it is mined. A payment is on disk before it is sent
    /// (`docs/wallet.md`, "Own payments").
    pub fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<Txid> {
        let operation = Operation::BroadcastTransaction;
        let bytes = convert::encode_transaction(transaction).map_err(|cause| {
            BitcoinError::new(ErrorKind::InvalidInput, operation, cause.to_string())
        })?;
        let txid = transaction.txid;
        let sent = self.handing_over(&bytes, txid, |whole| self.source.broadcast(whole));
        sent.map_err(|error| error.during(operation))
    }

    /// Writes a payment down before `send` hands it to the network, and what became of it after.
    /// `known` is the answer of a success.
    pub(crate) fn handing_over<T>(
        &self,
        bytes: &[u8],
        known: T,
        send: impl FnOnce(&Transaction) -> BitcoinResult<T>,
    ) -> BitcoinResult<T> {
        let operation = Operation::BroadcastTransaction;
        let transaction: Transaction = encode::deserialize(bytes).map_err(|cause| {
            let message = "the bytes are no transaction";
            BitcoinError::new(ErrorKind::InvalidInput, operation, message).with_source(cause)
        })?;
        let handed = self.hand_over(&transaction)?;
        let error = match send(&transaction) {
            Ok(answer) => {
                self.note_sent(&transaction, handed);
                return Ok(answer);
            }
            Err(error) => error,
        };
        let decided = self.decide(&transaction, handed, Some(&error));
        let is_again = matches!(handed, Handed::Again { .. });
        // A node without an index of transactions does not know one whose outputs are spent. Only
        // now: what the books read while the row is there counts as used.
        let may_be_there = is_refusal(&error) || (is_again && is_final(&error));
        if may_be_there && self.is_confirmed(transaction.compute_txid()) {
            self.note_sent(&transaction, handed);
            return Ok(known);
        }
        let still_listed = |why| still_listed(&transaction, &error, why);
        Err(match decided {
            // What a node knows is success.
            Ok(Decided::TakenMeanwhile) => return Ok(known),
            Ok(Decided::AsSaid) => error,
            Ok(Decided::StillListed(why)) => still_listed(why),
            Err(_) if handed == Handed::Foreign => error,
            Err(cause) => still_listed("that could not be written down").with_source(cause),
        })
    }

    /// Writes down that a payment is sent. It is sent whatever becomes of that.
    fn note_sent(&self, transaction: &Transaction, handed: Handed) {
        if let Err(error) = self.decide(transaction, handed, None) {
            tracing::warn!(%error, "that a payment was sent could not be written down");
        }
    }

    /// Whether the newest chain has the transaction, or had it at the last look where it cannot be
    /// read now.
    fn is_confirmed(&self, txid: Txid) -> bool {
        if let Err(error) = self.followed() {
            tracing::debug!(%error, "a refusal is judged by what was seen before");
        }
        let known = self.ledger().transaction(txid);
        known.is_some_and(|known| known.block.is_some())
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
            // Of one that was given up, or descends from one, the coins may be another's by now.
            let is_lost = known.is_some_and(|payment| {
                let standing = view.standing(txid);
                let is_lost = standing.is_some_and(|it| it.state == PaymentState::Abandoned);
                payment.row.abandoned_ms.is_some() || is_lost
            });
            if is_lost && let Err(refusal) = check(&ledger, &view, &booking, transaction)? {
                let is_given_up = known.is_some_and(|it| it.row.abandoned_ms.is_some());
                return Ok(Err(if is_given_up {
                    refusal
                } else {
                    still_listed(transaction, &refusal, WITH_PARENT)
                }));
            }
            let others = bystanders(&ledger, &view, txid);
            let standing = view.standing(txid);
            if !is_lost
                && !others.is_empty()
                && standing.is_none_or(|it| it.state == PaymentState::Missing)
            {
                // It is open: the caller must not take it for refused.
                return Ok(Err(would_lose(ErrorKind::Unavailable, txid, &others)));
            }
            let handed = Handed::Again {
                abandoned_ms: known.and_then(|payment| payment.row.abandoned_ms),
                next_broadcast_ms: next_broadcast_ms(booking.now_ms()),
            };
            booking.set_abandoned(txid, None)?;
            if let Handed::Again {
                next_broadcast_ms, ..
            } = handed
            {
                booking.set_next_broadcast(txid, next_broadcast_ms)?;
            }
            booking.commit()?;
            return Ok(Ok(handed));
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
                    if !booking.set_accepted(txid)? {
                        // It was refused, and is in the chain.
                        booking.add_payment(transaction, booking.now_ms())?;
                        booking.set_accepted(txid)?;
                    }
                    let named = booking.replaces(reservations::token(transaction))?;
                    booking.forget_reverse(txid, &ledger.named(named))?;
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
                ) if is_final(error) => {
                    if !booking.delete_payment(txid, token, next_broadcast_ms)? {
                        decided = Decided::StillListed(BY_ANOTHER);
                    }
                }
                (Handed::New { .. }, Some(_)) => decided = Decided::StillListed(UNCLEAR),
                (
                    Handed::Again {
                        abandoned_ms,
                        next_broadcast_ms,
                    },
                    Some(error),
                ) => {
                    let is_given_up = match abandoned_ms {
                        Some(at_ms) if is_final(error) => {
                            booking.give_up_again(txid, at_ms, next_broadcast_ms)?
                        }
                        _ => false,
                    };
                    if !is_given_up && let Some(why) = why_listed(&ledger, txid) {
                        decided = Decided::StillListed(why);
                    }
                }
                (Handed::Foreign, Some(_)) => {}
            }
            let payments = booking.payments(ledger.settled_below())?;
            let reach = booking.change_reach()?;
            booking.commit()?;
            let is_taken = payments.get(&txid).is_some_and(|row| row.is_accepted);
            if decided == Decided::StillListed(BY_ANOTHER) && is_taken {
                decided = Decided::TakenMeanwhile;
            }
            ledger.set_payments(payments, &reach, |txid| {
                reservations.payment_transaction(txid)
            })?;
        }
        if error.is_none() && ledger.concerns(transaction) {
            ledger.insert_unconfirmed(transaction.clone(), reservations::now_ms() / 1_000)?;
        }
        self.publish_change(&ledger);
        Ok(decided)
    }
}

/// Whether a node has said no, in whatever words.
fn is_refusal(error: &BitcoinError) -> bool {
    error.kind() == ErrorKind::Rejected
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
