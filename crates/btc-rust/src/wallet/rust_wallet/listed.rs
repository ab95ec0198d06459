//! Payments that may be sent again by themselves, however a handing over ended: what a caller hears.

use bitcoin::{Transaction, Txid};
use btc_iface::{BitcoinError, ErrorKind, Operation, PaymentState};

use crate::wallet::ledger::Ledger;

/// Why a payment is listed that another caller has handed over since it was written down.
pub(super) const BY_ANOTHER: &str = "another caller has handed it over meanwhile";
/// Why one is listed that was there before.
pub(super) const BEFORE: &str = "it was handed over before";
/// Why one may be sent again that is given up only with what it descends from.
pub(super) const WITH_PARENT: &str = "what it descends from was given up, and may come back";
/// Why one may be sent again that the chain has decided against, not deep enough.
pub(super) const CAN_BE_UNDONE: &str = "what the chain has in its place can be undone, until it has 144 \
                             confirmations";
/// Why one is listed that a node may have.
pub(super) const UNCLEAR: &str = "a node may have it all the same";

/// Whether no node has it by this handing over: refused, or certainly not handed to one
/// ([`ChainSource::broadcast`](crate::wallet::source::ChainSource::broadcast)).
pub(super) fn is_final(error: &BitcoinError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Rejected
            | ErrorKind::Auth
            | ErrorKind::Configuration
            | ErrorKind::InvalidInput
            | ErrorKind::Unsupported
    )
}

/// Why a payment that is there, and not given up itself, may be sent again by itself; none where it
/// is settled.
pub(super) fn why_listed(ledger: &Ledger, txid: Txid) -> Option<&'static str> {
    ledger.payments().get(&txid)?;
    let view = ledger.view();
    Some(match view.standing(txid) {
        Some(it) if it.state == PaymentState::Conflicted => CAN_BE_UNDONE,
        Some(it) if it.state == PaymentState::Abandoned && !it.is_given_up => WITH_PARENT,
        _ => BEFORE,
    })
}

/// That a payment may be sent again by itself, however this handing over ended.
pub(super) fn still_listed(
    transaction: &Transaction,
    cause: &BitcoinError,
    why: &str,
) -> BitcoinError {
    let said = cause.message();
    let message = if is_final(cause) {
        format!("the payment was not taken now ({said}), and {why}: it is still listed,")
    } else {
        format!("whether the payment was sent is not known ({said}): it is listed,")
    };
    let message = format!(
        "{message} and may be sent again by itself; see btc history, and cancel it (btc cancel) or \
         give it up (btc abandon) before you pay anew"
    );
    let operation = Operation::BroadcastTransaction;
    BitcoinError::new(ErrorKind::Unavailable, operation, message)
        .with_context("payment", transaction.compute_txid())
}
