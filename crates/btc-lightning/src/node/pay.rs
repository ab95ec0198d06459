//! Payments over Lightning: checked, written down, handed over.

use btc_iface::lightning::{
    FailureReason, Keysend, LightningError, LightningErrorKind as Kind, LightningResult, Msat,
    PayInvoice, PayOffer, Payment, PaymentId, PaymentKind,
};
use ldk_node::{Node, NodeError};
use lightning::routing::router::RouteParametersConfig;
use lightning::types::payment::PaymentPreimage;

use super::{Shared, resume};
use crate::check::{self, Read};
use crate::convert;
use crate::error::{error, ldk};
use crate::intents::{self, Decision, Intent, State};

/// The most that other nodes may take, unless said otherwise: 1 % and this.
const USUAL_BASE_FEE: Msat = Msat::new(50_000);

impl Shared {
    pub(super) fn pay_invoice(&self, request: PayInvoice) -> LightningResult<Payment> {
        let node = self.node()?;
        let Read::Invoice(invoice) = check::read(&request.invoice)? else {
            return Err(error(Kind::Malformed, "not an invoice (BOLT 11)"));
        };
        let hash = check::hash_of(&invoice);
        let key = request.key.unwrap_or_else(|| hash.to_string());
        let target = invoice.to_string();
        // Asking again about a payment must not depend on the time or on the balance.
        if let Some(known) = self.known(&key, &target, request.amount_msat)? {
            return Ok(known);
        }
        let is_taken = |connection: &_| intents::is_taken(connection, &key, hash);
        if self.store.read(is_taken).map_err(crate::error::storage)? {
            return Err(error(Kind::KeyReused, intents::TAKEN));
        }
        let is_inbound = |known: ldk_node::payment::PaymentDetails| {
            known.direction == ldk_node::payment::PaymentDirection::Inbound
        };
        // LDK keeps one record for a hash. Who knows the preimage can make such an invoice.
        if node
            .payment(&convert::ldk_id(hash.into()))
            .is_some_and(is_inbound)
        {
            let message = "the invoice has the hash of one that this node made; it is not paid";
            return Err(error(Kind::Own, message));
        }
        let amount = check::invoice(self.payer(&node), &invoice, request.amount_msat)?;
        enough(&node, amount)?;
        let wish = Self::wish(&node, key, PaymentKind::Bolt11, target, amount);
        self.send(
            &node,
            Intent {
                hash: Some(hash),
                payment_id: Some(hash.into()),
                max_fee: request.max_fee_msat,
                ..wish
            },
        )
    }

    pub(super) fn keysend(&self, request: Keysend) -> LightningResult<Payment> {
        let node = self.node()?;
        intents::check_key(&request.key)?;
        let target = request.node_id.to_string();
        if let Some(known) = self.known(&request.key, &target, Some(request.amount_msat))? {
            return Ok(known);
        }
        if request.node_id.key() == node.node_id() {
            return Err(error(
                Kind::Own,
                "a payment of the node to itself moves nothing",
            ));
        }
        let amount = check::sensible(request.amount_msat)?;
        enough(&node, amount)?;
        let hash = self.seed.keysend_preimage(&request.key).hash();
        let wish = Self::wish(&node, request.key, PaymentKind::Keysend, target, amount);
        self.send(
            &node,
            Intent {
                hash: Some(hash),
                payment_id: Some(hash.into()),
                max_fee: request.max_fee_msat,
                ..wish
            },
        )
    }

    /// A payment that is under way or done under this key.
    fn known(
        &self,
        key: &str,
        target: &str,
        amount: Option<Msat>,
    ) -> LightningResult<Option<Payment>> {
        let Some(intent) = self.intent(key)? else {
            return Ok(None);
        };
        if intent.state == State::Failed {
            return Ok(None);
        }
        let is_same = intent.target == target && amount.is_none_or(|it| intent.amount == Some(it));
        if !is_same {
            let message = "the key was used for another payment; take a new one";
            return Err(error(Kind::KeyReused, message));
        }
        Ok(Some(self.seen(&intent)))
    }

