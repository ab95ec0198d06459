//! What an earlier process left open: each such payment is settled, or stays unknown, and is never sent twice.

use std::collections::HashSet;
use std::time::Duration;

use btc_iface::lightning::{
    EventDetail, FailureReason, LightningResult, Msat, PaymentHash, PaymentId, PaymentKind,
};
use ldk_node::payment as ldk;
use ldk_node::{Node, NodeError};
use lightning::offers::offer::Offer;

use super::{Shared, pay};
use crate::convert;
use crate::error::storage;
use crate::intents::{self, Intent};
use crate::journal;

/// Blocks after which nothing of a payment can be under way: LDK's longest deadline (1,008), and as
/// many again for a close that was hard to confirm.
const LONGEST_BLOCKS: u32 = 2_016;

/// How long LDK has said nothing before the look: what it has to say after a start comes first.
const QUIET: Duration = Duration::from_secs(2);

/// Looks into each doubtful intent once.
pub(super) fn look(shared: &Shared) {
    let Ok(node) = shared.node() else { return };
    // What cannot be asked now is asked at the next look.
    if let Ok(again) = shared.look_at_withdrawals() {
        shared.keep_busy(again);
    }
    if shared.watch.heard() < QUIET {
        return;
    }
    let keys: Vec<_> = shared.doubtful().iter().cloned().collect();
    for key in keys {
        let _settling = shared.settling();
        // What LDK has said and is not recorded yet may settle it.
        if shared.watch.is_over() || node.next_event().is_some() {
            return;
        }
        let Ok(Some(intent)) = shared
            .store
            .read(|connection| intents::by_key(connection, &key))
        else {
            continue;
        };
        if !intent.state.is_open() || is_settled(shared, &node, &intent) {
            shared.doubtful().remove(&key);
        }
    }
}

fn is_settled(shared: &Shared, node: &Node, intent: &Intent) -> bool {
    match intent.kind {
        PaymentKind::Bolt11 | PaymentKind::Keysend => is_held_by_ldk(shared, node, intent),
        PaymentKind::Bolt12Offer => is_found(shared, node, intent),
        // A payment on the chain: the owner looks whether it is there.
        _ => false,
    }
}

/// Whether LDK surely has the payment, or surely never had.
///
/// It is handed over again under the same name. LDK keeps the names of payments that are under way, also
/// those it finds again in its channels after a crash, and refuses a second one; so either it had it,
/// or it sends it now, and in both cases it is sent once. No route says nothing: it is looked for
/// before the name is.
fn is_held_by_ldk(shared: &Shared, node: &Node, intent: &Intent) -> bool {
    let Some(id) = intent.payment_id else {
        return false;
    };
    let known = node.payment(&convert::ldk_id(id));
    if let Some(known) = &known
        && known.direction == ldk::PaymentDirection::Inbound
    {
        // An invoice of this node's own has the same hash; its record is not this payment's.
        return give_up_after_deadline(shared, node, intent);
    }
    if let Some(known) = known
        && known.status == ldk::PaymentStatus::Succeeded
    {
        return settle(shared, intent, &known);
    }
    if let Some(hash) = intent.hash
        && is_under_way(node, hash)
    {
        return true;
    }
    // LDK's record may be older than LDK's state, and would stand in the way of the question.
    if node.remove_payment(&convert::ldk_id(id)).is_err() {
        return false;
    }
    if intents::repeated(&shared.store, &intent.key).is_err() {
        return false;
    }
    match pay::hand_over(shared, node, intent) {
        Ok(()) => {
            tracing::info!(
                "payment {} of an earlier process was not sent, and is now",
                intent.key
            );
            intents::sent(&shared.store, &intent.key);
            true
        }
        Err(NodeError::DuplicatePayment) => {
            intents::sent(&shared.store, &intent.key);
            true
        }
        Err(_) => give_up_after_deadline(shared, node, intent),
    }
}

