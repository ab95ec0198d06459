//! Payments, and the invoices and offers that they answer.

use bitcoin::Network;
use serde::{Deserialize, Serialize};

use super::{Msat, NodeId, PaymentHash, PaymentId, Preimage};
use crate::types::network::as_name;

/// Who pays whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To this node.
    Inbound,
    /// From this node.
    Outbound,
}

/// By which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PaymentKind {
    /// An invoice.
    Bolt11,
    /// An offer.
    Bolt12Offer,
    /// A refund.
    Bolt12Refund,
    /// Without an invoice.
    Keysend,
    /// On the chain.
    Onchain,
}

impl PaymentKind {
    /// The stable name, as in JSON and on disk.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bolt11 => "bolt11",
            Self::Bolt12Offer => "bolt12_offer",
            Self::Bolt12Refund => "bolt12_refund",
            Self::Keysend => "keysend",
            Self::Onchain => "onchain",
        }
    }

    /// Reads the stable name.
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::Bolt11,
            Self::Bolt12Offer,
            Self::Bolt12Refund,
            Self::Keysend,
            Self::Onchain,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == name)
    }
}

/// How far a payment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PaymentStatus {
    /// Under way: it will succeed or fail, and is not to be paid again.
    Pending,
    /// The receiver has the money.
    Succeeded,
    /// It ended without any money moved; it may be tried again under the same key.
    Failed,
    /// An earlier process ended while sending, and nothing yet says whether it was sent. It is not
    /// sent again. An event may still decide; else the owner does, by `abandon`.
    Unknown,
}

/// Why a payment failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureReason {
    /// The receiver refused it.
    RecipientRejected,
    /// The caller gave it up.
    Abandoned,
    /// No attempt succeeded.
    RetriesExhausted,
    /// It expired before it was sent.
    Expired,
    /// There is no way to the receiver with enough money on it.
    NoRoute,
    /// The receiver asks for a feature that this node does not know.
    UnknownFeature,
    /// The receiver did not send an invoice for the offer.
    NoInvoice,
    /// It was never sent.
    NotSent,
    /// Another reason.
    Other,
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Its name inside this node; none while an offer's payment is not sent.
    pub id: Option<PaymentId>,
    /// The caller's key; none on incoming payments.
    pub key: Option<String>,
    /// By which protocol.
    pub kind: PaymentKind,
    /// Who pays whom.
    pub direction: Direction,
    /// How far it is.
    pub status: PaymentStatus,
    /// The payment hash, once it is known.
    pub hash: Option<PaymentHash>,
    /// The proof of payment, once it succeeded.
    pub preimage: Option<Preimage>,
    /// The amount, without fees.
    pub amount_msat: Option<Msat>,
    /// The fees that other nodes took, once it succeeded.
    pub fee_msat: Option<Msat>,
    /// Why it failed.
    pub reason: Option<FailureReason>,
    /// How many times it was sent.
    pub attempts: u32,
    /// When it last changed, in seconds since 1970.
    pub updated_at: u64,
}

/// An invoice of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    /// The text to give to the payer.
    pub invoice: String,
    /// Its payment hash.
    pub hash: PaymentHash,
    /// The amount, or none if the payer chooses it.
    pub amount_msat: Option<Msat>,
    /// When it expires, in seconds since 1970.
    pub expires_at: u64,
}

/// An offer or a refund of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The text to give to the payer.
    pub offer: String,
    /// The amount, or none if the payer chooses it.
    pub amount_msat: Option<Msat>,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecodedKind {
    /// An invoice (BOLT 11).
    Bolt11,
    /// An offer (BOLT 12).
    Bolt12Offer,
    /// A refund (BOLT 12).
    Bolt12Refund,
}

/// What a text asks for, read before any money moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoded {
    /// What it is.
    pub kind: DecodedKind,
    /// The text itself, freed of `lightning:`, or taken out of a BIP 21 URI.
    pub text: String,
    /// The network; none where an offer allows several.
    #[serde(with = "optional_network")]
    pub network: Option<Network>,
    /// The amount, or none if the payer chooses it.
    pub amount_msat: Option<Msat>,
    /// What it is for. Written by another: show it with care.
    pub description: Option<String>,
    /// The payment hash, of an invoice.
    pub hash: Option<PaymentHash>,
    /// The receiver; none where it hides behind blinded paths.
    pub payee: Option<NodeId>,
    /// When it expires, in seconds since 1970; none if it does not.
    pub expires_at: Option<u64>,
    /// It has expired.
    pub is_expired: bool,
}

mod optional_network {
    //! A network by its name, or `null`.

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Network, as_name};

    #[derive(Serialize, Deserialize)]
    struct Named(#[serde(with = "as_name")] Network);

    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands the field by reference"
    )]
    pub(super) fn serialize<S: Serializer>(
        network: &Option<Network>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        network.map(Named).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Network>, D::Error> {
        Ok(Option::<Named>::deserialize(deserializer)?.map(|Named(network)| network))
    }
}
