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
    /// Its own tip has no filter yet.
    #[error("has not built its filter of block {0}")]
    NoFilter(u32),
    /// Its chain is not the one with the most work, and does not become it.
    #[error("stays behind the chain with the most work")]
    Behind,
    /// It speaks the protocol and does not serve.
    #[error("has the services {0:016x}")]
    WithoutFilters(u64),
    /// The peer serves, but not this.
    #[error("does not hand out {0}")]
    Refused(&'static str),
    /// What came is the protocol, and false.
    #[error("lies: {0}")]
    Lie(String),
}

impl Failure {
    /// Whether the peer cannot be honest.
    pub(super) const fn is_lie(&self) -> bool {
        matches!(self, Self::Lie(_))
    }

    /// Whether to ask the peer again takes its time.
    pub(super) fn is_slow(&self) -> bool {
        match self {
            Self::Unreachable(cause) => cause.kind() == IoKind::TimedOut,
            Self::Silent | Self::NoFilter(_) | Self::Behind | Self::Refused(_) => true,
            _ => false,
        }
    }
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