fn is_under_way(node: &Node, hash: PaymentHash) -> bool {
    let balances = node.list_balances().lightning_balances;
    balances
        .iter()
        .any(|balance| convert::outbound_hash(balance) == Some(hash))
}

fn give_up_after_deadline(shared: &Shared, node: &Node, intent: &Intent) -> bool {
    let height = node.status().current_best_block.height;
    if height < intent.prepared_height.saturating_add(LONGEST_BLOCKS) {
        return false;
    }
    let id = intent.payment_id.or(intent.hash.map(PaymentId::from));
    let Some(id) = id else { return false };
    let detail = EventDetail::PaymentFailed {
        id,
        hash: intent.hash,
        key: None,
        reason: FailureReason::NotSent,
    };
    write(shared, intent, detail, None)
}

/// An offer's payment has a name that LDK chose. The intent is named before the next one is handed
/// over, so at most one is without a name, and a payment of that offer that no intent names is its
/// own.
fn is_found(shared: &Shared, node: &Node, intent: &Intent) -> bool {
    if let Some(id) = intent.payment_id {
        return match node.payment(&convert::ldk_id(id)) {
            Some(known) if known.status == ldk::PaymentStatus::Succeeded => {
                settle(shared, intent, &known)
            }
            // Only an event says that it failed: the record may be another's. Of one under way,
            // LDK may have lost what the record is about; an event, or the owner, decides.
            _ => match shared
                .store
                .read(|connection| journal::failure(connection, id))
            {
                Ok(Some(reason)) => intents::failed(&shared.store, &intent.key, reason).is_ok(),
                _ => false,
            },
        };
    }
    let Ok(offer) = intent.target.parse::<Offer>() else {
        return false;
    };
    let Ok(candidates) = unnamed(shared, node, &offer) else {
        return false;
    };
    let mut candidates = candidates.into_iter();
    let (Some(id), None) = (candidates.next(), candidates.next()) else {
        return false;
    };
    if intents::named(&shared.store, &intent.key, id).is_err() {
        return false;
    }
    // Settled at the next look, under its name.
    false
}

/// The payments of that offer that no intent has, or ever had.
pub(super) fn unnamed(
    shared: &Shared,
    node: &Node,
    offer: &Offer,
) -> LightningResult<HashSet<PaymentId>> {
    let names = shared.store.read(intents::names).map_err(storage)?;
    let of_offer = node.list_payments_with_filter(|payment| {
        matches!(&payment.kind, ldk::PaymentKind::Bolt12Offer { offer_id, .. } if *offer_id == offer.id())
            && payment.direction == ldk::PaymentDirection::Outbound
    });
    let ids = of_offer
        .iter()
        .map(|payment| PaymentId::from_bytes(payment.id.0));
    Ok(ids.filter(|id| !names.contains(&id.to_string())).collect())
}

/// Closes an intent as LDK's own record says that it was paid.
fn settle(shared: &Shared, intent: &Intent, known: &ldk::PaymentDetails) -> bool {
    if known.direction != ldk::PaymentDirection::Outbound {
        return false;
    }
    let seen = convert::payment(known);
    let Some(id) = seen.id else { return false };
    let detail = match (known.status, seen.hash) {
        (ldk::PaymentStatus::Succeeded, Some(hash)) => EventDetail::PaymentSent {
            id,
            hash,
            key: None,
            fee_msat: known.fee_paid_msat.map(Msat::new),
        },
        _ => return false,
    };
    write(shared, intent, detail, seen.preimage)
}

fn write(
    shared: &Shared,
    intent: &Intent,
    detail: EventDetail,
    preimage: Option<btc_iface::lightning::Preimage>,
) -> bool {
    match journal::settle(&shared.store, intent, detail, preimage) {
        Ok(number) => {
            if let Some(number) = number {
                shared.recorded.send_replace(number);
            }
            true
        }
        Err(_) => false,
    }
}
