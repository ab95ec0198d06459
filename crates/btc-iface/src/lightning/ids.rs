//! The names of nodes, channels and payments: bytes that are shown and read as hexadecimal.

use std::fmt;
use std::str::FromStr;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::hex::{DisplayHex as _, FromHex as _};
use bitcoin::secp256k1::PublicKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A text that is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}: expected {length} hexadecimal digits")]
pub struct WrongId {
    what: &'static str,
    length: usize,
}

macro_rules! bytes_as_hex {
    ($name:ident, $length:literal, $what:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name([u8; $length]);

        impl $name {
            /// From its bytes.
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn to_bytes(self) -> [u8; $length] {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:x}", self.0.as_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = WrongId;

            fn from_str(text: &str) -> Result<Self, WrongId> {
                <[u8; $length]>::from_hex(text)
                    .map(Self)
                    .map_err(|_| WrongId {
                        what: $what,
                        length: 2 * $length,
                    })
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = WrongId;

            fn try_from(text: String) -> Result<Self, WrongId> {
                text.parse()
            }
        }
    };
}

bytes_as_hex!(
    ChannelId,
    32,
    "channel id",
    "A channel's name on the wire (BOLT 2). It changes once, when the funding is known, so it is for showing; [`ChannelHandle`] stays."
);
bytes_as_hex!(
    ChannelHandle,
    16,
    "channel handle",
    "A channel's name inside this node, the same from the opening to the end."
);
bytes_as_hex!(
    PaymentHash,
    32,
    "payment hash",
    "The SHA-256 of a payment's preimage."
);
bytes_as_hex!(
    PaymentId,
    32,
    "payment id",
    "A payment's name inside this node. For BOLT 11 and keysend it is the payment hash."
);

impl From<PaymentHash> for PaymentId {
    fn from(hash: PaymentHash) -> Self {
        Self(hash.0)
    }
}

/// A node's public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NodeId(PublicKey);

impl NodeId {
    /// From the key.
    pub const fn from_key(key: PublicKey) -> Self {
        Self(key)
    }

    /// The key.
    pub const fn key(self) -> PublicKey {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = WrongId;

    fn from_str(text: &str) -> Result<Self, WrongId> {
        // An uncompressed key reads too, and no node is named by one.
        let wrong = WrongId {
            what: "node id (a compressed public key)",
            length: 66,
        };
        if text.len() != wrong.length {
            return Err(wrong);
        }
        text.parse().map(Self).map_err(|_| wrong)
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for NodeId {
    type Error = WrongId;

    fn try_from(text: String) -> Result<Self, WrongId> {
        text.parse()
    }
}

/// What a payment's receiver knows and its sender learns by paying. A party that has it before can
/// claim the payment, so it is not printed by `Debug` and is wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Preimage(Zeroizing<[u8; 32]>);

impl Preimage {
    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its bytes, to hand on and not to keep.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its payment hash.
    pub fn hash(&self) -> PaymentHash {
        PaymentHash(sha256::Hash::hash(self.expose()).to_byte_array())
    }

    /// Its hexadecimal digits: the proof of a payment that was made.
    pub fn reveal(&self) -> String {
        format!("{:x}", self.0.as_hex())
    }
}

impl fmt::Debug for Preimage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preimage(***)")
    }
}

impl FromStr for Preimage {
    type Err = WrongId;

    fn from_str(text: &str) -> Result<Self, WrongId> {
        <[u8; 32]>::from_hex(text)
            .map(Self::from_bytes)
            .map_err(|_| WrongId {
                what: "preimage",
                length: 64,
            })
    }
}

impl From<Preimage> for String {
    fn from(preimage: Preimage) -> Self {
        preimage.reveal()
    }
}

impl TryFrom<String> for Preimage {
    type Error = WrongId;

    fn try_from(text: String) -> Result<Self, WrongId> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::{NodeId, PaymentHash, Preimage};

    #[test]
    fn a_preimage_is_never_printed_and_knows_its_hash() {
        let preimage = Preimage::from_bytes([7; 32]);
        assert_eq!(format!("{preimage:?}"), "Preimage(***)");
        let hash = preimage.hash();
        assert_eq!(hash.to_string().parse::<PaymentHash>(), Ok(hash));
    }

    #[test]
    fn a_node_is_named_by_a_compressed_key_alone() {
        let compressed = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        assert!(compressed.parse::<NodeId>().is_ok());
        assert!(compressed[..64].parse::<NodeId>().is_err());
        assert!("zz".repeat(33).parse::<NodeId>().is_err());
    }
}
