//! The one place where failures of Bitcoin Core and of the way to it become `BitcoinError`.

use bitcoincore_rpc::Error as RpcError;
use btc_iface::{BitcoinError, ErrorKind, Operation};
use jsonrpc::Error as JsonRpcError;
use jsonrpc::error::RpcError as CoreError;

use crate::http::TransportError;

/// Bitcoin Core's error codes, from its `src/rpc/protocol.h`.
pub(crate) mod code {
    pub(crate) const MISC_ERROR: i32 = -1;
    pub(crate) const INVALID_ADDRESS_OR_KEY: i32 = -5;
    pub(crate) const INVALID_PARAMETER: i32 = -8;
    pub(crate) const DESERIALIZATION_ERROR: i32 = -22;
    pub(crate) const VERIFY_ERROR: i32 = -25;
    pub(crate) const VERIFY_REJECTED: i32 = -26;
    pub(crate) const VERIFY_ALREADY_IN_CHAIN: i32 = -27;
    pub(crate) const IN_WARMUP: i32 = -28;
    pub(crate) const METHOD_NOT_FOUND: i32 = -32601;
    pub(crate) const INTERNAL_ERROR: i32 = -32603;
}

/// What an RPC call's failure means.
pub(crate) fn from_rpc(operation: Operation, error: RpcError) -> BitcoinError {
    match error {
        RpcError::JsonRpc(JsonRpcError::Rpc(core)) => from_core(operation, &core),
        RpcError::JsonRpc(JsonRpcError::Transport(boxed)) => {
            match boxed.downcast::<TransportError>() {
                Ok(transport) => from_transport(operation, *transport),
                Err(other) => {
                    BitcoinError::new(ErrorKind::Internal, operation, "the transport failed")
                        .with_source(other)
                }
            }
        }
        other => BitcoinError::new(
            ErrorKind::InvalidResponse,
            operation,
            "the node's answer is not what this call should return; check that the url is \
             Bitcoin Core's",
        )
        .with_source(other),
    }
}

/// What an error that Bitcoin Core reports means.
fn from_core(operation: Operation, core: &CoreError) -> BitcoinError {
    let said = core.message.as_str();
    let (kind, message) = match core.code {
        code::INVALID_ADDRESS_OR_KEY => (ErrorKind::NotFound, said.to_owned()),
        code::MISC_ERROR if is_not_stored(said) => (ErrorKind::NotFound, not_stored(said)),
        code::INVALID_PARAMETER | code::DESERIALIZATION_ERROR => {
            (ErrorKind::InvalidInput, said.to_owned())
        }
        code::VERIFY_ERROR | code::VERIFY_REJECTED => (
            ErrorKind::Rejected,
            format!("the node rejects the transaction: {said}"),
        ),
        code::METHOD_NOT_FOUND => (
            ErrorKind::Unsupported,
            format!("the node does not offer this call: {said}"),
        ),
        code::IN_WARMUP => (
            ErrorKind::Unavailable,
            format!("the node is warming up, ask again in a moment: {said}"),
        ),
        _ => (
            ErrorKind::InvalidResponse,
            format!("the node reports an error: {said}"),
        ),
    };
    BitcoinError::new(kind, operation, message).with_context("code", core.code)
}

/// What a failed `estimatesmartfee` means: a node that sees no transactions but those in blocks
/// makes no estimates, and has no mempool to go by instead.
pub(crate) fn from_estimate(error: RpcError) -> BitcoinError {
    let operation = Operation::EstimateFee;
    match error {
        RpcError::JsonRpc(JsonRpcError::Rpc(core))
            if core.code == code::INTERNAL_ERROR && core.message.contains("disabled") =>
        {
            let message = format!(
                "the node makes no fee estimates, as with -blocksonly, and its mempool says \
                 nothing either; name a fee rate, or ask another node: {}",
                core.message
            );
            BitcoinError::new(ErrorKind::Unsupported, operation, message)
                .with_context("code", core.code)
        }
        other => from_rpc(operation, other),
    }
}

/// Whether Core refuses a transaction because it was mined before.
pub(crate) fn is_already_in_chain(error: &RpcError) -> bool {
    matches!(error, RpcError::JsonRpc(JsonRpcError::Rpc(core)) if core.code == code::VERIFY_ALREADY_IN_CHAIN)
}

/// Whether Core says that it knows the block's header and does not store the block: pruned, not
/// yet downloaded, or lost.
pub(crate) fn is_not_stored(said: &str) -> bool {
    ["pruned", "not available", "not found on disk"]
        .iter()
        .any(|words| said.contains(words))
}

/// The message for a block that the node does not store.
pub(crate) fn not_stored(said: &str) -> String {
    format!("the node does not store this block, ask one that keeps all blocks: {said}")
}

/// What a failure on the way to the node means.
pub(crate) fn from_transport(operation: Operation, error: TransportError) -> BitcoinError {
    let (kind, message) = match &error {
        TransportError::Connection(_) => (
            ErrorKind::Unavailable,
            "the node cannot be reached; check that it runs and that BITCOIN_RPC_URL names its \
             RPC port"
                .to_owned(),
        ),
        TransportError::Timeout(limit) => (
            ErrorKind::Timeout,
            format!("the node did not answer within {} s", limit.as_secs_f32()),
        ),
        TransportError::Auth(status) => (
            ErrorKind::Auth,
            format!(
                "the node refuses the credentials (HTTP {status}); check BITCOIN_RPC_USER and \
                 BITCOIN_RPC_PASSWORD, or BITCOIN_RPC_COOKIE_FILE"
            ),
        ),
        TransportError::Cookie { path, .. } => (
            ErrorKind::Auth,
            format!(
                "the cookie file `{path}` cannot be read; check that the node runs and that \
                 BITCOIN_RPC_COOKIE_FILE names its file"
            ),
        ),
        TransportError::Status { status: 503, text } => (
            ErrorKind::Unavailable,
            format!("the node is busy or warming up, ask again in a moment: {text}"),
        ),
        TransportError::Status { status, text } => (
            ErrorKind::InvalidResponse,
            format!(
                "the node answers HTTP {status}: {text}; check that BITCOIN_RPC_URL is Bitcoin \
                 Core's"
            ),
        ),
        TransportError::TooLong { .. } => (
            ErrorKind::InvalidResponse,
            format!("{error}; ask for less, or ask another node"),
        ),
        TransportError::Answer(_) => (
            ErrorKind::InvalidResponse,
            "the answer is not Bitcoin Core's; check BITCOIN_RPC_URL".to_owned(),
        ),
    };
    BitcoinError::new(kind, operation, message).with_source(error)
}
