//! `LightningInterface`: the operations of a Lightning node.

use std::time::Duration;

use async_trait::async_trait;
use bitcoin::Txid;

use super::{
    Channel, ChannelFees, ChannelHandle, CloseMode, Decoded, Invoice, InvoiceRequest, Keysend,
    LightningBalances, LightningEvent, LightningInfo, LightningResult, Msat, NodeId, Offer,
    OfferRequest, OpenChannel, PayInvoice, PayOffer, Payment, PaymentHash, Peer, Preimage,
    RefundRequest, StaticBackup, WithdrawRequest,
};

/// A Lightning node.
///
/// Payments are started by `pay_…`, `keysend` and `withdraw`, which answer once the intent is on
/// disk and handed over; how they end is said by [`payment`](Self::payment),
/// [`wait_payment`](Self::wait_payment) and the events. Each has a key: the same key pays once,
/// over concurrent calls, repetitions and restarts, and a payment that failed can be tried again.
///
/// # Errors
///
/// Each operation fails with the kinds of [`LightningErrorKind`](super::LightningErrorKind), and with
/// `Stopped` once the node has stopped.
///
/// Dropping a future does not stop the operation: a payment that was handed over goes on.
#[async_trait]
pub trait LightningInterface: Send + Sync {
    /// The node's name, height and health.
    async fn info(&self) -> LightningResult<LightningInfo>;

    /// A new address of the node's own on-chain wallet, to fund channels from.
    async fn new_address(&self) -> LightningResult<String>;

    /// All the money of the node.
    async fn balances(&self) -> LightningResult<LightningBalances>;

    /// Pays from the on-chain wallet; the reserve of open channels stays. The payment is pending
    /// until the chain's node has the transaction.
    async fn withdraw(&self, request: WithdrawRequest) -> LightningResult<Txid>;

    /// Connects to a peer at `host:port` and remembers it.
    async fn connect(&self, peer: NodeId, address: String) -> LightningResult<()>;

    /// Disconnects a peer and forgets it.
    async fn disconnect(&self, peer: NodeId) -> LightningResult<()>;

    /// The peers, connected and remembered.
    async fn peers(&self) -> LightningResult<Vec<Peer>>;

    /// Opens a channel. It can be used after its funding confirmed, which an event says.
    async fn open_channel(&self, request: OpenChannel) -> LightningResult<ChannelHandle>;

    /// The open channels.
    async fn channels(&self) -> LightningResult<Vec<Channel>>;

    /// Sets what this node charges for forwarding over a channel.
    async fn set_channel_fees(
        &self,
        channel: ChannelHandle,
        fees: ChannelFees,
    ) -> LightningResult<()>;

    /// Closes a channel. `NotFound` for one that is not open.
    async fn close_channel(&self, channel: ChannelHandle, mode: CloseMode) -> LightningResult<()>;

    /// Moves money from the on-chain wallet into a channel. Experimental.
    async fn splice_in(&self, channel: ChannelHandle, amount_sat: u64) -> LightningResult<()>;

    /// Moves money out of a channel to an address. Experimental.
    async fn splice_out(
        &self,
        channel: ChannelHandle,
        address: String,
        amount_sat: u64,
    ) -> LightningResult<()>;

    /// Makes an invoice (BOLT 11).
    async fn create_invoice(&self, request: InvoiceRequest) -> LightningResult<Invoice>;

    /// Makes an offer (BOLT 12), which can be paid many times.
    async fn create_offer(&self, request: OfferRequest) -> LightningResult<Offer>;

    /// Makes a refund (BOLT 12), by which another node takes money from this one once.
    async fn create_refund(&self, request: RefundRequest) -> LightningResult<Offer>;

    /// Takes the money of another node's refund; answers the hash of the payment to expect.
    async fn request_refund(&self, refund: String) -> LightningResult<PaymentHash>;

    /// Reads an invoice, an offer, a refund, or a BIP 21 URI with one of them. Moves no money.
    async fn decode(&self, text: String) -> LightningResult<Decoded>;

    /// Pays an invoice, after its network, expiry, receiver, amount, features and signature.
    async fn pay_invoice(&self, request: PayInvoice) -> LightningResult<Payment>;

    /// Pays an offer.
    async fn pay_offer(&self, request: PayOffer) -> LightningResult<Payment>;

    /// Pays without an invoice.
    async fn keysend(&self, request: Keysend) -> LightningResult<Payment>;

    /// Claims a held payment of at least `amount_msat`. `NotFound` where nothing is held or its
    /// deadline is over; `WrongAmount` where less is held.
    async fn claim_held(&self, preimage: Preimage, amount_msat: Msat) -> LightningResult<()>;

    /// Gives a held payment back to its sender.
    async fn fail_held(&self, hash: PaymentHash) -> LightningResult<()>;

    /// All payments, in and out, newest last.
    async fn payments(&self) -> LightningResult<Vec<Payment>>;

    /// One payment, by the caller's key, its id or its hash.
    async fn payment(&self, name: String) -> LightningResult<Payment>;

    /// As [`payment`](Self::payment), once it is neither pending nor unknown. `Timeout` after
    /// `timeout`, or an hour: the payment goes on.
    async fn wait_payment(&self, name: String, timeout: Duration) -> LightningResult<Payment>;

    /// Gives up a payment whose state is unknown, by the owner's word. Money of it that is under way
    /// is not stopped by this.
    async fn abandon(&self, key: String) -> LightningResult<Payment>;

    /// Sends test payments along the ways to an invoice's receiver, which fail there; what they
    /// learn serves the next payment.
    async fn probe(&self, invoice: String, amount_msat: Option<Msat>) -> LightningResult<()>;

    /// Signs a message with the node's key.
    async fn sign_message(&self, message: String) -> LightningResult<String>;

    /// Whether a node signed a message.
    async fn verify_message(
        &self,
        message: String,
        signature: String,
        node_id: NodeId,
    ) -> LightningResult<bool>;

    /// The events after a number, at most `limit` of them.
    async fn events(&self, after: u64, limit: u32) -> LightningResult<Vec<LightningEvent>>;

    /// As [`events`](Self::events), and waits for one at most `timeout`, or an hour; an empty list then.
    async fn wait_events(
        &self,
        after: u64,
        limit: u32,
        timeout: Duration,
    ) -> LightningResult<Vec<LightningEvent>>;

    /// What may be copied of a node while it lives, with a warning.
    async fn backup(&self) -> LightningResult<StaticBackup>;

    /// Stops the node: peers are disconnected, everything is on disk.
    async fn stop(&self) -> LightningResult<()>;
}
