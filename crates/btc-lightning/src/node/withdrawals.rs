//! Withdrawals until they are buried: looked for, sent again when Bitcoin Core has lost them, closed.

use bitcoin::hashes::Hash as _;
use bitcoin::{Transaction, Txid};
use btc_iface::lightning::{
    LightningErrorKind as Kind, LightningResult, Msat, PaymentHash, PaymentId, PaymentKind,
};
use ldk_node::Node;
use ldk_node::payment::{self as ldk, ConfirmationStatus};

use super::Shared;
use super::coins::Busy;
use crate::convert;
use crate::error::{error, storage};
use crate::intents::{self, Intent};
use crate::preflight::{self, Sent};

/// A withdrawal that Bitcoin Core does not have after this, and that cannot be sent again, is unknown.
const LOST_AFTER_SECONDS: u64 = 60;
/// LDK lists what its wallet has seen with each block; with the second block after a start the list
/// has what was in the mempool then.
const BLOCKS_TO_KNOW: u32 = 2;

/// How far a transaction of the wallet's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In no block, as far as the wallet has seen.
    Nowhere,
    Block,
    /// Under six blocks, beyond what a reorganisation takes out.
    Buried,
}

/// Where the wallet has seen the transaction. LDK lists unconfirmed ones, too.
pub(super) fn place(node: &Node, txid: Txid) -> Place {
    let id = PaymentId::from_bytes(txid.to_byte_array());
    let Some(known) = node.payment(&convert::ldk_id(id)) else {
        return Place::Nowhere;
    };
    match (&known.kind, known.status) {
        (ldk::PaymentKind::Onchain { .. }, ldk::PaymentStatus::Succeeded) => Place::Buried,
        (
            ldk::PaymentKind::Onchain {
                status: ConfirmationStatus::Confirmed { .. },
                ..
            },
            _,
        ) => Place::Block,
        _ => Place::Nowhere,
    }
}

/// The transaction of a withdrawal that was handed over.
pub(super) fn txid_of(intent: &Intent) -> Option<Txid> {
    let hash = intent
        .hash
        .filter(|_| intent.kind == PaymentKind::Onchain)?;
    Some(Txid::from_byte_array(hash.to_bytes()))
}

impl Shared {
    /// Looks after each withdrawal that is not buried yet. Returns those that were sent again just
    /// now, whose coins the wallet may believe to be free.
    ///
    /// # Errors
    /// Bitcoin Core or the store cannot be asked.
    pub(super) fn look_at_withdrawals(&self) -> LightningResult<Vec<Busy>> {
        let node = self.node()?;
        let open = self.store.read(intents::open).map_err(storage)?;
        let mut again = Vec::new();
        for intent in open.iter().filter(|it| it.kind == PaymentKind::Onchain) {
            let Some(txid) = txid_of(intent) else {
                self.find(&node, intent)?;
                continue;
            };
            match place(&node, txid) {
                Place::Buried => {
                    let (key, hash) = (
                        intent.key.clone(),
                        PaymentHash::from_bytes(txid.to_byte_array()),
                    );
                    let close = move |connection: &rusqlite::Connection| {
                        intents::close_succeeded(connection, &key, hash, None, None)
                    };
                    self.store.write(close).map_err(storage)?;
                    self.doubtful().remove(&intent.key);
                }
                Place::Block => {
                    self.doubtful().remove(&intent.key);
                }
                Place::Nowhere => {
                    if self.keep_sent(intent, txid)? {
                        again.push(Busy::withdrawal(intent.key.clone(), txid));
                    }
                }
            }
        }
        Ok(again)
    }

