//! From ldk-node's types to those of the interface.

use btc_iface::lightning::{
    Channel, ChannelBalance, ChannelFees, ChannelHandle, ChannelId, Direction, Msat, NodeId,
    Payment, PaymentHash, PaymentId, PaymentKind, PaymentStatus, Peer, PendingSweep, Preimage,
    SweepState,
};
use ldk_node::config::ChannelConfig;
use ldk_node::payment as ldk;
use ldk_node::{ChannelDetails, LightningBalance, PeerDetails, PendingSweepBalance};

pub(crate) fn handle(id: ldk_node::UserChannelId) -> ChannelHandle {
    ChannelHandle::from_bytes(id.0.to_be_bytes())
}

pub(crate) fn user_channel(handle: ChannelHandle) -> ldk_node::UserChannelId {
    ldk_node::UserChannelId(u128::from_be_bytes(handle.to_bytes()))
}

pub(crate) fn channel_id(id: lightning::ln::types::ChannelId) -> ChannelId {
    ChannelId::from_bytes(id.0)
}

pub(crate) fn hash(hash: lightning::types::payment::PaymentHash) -> PaymentHash {
    PaymentHash::from_bytes(hash.0)
}

pub(crate) fn id(id: lightning::ln::channelmanager::PaymentId) -> PaymentId {
    PaymentId::from_bytes(id.0)
}

pub(crate) fn ldk_id(id: PaymentId) -> lightning::ln::channelmanager::PaymentId {
    lightning::ln::channelmanager::PaymentId(id.to_bytes())
}

pub(crate) fn fees(config: &ChannelConfig) -> ChannelFees {
    ChannelFees {
        base_msat: config.forwarding_fee_base_msat,
        proportional_millionths: config.forwarding_fee_proportional_millionths,
        cltv_expiry_delta: config.cltv_expiry_delta,
    }
}

/// The channel's configuration with these fees.
pub(crate) fn with_fees(config: ChannelConfig, fees: ChannelFees) -> ChannelConfig {
    ChannelConfig {
        forwarding_fee_base_msat: fees.base_msat,
        forwarding_fee_proportional_millionths: fees.proportional_millionths,
        cltv_expiry_delta: fees.cltv_expiry_delta,
        ..config
    }
}

pub(crate) fn channel(of: &ChannelDetails) -> Channel {
    Channel {
        handle: handle(of.user_channel_id),
        channel_id: channel_id(of.channel_id),
        peer: NodeId::from_key(of.counterparty_node_id),
        funding: of.funding_txo.map(Into::into),
        capacity_sat: of.channel_value_sats,
        outbound_msat: Msat::new(of.outbound_capacity_msat),
        inbound_msat: Msat::new(of.inbound_capacity_msat),
        reserve_sat: of.unspendable_punishment_reserve,
        confirmations: of.confirmations,
        confirmations_required: of.confirmations_required,
        is_outbound: of.is_outbound,
        is_ready: of.is_channel_ready,
        is_usable: of.is_usable,
        is_announced: of.is_announced,
        force_close_delay_blocks: of.force_close_spend_delay,
        fees: fees(&of.config),
    }
}

pub(crate) fn peer(of: &PeerDetails) -> Peer {
    Peer {
        node_id: NodeId::from_key(of.node_id),
        address: of.address.to_string(),
        is_connected: of.is_connected,
        is_remembered: of.is_persisted,
    }
}

pub(crate) fn balance(of: &LightningBalance) -> ChannelBalance {
    let peer = NodeId::from_key;
    match *of {
        LightningBalance::ClaimableOnChannelClose {
            channel_id: id,
            counterparty_node_id,
            amount_satoshis,
            transaction_fee_satoshis,
            outbound_payment_htlc_rounded_msat,
            outbound_forwarded_htlc_rounded_msat,
            inbound_claiming_htlc_rounded_msat,
            inbound_htlc_rounded_msat,
        } => ChannelBalance::Open {
            channel_id: channel_id(id),
            peer: peer(counterparty_node_id),
            amount_sat: amount_satoshis,
            closing_fee_sat: transaction_fee_satoshis,
            rounded_msat: outbound_payment_htlc_rounded_msat
                .saturating_add(outbound_forwarded_htlc_rounded_msat)
                .saturating_add(inbound_claiming_htlc_rounded_msat)
                .saturating_add(inbound_htlc_rounded_msat),
        },
        LightningBalance::ClaimableAwaitingConfirmations {
            channel_id: id,
            counterparty_node_id,
            amount_satoshis,
            confirmation_height,
            ..
        } => ChannelBalance::Confirming {
            channel_id: channel_id(id),
            peer: peer(counterparty_node_id),
            amount_sat: amount_satoshis,
            mature_at_height: confirmation_height,
        },
        LightningBalance::ContentiousClaimable {
            channel_id: id,
            counterparty_node_id,
            amount_satoshis,
            timeout_height,
            ..
        } => ChannelBalance::Contested {
            channel_id: channel_id(id),
            peer: peer(counterparty_node_id),
            amount_sat: amount_satoshis,
            deadline_height: timeout_height,
            is_outbound: false,
        },
        LightningBalance::MaybeTimeoutClaimableHTLC {
            channel_id: id,
            counterparty_node_id,
            amount_satoshis,
            claimable_height,
            ..
        } => ChannelBalance::Contested {
            channel_id: channel_id(id),
            peer: peer(counterparty_node_id),
            amount_sat: amount_satoshis,
            deadline_height: claimable_height,
            is_outbound: true,
        },
        LightningBalance::MaybePreimageClaimableHTLC {
            channel_id: id,
            counterparty_node_id,
            amount_satoshis,
            expiry_height,
            ..
        } => ChannelBalance::Contested {
            channel_id: channel_id(id),
            peer: peer(counterparty_node_id),
            amount_sat: amount_satoshis,
            deadline_height: expiry_height,
            is_outbound: false,
        },
        LightningBalance::CounterpartyRevokedOutputClaimable {
            channel_id: id,
            counterparty_node_id,
            amount_satoshis,
        } => ChannelBalance::Punishable {
            channel_id: channel_id(id),
            peer: peer(counterparty_node_id),
            amount_sat: amount_satoshis,
        },
    }
}

