//! `Verdict`: what a server's refusal of a broadcast says about the transaction itself.
//!
//! A server can refuse because it is busy, has lost its node or does not like the client. Only what
//! a node says of the transaction is a refusal of the transaction; after everything else it may be
//! on its way all the same.

use btc_iface::{BitcoinError, ErrorKind, Operation};

use bitcoin::Txid;

/// The codes with which Bitcoin Core refuses a transaction (`RPC_VERIFY_ERROR`,
/// `RPC_VERIFY_REJECTED`).
const REFUSALS: [i64; 2] = [-25, -26];
/// The code for one that is confirmed (`RPC_VERIFY_ALREADY_IN_CHAIN`, `..._IN_UTXO_SET`).
const CONFIRMED: i64 = -27;
/// What says that the transaction is known: Bitcoin Core's words, and older ones.
const KNOWN: [&str; 4] = [
    "already in utxo set",
    "already in block chain",
    "txn-already-in-mempool",
    "txn-already-known",
];
/// Bitcoin Core's reasons for a refusal, as far as they are unmistakable by themselves
/// (`validation.cpp`, `policy/`, `consensus/tx_check.cpp`, `node/transaction.cpp`).
const REASONS: [&str; 28] = [
    "bad-txns",
    "bad-witness-nonstandard",
    "bare-multisig",
    "block-script-verify-flag-failed",
    "fee exceeds maximum",
    "insufficient fee",
    "mandatory-script-verify-flag",
    "max-fee-exceeded",
    "mempool full",
    "mempool min fee not met",
    "mempool-script-verify-flag",
    "min relay fee not met",
    "missing-ephemeral-spends",
    "multi-op-return",
    "non-bip68-final",
    "non-final",
    "replacement-adds-unconfirmed",
    "replacement-failed",
    "scriptsig-not-pushonly",
    "scriptsig-size",
    "too many potential replacements",
    "too-large-cluster",
    "too-long-mempool-chain",
    "truc-violation",
    "tx-size",
    "txn-mempool-conflict",
    "txn-same-nonwitness-data-in-mempool",
    "unspendable output exceeds maximum",
];
/// Reasons that count only as a word of their own.
const WORDS: [&str; 4] = ["dust", "scriptpubkey", "datacarrier", "coinbase"];

/// What a refusal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nodes have the transaction already.
    Known,
    /// A node has looked at it and does not take it.
    Refused,
    /// Nothing: it may have been relayed.
    Unknown,
}

impl Verdict {
    /// Reads the text of a refusal, and the code of its error if it has one.
    pub(super) fn of(code: Option<i64>, text: &str) -> Self {
        let text = text.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let code_is = |wanted: i64| code == Some(wanted) || names_code(&text, wanted);
        if code_is(CONFIRMED) || has(&KNOWN) {
            return Self::Known;
        }
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let is_said = words.any(|word| WORDS.contains(&word));
        if is_said || has(&REASONS) || REFUSALS.iter().any(|it| code_is(*it)) {
            return Self::Refused;
        }
        Self::Unknown
    }

    /// How a broadcast ends that was answered with this reason.
    pub(super) fn outcome(self, txid: Txid, reason: &str) -> Result<Txid, BitcoinError> {
        let (kind, message) = match self {
            Self::Known => return Ok(txid),
            Self::Refused => (ErrorKind::Rejected, "the node refuses the transaction"),
            Self::Unknown => (
                ErrorKind::Timeout,
                "the server does not say that a node has refused the transaction; the outcome is \
                 unknown, look for it before sending it again",
            ),
        };
        Err(
            BitcoinError::new(kind, Operation::BroadcastTransaction, message)
                .with_context("reason", reason)
                .with_context("txid", txid),
        )
    }
}

/// Whether the text has an error's code in it, as servers quote the node's.
fn names_code(text: &str, code: i64) -> bool {
    let code = code.to_string();
    text.match_indices(&code).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + code.len()..]);
        let before = before.trim_end_matches([' ', ':', '"', '\'']);
        let is_whole = !after.starts_with(|c: char| c.is_ascii_digit());
        is_whole && (before.ends_with("code") || before.ends_with("error"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_nodes_words_about_the_transaction_refuse_it() {
        for text in [
            "the transaction was rejected by network rules.\n\nbad-txns-inputs-missingorspent",
            "sendrawtransaction RPC error: {\"code\":-26,\"message\":\"something new\"}",
            "sendrawtransaction RPC error -25: something new",
            "daemon error: RpcError { code: -26, message: \"dust\" }",
            "min relay fee not met, 10 < 141",
            "mandatory-script-verify-flag-failed (Signature must be zero)",
            "TX decode passed: dust, tx with dust output must be 0-fee",
        ] {
            assert_eq!(Verdict::of(None, text), Verdict::Refused, "{text}");
        }
        for text in [
            "",
            "server busy - request timed out",
            "excessive resource usage",
            "daemon error: connection refused",
            "internal error: code -32603",
            "RPC error -28: Loading block index",
            "code: -250",
            "we saw -26 today",
            "industry policy",
        ] {
            assert_eq!(Verdict::of(None, text), Verdict::Unknown, "{text}");
        }
        assert_eq!(Verdict::of(Some(-26), "new"), Verdict::Refused);
        assert_eq!(Verdict::of(Some(1), "busy"), Verdict::Unknown);
        assert_eq!(Verdict::of(Some(-27), "new"), Verdict::Known);
        let known =
            "RPC error: {\"code\":-27,\"message\":\"Transaction outputs already in utxo set\"}";
        assert_eq!(Verdict::of(None, known), Verdict::Known);
    }
}