    pub(super) fn wish(
        node: &Node,
        key: String,
        kind: PaymentKind,
        target: String,
        amount: Msat,
    ) -> Intent {
        Intent {
            key,
            kind,
            target,
            hash: None,
            payment_id: None,
            amount: Some(amount),
            max_fee: None,
            note: None,
            state: State::Prepared,
            reason: None,
            attempts: 0,
            fee: None,
            preimage: None,
            prepared_height: node.status().current_best_block.height,
            updated_at: 0,
            is_repeated: false,
        }
    }

    /// Writes down, hands over, and takes note of what LDK says to it.
    fn send(&self, node: &Node, wish: Intent) -> LightningResult<Payment> {
        let intent = match intents::prepare(&self.store, wish)? {
            Decision::Known(intent) => return Ok(self.seen(&intent)),
            Decision::Send(intent) => intent,
        };
        match hand_over(self, node, &intent) {
            Ok(()) => {
                intents::sent(&self.store, &intent.key);
                Ok(intent.payment(false))
            }
            // LDK still has an attempt of before, whose end it will say; this one was not sent.
            Err(NodeError::DuplicatePayment) => {
                self.doubtful().insert(intent.key.clone());
                Ok(intent.payment(true))
            }
            // LDK may have sent it: its record, which comes after, could not be written.
            Err(NodeError::PersistenceFailed) => {
                self.doubtful().insert(intent.key.clone());
                Err(error(
                    Kind::Unknown,
                    "the disk failed while the payment was handed over; its end is looked for at the next start",
                ))
            }
            Err(cause) => {
                intents::failed(&self.store, &intent.key, FailureReason::NoRoute)
                    .map_err(|cause| may_be_sent(&cause))?;
                Err(ldk("nothing was sent", cause))
            }
        }
    }

    pub(super) fn pay_offer(&self, request: PayOffer) -> LightningResult<Payment> {
        let node = self.node()?;
        let Read::Offer(offer) = check::read(&request.offer)? else {
            return Err(error(Kind::Malformed, "not an offer (BOLT 12)"));
        };
        let target = offer.to_string();
        if let Some(known) = self.known(&request.key, &target, request.amount_msat)? {
            return Ok(known);
        }
        let amount = check::offer(self.payer(&node), &offer, request.amount_msat)?;
        enough(&node, amount)?;
        let _one_at_a_time = self.settling();
        let unnamed = self
            .store
            .read(intents::open)
            .map_err(crate::error::storage)?;
        let unnamed = unnamed.iter().find(|intent| {
            intent.kind == PaymentKind::Bolt12Offer
                && intent.payment_id.is_none()
                && intent.key != request.key
        });
        if let Some(other) = unnamed {
            let message = format!(
                "it is unknown whether an earlier payment of an offer (key {}) was sent; until that is known \
                 no other is, or both might be: look at it, or give it up with abandon",
                other.key
            );
            return Err(error(Kind::Unknown, message));
        }
        let before = resume::unnamed(self, &node, &offer)?;
        let wish = Self::wish(&node, request.key, PaymentKind::Bolt12Offer, target, amount);
        let intent = match intents::prepare(
            &self.store,
            Intent {
                max_fee: request.max_fee_msat,
                note: request.note,
                ..wish
            },
        )? {
            Decision::Known(intent) => return Ok(self.seen(&intent)),
            Decision::Send(intent) => intent,
        };
        let route = Some(route(amount, request.max_fee_msat));
        let words = intent.note.clone();
        let handed_over =
            node.bolt12_payment()
                .send_using_amount(&offer, amount.get(), None, words, route);
        match handed_over {
            Ok(id) => {
                let id = PaymentId::from_bytes(id.0);
                intents::named(&self.store, &intent.key, id)
                    .map_err(|cause| may_be_sent(&cause))?;
                let named = Intent {
                    payment_id: Some(id),
                    ..intent
                };
                Ok(named.payment(false))
            }
            Err(NodeError::PersistenceFailed) => {
                self.doubtful().insert(intent.key.clone());
                Err(error(
                    Kind::Unknown,
                    "the disk failed while the payment was handed over",
                ))
            }
            Err(cause) => {
                // LDK keeps a record of what it refused, which must not be taken for a later payment.
                let after =
                    resume::unnamed(self, &node, &offer).map_err(|cause| may_be_sent(&cause))?;
                for refused in after.difference(&before) {
                    let _ = node.remove_payment(&convert::ldk_id(*refused));
                }
                intents::failed(&self.store, &intent.key, FailureReason::NotSent)
                    .map_err(|cause| may_be_sent(&cause))?;
                Err(ldk("nothing was sent", cause))
            }
        }
    }

