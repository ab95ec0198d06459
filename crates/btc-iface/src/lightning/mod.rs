//! `LightningInterface`, its domain types and its errors: what a Lightning node offers to an application.
//!
//! Amounts in channels are [`Msat`], thousandths of a satoshi; amounts on the chain are integers
//! whose name ends in `_sat`. Every text that came from elsewhere (an invoice, an offer, an address)
//! is a text here until the node has checked it.

mod amount;
mod balance;
mod channel;
mod error;
mod event;
mod ids;
mod interface;
mod node;
mod payment;
mod request;

pub use self::amount::Msat;
pub use self::balance::{ChannelBalance, LightningBalances, PendingSweep, SweepState};
pub use self::channel::{Channel, ChannelFees, FundingOutput};
pub use self::error::{LightningError, LightningErrorKind, LightningResult};
pub use self::event::{EventDetail, LightningEvent};
pub use self::ids::{ChannelHandle, ChannelId, NodeId, PaymentHash, PaymentId, Preimage, WrongId};
pub use self::interface::LightningInterface;
pub use self::node::{Health, LightningInfo, Peer, StaticBackup};
pub use self::payment::{
    Decoded, DecodedKind, Direction, FailureReason, Invoice, Offer, Payment, PaymentKind,
    PaymentStatus,
};
pub use self::request::{
    ChannelSize, CloseMode, InvoiceRequest, Keysend, OfferRequest, OpenChannel, PayInvoice,
    PayOffer, RefundRequest, WithdrawAmount, WithdrawRequest,
};