/// The hash of a payment of ours that is under way in this balance.
pub(crate) fn outbound_hash(of: &LightningBalance) -> Option<PaymentHash> {
    match of {
        LightningBalance::MaybeTimeoutClaimableHTLC {
            payment_hash,
            outbound_payment: true,
            ..
        } => Some(hash(*payment_hash)),
        _ => None,
    }
}

pub(crate) fn sweep(of: &PendingSweepBalance) -> PendingSweep {
    let (channel, amount_sat, state) = match of {
        PendingSweepBalance::PendingBroadcast {
            channel_id,
            amount_satoshis,
        } => (channel_id, amount_satoshis, SweepState::Waiting),
        PendingSweepBalance::BroadcastAwaitingConfirmation {
            channel_id,
            latest_spending_txid: txid,
            amount_satoshis,
            ..
        } => (
            channel_id,
            amount_satoshis,
            SweepState::Sent { txid: *txid },
        ),
        PendingSweepBalance::AwaitingThresholdConfirmations {
            channel_id,
            latest_spending_txid: txid,
            confirmation_height,
            amount_satoshis,
            ..
        } => {
            let state = SweepState::Confirmed {
                txid: *txid,
                height: *confirmation_height,
            };
            (channel_id, amount_satoshis, state)
        }
    };
    PendingSweep {
        channel_id: channel.map(channel_id),
        amount_sat: *amount_sat,
        state,
    }
}

/// A payment that ldk-node keeps, without an intent of ours.
pub(crate) fn payment(of: &ldk::PaymentDetails) -> Payment {
    let preimage = |preimage: Option<lightning::types::payment::PaymentPreimage>| {
        preimage.map(|bytes| Preimage::from_bytes(bytes.0))
    };
    let (kind, hash, preimage) = match &of.kind {
        ldk::PaymentKind::Onchain { .. } => (PaymentKind::Onchain, None, None),
        ldk::PaymentKind::Bolt11 {
            hash: h,
            preimage: p,
            ..
        }
        | ldk::PaymentKind::Bolt11Jit {
            hash: h,
            preimage: p,
            ..
        } => (PaymentKind::Bolt11, Some(hash(*h)), preimage(*p)),
        ldk::PaymentKind::Bolt12Offer {
            hash: h,
            preimage: p,
            ..
        } => (PaymentKind::Bolt12Offer, h.map(hash), preimage(*p)),
        ldk::PaymentKind::Bolt12Refund {
            hash: h,
            preimage: p,
            ..
        } => (PaymentKind::Bolt12Refund, h.map(hash), preimage(*p)),
        ldk::PaymentKind::Spontaneous {
            hash: h,
            preimage: p,
        } => (PaymentKind::Keysend, Some(hash(*h)), preimage(*p)),
    };
    let status = match of.status {
        ldk::PaymentStatus::Pending => PaymentStatus::Pending,
        ldk::PaymentStatus::Succeeded => PaymentStatus::Succeeded,
        ldk::PaymentStatus::Failed => PaymentStatus::Failed,
    };
    Payment {
        id: Some(id(of.id)),
        key: None,
        kind,
        direction: match of.direction {
            ldk::PaymentDirection::Inbound => Direction::Inbound,
            ldk::PaymentDirection::Outbound => Direction::Outbound,
        },
        status,
        hash,
        // What is not paid yet has no proof: the preimage of an own invoice stays here.
        preimage: preimage.filter(|_| status == PaymentStatus::Succeeded),
        amount_msat: of.amount_msat.map(Msat::new),
        fee_msat: of.fee_paid_msat.map(Msat::new),
        reason: None,
        attempts: 1,
        updated_at: of.latest_update_timestamp,
    }
}
