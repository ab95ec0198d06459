//! The errors that failures of peers are to the caller.

use std::sync::Arc;

use btc_iface::{BitcoinError, ErrorKind, Network, Operation};

use super::failure::{Failure, name};

/// The error for a peer that a conversation failed with.
pub(super) fn failed(address: &str, failure: Failure) -> BitcoinError {
    let message = format!("the peer {failure}; check its address and the network");
    BitcoinError::new(kind(&failure), Operation::Connect, message)
        .with_context("peer", address)
        .with_source(failure)
}

/// What a failure is to the caller.
pub(super) const fn kind(failure: &Failure) -> ErrorKind {
    match failure {
        Failure::Unreachable(_) | Failure::Closed | Failure::Behind | Failure::Refused(_) => {
            ErrorKind::Unavailable
        }
        Failure::Silent | Failure::NoFilter(_) => ErrorKind::Timeout,
        Failure::OtherNetwork(_) | Failure::WithoutFilters(_) => ErrorKind::Configuration,
        Failure::Nonsense(_) | Failure::Lie(_) => ErrorKind::InvalidResponse,
    }
}

/// The error for fewer peers than needed, with what is wrong with each.
pub(super) fn shortage(
    network: Network,
    serving: usize,
    need: usize,
    failures: &[(String, Arc<Failure>)],
) -> BitcoinError {
    let is = |test: fn(&Failure) -> bool| failures.iter().any(|(_, failure)| test(failure));
    let network = name(network);
    let (kind, what) = if is(|it| matches!(it, Failure::OtherNetwork(_))) {
        let text = format!("a peer is on another network than the wallet, {network}");
        (ErrorKind::Configuration, text)
    } else if is(|it| matches!(it, Failure::WithoutFilters(_))) {
        let text = "a peer serves no compact filters; start the node with -blockfilterindex=1 \
                    -peerblockfilters=1 and without -prune, or name another one";
        (ErrorKind::Configuration, text.to_owned())
    } else if is(Failure::is_lie) {
        let text = "a peer lies about the chain; name others".to_owned();
        (ErrorKind::InvalidResponse, text)
    } else if is(|it| matches!(it, Failure::Nonsense(_))) {
        let text = "a peer does not speak Bitcoin's protocol; give the node's peer-to-peer port, \
                    not that of its RPC";
        (ErrorKind::InvalidResponse, text.to_owned())
    } else if is(|it| matches!(it, Failure::NoFilter(_))) {
        let text = "a peer has not built its compact filters up to the tip; wait until \
                    getindexinfo says that they are synced";
        (ErrorKind::Timeout, text.to_owned())
    } else if is(|it| matches!(it, Failure::Silent)) {
        let text = "a peer takes the connection and does not answer; give the node's \
                    peer-to-peer port, not that of its RPC, or allow more time";
        (ErrorKind::Timeout, text.to_owned())
    } else if failures.is_empty() {
        let text = "no peer with compact filters was found; check the connection, or name a peer";
        (ErrorKind::Unavailable, text.to_owned())
    } else {
        let text = "a peer cannot be reached; start the node with -listen=1 -blockfilterindex=1 \
                    -peerblockfilters=1, or name another one";
        (ErrorKind::Unavailable, text.to_owned())
    };
    let message = format!("{serving} of {need} required peers serve: {what}");
    let error = BitcoinError::new(kind, Operation::Sync, message);
    failures.iter().fold(error, |error, (address, failure)| {
        error.with_context(address.clone(), failure)
    })
}
