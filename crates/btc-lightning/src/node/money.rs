//! The on-chain wallet, invoices and offers of this node, and the list of payments.

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::{FeeRate, Txid};
use btc_iface::lightning::{
    Direction, FailureReason, Invoice, InvoiceRequest, LightningBalances,
    LightningErrorKind as Kind, LightningResult, Msat, Offer, OfferRequest, Payment, PaymentHash,
    PaymentId, PaymentKind, Preimage, RefundRequest, WithdrawAmount, WithdrawRequest,
};
use ldk_node::NodeError;
use ldk_node::lightning_invoice::{Bolt11InvoiceDescription, Description, Sha256};
use lightning::routing::router::RouteParametersConfig;
use lightning::types::payment as ldk_types;

use super::Shared;
use super::coins::Busy;
use super::pay::may_be_sent;
use crate::check::{self, Read};
use crate::convert;
use crate::error::{error, ldk, storage};
use crate::intents::{self, Decision, Intent, State};
use crate::journal;

/// More than any sensible rate; a slip of the finger is refused.
const MAX_FEE_RATE_SAT_PER_VB: u64 = 5_000;

impl Shared {
    pub(super) fn balances(&self) -> LightningResult<LightningBalances> {
        let all = self.node()?.list_balances();
        Ok(LightningBalances {
            onchain_total_sat: all.total_onchain_balance_sats,
            onchain_spendable_sat: all.spendable_onchain_balance_sats,
            reserve_sat: all.total_anchor_channels_reserve_sats,
            lightning_sat: all.total_lightning_balance_sats,
            channels: all
                .lightning_balances
                .iter()
                .map(convert::balance)
                .collect(),
            sweeps: all
                .pending_balances_from_channel_closures
                .iter()
                .map(convert::sweep)
                .collect(),
        })
    }

    pub(super) fn withdraw(&self, request: WithdrawRequest) -> LightningResult<Txid> {
        let node = self.node()?;
        let address = check::address(self.config.network(), &request.address)?;
        let fee_rate = match request.fee_rate_sat_per_vb {
            None => None,
            Some(rate @ 1..=MAX_FEE_RATE_SAT_PER_VB) => FeeRate::from_sat_per_vb(rate),
            Some(_) => {
                let message = format!("a fee rate is from 1 to {MAX_FEE_RATE_SAT_PER_VB} sat/vB");
                return Err(error(Kind::WrongAmount, message));
            }
        };
        let amount = match request.amount {
            WithdrawAmount::All => Msat::ZERO,
            WithdrawAmount::Sat(sat) => check::sensible(Msat::from_sat(sat).unwrap_or(Msat::ZERO))?,
        };
        if let Some(known) = self.intent(&request.key)?
            && known.state != State::Failed
        {
            // Asking again must not wait for the coins.
            let is_same = known.kind == PaymentKind::Onchain
                && known.target == address.to_string()
                && known.amount == Some(amount);
            if is_same {
                return sent_before(&known);
            }
        }
        let mut busy = self.coins(&node)?;
        let wish = Intent {
            note: None,
            ..Self::wish(
                &node,
                request.key,
                PaymentKind::Onchain,
                address.to_string(),
                amount,
            )
        };
        if !self
            .intent(&wish.key)?
            .is_some_and(|known| known.state.is_open() || known.state == State::Succeeded)
            && let WithdrawAmount::Sat(needed) = request.amount
        {
            let available = node.list_balances().spendable_onchain_balance_sats;
            if available < needed {
                let message = format!(
                    "not enough on the chain: {available} sat can be spent, it takes {needed} sat and the fee"
                );
                let msat = |sat| Msat::from_sat(sat).unwrap_or(Msat::MAX_MONEY);
                let kind = Kind::NotEnough {
                    available: msat(available),
                    needed: msat(needed),
                };
                return Err(error(kind, message));
            }
        }
        let intent = match intents::prepare(&self.store, wish)? {
            Decision::Known(intent) => return sent_before(&intent),
            Decision::Send(intent) => intent,
        };
        let onchain = node.onchain_payment();
        let sent = match request.amount {
            WithdrawAmount::Sat(sat) => onchain.send_to_address(&address, sat, fee_rate),
            WithdrawAmount::All => onchain.send_all_to_address(&address, true, fee_rate),
        };
        match sent {
            Ok(txid) => {
                busy.push(Busy::withdrawal(intent.key.clone(), txid));
                let hash = PaymentHash::from_bytes(txid.to_byte_array());
                intents::handed_over(&self.store, &intent.key, hash)
                    .map_err(|cause| may_be_sent(&cause))?;
                Ok(txid)
            }
            Err(cause @ NodeError::PersistenceFailed) => {
                self.doubtful().insert(intent.key);
                Err(may_be_sent(&ldk("the disk failed", cause)))
            }
            Err(cause) => {
                intents::failed(&self.store, &intent.key, FailureReason::NotSent)
                    .map_err(|cause| may_be_sent(&cause))?;
                Err(ldk("nothing was sent", cause))
            }
        }
    }

