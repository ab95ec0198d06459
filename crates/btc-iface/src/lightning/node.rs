//! The node itself: its name, its health, its peers, and what a backup of it may hold.

use bitcoin::Network;
use serde::{Deserialize, Serialize};

use super::{Channel, NodeId};
use crate::types::network::as_name;

/// Whether the node can be trusted with payments now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "health")]
#[non_exhaustive]
pub enum Health {
    /// It follows the chain.
    Well,
    /// The chain has not been followed for that long: payments may go on, but a cheating peer is not
    /// seen.
    ChainStale {
        /// Seconds since the last successful look at the chain.
        seconds: u64,
        /// Why, where it is known.
        cause: String,
    },
    /// It has stopped, because going on was not safe.
    Failed {
        /// Why.
        cause: String,
    },
}

/// A node's name and state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LightningInfo {
    /// Its public key.
    pub node_id: NodeId,
    /// The name it announces.
    pub alias: Option<String>,
    /// Its network.
    #[serde(with = "as_name")]
    pub network: Network,
    /// Where it accepts connections, as `host:port`.
    pub listens_on: Vec<String>,
    /// The height of the chain that it has followed.
    pub height: u32,
    /// The hash of that block.
    pub block_hash: bitcoin::BlockHash,
    /// When the chain was last followed with success, in seconds since 1970.
    pub synced_at: Option<u64>,
    /// Whether it can be trusted with payments.
    #[serde(flatten)]
    pub health: Health,
    /// Peers that are connected.
    pub connected_peers: usize,
    /// Open channels.
    pub channels: usize,
    /// The number of the last event.
    pub last_event: u64,
}

/// A peer, connected or remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its public key.
    pub node_id: NodeId,
    /// Where it was reached, as `host:port`.
    pub address: String,
    /// It is connected now.
    pub is_connected: bool,
    /// It is reconnected after an interruption.
    pub is_remembered: bool,
}

/// What may be copied of a node while it lives: names and addresses, no keys and no channel states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticBackup {
    /// What this is for, and what must never be done.
    pub warning: String,
    /// The node.
    pub node_id: NodeId,
    /// Its network.
    #[serde(with = "as_name")]
    pub network: Network,
    /// The peers to ask for a close after a loss.
    pub peers: Vec<Peer>,
    /// The channels with their funding outputs.
    pub channels: Vec<Channel>,
}
