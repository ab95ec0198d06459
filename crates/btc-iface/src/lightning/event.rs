//! The journal of events: numbered, kept, and each of them once.

use serde::{Deserialize, Serialize};

use super::{
    ChannelHandle, ChannelId, FailureReason, FundingOutput, Msat, NodeId, PaymentHash, PaymentId,
};

/// An event with its number. Numbers start at 1, rise by 1 and are never given twice: a consumer
/// that remembers the last one it worked through handles each event exactly once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LightningEvent {
    /// Its number.
    pub number: u64,
    /// When it was recorded, in seconds since 1970.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub detail: EventDetail,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[non_exhaustive]
pub enum EventDetail {
    /// A payment of this node reached its receiver.
    PaymentSent {
        /// The payment.
        id: PaymentId,
        /// Its hash.
        hash: PaymentHash,
        /// The caller's key.
        key: Option<String>,
        /// The fees that other nodes took.
        fee_msat: Option<Msat>,
    },
    /// A payment of this node failed, and nothing of it is under way.
    PaymentFailed {
        /// The payment.
        id: PaymentId,
        /// Its hash; none if an offer's receiver sent no invoice.
        hash: Option<PaymentHash>,
        /// The caller's key.
        key: Option<String>,
        /// Why.
        reason: FailureReason,
    },
    /// This node was paid.
    PaymentReceived {
        /// The payment.
        id: PaymentId,
        /// Its hash.
        hash: PaymentHash,
        /// The amount that arrived.
        amount_msat: Msat,
    },
    /// A held payment has arrived: claim it or fail it.
    PaymentHeld {
        /// The payment.
        id: PaymentId,
        /// Its hash.
        hash: PaymentHash,
        /// The amount that can be claimed.
        amount_msat: Msat,
        /// The height after which it is failed by itself.
        deadline_height: Option<u32>,
    },
    /// A payment went through this node.
    PaymentForwarded {
        /// The channel it came by.
        from_channel: ChannelId,
        /// The channel it left by.
        to_channel: ChannelId,
        /// The amount that left.
        amount_msat: Option<Msat>,
        /// What this node earned; none where it is not known yet.
        fee_msat: Option<Msat>,
    },
    /// A channel waits for its funding to confirm.
    ChannelPending {
        /// The channel.
        handle: ChannelHandle,
        /// Its name on the wire.
        channel_id: ChannelId,
        /// The other side.
        peer: NodeId,
        /// The funding.
        funding: FundingOutput,
    },
    /// A channel can be used.
    ChannelReady {
        /// The channel.
        handle: ChannelHandle,
        /// Its name on the wire.
        channel_id: ChannelId,
        /// The other side.
        peer: Option<NodeId>,
        /// The funding.
        funding: Option<FundingOutput>,
    },
    /// A channel was closed.
    ChannelClosed {
        /// The channel.
        handle: ChannelHandle,
        /// Its name on the wire.
        channel_id: ChannelId,
        /// The other side.
        peer: Option<NodeId>,
        /// Why, for people to read.
        reason: String,
        /// Both sides agreed to it.
        is_cooperative: bool,
    },
    /// A channel is being resized.
    SplicePending {
        /// The channel.
        handle: ChannelHandle,
        /// The new funding.
        funding: FundingOutput,
    },
    /// A resizing failed; the channel is as it was.
    SpliceFailed {
        /// The channel.
        handle: ChannelHandle,
    },
}
