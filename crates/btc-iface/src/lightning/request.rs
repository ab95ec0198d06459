//! What a caller asks for, as plain data.

use serde::{Deserialize, Serialize};

use super::{ChannelFees, Msat, NodeId, PaymentHash};

/// How much goes into a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelSize {
    /// That number of satoshi.
    Sat(u64),
    /// All that can be spent, without the reserve and the fee.
    All,
}

/// A channel to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenChannel {
    /// The other side.
    pub peer: NodeId,
    /// Where it is reached, as `host:port`.
    pub address: String,
    /// How much goes into it.
    pub size: ChannelSize,
    /// What is given to the other side at once.
    pub push_msat: Msat,
    /// Make it known to the network, so that others may pay through it. Needs an alias and an
    /// address to listen on.
    pub is_announced: bool,
    /// What this node charges for forwarding; none takes the default.
    pub fees: Option<ChannelFees>,
}

/// How a channel is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseMode {
    /// Together with the peer; the money is free after the closing confirms.
    Cooperative,
    /// Alone; the money is free after a delay. For a peer that is gone.
    Force,
}

/// An invoice to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceRequest {
    /// The amount, or none if the payer chooses it.
    pub amount_msat: Option<Msat>,
    /// What it is for.
    pub description: String,
    /// Put only the SHA-256 of the description into the invoice.
    pub is_description_hashed: bool,
    /// The seconds until it expires.
    pub expiry_seconds: u32,
    /// Hold incoming payments to this hash until they are claimed or failed by the caller.
    pub hold: Option<PaymentHash>,
}

/// An offer to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferRequest {
    /// The amount, or none if the payer chooses it.
    pub amount_msat: Option<Msat>,
    /// What it is for.
    pub description: String,
    /// The seconds until it expires, or none.
    pub expiry_seconds: Option<u32>,
}

/// A refund to offer: a text by which another node takes money from this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRequest {
    /// The amount that may be taken.
    pub amount_msat: Msat,
    /// The seconds until it expires.
    pub expiry_seconds: u32,
    /// The most that other nodes may take.
    pub max_fee_msat: Option<Msat>,
}

/// An invoice to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayInvoice {
    /// The invoice.
    pub invoice: String,
    /// The amount, for an invoice without one. For any other it must be the invoice's.
    pub amount_msat: Option<Msat>,
    /// The most that other nodes may take; none takes 1 % and 50 sat.
    pub max_fee_msat: Option<Msat>,
    /// The caller's key: the same key pays once. None takes the payment hash.
    pub key: Option<String>,
}

/// An offer to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayOffer {
    /// The offer.
    pub offer: String,
    /// The amount, for an offer without one.
    pub amount_msat: Option<Msat>,
    /// A note that the receiver sees.
    pub note: Option<String>,
    /// The most that other nodes may take.
    pub max_fee_msat: Option<Msat>,
    /// The caller's key: the same key pays once. An offer can be paid many times, so it takes one.
    pub key: String,
}

/// A payment without an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keysend {
    /// The receiver.
    pub node_id: NodeId,
    /// The amount.
    pub amount_msat: Msat,
    /// The most that other nodes may take.
    pub max_fee_msat: Option<Msat>,
    /// The caller's key: the same key pays once.
    pub key: String,
}

/// How much leaves the on-chain wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawAmount {
    /// That number of satoshi; the fee comes on top.
    Sat(u64),
    /// All but the reserve of open channels; the fee comes out of it.
    All,
}

/// A payment on the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithdrawRequest {
    /// The address.
    pub address: String,
    /// How much.
    pub amount: WithdrawAmount,
    /// The fee rate in satoshi per virtual byte; none takes an estimate.
    pub fee_rate_sat_per_vb: Option<u64>,
    /// The caller's key: the same key pays once.
    pub key: String,
}
