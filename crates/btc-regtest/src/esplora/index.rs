//! `Index`: which transactions pay or spend which scripts, in the chain and in the mempool.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::{Block, BlockHash, OutPoint, Script, Transaction, Txid};
use bitcoincore_rpc::Client;
use serde_json::json;

use crate::{NodeError, rpc};

/// A script as Esplora names it: its SHA-256.
pub(super) type ScriptHash = sha256::Hash;

#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) blocks: Vec<Indexed>,
    outputs: HashMap<OutPoint, ScriptHash>,
    histories: HashMap<ScriptHash, Vec<(usize, Txid)>>,
    pub(super) waiting: HashMap<Txid, Transaction>,
}

/// A block of the active chain.
#[derive(Debug)]
pub(super) struct Indexed {
    pub(super) header: Header,
    pub(super) hash: BlockHash,
    pub(super) txids: Vec<Txid>,
}

impl Index {
    /// Takes over the node's chain and mempool of now.
    pub(super) fn update(&mut self, client: &Client) -> Result<(), NodeError> {
        let tip: usize = rpc::call(client, "getblockcount", &[])?;
        let hash_at = |height: usize| -> Result<BlockHash, NodeError> {
            rpc::call(client, "getblockhash", &[json!(height)])
        };
        while let Some(last) = self.blocks.last() {
            let height = self.blocks.len() - 1;
            if height <= tip && last.hash == hash_at(height)? {
                break;
            }
            self.blocks.pop();
            for history in self.histories.values_mut() {
                history.retain(|(at, _)| *at < height);
            }
        }
        for height in self.blocks.len()..=tip {
            let hash = hash_at(height)?;
            let hex: String = rpc::call(client, "getblock", &[json!(hash), json!(0)])?;
            self.connect(&decoded(&hex)?);
        }
        let listed: Vec<Txid> = rpc::call(client, "getrawmempool", &[])?;
        self.waiting.retain(|txid, _| listed.contains(txid));
        for txid in listed {
            if let Entry::Vacant(place) = self.waiting.entry(txid) {
                let hex: String = rpc::call(client, "getrawtransaction", &[json!(txid)])?;
                place.insert(decoded(&hex)?);
            }
        }
        Ok(())
    }

    fn connect(&mut self, block: &Block) {
        let height = self.blocks.len();
        let mut txids = Vec::with_capacity(block.txdata.len());
        for transaction in &block.txdata {
            let txid = transaction.compute_txid();
            txids.push(txid);
            for (vout, output) in (0..).zip(&transaction.output) {
                let script = script_hash(&output.script_pubkey);
                self.outputs.insert(OutPoint { txid, vout }, script);
            }
            for script in self.scripts_of(transaction) {
                let history = self.histories.entry(script).or_default();
                if history.last() != Some(&(height, txid)) {
                    history.push((height, txid));
                }
            }
        }
        self.blocks.push(Indexed {
            header: block.header,
            hash: block.block_hash(),
            txids,
        });
    }

    /// The scripts that a transaction pays or spends from.
    fn scripts_of(&self, transaction: &Transaction) -> Vec<ScriptHash> {
        let paid = transaction.output.iter();
        let paid = paid.map(|output| script_hash(&output.script_pubkey));
        let inputs = transaction.input.iter();
        let spent = inputs.filter_map(|input| self.script_of(input.previous_output));
        paid.chain(spent).collect()
    }

    fn script_of(&self, outpoint: OutPoint) -> Option<ScriptHash> {
        if let Some(script) = self.outputs.get(&outpoint) {
            return Some(*script);
        }
        let parent = self.waiting.get(&outpoint.txid)?;
        let output = parent.output.get(outpoint.vout as usize)?;
        Some(script_hash(&output.script_pubkey))
    }

    /// The transactions of the mempool that pay or spend a script.
    pub(super) fn waiting_for(&self, script: ScriptHash) -> Vec<Txid> {
        let all = self.waiting.iter();
        let of_script = all.filter(|(_, it)| self.scripts_of(it).contains(&script));
        of_script.map(|(txid, _)| *txid).collect()
    }

    /// The confirmed transactions that pay or spend a script with their heights, the newest first.
    pub(super) fn confirmed(&self, script: ScriptHash) -> Vec<(usize, Txid)> {
        let history = self.histories.get(&script).cloned().unwrap_or_default();
        history.into_iter().rev().collect()
    }

    /// The height of the block that the transaction is in, and its number there.
    pub(super) fn place(&self, txid: Txid) -> Option<(usize, usize)> {
        self.blocks.iter().enumerate().find_map(|(height, block)| {
            let at = block.txids.iter().position(|it| *it == txid)?;
            Some((height, at))
        })
    }
}

fn script_hash(script: &Script) -> ScriptHash {
    sha256::Hash::hash(script.as_bytes())
}

fn decoded<T: bitcoin::consensus::Decodable>(hex: &str) -> Result<T, NodeError> {
    deserialize_hex(hex).map_err(|cause| NodeError::Esplora {
        reason: cause.to_string(),
    })
}
