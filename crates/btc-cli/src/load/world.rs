//! `World`: what a load may ask about, told by whoever sees the chain move.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use btc::shadow::parity::Random;
use serde::{Deserialize, Serialize};

/// How many inputs of a kind are kept from the beginning on.
const MAX_OLD: usize = 8_192;
/// How many of the latest are kept.
const MAX_NEW: usize = 2_048;
/// Those that move with the chain are among so many of the latest.
const NEAR: usize = 8;

/// Known inputs, shared by all threads of a load.
#[derive(Debug, Default)]
pub(crate) struct World {
    txids: Mutex<Pool>,
    blocks: Mutex<Pool>,
    addresses: Mutex<Pool>,
}

/// Inputs that can be handed on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Inputs {
    /// Transactions, confirmed and not.
    pub(crate) txids: Vec<String>,
    /// The hashes of blocks, the lowest first.
    pub(crate) blocks: Vec<String>,
}

impl World {
    /// With these for a beginning.
    pub(crate) fn new(inputs: Inputs) -> Self {
        let world = Self::default();
        lock(&world.txids).begin_with(inputs.txids);
        lock(&world.blocks).begin_with(inputs.blocks);
        world
    }

    /// What is known of transactions and blocks now.
    pub(crate) fn inputs(&self) -> Inputs {
        Inputs {
            txids: lock(&self.txids).all(),
            blocks: lock(&self.blocks).all(),
        }
    }

    /// There is a new transaction.
    pub(crate) fn learn_transaction(&self, txid: String) {
        lock(&self.txids).add(txid);
    }

    /// There is a new block.
    pub(crate) fn learn_block(&self, hash: String) {
        lock(&self.blocks).add(hash);
    }

    /// The wallet has given out an address.
    pub(crate) fn learn_address(&self, address: String) {
        lock(&self.addresses).add(address);
    }

    /// A transaction, more often a late one.
    pub(crate) fn transaction(&self, random: &mut Random) -> Option<String> {
        lock(&self.txids).pick(random)
    }

    /// A block, more often a late one.
    pub(crate) fn block(&self, random: &mut Random) -> Option<String> {
        lock(&self.blocks).pick(random)
    }

    /// An address of the wallet, more often a late one.
    pub(crate) fn address(&self, random: &mut Random) -> Option<String> {
        lock(&self.addresses).pick(random)
    }
}

/// Inputs of one kind: the first ones, and the latest.
#[derive(Debug, Default)]
struct Pool {
    old: Vec<String>,
    new: VecDeque<String>,
}

impl Pool {
    /// The last of these are the latest.
    fn begin_with(&mut self, mut all: Vec<String>) {
        let newest = all.split_off(all.len().saturating_sub(NEAR));
        all.truncate(MAX_OLD);
        self.old = all;
        self.new = newest.into();
    }

    fn add(&mut self, one: String) {
        if self.new.len() == MAX_NEW {
            self.new.pop_front();
        }
        self.new.push_back(one);
    }

    fn all(&self) -> Vec<String> {
        self.old.iter().chain(&self.new).cloned().collect()
    }

    /// One of the very latest half of the time, else any.
    fn pick(&self, random: &mut Random) -> Option<String> {
        let known = self.old.len() + self.new.len();
        let among = if random.once_in(2) {
            known.min(NEAR)
        } else {
            known
        };
        let last = u64::try_from(among).ok()?.checked_sub(1)?;
        let back = usize::try_from(random.between(0, last)).ok()?;
        match self.new.len().checked_sub(back + 1) {
            Some(place) => self.new.get(place).cloned(),
            None => self.old.get(known - back - 1).cloned(),
        }
    }
}

fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_inputs_are_picked_and_late_ones_more_often() {
        let mut pool = Pool::default();
        pool.begin_with((0..20).map(|number| number.to_string()).collect());
        for number in 20..30 {
            pool.add(number.to_string());
        }
        let mut random = Random::new(1);
        let picked: Vec<u32> = (0..4000)
            .filter_map(|_| pool.pick(&mut random)?.parse().ok())
            .collect();
        assert_eq!(picked.iter().collect::<HashSet<_>>().len(), 30);
        let late = picked.iter().filter(|number| **number >= 22).count();
        assert!(late > 2000, "{late}");
        assert_eq!(Pool::default().pick(&mut random), None);
    }

    #[test]
    fn a_pool_does_not_grow_without_end() {
        let mut pool = Pool::default();
        pool.begin_with(vec![String::new(); MAX_OLD * 2]);
        for number in 0..MAX_NEW * 2 {
            pool.add(number.to_string());
        }
        assert_eq!(pool.all().len(), MAX_OLD + MAX_NEW);
    }
}
