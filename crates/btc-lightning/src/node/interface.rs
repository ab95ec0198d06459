//! The operations of `LightningInterface`, each on a thread for blocking work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bitcoin::Txid;
use btc_iface::lightning::{
    Channel, ChannelFees, ChannelHandle, CloseMode, Decoded, Invoice, InvoiceRequest, Keysend,
    LightningBalances, LightningErrorKind as Kind, LightningEvent, LightningInfo,
    LightningInterface, LightningResult, Msat, NodeId, Offer, OfferRequest, OpenChannel,
    PayInvoice, PayOffer, Payment, PaymentHash, PaymentStatus, Peer, Preimage, RefundRequest,
    StaticBackup, WithdrawRequest,
};

use super::{LightningNode, Shared};
use crate::check::{self, Read};
use crate::error::{error, ldk};
use crate::journal;

/// The longest that one call waits.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// What a backup says of itself.
const BACKUP_WARNING: &str = "Names and addresses, to ask peers for a close after a loss; the money needs the seed as well. Never copy \
     node.sqlite of a running node and never start an older copy of it: an old channel state that is \
     published lets the peer take the whole channel.";

#[async_trait]
impl LightningInterface for LightningNode {
    async fn info(&self) -> LightningResult<LightningInfo> {
        self.run(Shared::info).await
    }

    async fn new_address(&self) -> LightningResult<String> {
        self.run(|shared| {
            let address = shared.node()?.onchain_payment().new_address();
            address
                .map(|address| address.to_string())
                .map_err(|cause| ldk("no address", cause))
        })
        .await
    }

    async fn balances(&self) -> LightningResult<LightningBalances> {
        self.run(Shared::balances).await
    }

    async fn withdraw(&self, request: WithdrawRequest) -> LightningResult<Txid> {
        self.run_payment(move |shared| shared.withdraw(request))
            .await
    }

    async fn connect(&self, peer: NodeId, address: String) -> LightningResult<()> {
        self.run(move |shared| shared.connect(peer, address)).await
    }

    async fn disconnect(&self, peer: NodeId) -> LightningResult<()> {
        self.run(move |shared| shared.disconnect(peer)).await
    }

    async fn peers(&self) -> LightningResult<Vec<Peer>> {
        self.run(Shared::peers).await
    }

    async fn open_channel(&self, request: OpenChannel) -> LightningResult<ChannelHandle> {
        self.run(move |shared| shared.open_channel(&request)).await
    }

    async fn channels(&self) -> LightningResult<Vec<Channel>> {
        self.run(Shared::channels).await
    }

    async fn set_channel_fees(
        &self,
        channel: ChannelHandle,
        fees: ChannelFees,
    ) -> LightningResult<()> {
        self.run(move |shared| shared.set_channel_fees(channel, fees))
            .await
    }

    async fn close_channel(&self, channel: ChannelHandle, mode: CloseMode) -> LightningResult<()> {
        self.run(move |shared| shared.close_channel(channel, mode))
            .await
    }

    async fn splice_in(&self, channel: ChannelHandle, amount_sat: u64) -> LightningResult<()> {
        self.run(move |shared| shared.splice_in(channel, amount_sat))
            .await
    }

    async fn splice_out(
        &self,
        channel: ChannelHandle,
        address: String,
        amount_sat: u64,
    ) -> LightningResult<()> {
        self.run(move |shared| shared.splice_out(channel, &address, amount_sat))
            .await
    }

    async fn create_invoice(&self, request: InvoiceRequest) -> LightningResult<Invoice> {
        self.run(move |shared| shared.create_invoice(request)).await
    }

    async fn create_offer(&self, request: OfferRequest) -> LightningResult<Offer> {
        self.run(move |shared| shared.create_offer(&request)).await
    }

    async fn create_refund(&self, request: RefundRequest) -> LightningResult<Offer> {
        self.run(move |shared| shared.create_refund(&request)).await
    }

    async fn request_refund(&self, refund: String) -> LightningResult<PaymentHash> {
        self.run(move |shared| shared.request_refund(&refund)).await
    }

    async fn decode(&self, text: String) -> LightningResult<Decoded> {
        check::read(&text).map(|read| check::describe(&read))
    }

    async fn pay_invoice(&self, request: PayInvoice) -> LightningResult<Payment> {
        self.run_payment(move |shared| shared.pay_invoice(request))
            .await
    }

    async fn pay_offer(&self, request: PayOffer) -> LightningResult<Payment> {
        self.run_payment(move |shared| shared.pay_offer(request))
            .await
    }

    async fn keysend(&self, request: Keysend) -> LightningResult<Payment> {
        self.run_payment(move |shared| shared.keysend(request))
            .await
    }

    async fn claim_held(&self, preimage: Preimage, amount_msat: Msat) -> LightningResult<()> {
        self.run(move |shared| shared.claim_held(&preimage, amount_msat))
            .await
    }

    async fn fail_held(&self, hash: PaymentHash) -> LightningResult<()> {
        self.run(move |shared| shared.fail_held(hash)).await
    }

    async fn payments(&self) -> LightningResult<Vec<Payment>> {
        self.run(Shared::payments).await
    }

    async fn payment(&self, name: String) -> LightningResult<Payment> {
        self.run(move |shared| shared.payment(&name)).await
    }

