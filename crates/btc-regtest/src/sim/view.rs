//! What a test sees of a simulated node, without a call: its blocks, mempool and coins.

use std::sync::Arc;

use bitcoin::{Amount, Block, BlockHash, OutPoint, Transaction, TxOut, Txid};

use super::coins::{self, OpenCoin};
use super::journal::Deed;
use super::pool::Judge;
use super::{SimError, SimNode};
use crate::sim::chain::COINBASE_MATURITY;

/// A block of the active chain.
#[derive(Debug, Clone)]
pub struct Placed {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// It.
    pub block: Block,
}

/// A transaction of the mempool.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its txid.
    pub txid: Txid,
    /// It.
    pub transaction: Arc<Transaction>,
    /// What it pays, in satoshi.
    pub fee_sat: u64,
    /// Its size in vB, as the mempool counts.
    pub size_vb: u64,
}

impl SimNode {
    /// The height and hash of the tip.
    pub fn tip(&self) -> (u32, BlockHash) {
        let world = self.shared.world();
        let tip = world.blocks.tip();
        (tip.height, tip.hash)
    }

    /// The time that the node's clock shows, in seconds of Unix time.
    pub fn now_secs(&self) -> u64 {
        self.shared.world().now_secs
    }

    /// The blocks of the active chain from a height on, the lowest first.
    pub fn blocks_from(&self, height: u32) -> Vec<Placed> {
        let world = self.shared.world();
        let active = (height..).map_while(|height| world.blocks.at(height));
        active
            .map(|stored| Placed {
                height: stored.height,
                hash: stored.hash,
                block: stored.block.clone(),
            })
            .collect()
    }

    /// The block at a height of the active chain.
    pub fn hash_at(&self, height: u32) -> Option<BlockHash> {
        let world = self.shared.world();
        world.blocks.at(height).map(|stored| stored.hash)
    }

    /// The mempool, in the order of arrival, which puts parents before children.
    pub fn mempool(&self) -> Vec<Waiting> {
        let world = self.shared.world();
        let entries = world.pool.in_order().into_iter();
        entries
            .map(|entry| Waiting {
                txid: entry.txid,
                transaction: Arc::clone(&entry.transaction),
                fee_sat: entry.fee_sat,
                size_vb: entry.size_vb,
            })
            .collect()
    }

    /// Whether the mempool has this transaction.
    pub fn is_waiting(&self, txid: Txid) -> bool {
        self.shared.world().pool.get(&txid).is_some()
    }

    /// Which transaction of the mempool spends this output.
    pub fn spender(&self, outpoint: OutPoint) -> Option<Txid> {
        self.shared.world().pool.spender(&outpoint)
    }

    /// In which block of the active chain a transaction is, if it is in one.
    pub fn height_of(&self, txid: Txid) -> Option<u32> {
        let world = self.shared.world();
        let stored = world.blocks.block_of(&txid)?;
        let is_there = world.blocks.is_active(stored) && stored.txids.contains(&txid);
        is_there.then_some(stored.height)
    }

    /// An output that is unspent in the active chain.
    pub fn unspent(&self, outpoint: OutPoint) -> Option<TxOut> {
        let world = self.shared.world();
        world.blocks.coin(&outpoint).map(|coin| coin.output.clone())
    }

    /// The least fee rate that is taken now, in sat/kvB.
    pub fn min_sat_per_kvb(&self) -> u64 {
        self.shared.world().pool.min_sat_per_kvb()
    }

    /// The rewards of the base blocks that are mature, and spent neither in the chain nor in the
    /// mempool; the oldest first. Anyone can spend them.
    pub fn open_coins(&self) -> Vec<OpenCoin> {
        let world = self.shared.world();
        let end = (world.blocks.height() + 1).saturating_sub(COINBASE_MATURITY);
        let rewards = (1..=end).filter_map(|height| {
            let stored = world.blocks.at(height)?;
            let outpoint = OutPoint {
                txid: *stored.txids.first()?,
                vout: 0,
            };
            let coin = world.blocks.coin(&outpoint)?;
            let is_open = coin.output.script_pubkey == coins::script(0)
                && world.pool.spender(&outpoint).is_none();
            is_open.then_some(OpenCoin {
                outpoint,
                value: coin.output.value,
                number: 0,
            })
        });
        rewards.collect()
    }

    /// What happened so far, in order. A transaction that the test handed over is in it as well.
    pub fn journal(&self) -> Vec<Deed> {
        self.shared.world().journal.clone()
    }

    /// How many calls clients have made.
    pub fn calls(&self) -> u64 {
        self.shared.calls()
    }

    /// What `sendrawtransaction` would answer now, without a limit of the fee; nothing changes.
    ///
    /// # Errors
    ///
    /// [`SimError::Refused`] with Core's code and words.
    pub fn would_take(&self, transaction: &Transaction) -> Result<(), SimError> {
        let world = self.shared.world();
        let refused = |code: i32, message: String| SimError::Refused { code, message };
        let txid = transaction.compute_txid();
        if world.blocks.has_output_of(txid, transaction.output.len()) {
            let message = "Transaction outputs already in utxo set".to_owned();
            return Err(refused(-27, message));
        }
        if world.pool.get(&txid).is_some() {
            return Ok(());
        }
        let judge = Judge::new(&world.pool, &world.blocks, world.now_secs);
        match judge.judge(transaction) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(refused(-26, refusal.to_string())),
        }
    }

    /// The fee that a transaction pays with the outputs known now.
    ///
    /// # Errors
    ///
    /// [`SimError::Refused`] when it spends what is neither in the chain nor in the mempool.
    pub fn fee_of(&self, transaction: &Transaction) -> Result<Amount, SimError> {
        let world = self.shared.world();
        let mut paid = Amount::ZERO;
        for input in &transaction.input {
            let outpoint = input.previous_output;
            let waiting = world.pool.get(&outpoint.txid);
            let value = waiting
                .and_then(|entry| entry.transaction.output.get(outpoint.vout as usize))
                .map(|output| output.value)
                .or_else(|| world.blocks.coin(&outpoint).map(|coin| coin.output.value));
            paid += value.ok_or_else(|| SimError::Refused {
                code: -25,
                message: format!("{outpoint} is not known"),
            })?;
        }
        let given: Amount = transaction.output.iter().map(|it| it.value).sum();
        Ok(paid.checked_sub(given).unwrap_or(Amount::ZERO))
    }
}