    pub(super) fn intent(&self, key: &str) -> LightningResult<Option<Intent>> {
        self.store
            .read(|connection| intents::by_key(connection, key))
            .map_err(crate::error::storage)
    }

    /// An intent as the caller sees it.
    pub(super) fn seen(&self, intent: &Intent) -> Payment {
        intent.payment(self.doubtful().contains(&intent.key))
    }
}

/// After the intent is on disk, an error of our own says nothing about the money.
pub(super) fn may_be_sent(cause: &LightningError) -> LightningError {
    let message =
        format!("it may have been sent: {cause}; ask for it by its key after the next start");
    error(Kind::Unknown, message)
}

/// Gives a payment that has its name to LDK.
pub(super) fn hand_over(shared: &Shared, node: &Node, intent: &Intent) -> Result<(), NodeError> {
    let amount = intent.amount.ok_or(NodeError::InvalidAmount)?;
    let route = Some(route(amount, intent.max_fee));
    if intent.kind == PaymentKind::Keysend {
        let receiver = intent
            .target
            .parse()
            .map_err(|_| NodeError::InvalidNodeId)?;
        let preimage = shared.seed.keysend_preimage(&intent.key);
        let preimage = PaymentPreimage(*preimage.expose());
        let sent =
            node.spontaneous_payment()
                .send_with_preimage(amount.get(), receiver, preimage, route);
        return sent.map(drop);
    }
    let Ok(Read::Invoice(invoice)) = check::read(&intent.target) else {
        return Err(NodeError::InvalidInvoice);
    };
    let sent = match invoice.amount_milli_satoshis() {
        Some(_) => node.bolt11_payment().send(&invoice, route),
        None => node
            .bolt11_payment()
            .send_using_amount(&invoice, amount.get(), route),
    };
    sent.map(drop)
}

/// Refuses an amount that no combination of channels could send now.
fn enough(node: &Node, needed: Msat) -> LightningResult<()> {
    let channels = node.list_channels();
    let (usable, others): (Vec<_>, Vec<_>) = channels.iter().partition(|channel| channel.is_usable);
    let parts = usable
        .iter()
        .map(|channel| Msat::new(channel.outbound_capacity_msat));
    let available = Msat::checked_sum(parts).unwrap_or(Msat::MAX_MONEY);
    if available >= needed {
        return Ok(());
    }
    // After a start, a channel is usable as soon as its peer is connected.
    let waiting = match others.len() {
        0 => String::new(),
        count => format!("; {count} more cannot be used before their peers are connected"),
    };
    let message = format!(
        "not enough in usable channels: there are {available}, it takes {needed} and the fee{waiting}; nothing was sent"
    );
    Err(error(Kind::NotEnough { available, needed }, message))
}

fn route(amount: Msat, max_fee: Option<Msat>) -> RouteParametersConfig {
    let usual = Msat::new(amount.get() / 100).checked_add(USUAL_BASE_FEE);
    let most = max_fee.or(usual).map(Msat::get);
    RouteParametersConfig {
        max_total_routing_fee_msat: most,
        ..RouteParametersConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_nodes_take_at_most_one_percent_and_fifty_satoshi_unless_told_otherwise() {
        let most = |amount, max| route(Msat::new(amount), max).max_total_routing_fee_msat;
        assert_eq!(most(1_000_000, None), Some(60_000));
        assert_eq!(most(1_000_000, Some(Msat::ZERO)), Some(0));
    }
}
