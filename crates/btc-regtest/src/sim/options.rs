//! `SimBuilder`: how a simulated node is to behave, and the start of it.

use super::{SimError, SimNode};

/// What the mempool takes.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) min_relay_sat_per_kvb: u64,
    pub(super) incremental_sat_per_kvb: u64,
    pub(super) cluster_count: usize,
    pub(super) cluster_vb: u64,
}

/// Options of a [`SimNode`]. The defaults are those of Bitcoin Core 31 with the transaction index,
/// REST and block filters on.
///
/// | option | default |
/// |---|---|
/// | `min_relay` | 100 sat/kvB |
/// | `incremental_relay` | 100 sat/kvB |
/// | `cluster_limits` | 64 transactions, 101,000 vB |
/// | `base_blocks` | 110 blocks that pay an output anyone can spend |
/// | `rest`, `filters`, `transaction_index` | on |
/// | `start_secs` | 1,700,000,000 (November 2023) |
#[derive(Debug, Clone)]
#[must_use]
pub struct SimBuilder {
    pub(super) limits: Limits,
    pub(super) base_blocks: u32,
    pub(super) rest: bool,
    pub(super) filters: bool,
    pub(super) transaction_index: bool,
    pub(super) start_secs: u64,
}

impl Default for SimBuilder {
    fn default() -> Self {
        Self {
            limits: Limits {
                min_relay_sat_per_kvb: 100,
                incremental_sat_per_kvb: 100,
                cluster_count: 64,
                cluster_vb: 101_000,
            },
            base_blocks: 110,
            rest: true,
            filters: true,
            transaction_index: true,
            start_secs: 1_700_000_000,
        }
    }
}

impl SimBuilder {
    /// The least fee rate that is relayed, in sat/kvB (`-minrelaytxfee`).
    pub fn min_relay(mut self, sat_per_kvb: u64) -> Self {
        self.limits.min_relay_sat_per_kvb = sat_per_kvb;
        self
    }

    /// What a replacement pays above what it replaces, in sat/kvB (`-incrementalrelayfee`).
    pub fn incremental_relay(mut self, sat_per_kvb: u64) -> Self {
        self.limits.incremental_sat_per_kvb = sat_per_kvb;
        self
    }

    /// How many connected transactions wait at most, and how large they are together in vB
    /// (`-limitclustercount`, `-limitclustersize`).
    pub fn cluster_limits(mut self, count: usize, size_vb: u64) -> Self {
        self.limits.cluster_count = count;
        self.limits.cluster_vb = size_vb;
        self
    }

    /// How many blocks there are at the start. The reward of each can be spent by anyone, once it
    /// is mature.
    pub fn base_blocks(mut self, blocks: u32) -> Self {
        self.base_blocks = blocks;
        self
    }

    /// Whether REST is served (`-rest`).
    pub fn rest(mut self, on: bool) -> Self {
        self.rest = on;
        self
    }

    /// Whether there are compact filters (`-blockfilterindex`, BIP158).
    pub fn filters(mut self, on: bool) -> Self {
        self.filters = on;
        self
    }

    /// Whether confirmed transactions are found by their txid (`-txindex`).
    pub fn transaction_index(mut self, on: bool) -> Self {
        self.transaction_index = on;
        self
    }

    /// The time that the node's clock shows at the start, in seconds of Unix time.
    pub fn start_secs(mut self, secs: u64) -> Self {
        self.start_secs = secs;
        self
    }

    /// Starts the node.
    ///
    /// # Errors
    ///
    /// [`SimError::Io`] without a port or a folder for the cookie.
    pub fn start(self) -> Result<SimNode, SimError> {
        SimNode::start(self)
    }
}
