//! `LightningError`: what went wrong with a Lightning operation, by kind, and what to do.

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Msat;

/// What every Lightning operation returns.
pub type LightningResult<T> = Result<T, LightningError>;

/// The kinds of failure that a caller may want to treat differently. An error of any kind but
/// [`Unknown`](Self::Unknown) and [`Stopped`](Self::Stopped), returned by an operation that pays,
/// says that no money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum LightningErrorKind {
    /// The text is no invoice, offer, refund, address or id, or its signature is wrong.
    Malformed,
    /// An invoice, offer or address for another network.
    WrongNetwork,
    /// The invoice or offer has expired.
    Expired,
    /// The invoice or offer is this node's own.
    Own,
    /// The amount is missing, zero, out of range, or not the one of the invoice.
    WrongAmount,
    /// The invoice needs a feature that this node does not know.
    UnknownFeature,
    /// Not enough money, with how much there is and how much is needed.
    NotEnough {
        /// What could be spent.
        available: Msat,
        /// What it takes, without fees.
        needed: Msat,
    },
    /// No such channel, peer, payment or intent.
    NotFound,
    /// The key was used for another payment, or the invoice is being paid under another key.
    KeyReused,
    /// The node cannot say whether an earlier attempt under this key was sent, and does not send
    /// again.
    Unknown,
    /// The payment, the opening or the closing was refused before anything was sent.
    Refused,
    /// The peer cannot be reached.
    PeerUnreachable,
    /// Bitcoin Core cannot be reached, or is not ready.
    ChainUnavailable,
    /// Bitcoin Core refuses user and password.
    ChainAuth,
    /// Bitcoin Core is on another network or another chain than this node has seen.
    WrongChain,
    /// No outcome within the time allowed; it may still come.
    Timeout,
    /// The configuration is wrong.
    Configuration,
    /// Another process uses the node's directory.
    Locked,
    /// The node's directory cannot be read or written.
    Storage,
    /// The node has stopped, on request or because it could not go on safely.
    Stopped,
    /// This node does not offer the operation.
    Unsupported,
    /// A defect of the implementation.
    Internal,
}

impl LightningErrorKind {
    /// The stable name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongNetwork => "wrong_network",
            Self::Expired => "expired",
            Self::Own => "own",
            Self::WrongAmount => "wrong_amount",
            Self::UnknownFeature => "unknown_feature",
            Self::NotEnough { .. } => "not_enough",
            Self::NotFound => "not_found",
            Self::KeyReused => "key_reused",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::PeerUnreachable => "peer_unreachable",
            Self::ChainUnavailable => "chain_unavailable",
            Self::ChainAuth => "chain_auth",
            Self::WrongChain => "wrong_chain",
            Self::Timeout => "timeout",
            Self::Configuration => "configuration",
            Self::Locked => "locked",
            Self::Storage => "storage",
            Self::Stopped => "stopped",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }
}

/// A failure: its kind, and a message that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LightningError {
    #[serde(flatten)]
    kind: LightningErrorKind,
    message: String,
}

impl LightningError {
    /// A failure. The message is lowercase, says what to do and holds no secret.
    pub fn new(kind: LightningErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The kind of failure.
    pub const fn kind(&self) -> LightningErrorKind {
        self.kind
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for LightningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for LightningError {}

#[cfg(test)]
mod tests {
    use super::{LightningError, LightningErrorKind, Msat};

    #[test]
    fn an_error_survives_the_trip_through_json() {
        let kind = LightningErrorKind::NotEnough {
            available: Msat::new(1),
            needed: Msat::new(2),
        };
        for kind in [kind, LightningErrorKind::Own] {
            let error = LightningError::new(kind, "add money");
            let text = serde_json::to_string(&error).expect("an error is plain data");
            assert!(text.contains(kind.as_str()), "{text}");
            let back: LightningError = serde_json::from_str(&text).expect("its own output");
            assert_eq!(back, error);
        }
    }
}