    pub(super) fn create_invoice(&self, request: InvoiceRequest) -> LightningResult<Invoice> {
        let node = self.node()?;
        let payment = node.bolt11_payment();
        let description = if request.is_description_hashed {
            let hash = sha256::Hash::hash(request.description.as_bytes());
            Bolt11InvoiceDescription::Hash(Sha256(hash))
        } else {
            let text = Description::new(request.description).map_err(|_| {
                error(
                    Kind::Malformed,
                    "a description takes at most 639 bytes; have it hashed",
                )
            })?;
            Bolt11InvoiceDescription::Direct(text)
        };
        if request.expiry_seconds == 0 {
            return Err(error(
                Kind::Malformed,
                "an invoice that expires at once cannot be paid",
            ));
        }
        let amount = request.amount_msat.map(check::sensible).transpose()?;
        let expiry = request.expiry_seconds;
        let hold = request
            .hold
            .map(|hash| ldk_types::PaymentHash(hash.to_bytes()));
        let made = match (amount, hold) {
            (Some(amount), None) => payment.receive(amount.get(), &description, expiry),
            (None, None) => payment.receive_variable_amount(&description, expiry),
            (Some(amount), Some(hash)) => {
                payment.receive_for_hash(amount.get(), &description, expiry, hash)
            }
            (None, Some(hash)) => {
                payment.receive_variable_amount_for_hash(&description, expiry, hash)
            }
        };
        let invoice = made.map_err(|cause| ldk("no invoice was made", cause))?;
        Ok(Invoice {
            hash: check::hash_of(&invoice),
            amount_msat: amount,
            expires_at: invoice.expires_at().map_or(0, |at| at.as_secs()),
            invoice: invoice.to_string(),
        })
    }

    pub(super) fn create_offer(&self, request: &OfferRequest) -> LightningResult<Offer> {
        let node = self.node()?;
        let payment = node.bolt12_payment();
        let amount = request.amount_msat.map(check::sensible).transpose()?;
        let (text, expiry) = (request.description.as_str(), request.expiry_seconds);
        let made = match amount {
            Some(amount) => payment.receive(amount.get(), text, expiry, None),
            None => payment.receive_variable_amount(text, expiry),
        };
        let offer = made.map_err(|cause| ldk("no offer was made", cause))?;
        Ok(Offer {
            offer: offer.to_string(),
            amount_msat: amount,
        })
    }

    pub(super) fn create_refund(&self, request: &RefundRequest) -> LightningResult<Offer> {
        let node = self.node()?;
        let amount = check::sensible(request.amount_msat)?;
        let route = request.max_fee_msat.map(|most| RouteParametersConfig {
            max_total_routing_fee_msat: Some(most.get()),
            ..RouteParametersConfig::default()
        });
        let made = node.bolt12_payment().initiate_refund(
            amount.get(),
            request.expiry_seconds,
            None,
            None,
            route,
        );
        let refund = made.map_err(|cause| ldk("no refund was made", cause))?;
        Ok(Offer {
            offer: refund.to_string(),
            amount_msat: Some(amount),
        })
    }

    pub(super) fn request_refund(&self, text: &str) -> LightningResult<PaymentHash> {
        let node = self.node()?;
        let Read::Refund(refund) = check::read(text)? else {
            return Err(error(Kind::Malformed, "not a refund (BOLT 12)"));
        };
        let invoice = node
            .bolt12_payment()
            .request_refund_payment(&refund)
            .map_err(|cause| ldk("the refund was not asked for", cause))?;
        Ok(PaymentHash::from_bytes(invoice.payment_hash().0))
    }

    pub(super) fn claim_held(&self, preimage: &Preimage, amount: Msat) -> LightningResult<()> {
        let node = self.node()?;
        let hash = preimage.hash();
        let held = self.held(&node, hash)?;
        if held < amount {
            let message = format!("{held} are held, less than {amount}; nothing was claimed");
            return Err(error(Kind::WrongAmount, message));
        }
        let ldk_hash = ldk_types::PaymentHash(hash.to_bytes());
        let ldk_preimage = ldk_types::PaymentPreimage(*preimage.expose());
        node.bolt11_payment()
            .claim_for_hash(ldk_hash, held.get(), ldk_preimage)
            .map_err(|cause| ldk("the payment was not claimed", cause))
    }

