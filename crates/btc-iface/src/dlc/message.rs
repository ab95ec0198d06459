//! `DlcMessage`: one message between the two parties, as bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DlcMessageKind {
    /// The terms, and the offering side's coins.
    Offer,
    /// The accepting side's coins and signatures.
    Accept,
    /// The offering side's signatures.
    Sign,
    /// A proposal to close by agreement.
    Close,
    /// An offer that is refused.
    Reject,
}

impl DlcMessageKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Offer,
        Self::Accept,
        Self::Sign,
        Self::Close,
        Self::Reject,
    ];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Accept => "accept",
            Self::Sign => "sign",
            Self::Close => "close",
            Self::Reject => "reject",
        }
    }

    /// The type number that a message of the specification begins with, but for the rejection,
    /// which has a number of its own.
    pub const fn type_number(self) -> u16 {
        match self {
            Self::Offer => 42_778,
            Self::Accept => 42_780,
            Self::Sign => 42_782,
            Self::Close => 42_784,
            Self::Reject => 42_799,
        }
    }
}

impl fmt::Display for DlcMessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message in the wire format of dlcspecs: nothing in it is verified.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DlcMessage {
    kind: DlcMessageKind,
    bytes: Vec<u8>,
}

impl DlcMessage {
    /// Reads the type number only; `None` when it is not a message between parties.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let number = u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]);
        let kind = DlcMessageKind::ALL
            .into_iter()
            .find(|kind| kind.type_number() == number)?;
        Some(Self { kind, bytes })
    }

    /// What it claims to be.
    pub fn kind(&self) -> DlcMessageKind {
        self.kind
    }

    /// The bytes, which begin with the type number.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for DlcMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DlcMessage({}, {} bytes)", self.kind, self.bytes.len())
    }
}