    async fn wait_payment(&self, name: String, timeout: Duration) -> LightningResult<Payment> {
        let look = move |shared: &Shared| {
            let payment = shared.payment(&name)?;
            let is_open = matches!(
                payment.status,
                PaymentStatus::Pending | PaymentStatus::Unknown
            );
            Ok((!is_open).then_some(payment))
        };
        // Not everything that changes a payment's state is an event.
        let ended = self.wait(timeout, Duration::from_secs(1), look).await?;
        ended.ok_or_else(|| {
            let message =
                "the payment has not ended within the time allowed; it goes on, ask again";
            error(Kind::Timeout, message)
        })
    }

    async fn abandon(&self, key: String) -> LightningResult<Payment> {
        self.run(move |shared| shared.abandon(&key)).await
    }

    async fn probe(&self, invoice: String, amount_msat: Option<Msat>) -> LightningResult<()> {
        self.run(move |shared| {
            let node = shared.node()?;
            let Read::Invoice(invoice) = check::read(&invoice)? else {
                return Err(error(Kind::Malformed, "not an invoice (BOLT 11)"));
            };
            let amount = check::invoice(shared.payer(&node), &invoice, amount_msat)?;
            let payment = node.bolt11_payment();
            payment
                .send_probes_using_amount(&invoice, amount.get(), None)
                .map_err(|cause| ldk("no test payment was sent", cause))
        })
        .await
    }

    async fn sign_message(&self, message: String) -> LightningResult<String> {
        self.run(move |shared| Ok(shared.node()?.sign_message(message.as_bytes())))
            .await
    }

    async fn verify_message(
        &self,
        message: String,
        signature: String,
        node_id: NodeId,
    ) -> LightningResult<bool> {
        self.run(move |shared| {
            let node = shared.node()?;
            Ok(node.verify_signature(message.as_bytes(), &signature, &node_id.key()))
        })
        .await
    }

    async fn events(&self, after: u64, limit: u32) -> LightningResult<Vec<LightningEvent>> {
        self.run(move |shared| journal::after(&shared.store, after, limit))
            .await
    }

    async fn wait_events(
        &self,
        after: u64,
        limit: u32,
        timeout: Duration,
    ) -> LightningResult<Vec<LightningEvent>> {
        let look = move |shared: &Shared| {
            let events = journal::after(&shared.store, after, limit)?;
            Ok((!events.is_empty()).then_some(events))
        };
        let found = self.wait(timeout, LONGEST_WAIT, look).await?;
        Ok(found.unwrap_or_default())
    }

    async fn backup(&self) -> LightningResult<StaticBackup> {
        self.run(|shared| {
            Ok(StaticBackup {
                warning: BACKUP_WARNING.to_owned(),
                node_id: NodeId::from_key(shared.node()?.node_id()),
                network: shared.config.network(),
                peers: shared.peers()?,
                channels: shared.channels()?,
            })
        })
        .await
    }

    async fn stop(&self) -> LightningResult<()> {
        self.run(|shared| {
            shared.watch.stop();
            shared.end();
            Ok(())
        })
        .await
    }
}

impl Shared {
    fn info(&self) -> LightningResult<LightningInfo> {
        let node = self.node()?;
        let status = node.status();
        Ok(LightningInfo {
            node_id: NodeId::from_key(node.node_id()),
            alias: self.config.alias.clone(),
            network: self.config.network(),
            listens_on: self.config.listen.clone(),
            height: status.current_best_block.height,
            block_hash: status.current_best_block.block_hash,
            synced_at: status.latest_lightning_wallet_sync_timestamp,
            health: self.watch.health(),
            connected_peers: node
                .list_peers()
                .iter()
                .filter(|peer| peer.is_connected)
                .count(),
            channels: node.list_channels().len(),
            last_event: journal::last(&self.store)?,
        })
    }
}

impl LightningNode {
    /// Looks after each event that is recorded, and after each pause, until there is an answer; none
    /// after the time allowed. Only the looks take a thread for blocking work.
    async fn wait<T: Send + 'static>(
        &self,
        timeout: Duration,
        pause: Duration,
        look: impl Fn(&Shared) -> LightningResult<Option<T>> + Send + Sync + 'static,
    ) -> LightningResult<Option<T>> {
        let look = Arc::new(look);
        let end = Instant::now() + timeout.min(LONGEST_WAIT);
        let mut recorded = self.shared.recorded.subscribe();
        loop {
            recorded.borrow_and_update();
            let this_look = Arc::clone(&look);
            if let Some(found) = self.run(move |shared| this_look(shared)).await? {
                return Ok(Some(found));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let shared = Arc::clone(&self.shared);
            let (pause, mut news) = (left.min(pause), recorded.clone());
            let runtime = self.runtime.as_ref().expect("there until the end");
            // On the node's own runtime, whichever the caller has, and no longer than the caller waits.
            let mut turn = Turn(runtime.spawn(async move {
                tokio::select! {
                    _ = news.changed() => {}
                    () = shared.watch.over() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }));
            let _ = (&mut turn.0).await;
            self.shared.watch.check()?;
        }
    }
}

/// A task that ends with its owner.
struct Turn(tokio::task::JoinHandle<()>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.abort();
    }
}
