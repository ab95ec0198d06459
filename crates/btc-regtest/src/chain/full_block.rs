//! A block of thousands of small transactions, all from the mempool.

use std::collections::BTreeMap;

use bitcoin::{Amount, BlockHash, Txid};
use serde::Deserialize;
use serde_json::json;

use super::build::fee_rate;
use super::draft::Built;
use super::hold::PATIENT_FEE_RATE;
use super::lock::Lock;
use super::plan::{OnProgress, Progress};
use super::{Chain, Kind};
use crate::NodeError;

/// The locks spent and paid to, in turn.
const LOCKS: [Lock; 3] = [Lock::P2wpkh, Lock::P2trKey, Lock::P2pkh];
/// What each transaction spends: enough for two outputs at 50 sat/vB.
const COIN_VALUE: Amount = Amount::from_sat(60_000);
/// Transactions signed and sent between two signs of progress.
const STEP: u32 = 250;

/// A full block and the block before it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FullBlock {
    /// The block that confirmed the coins which the full block spends.
    pub fan_out: BlockHash,
    /// The transactions that made those coins.
    pub funding: Vec<Txid>,
    /// The full block.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// Its transactions but for the coinbase, in the order sent.
    pub txids: Vec<Txid>,
}

impl Chain<'_> {
    /// Mines two blocks: one that confirms `tx_count` coins, and one with that many small
    /// transactions. Some 5,000 fit into a block. Whatever else is in the mempool is mined too.
    ///
    /// # Errors
    ///
    /// [`NodeError::NoCoin`] without mature coinbases (one per 1,000 transactions),
    /// [`NodeError::Build`] when not all of them fitted in.
    pub fn mine_full_block(
        &mut self,
        tx_count: u32,
        on_progress: OnProgress<'_>,
    ) -> Result<FullBlock, NodeError> {
        let mut wanted: BTreeMap<Lock, u32> = BTreeMap::new();
        for lock in LOCKS.iter().cycle().take(tx_count as usize) {
            *wanted.entry(*lock).or_default() += 1;
        }
        let funding = self.fund(&wanted, |_, _| COIN_VALUE)?;
        let fan_out = self.mine_one()?;
        // Only these coins: the pool holds others, whose number is not known here.
        let mut coins: Vec<_> = funding
            .iter()
            .flat_map(|built| built.coins.iter().filter(|coin| coin.value == COIN_VALUE))
            .copied()
            .collect();
        for (lock, pool) in &mut self.coins {
            if wanted.contains_key(lock) {
                pool.retain(|coin| coin.value != COIN_VALUE);
            }
        }
        coins.truncate(tx_count as usize);

        let mut txids = Vec::with_capacity(coins.len());
        let mut turn = 0;
        for chunk in coins.chunks(STEP as usize) {
            on_progress(Progress {
                step: "filling a whole block",
                done: turn,
                total: tx_count,
            });
            let mut batch: Vec<Built> = Vec::with_capacity(chunk.len());
            for coin in chunk {
                let lock = LOCKS[(turn / 3) as usize % LOCKS.len()];
                let mut outputs = Vec::new();
                if turn % 2 == 0 {
                    outputs.push(self.out(lock, COIN_VALUE / 3));
                }
                let draft = self.draft(
                    vec![*coin],
                    outputs,
                    fee_rate(turn).max(PATIENT_FEE_RATE + 1),
                );
                batch.push(draft.finish(&self.keys, Kind::FullBlock.label())?);
                turn += 1;
            }
            self.send(&batch.iter().collect::<Vec<_>>())?;
            txids.extend(batch.iter().map(|built| built.txid));
        }
        let hash = self.mine_one()?;
        on_progress(Progress {
            step: "filling a whole block",
            done: tx_count,
            total: tx_count,
        });
        self.check_count(hash, txids.len())?;
        let funding = funding.iter().map(|built| built.txid).collect();
        Ok(FullBlock {
            fan_out,
            funding,
            hash,
            height: self.height,
            txids,
        })
    }

    fn mine_one(&mut self) -> Result<BlockHash, NodeError> {
        let hashes = self.mine(1)?;
        hashes
            .first()
            .copied()
            .ok_or_else(|| NodeError::build("block", "the node mined none"))
    }

    fn check_count(&self, hash: BlockHash, least: usize) -> Result<(), NodeError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Header {
            n_tx: usize,
        }
        let Header { n_tx } = self.node.call("getblockheader", &[json!(hash)])?;
        if n_tx > least {
            return Ok(());
        }
        let text = format!(
            "it took {} of {least} transactions: ask for fewer",
            n_tx - 1
        );
        Err(NodeError::build("full block", text))
    }
}
