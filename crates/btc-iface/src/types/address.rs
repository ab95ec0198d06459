//! `BitcoinAddress` and the address types a wallet derives.

use std::fmt;
use std::str::FromStr;

use ::bitcoin::ScriptBuf;
use serde::{Deserialize, Serialize};

use super::Network;

/// The script types a wallet can receive on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AddressType {
    /// Pay to public key hash, BIP44.
    #[serde(rename = "p2pkh")]
    P2pkh,
    /// Pay to witness public key hash nested in pay to script hash, BIP49.
    #[serde(rename = "p2sh-p2wpkh")]
    P2shP2wpkh,
    /// Pay to witness public key hash, BIP84.
    #[serde(rename = "p2wpkh")]
    P2wpkh,
    /// Pay to taproot, BIP86.
    #[serde(rename = "p2tr")]
    P2tr,
}

impl AddressType {
    /// Every type, oldest first.
    pub const ALL: [Self; 4] = [Self::P2pkh, Self::P2shP2wpkh, Self::P2wpkh, Self::P2tr];

    /// The stable name, as in logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P2pkh => "p2pkh",
            Self::P2shP2wpkh => "p2sh-p2wpkh",
            Self::P2wpkh => "p2wpkh",
            Self::P2tr => "p2tr",
        }
    }
}

impl fmt::Display for AddressType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of an address type is not one of `p2pkh`, `p2sh-p2wpkh`, `p2wpkh`, `p2tr`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown address type `{0}`: use p2pkh, p2sh-p2wpkh, p2wpkh or p2tr")]
pub struct UnknownAddressType(String);

impl FromStr for AddressType {
    type Err = UnknownAddressType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|address_type| address_type.as_str() == text)
            .ok_or_else(|| UnknownAddressType(text.to_owned()))
    }
}

/// An address with what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BitcoinAddress {
    /// The address as people exchange it (base58check, bech32 or bech32m).
    pub address: String,
    /// Its script type.
    pub address_type: AddressType,
    /// The network it belongs to.
    #[serde(with = "super::network::as_name")]
    pub network: Network,
    /// The script that a payment to it carries.
    pub script_pubkey: ScriptBuf,
    /// The derivation index within the wallet's external chain of this type, when known.
    #[serde(default)]
    pub index: Option<u32>,
}
