//! Balances: on the chain, in channels, and what is on its way back to the chain.

use bitcoin::Txid;
use serde::{Deserialize, Serialize};

use super::{ChannelId, NodeId};

/// All the money of a node, in satoshi.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LightningBalances {
    /// On the chain, unconfirmed included.
    pub onchain_total_sat: u64,
    /// On the chain, confirmed enough to spend, without the reserve.
    pub onchain_spendable_sat: u64,
    /// Kept on the chain, so that channels can be closed when fees are high.
    pub reserve_sat: u64,
    /// In channels and in closings: what would be claimable.
    pub lightning_sat: u64,
    /// Where the money of channels is.
    pub channels: Vec<ChannelBalance>,
    /// What comes back from closed channels.
    pub sweeps: Vec<PendingSweep>,
}

/// Money in one channel or its closing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[non_exhaustive]
pub enum ChannelBalance {
    /// The channel is open.
    Open {
        /// The channel.
        channel_id: ChannelId,
        /// The other side.
        peer: NodeId,
        /// What closing it now would give, without the fee.
        amount_sat: u64,
        /// The fee of the closing transaction, which this side pays.
        closing_fee_sat: u64,
        /// Lost to rounding of payments under way, in millisatoshi.
        rounded_msat: u64,
    },
    /// Closed; the money is ours once enough blocks have come.
    Confirming {
        /// The channel.
        channel_id: ChannelId,
        /// The other side.
        peer: NodeId,
        /// The amount.
        amount_sat: u64,
        /// The height at which it can be swept.
        mature_at_height: u32,
    },
    /// A payment whose end is not known yet: ours or the peer's, depending on who is first.
    Contested {
        /// The channel.
        channel_id: ChannelId,
        /// The other side.
        peer: NodeId,
        /// The amount.
        amount_sat: u64,
        /// The height at which the other side may take it, or this side may take it back.
        deadline_height: u32,
        /// This side sent it.
        is_outbound: bool,
    },
    /// The peer published an old state: all of this is ours.
    Punishable {
        /// The channel.
        channel_id: ChannelId,
        /// The other side.
        peer: NodeId,
        /// The amount.
        amount_sat: u64,
    },
}

/// How far a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[non_exhaustive]
pub enum SweepState {
    /// Not sent yet.
    Waiting,
    /// Sent and not confirmed.
    Sent {
        /// The transaction.
        txid: Txid,
    },
    /// Confirmed, and not yet deep enough.
    Confirmed {
        /// The transaction.
        txid: Txid,
        /// The height of its block.
        height: u32,
    },
}

/// Money that is moved from a closed channel to the on-chain wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingSweep {
    /// The channel, where it is known.
    pub channel_id: Option<ChannelId>,
    /// The amount, without the fee of the sweep.
    pub amount_sat: u64,
    /// How far it is.
    #[serde(flatten)]
    pub state: SweepState,
}
