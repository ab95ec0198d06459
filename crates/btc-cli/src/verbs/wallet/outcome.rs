//! What a caller hears of a transaction that was handed over: its txid, whatever happens afterwards.

use std::fmt::Display;

use btc::bitcoin::Txid;
use btc::{BitcoinError, ErrorKind};
use serde_json::{Value, json};

use super::summary::Summary;
use crate::output::{self, Output};

/// Prints the result of a payment that is sent.
pub(super) fn sent(output: Output, summary: &Summary, txid: Txid) {
    let mut value = summary.to_json();
    value["is_sent"] = json!(true);
    show(output, &value, txid);
}

/// Prints what was sent. A result that cannot be written is no failure: a script that sees one
/// pays again.
pub(in crate::verbs) fn show(output: Output, value: &Value, txid: Txid) {
    if let Err(failure) = output.show(value, || txid.to_string()) {
        remark(format!("its txid is {txid}; {failure}"));
    }
}

/// Says beside the result what failed after a transaction was sent.
pub(super) fn remark(text: impl Display) {
    output::note(format!("remark: the transaction is sent; {text}"));
}

/// The error of a broadcast, with the txid in it. Where the network's answer is not known, the
/// message says that the transaction may have been sent; of one that the wallet has written down,
/// that it may be sent by itself, and what to do.
pub(in crate::verbs) fn of_broadcast(error: BitcoinError, txid: Txid) -> BitcoinError {
    let is_refused = matches!(
        error.kind(),
        ErrorKind::Rejected
            | ErrorKind::InvalidInput
            | ErrorKind::Unsupported
            | ErrorKind::Configuration
            | ErrorKind::Auth
    );
    let error = if error.context().iter().any(|(name, _)| name == "txid") {
        error
    } else {
        error.with_context("txid", txid)
    };
    if is_refused {
        return error;
    }
    let txid = txid.to_string();
    let is_listed = |(name, value): &(String, String)| name == "payment" && *value == txid;
    let message = if error.context().iter().any(is_listed) {
        "the transaction is a payment of the wallet now, may have been sent, and may be sent again \
         by itself; look for it (`btc history`), and send it at once (`btc rebroadcast`), cancel it \
         (`btc cancel`) or give it up (`btc abandon`) before you pay again"
    } else {
        "whether the transaction was sent is not known; look for its txid (`btc tx`, `btc \
         history`) before you pay again"
    };
    let said = BitcoinError::new(error.kind(), error.operation(), message);
    let context = error.context().to_vec().into_iter();
    let said = context.fold(said, |said, (name, value)| said.with_context(name, value));
    said.with_source(error)
}

#[cfg(test)]
mod tests {
    use btc::Operation;
    use btc::bitcoin::hashes::Hash;

    use super::*;

    fn broadcast(kind: ErrorKind) -> BitcoinError {
        let error = BitcoinError::new(kind, Operation::BroadcastTransaction, "no answer");
        of_broadcast(error.with_context("reason", "x"), Txid::all_zeros())
    }

    #[test]
    fn an_unclear_broadcast_names_its_txid_and_says_that_it_may_have_been_sent() {
        let txid = Txid::all_zeros().to_string();
        for kind in ErrorKind::ALL {
            let error = broadcast(kind);
            assert_eq!(error.kind(), kind);
            let named = error.context().iter().filter(|(name, _)| name == "txid");
            assert_eq!(named.count(), 1, "{error}");
            assert!(error.to_string().contains(&txid), "{error}");
            assert!(error.to_string().contains("reason: x"), "{error}");
        }
        for kind in [
            ErrorKind::Timeout,
            ErrorKind::Unavailable,
            ErrorKind::InvalidResponse,
            ErrorKind::Internal,
            ErrorKind::NotFound,
        ] {
            let error = broadcast(kind);
            assert!(error.message().contains("before you pay again"), "{error}");
            let causes: Vec<_> = error.causes().map(ToString::to_string).collect();
            assert!(causes[0].contains("no answer"), "{causes:?}");
        }
        let refused = broadcast(ErrorKind::Rejected);
        assert_eq!(refused.message(), "no answer");
    }

    #[test]
    fn of_a_payment_that_is_listed_it_says_that_it_may_be_sent_by_itself_and_what_to_do() {
        let txid = Txid::all_zeros();
        let error = BitcoinError::new(
            ErrorKind::Unavailable,
            Operation::BroadcastTransaction,
            "no answer",
        );
        let listed = of_broadcast(error.clone().with_context("payment", txid), txid);
        let another = of_broadcast(error.with_context("payment", "ab"), txid);
        for said in ["may be sent again by itself", "btc abandon", "btc history"] {
            assert!(listed.message().contains(said), "{listed}");
        }
        assert!(!another.message().contains("by itself"), "{another}");
        let causes: Vec<_> = listed.causes().map(ToString::to_string).collect();
        assert!(causes[0].contains("no answer"), "{causes:?}");
    }

    #[test]
    fn a_txid_that_is_there_is_not_named_twice() {
        let error = BitcoinError::new(ErrorKind::Timeout, Operation::BroadcastTransaction, "x")
            .with_context("txid", "ab");
        let error = of_broadcast(error, Txid::all_zeros());
        assert_eq!(error.context(), [("txid".to_owned(), "ab".to_owned())]);
    }
}
