//! Mining: blocks to new keys of ours, on the real clock or on one that runs ahead of it.

use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::{Address, BlockHash, Network};
use serde::Deserialize;
use serde_json::{Value, json};

use super::lock::Lock;
use super::plan::{OnProgress, Progress};
use super::{Chain, Coinbase};
use crate::NodeError;

/// The usual time between two blocks.
const BLOCK_INTERVAL_SECS: u64 = 600;
/// Blocks mined in one request.
const BATCH: u32 = 25;

/// The time that the node believes in while a history is written: it starts in the past and
/// arrives at the present with the last block, so that the blocks look ten minutes apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    now: u64,
    step: u64,
}

impl Clock {
    /// Seconds between two blocks.
    pub(crate) fn step(self) -> u64 {
        self.step
    }
}

impl Chain<'_> {
    /// Mines blocks with whatever is in the mempool, each to a new key of ours.
    pub fn mine(&mut self, blocks: u32) -> Result<Vec<BlockHash>, NodeError> {
        self.mine_steps(blocks, "mining blocks", &mut |_| {})
    }

    /// Mines blocks that leave the mempool alone.
    pub fn mine_empty(&mut self, blocks: u32) -> Result<Vec<BlockHash>, NodeError> {
        (0..blocks).map(|_| self.mine_exactly(&[])).collect()
    }

    /// Mines these transactions, standard or not, and nothing else. Their fees are burnt.
    pub(crate) fn mine_exactly(&mut self, hex: &[String]) -> Result<BlockHash, NodeError> {
        #[derive(Deserialize)]
        struct Answer {
            hash: BlockHash,
        }
        self.find_height()?;
        self.tick()?;
        let (reward, address) = self.reward();
        let Answer { hash } = self
            .node
            .call("generateblock", &[json!(address), json!(hex)])?;
        self.append(reward, hash);
        Ok(hash)
    }

    pub(crate) fn mine_steps(
        &mut self,
        blocks: u32,
        step: &'static str,
        on_progress: OnProgress<'_>,
    ) -> Result<Vec<BlockHash>, NodeError> {
        self.find_height()?;
        let mut hashes = Vec::new();
        for first in (0..blocks).step_by(BATCH as usize) {
            on_progress(Progress {
                step,
                done: first,
                total: blocks,
            });
            let mut rewards = Vec::new();
            let mut calls = Vec::new();
            for _ in first..blocks.min(first + BATCH) {
                let (reward, address) = self.reward();
                rewards.push(reward);
                if let Some(now) = self.advance() {
                    calls.push(("setmocktime", vec![json!(now)]));
                }
                calls.push(("generatetoaddress", vec![json!(1), json!(address)]));
            }
            let answers: Vec<Option<(BlockHash,)>> = self.node.batch(&calls)?;
            for ((hash,), reward) in answers.into_iter().flatten().zip(rewards) {
                self.append(reward, hash);
                hashes.push(hash);
            }
        }
        on_progress(Progress {
            step,
            done: blocks,
            total: blocks,
        });
        let confirmed = if blocks == 0 {
            Vec::new()
        } else {
            std::mem::take(&mut self.pending)
        };
        for coin in confirmed {
            self.keep(coin);
        }
        Ok(hashes)
    }

    /// Sets the node's clock so far back that this many blocks end in the present.
    pub(crate) fn start_clock(&mut self, blocks: u32) -> Result<(), NodeError> {
        #[derive(Deserialize)]
        struct Tip {
            time: u64,
        }
        let hash: Value = self.node.call("getbestblockhash", &[])?;
        let tip: Tip = self.node.call("getblockheader", &[hash])?;
        let present = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| age.as_secs());
        let blocks = u64::from(blocks.max(1));
        let step = (present.saturating_sub(tip.time) / blocks).clamp(1, BLOCK_INTERVAL_SECS);
        self.clock = Some(Clock {
            now: present.saturating_sub(step * blocks).max(tip.time),
            step,
        });
        Ok(())
    }

    /// Gives the node its own clock back.
    pub(crate) fn stop_clock(&mut self) -> Result<(), NodeError> {
        self.clock = None;
        self.run("setmocktime", &[json!(0)])
    }

    fn tick(&mut self) -> Result<(), NodeError> {
        self.advance()
            .map_or(Ok(()), |now| self.run("setmocktime", &[json!(now)]))
    }

    fn advance(&mut self) -> Option<u64> {
        let clock = self.clock.as_mut()?;
        clock.now += clock.step;
        Some(clock.now)
    }

    /// Where the next block's reward goes.
    fn reward(&mut self) -> ((Lock, u32), String) {
        const LOCKS: [Lock; 4] = [Lock::P2wpkh, Lock::P2trKey, Lock::P2pkh, Lock::P2shP2wpkh];
        let key = self.new_key();
        let lock = LOCKS[key as usize % LOCKS.len()];
        let address = Address::from_script(&self.keys.script(lock, key), Network::Regtest)
            .expect("these locks have addresses");
        ((lock, key), address.to_string())
    }

    /// Somebody else may have mined meanwhile, or taken blocks back.
    fn find_height(&mut self) -> Result<(), NodeError> {
        self.height = self.node.call("getblockcount", &[])?;
        Ok(())
    }

    fn append(&mut self, (lock, key): (Lock, u32), block: BlockHash) {
        self.height += 1;
        self.coinbases.push_back(Coinbase {
            height: self.height,
            block,
            lock,
            key,
        });
    }
}
