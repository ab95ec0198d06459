//! How the program ends: one code a kind of failure, and these codes do not change.

use std::fmt;
use std::process::ExitCode;

use btc::{BitcoinError, ErrorKind};

/// The codes, for `btc --help`.
pub(crate) const HELP: &str = "Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 wrong configuration, \
                               4 node or Python side unreachable";

/// How a verb ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Configuration = 3,
    Unreachable = 4,
}

impl Code {
    /// `btc analyze`: not enough evidence. The verb has codes of its own, which its help lists.
    pub(crate) const HOLD: Self = Self::Usage;
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a verb failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The interface's own error.
    Bitcoin(BitcoinError),
    /// The private node's.
    Node(btc_regtest::NodeError),
    /// Something else, with its code.
    Other(Code, String),
}

impl Failure {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Bitcoin(error) => match error.kind() {
                ErrorKind::InvalidInput => Code::Usage,
                ErrorKind::Configuration | ErrorKind::Auth => Code::Configuration,
                ErrorKind::Unavailable | ErrorKind::Timeout => Code::Unreachable,
                _ => Code::Failed,
            },
            Self::Node(_) => Code::Configuration,
            Self::Other(code, _) => *code,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bitcoin(error) => error.fmt(f),
            Self::Node(error) => error.fmt(f),
            Self::Other(_, message) => f.write_str(message),
        }
    }
}

impl From<BitcoinError> for Failure {
    fn from(error: BitcoinError) -> Self {
        Self::Bitcoin(error)
    }
}

impl From<btc_regtest::NodeError> for Failure {
    fn from(error: btc_regtest::NodeError) -> Self {
        Self::Node(error)
    }
}
