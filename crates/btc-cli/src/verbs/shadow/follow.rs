//! Learns what is on a configured node's chain, for a load to ask about.

use std::thread;
use std::time::{Duration, Instant};

use btc::rust::RustBitcoin;
use btc::{BitcoinInterface, BitcoinResult, NodeConfig};

use crate::load::{Inputs, World};

/// Blocks that are known at the beginning.
const BLOCKS: u32 = 150;
/// Of so many of them, transactions are known too.
const READ_BLOCKS: u32 = 12;
/// Transactions of a block that are known.
const TRANSACTIONS: usize = 40;
const LOOK_EVERY: Duration = Duration::from_secs(5);
const NAP: Duration = Duration::from_millis(100);

/// Follows the chain of a node that is only read.
pub(super) struct Follower {
    core: RustBitcoin,
    height: u32,
}

impl Follower {
    /// Reads the last blocks of the chain, and some of their transactions.
    pub(super) fn start(node: &NodeConfig) -> BitcoinResult<(Self, Inputs)> {
        let core = RustBitcoin::connect(node)?;
        let height = core.get_block_height()?;
        let mut inputs = Inputs::default();
        for at in height.saturating_sub(BLOCKS - 1)..=height {
            let hash = core.get_block_hash(at)?.to_string();
            if height - at < READ_BLOCKS {
                inputs.txids.extend(transactions(&core, &hash)?);
            }
            inputs.blocks.push(hash);
        }
        Ok((Self { core, height }, inputs))
    }

    /// The height that was seen last.
    pub(super) fn height(&self) -> u32 {
        self.height
    }

    /// Tells the world of new blocks until it is over. What cannot be read now is read the next
    /// time.
    pub(super) fn follow(
        &mut self,
        world: &World,
        is_over: &dyn Fn() -> bool,
        mut tell: impl FnMut(u32),
    ) {
        let mut last_look = Instant::now();
        while !is_over() {
            thread::sleep(NAP);
            if last_look.elapsed() >= LOOK_EVERY {
                last_look = Instant::now();
                if let Ok(height) = self.core.get_block_height() {
                    self.catch_up(world, height);
                    tell(self.height);
                }
            }
        }
    }

    fn catch_up(&mut self, world: &World, height: u32) {
        // After a reorganisation the blocks at known heights are others; they come up with the
        // next one.
        let first = self
            .height
            .saturating_add(1)
            .max(height.saturating_sub(BLOCKS));
        for at in first..=height {
            let Ok(hash) = self.core.get_block_hash(at) else {
                return;
            };
            let hash = hash.to_string();
            for txid in transactions(&self.core, &hash).unwrap_or_default() {
                world.learn_transaction(txid);
            }
            world.learn_block(hash);
            self.height = at;
        }
    }
}

/// Some of a block's transactions, spread over it.
fn transactions(core: &RustBitcoin, hash: &str) -> BitcoinResult<Vec<String>> {
    let all = core.get_block(hash)?;
    let step = all.len().div_ceil(TRANSACTIONS).max(1);
    Ok(all
        .iter()
        .step_by(step)
        .map(|it| it.txid.to_string())
        .collect())
}