    pub(super) fn fail_held(&self, hash: PaymentHash) -> LightningResult<()> {
        let node = self.node()?;
        self.held(&node, hash)?;
        journal::forget_held(&self.store, hash.into()).map_err(storage)?;
        node.bolt11_payment()
            .fail_for_hash(ldk_types::PaymentHash(hash.to_bytes()))
            .map_err(|cause| ldk("the payment was not given back", cause))
    }

    /// What is held and can still be claimed, from the journal: LDK would say yes to anything.
    fn held(&self, node: &ldk_node::Node, hash: PaymentHash) -> LightningResult<Msat> {
        let height = node.status().current_best_block.height;
        let missing =
            |why: &str| error(Kind::NotFound, format!("no payment to {hash} is held{why}"));
        match journal::held(&self.store, hash.into()).map_err(storage)? {
            None => Err(missing("")),
            Some((_, Some(deadline))) if height >= deadline => {
                Err(missing(" any more: its deadline is over, it went back"))
            }
            Some((amount, _)) => Ok(amount),
        }
    }

    pub(super) fn payments(&self) -> LightningResult<Vec<Payment>> {
        let node = self.node()?;
        let intents = self.store.read(intents::all).map_err(storage)?;
        let known: std::collections::HashSet<_> = intents.iter().filter_map(name_of).collect();
        let mut payments: Vec<_> = intents.iter().map(|intent| self.seen(intent)).collect();
        let others = node.list_payments().into_iter().filter(|payment| {
            let id = PaymentId::from_bytes(payment.id.0);
            convert::payment(payment).direction == Direction::Inbound || !known.contains(&id)
        });
        payments.extend(others.map(|payment| convert::payment(&payment)));
        payments.sort_by_key(|payment| payment.updated_at);
        Ok(payments)
    }

    pub(super) fn payment(&self, name: &str) -> LightningResult<Payment> {
        if let Some(intent) = self.intent(name)? {
            return Ok(self.seen(&intent));
        }
        let missing = || {
            let message = "no payment of that key, id or hash";
            error(Kind::NotFound, message)
        };
        let id: PaymentId = name.parse().map_err(|_| missing())?;
        let hash = PaymentHash::from_bytes(id.to_bytes());
        let found = self.store.read(|connection| {
            let mut found = intents::by_hash(connection, hash)?;
            found.extend(intents::by_payment(connection, id)?);
            Ok(found)
        });
        let found = found.map_err(storage)?;
        let best = found
            .iter()
            .find(|intent| intent.state != State::Failed)
            .or(found.first());
        if let Some(intent) = best {
            return Ok(self.seen(intent));
        }
        let node = self.node()?;
        node.payment(&convert::ldk_id(id))
            .map(|payment| convert::payment(&payment))
            .ok_or_else(missing)
    }

    pub(super) fn abandon(&self, key: &str) -> LightningResult<Payment> {
        let _settling = self.settling();
        let intent = self
            .intent(key)?
            .ok_or_else(|| error(Kind::NotFound, "no payment of that key"))?;
        if !self.doubtful().contains(key) || !intent.state.is_open() {
            let message = "the state of this payment is known; only an unknown one can be given up";
            return Err(error(Kind::Refused, message));
        }
        if let Ok(node) = self.node() {
            // It may be found by now.
            let again = self.look_at_withdrawals()?;
            self.keep_busy(again);
            let intent = self.intent(key)?.unwrap_or(intent);
            self.may_be_given_up(&node, &intent)?;
        }
        if !self.doubtful().contains(key) {
            return self.payment(key);
        }
        intents::failed(&self.store, key, FailureReason::Abandoned)?;
        self.doubtful().remove(key);
        self.payment(key)
    }
}

/// The name by which LDK's list has an intent.
fn name_of(intent: &Intent) -> Option<PaymentId> {
    if intent.kind == PaymentKind::Onchain {
        return intent.hash.map(PaymentId::from);
    }
    intent.payment_id
}

fn sent_before(intent: &Intent) -> LightningResult<Txid> {
    match (intent.state, intent.hash) {
        (State::Sent | State::Succeeded, Some(hash)) => Ok(Txid::from_byte_array(hash.to_bytes())),
        _ => Err(error(
            Kind::Unknown,
            "it is unknown whether an earlier process sent this; look at the wallet's payments, then give it up \
             with abandon or leave it",
        )),
    }
}
