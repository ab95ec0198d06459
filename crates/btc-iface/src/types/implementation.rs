//! `BitcoinImplementationType`: which implementation answers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The implementations that stand behind the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BitcoinImplementationType {
    /// The Python implementation.
    Python,
    /// The Rust implementation.
    Rust,
}

impl BitcoinImplementationType {
    /// The stable name, as in logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Rust => "rust",
        }
    }
}

impl fmt::Display for BitcoinImplementationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
