//! `Failure`: why a conversation with a peer came to nothing.

use std::io::ErrorKind as IoKind;

use btc_iface::Network;

/// The networks a peer may be on.
pub(super) const NETWORKS: [Network; 5] = [
    Network::Bitcoin,
    Network::Testnet,
    Network::Testnet4,
    Network::Signet,
    Network::Regtest,
];

/// Why a conversation came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No name, no route, no listener.
    #[error("cannot be reached: {0}")]
    Unreachable(std::io::Error),
    /// The connection ended before the answer.
    #[error("closed the connection")]
    Closed,
    /// Nothing came in time.
    #[error("does not answer")]
    Silent,
    /// The peer follows another chain.
    #[error("is on {0}")]
    OtherNetwork(&'static str),
    /// What came is not the protocol.
    #[error("does not speak the protocol: {0}")]
    Nonsense(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            IoKind::WouldBlock | IoKind::TimedOut => Self::Silent,
            _ => Self::Closed,
        }
    }
}

/// The name of a network, as the node's option `-chain` has it.
pub(super) const fn name(network: Network) -> &'static str {
    match network {
        Network::Bitcoin => "mainnet",
        Network::Testnet => "testnet3",
        Network::Testnet4 => "testnet4",
        Network::Signet => "signet",
        Network::Regtest => "regtest",
    }
}
