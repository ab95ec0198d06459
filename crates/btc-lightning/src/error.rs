//! From the errors of ldk-node and of the store to `LightningError`.

use btc_iface::lightning::{LightningError, LightningErrorKind};
use ldk_node::{BuildError, NodeError};

use LightningErrorKind as Kind;

pub(crate) fn error(kind: Kind, message: impl Into<String>) -> LightningError {
    LightningError::new(kind, message)
}

/// A failed read or write of the node's directory.
pub(crate) fn storage(cause: impl std::fmt::Display) -> LightningError {
    let message = format!("the node's directory cannot be read or written: {cause}");
    error(Kind::Storage, message)
}

/// An error of ldk-node, with what was tried.
pub(crate) fn ldk(what: &str, cause: NodeError) -> LightningError {
    let kind = match cause {
        NodeError::NotRunning | NodeError::AlreadyRunning => Kind::Stopped,
        NodeError::ConnectionFailed => Kind::PeerUnreachable,
        NodeError::InvalidAddress
        | NodeError::InvalidSocketAddress
        | NodeError::InvalidPublicKey
        | NodeError::InvalidInvoice
        | NodeError::InvalidOffer
        | NodeError::InvalidRefund
        | NodeError::InvalidUri
        | NodeError::InvalidNodeId
        | NodeError::InvalidPaymentHash
        | NodeError::InvalidPaymentPreimage => Kind::Malformed,
        NodeError::InvalidNetwork => Kind::WrongNetwork,
        NodeError::InvalidAmount | NodeError::UnsupportedCurrency => Kind::WrongAmount,
        NodeError::PersistenceFailed => Kind::Storage,
        NodeError::FeerateEstimationUpdateFailed
        | NodeError::FeerateEstimationUpdateTimeout
        | NodeError::TxSyncFailed
        | NodeError::TxSyncTimeout => Kind::ChainUnavailable,
        NodeError::WalletOperationTimeout => Kind::Timeout,
        _ => Kind::Refused,
    };
    let text = cause.to_string();
    let text = match cause {
        NodeError::PaymentSendingFailed => {
            "no way to the receiver with enough money on it was found, at the fee that is allowed"
                .to_owned()
        }
        _ => lowercase(text.trim_end_matches('.')),
    };
    error(kind, format!("{what}: {text}"))
}

/// A node that could not be built from its directory.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn build(cause: BuildError) -> LightningError {
    let kind = match cause {
        BuildError::ReadFailed
        | BuildError::WriteFailed
        | BuildError::StoragePathAccessFailed
        | BuildError::KVStoreSetupFailed
        | BuildError::InvalidChannelMonitor => Kind::Storage,
        BuildError::NetworkMismatch => Kind::WrongNetwork,
        _ => Kind::Configuration,
    };
    let text = cause.to_string();
    let text = text.trim_end_matches('.');
    error(
        kind,
        format!("the node cannot be built: {}", lowercase(text)),
    )
}

fn lowercase(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}
