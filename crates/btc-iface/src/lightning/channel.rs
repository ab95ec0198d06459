//! Channels: their size, their state, and what may be sent and received over them.

use bitcoin::{OutPoint, Txid};
use serde::{Deserialize, Serialize};

use super::{ChannelHandle, ChannelId, Msat, NodeId};

/// The output that holds a channel's money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FundingOutput {
    /// The transaction.
    pub txid: Txid,
    /// The output's number in it.
    pub vout: u32,
}

impl From<OutPoint> for FundingOutput {
    fn from(outpoint: OutPoint) -> Self {
        Self {
            txid: outpoint.txid,
            vout: outpoint.vout,
        }
    }
}

/// What this node charges for forwarding over a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelFees {
    /// The part that does not depend on the amount.
    pub base_msat: u32,
    /// Millionths of the amount.
    pub proportional_millionths: u32,
    /// The blocks between the incoming and the outgoing deadline.
    pub cltv_expiry_delta: u16,
}

/// An open channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, as in the JSON"
)]
pub struct Channel {
    /// Its name inside this node.
    pub handle: ChannelHandle,
    /// Its name on the wire.
    pub channel_id: ChannelId,
    /// The other side.
    pub peer: NodeId,
    /// The funding output, once it is known.
    pub funding: Option<FundingOutput>,
    /// The size, as in the funding output.
    pub capacity_sat: u64,
    /// What could be sent over it now.
    pub outbound_msat: Msat,
    /// What could be received over it now.
    pub inbound_msat: Msat,
    /// What this side can never spend while the channel is open.
    pub reserve_sat: Option<u64>,
    /// The confirmations of the funding, once it is seen.
    pub confirmations: Option<u32>,
    /// The confirmations it takes.
    pub confirmations_required: Option<u32>,
    /// This side opened it and pays for its transactions.
    pub is_outbound: bool,
    /// Both sides have seen the funding confirmed.
    pub is_ready: bool,
    /// Ready, and the peer is connected.
    pub is_usable: bool,
    /// It is, or will be, known to the network.
    pub is_announced: bool,
    /// The blocks to wait for the own money after a force close.
    pub force_close_delay_blocks: Option<u16>,
    /// What this node charges for forwarding.
    pub fees: ChannelFees,
}
