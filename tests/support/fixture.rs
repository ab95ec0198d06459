//! `Fixture`: one node with a chain, shared by everything that only reads.

use std::fmt::Display;
use std::sync::OnceLock;

use bitcoin::consensus::encode;
use bitcoin::{Block, BlockHash, Transaction, Txid};
use btc::NodeConfig;
use btc_regtest::{Chain, Node, NodeError, Plan, Summary};
use serde_json::{Value, json};

use crate::backend::Backends;
use crate::check::eventually;
use crate::node::{builder, node_config};
use crate::suite::Outcome;

/// A node with a chain that does not change.
pub struct Fixture {
    /// The connections to it; gone before the node is.
    pub backends: Backends,
    /// What is on its chain.
    pub summary: Summary,
    /// The node.
    pub node: Node,
}

impl Fixture {
    /// Starts a node and builds a chain on it.
    ///
    /// # Errors
    /// Those of the node.
    pub fn start(plan: &Plan) -> Result<Self, NodeError> {
        let node = builder().start()?;
        let summary = Chain::new(&node, 1)?.build(plan, &mut |_| {})?;
        eventually("the transaction index is complete", || {
            node.call::<Value>("getindexinfo", &[])
                .is_ok_and(|info| info["txindex"]["synced"] == true)
        });
        Ok(Self {
            backends: Backends::new(node_config(&node)),
            summary,
            node,
        })
    }

    /// How to reach the node.
    pub fn config(&self) -> NodeConfig {
        node_config(&self.node)
    }

    /// The transaction as rust-bitcoin reads the node's raw bytes.
    ///
    /// # Errors
    /// Those of the node.
    pub fn raw_transaction(&self, txid: &Txid) -> Result<Transaction, NodeError> {
        let hex: String = self
            .node
            .call("getrawtransaction", &[json!(txid), json!(0)])?;
        Ok(encode::deserialize_hex(&hex).expect("Core sends whole transactions"))
    }

    /// The block as rust-bitcoin reads the node's raw bytes.
    ///
    /// # Errors
    /// Those of the node.
    pub fn raw_block(&self, hash: &BlockHash) -> Result<Block, NodeError> {
        let hex: String = self.node.call("getblock", &[json!(hash), json!(0)])?;
        Ok(encode::deserialize_hex(&hex).expect("Core sends whole blocks"))
    }

    /// Every block of the chain from genesis on.
    ///
    /// # Errors
    /// Those of the node.
    pub fn block_hashes(&self) -> Result<Vec<BlockHash>, NodeError> {
        let height: u32 = self.node.call("getblockcount", &[])?;
        (0..=height)
            .map(|height| self.node.call("getblockhash", &[json!(height)]))
            .collect()
    }
}

/// Something that is made when it is first needed; a failure to make it fails all who need it.
pub struct Shared<T>(OnceLock<Result<T, String>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Shared<T> {
    /// Runs with it.
    ///
    /// # Errors
    /// That it could not be made, or what `run` returns.
    pub fn with<E: Display>(
        &self,
        make: impl FnOnce() -> Result<T, E>,
        run: impl FnOnce(&T) -> Outcome,
    ) -> Outcome {
        let shared = self
            .0
            .get_or_init(|| make().map_err(|error| error.to_string()));
        run(shared.as_ref().map_err(Clone::clone)?)
    }
}
