//! `BitcoinError`: what went wrong, in which operation, with what at hand, and why.

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::types::Operation;

/// What every operation returns.
pub type BitcoinResult<T> = Result<T, BitcoinError>;

/// The kinds of failure a caller may want to treat differently. Shadow mode compares errors by
/// kind and never by text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The node does not have what was asked for.
    NotFound,
    /// The caller's input is malformed; asking again cannot help.
    InvalidInput,
    /// The node understood and refuses, with a reason.
    Rejected,
    /// Nobody answers: connection refused or lost, node warming up, worker dead. Worth a retry.
    Unavailable,
    /// The credentials are wrong or missing. Retrying cannot help.
    Auth,
    /// No answer within the time allowed; the outcome is unknown.
    Timeout,
    /// This implementation does not offer the operation.
    Unsupported,
    /// The configuration is wrong or something it names is missing.
    Configuration,
    /// The node or a backend answered something that is not what the protocol says.
    InvalidResponse,
    /// A defect of the implementation.
    Internal,
}

impl ErrorKind {
    /// Every kind, in the order of the definition.
    pub const ALL: [Self; 10] = [
        Self::NotFound,
        Self::InvalidInput,
        Self::Rejected,
        Self::Unavailable,
        Self::Auth,
        Self::Timeout,
        Self::Unsupported,
        Self::Configuration,
        Self::InvalidResponse,
        Self::Internal,
    ];

    /// The stable name, as in logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::InvalidInput => "invalid_input",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
            Self::Auth => "auth",
            Self::Timeout => "timeout",
            Self::Unsupported => "unsupported",
            Self::Configuration => "configuration",
            Self::InvalidResponse => "invalid_response",
            Self::Internal => "internal",
        }
    }

    /// Whether the failure says nothing about the answer, only that none arrived.
    pub const fn is_transport(self) -> bool {
        matches!(self, Self::Unavailable | Self::Timeout)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure: its kind, the operation, a message that says what to do, the values at hand, and
/// the error that caused it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(into = "Report", from = "Report")]
pub struct BitcoinError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    operation: Operation,
    message: String,
    context: Vec<(String, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl BitcoinError {
    /// A failure without context or cause. The message is lowercase and says what to do.
    pub fn new(kind: ErrorKind, operation: Operation, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            message: message.into(),
            context: Vec::new(),
            source: None,
        }))
    }

    /// Adds a named value, such as the txid asked for. Never a secret.
    #[must_use]
    pub fn with_context(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.context.push((name.into(), value.to_string()));
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Names another operation, for an error that a helper made on behalf of a caller.
    #[must_use]
    pub fn during(mut self, operation: Operation) -> Self {
        self.0.operation = operation;
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed.
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// The message alone, without operation and context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The values at hand, as name and text.
    pub fn context(&self) -> &[(String, String)] {
        &self.0.context
    }

    /// The chain of causes below this error, outermost first.
    pub fn causes(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        std::iter::successors(self.source(), |&cause| cause.source())
    }
}

impl fmt::Display for BitcoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.message)?;
        for (i, (name, value)) in self.0.context.iter().enumerate() {
            let open = if i == 0 { " (" } else { ", " };
            write!(f, "{open}{name}: {value}")?;
        }
        if self.0.context.is_empty() {
            Ok(())
        } else {
            f.write_str(")")
        }
    }
}

impl StdError for BitcoinError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// What of an error crosses a process border: everything, with the causes as text.
#[derive(Serialize, Deserialize)]
struct Report {
    kind: ErrorKind,
    operation: Operation,
    message: String,
    #[serde(default)]
    context: Vec<(String, String)>,
    #[serde(default)]
    causes: Vec<String>,
}

/// A cause that was read back from its text.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct TextCause {
    text: String,
    source: Option<Box<TextCause>>,
}

impl From<BitcoinError> for Report {
    fn from(error: BitcoinError) -> Self {
        let causes = error.causes().map(ToString::to_string).collect();
        let inner = *error.0;
        Self {
            kind: inner.kind,
            operation: inner.operation,
            message: inner.message,
            context: inner.context,
            causes,
        }
    }
}

impl From<Report> for BitcoinError {
    fn from(report: Report) -> Self {
        let source = report.causes.into_iter().rev().fold(None, |source, text| {
            Some(Box::new(TextCause { text, source }))
        });
        Self(Box::new(Inner {
            kind: report.kind,
            operation: report.operation,
            message: report.message,
            context: report.context,
            source: source.map(|cause| cause as Box<dyn StdError + Send + Sync>),
        }))
    }
}

impl Clone for BitcoinError {
    /// Keeps kind, operation, message and context; the causes become text.
    fn clone(&self) -> Self {
        Report {
            kind: self.0.kind,
            operation: self.0.operation,
            message: self.0.message.clone(),
            context: self.0.context.clone(),
            causes: self.causes().map(ToString::to_string).collect(),
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_trip_through_json_with_its_causes() {
        let io = std::io::Error::other("connection reset");
        let error = BitcoinError::new(ErrorKind::Unavailable, Operation::GetBlock, "node lost")
            .with_context("hash", "00ff")
            .with_source(io);
        let text = serde_json::to_string(&error).expect("an error is plain data");
        let back: BitcoinError = serde_json::from_str(&text).expect("its own output");
        assert_eq!(back.to_string(), "get_block: node lost (hash: 00ff)");
        assert_eq!(back.kind(), ErrorKind::Unavailable);
        assert_eq!(
            back.causes().map(ToString::to_string).collect::<Vec<_>>(),
            ["connection reset"]
        );
    }

    #[test]
    fn kind_names_are_those_of_serde() {
        for kind in ErrorKind::ALL {
            let json = serde_json::to_string(&kind).expect("a unit variant");
            assert_eq!(json, format!("\"{kind}\""));
        }
    }
}
