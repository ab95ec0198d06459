//! From ldk-node's events to those of the journal.

use btc_iface::lightning::{EventDetail, FailureReason, Msat, NodeId, Preimage};
use ldk_node::Event;
use lightning::events::{ClosureReason, PaymentFailureReason};

use crate::convert::{channel_id, handle, hash, id};

fn reason(of: Option<PaymentFailureReason>) -> FailureReason {
    match of {
        Some(PaymentFailureReason::RecipientRejected) => FailureReason::RecipientRejected,
        Some(PaymentFailureReason::UserAbandoned) => FailureReason::Abandoned,
        Some(PaymentFailureReason::RetriesExhausted) => FailureReason::RetriesExhausted,
        Some(PaymentFailureReason::PaymentExpired) => FailureReason::Expired,
        Some(PaymentFailureReason::RouteNotFound) => FailureReason::NoRoute,
        Some(PaymentFailureReason::UnknownRequiredFeatures) => FailureReason::UnknownFeature,
        Some(
            PaymentFailureReason::InvoiceRequestExpired
            | PaymentFailureReason::InvoiceRequestRejected,
        ) => FailureReason::NoInvoice,
        _ => FailureReason::Other,
    }
}

/// An event, and the preimage that a payment of ours learnt.
#[expect(clippy::too_many_lines, reason = "one arm for each event")]
pub(crate) fn event(of: Event) -> (EventDetail, Option<Preimage>) {
    let unnamed = lightning::ln::channelmanager::PaymentId([0; 32]);
    let detail = match of {
        Event::PaymentSuccessful {
            payment_id,
            payment_hash,
            payment_preimage,
            fee_paid_msat,
        } => {
            let detail = EventDetail::PaymentSent {
                id: payment_id.map_or_else(|| hash(payment_hash).into(), id),
                hash: hash(payment_hash),
                key: None,
                fee_msat: fee_paid_msat.map(Msat::new),
            };
            let preimage = payment_preimage.map(|bytes| Preimage::from_bytes(bytes.0));
            return (detail, preimage);
        }
        Event::PaymentFailed {
            payment_id,
            payment_hash,
            reason: why,
        } => EventDetail::PaymentFailed {
            id: id(payment_id.unwrap_or(unnamed)),
            hash: payment_hash.map(hash),
            key: None,
            reason: reason(why),
        },
        Event::PaymentReceived {
            payment_id,
            payment_hash,
            amount_msat,
            ..
        } => EventDetail::PaymentReceived {
            id: payment_id.map_or_else(|| hash(payment_hash).into(), id),
            hash: hash(payment_hash),
            amount_msat: Msat::new(amount_msat),
        },
        Event::PaymentClaimable {
            payment_id,
            payment_hash,
            claimable_amount_msat,
            claim_deadline,
            ..
        } => EventDetail::PaymentHeld {
            id: id(payment_id),
            hash: hash(payment_hash),
            amount_msat: Msat::new(claimable_amount_msat),
            deadline_height: claim_deadline,
        },
        Event::PaymentForwarded {
            prev_channel_id,
            next_channel_id,
            total_fee_earned_msat,
            outbound_amount_forwarded_msat,
            ..
        } => EventDetail::PaymentForwarded {
            from_channel: channel_id(prev_channel_id),
            to_channel: channel_id(next_channel_id),
            amount_msat: outbound_amount_forwarded_msat.map(Msat::new),
            fee_msat: total_fee_earned_msat.map(Msat::new),
        },
        Event::ChannelPending {
            channel_id: on_wire,
            user_channel_id,
            counterparty_node_id,
            funding_txo,
            ..
        } => EventDetail::ChannelPending {
            handle: handle(user_channel_id),
            channel_id: channel_id(on_wire),
            peer: NodeId::from_key(counterparty_node_id),
            funding: funding_txo.into(),
        },
        Event::ChannelReady {
            channel_id: on_wire,
            user_channel_id,
            counterparty_node_id,
            funding_txo,
        } => EventDetail::ChannelReady {
            handle: handle(user_channel_id),
            channel_id: channel_id(on_wire),
            peer: counterparty_node_id.map(NodeId::from_key),
            funding: funding_txo.map(Into::into),
        },
        Event::ChannelClosed {
            channel_id: on_wire,
            user_channel_id,
            counterparty_node_id,
            reason: why,
        } => EventDetail::ChannelClosed {
            handle: handle(user_channel_id),
            channel_id: channel_id(on_wire),
            peer: counterparty_node_id.map(NodeId::from_key),
            is_cooperative: why.as_ref().is_some_and(is_cooperative),
            reason: why.map_or_else(|| "unknown".to_owned(), |why| why.to_string()),
        },
        Event::SplicePending {
            user_channel_id,
            new_funding_txo,
            ..
        } => EventDetail::SplicePending {
            handle: handle(user_channel_id),
            funding: new_funding_txo.into(),
        },
        Event::SpliceFailed {
            user_channel_id, ..
        } => EventDetail::SpliceFailed {
            handle: handle(user_channel_id),
        },
    };
    (detail, None)
}

fn is_cooperative(why: &ClosureReason) -> bool {
    matches!(
        why,
        ClosureReason::LegacyCooperativeClosure
            | ClosureReason::CounterpartyInitiatedCooperativeClosure
            | ClosureReason::LocallyInitiatedCooperativeClosure
    )
}