    /// Keeps the bytes of a withdrawal that waits in Bitcoin Core's mempool, and sends them again
    /// when it is not there any more; whether it did.
    fn keep_sent(&self, intent: &Intent, txid: Txid) -> LightningResult<bool> {
        let kept = self
            .store
            .read(|connection| intents::raw(connection, txid))
            .map_err(storage)?;
        let is_there = preflight::has_unconfirmed(&self.config.chain, txid)?;
        match (is_there, kept) {
            (true, kept) => {
                if kept.is_none()
                    && let Some(raw) = preflight::transaction(&self.config.chain, txid, None)?
                {
                    let keep = move |connection: &rusqlite::Connection| {
                        intents::keep_raw(connection, txid, &raw)
                    };
                    self.store.write(keep).map_err(storage)?;
                }
                self.doubtful().remove(&intent.key);
                Ok(false)
            }
            (false, Some(raw)) => match preflight::send(&self.config.chain, &raw)? {
                Sent::Taken => Ok(true),
                // It may be in a block that the wallet has not seen yet; or another spends its coins.
                Sent::Refused(reason) => {
                    tracing::warn!("withdrawal {} is not taken again: {reason}", intent.key);
                    self.doubtful().insert(intent.key.clone());
                    Ok(false)
                }
            },
            (false, None) => {
                if intents::now().saturating_sub(intent.updated_at) > LOST_AFTER_SECONDS {
                    self.doubtful().insert(intent.key.clone());
                }
                Ok(false)
            }
        }
    }

    /// Names the transaction of a withdrawal whose id was not written down: the one outgoing
    /// transaction in LDK's list that no intent has and that pays the address its amount.
    fn find(&self, node: &Node, intent: &Intent) -> LightningResult<()> {
        let mut found = Vec::new();
        for (txid, transaction) in self.unnamed_outgoing(node)? {
            if pays(&transaction, intent, self.config.network()) {
                found.push(txid);
            }
        }
        if let [txid] = found.as_slice() {
            let hash = PaymentHash::from_bytes(txid.to_byte_array());
            intents::handed_over(&self.store, &intent.key, hash)?;
            self.doubtful().remove(&intent.key);
        }
        Ok(())
    }

    /// The outgoing transactions of LDK's list that no intent has.
    fn unnamed_outgoing(&self, node: &Node) -> LightningResult<Vec<(Txid, Transaction)>> {
        let known = self.store.read(intents::all).map_err(storage)?;
        let known: Vec<_> = known.iter().filter_map(txid_of).collect();
        let mut found = Vec::new();
        for payment in node.list_payments() {
            let ldk::PaymentKind::Onchain { txid, status } = payment.kind else {
                continue;
            };
            if payment.direction != ldk::PaymentDirection::Outbound || known.contains(&txid) {
                continue;
            }
            let block = match status {
                ConfirmationStatus::Confirmed { block_hash, .. } => Some(block_hash),
                ConfirmationStatus::Unconfirmed => None,
            };
            if let Some(raw) = preflight::transaction(&self.config.chain, txid, block)?
                && let Ok(transaction) = bitcoin::consensus::encode::deserialize_hex(&raw)
            {
                found.push((txid, transaction));
            }
        }
        Ok(found)
    }

    /// Refuses to give up a withdrawal that may turn up yet: its transaction is known, or the list
    /// of the wallet's transactions is not complete since the start.
    pub(super) fn may_be_given_up(&self, node: &Node, intent: &Intent) -> LightningResult<()> {
        if intent.kind != PaymentKind::Onchain || intent.hash.is_some() {
            return Ok(());
        }
        let height = node.status().current_best_block.height;
        let known_from = self.started_at.saturating_add(BLOCKS_TO_KNOW);
        if height < known_from {
            let message = format!(
                "whether it was sent is known at height {known_from}, the wallet is at {height}; give it up then"
            );
            return Err(error(Kind::Refused, message));
        }
        Ok(())
    }
}

/// Whether the transaction pays what the intent wished to withdraw.
fn pays(transaction: &Transaction, intent: &Intent, network: bitcoin::Network) -> bool {
    let Ok(address) = crate::check::address(network, &intent.target) else {
        return false;
    };
    let script = address.script_pubkey();
    transaction.output.iter().any(|output| {
        let value = Msat::from_sat(output.value.to_sat());
        // An amount of zero stands for all there was.
        let is_amount = intent.amount == Some(Msat::ZERO) || value == intent.amount;
        output.script_pubkey == script && is_amount
    })
}
