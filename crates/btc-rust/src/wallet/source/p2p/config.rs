//! `P2pConfig`: which peers to use, and how many of them must agree.

use std::time::Duration;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Network, Operation};

use super::seeds::Seeds;

/// How many peers that the user did not name must agree.
const STRANGERS: u8 = 2;

/// How to reach the network.
#[derive(Debug, Clone)]
pub struct P2pConfig {
    /// The network.
    pub network: Network,
    /// `host:port` of the nodes to use, and of no others. Empty: nodes are found by the seeds.
    pub peers: Vec<String>,
    /// Where nodes come from when none is named.
    pub seeds: Seeds,
    /// How many peers must serve and agree, 1 to 15; of peers found by seeds at least two must,
    /// since one alone could hide a payment. Of several named peers all that answer are compared,
    /// however few are required.
    pub required_peers: u8,
    /// How long a peer may be silent. A scan takes as long as blocks keep coming.
    pub timeout: Duration,
}

impl P2pConfig {
    /// Peers found by DNS, a timeout of 30 s, one required peer.
    pub fn new(network: Network) -> Self {
        Self {
            network,
            peers: Vec::new(),
            seeds: Seeds::dns(),
            required_peers: 1,
            timeout: Duration::from_secs(30),
        }
    }

    /// With enough peers required.
    ///
    /// # Errors
    /// As [`P2pSource::start`](super::P2pSource::start).
    pub(super) fn checked(self) -> BitcoinResult<Self> {
        let wrong = |message: &str| {
            let kind = ErrorKind::Configuration;
            Err(BitcoinError::new(kind, Operation::Connect, message))
        };
        if !(1..=15).contains(&self.required_peers) {
            return wrong("1 to 15 peers can be required");
        }
        if self.peers.is_empty() && !self.seeds.know(self.network) {
            return wrong("regtest has no DNS seeds; name a peer, like 127.0.0.1:18444");
        }
        if self.peers.is_empty() {
            return Ok(Self {
                required_peers: self.required_peers.max(STRANGERS),
                ..self
            });
        }
        if self.peers.len() < usize::from(self.required_peers) {
            return wrong("fewer peers are named than required; name more or require fewer");
        }
        Ok(self)
    }
}
