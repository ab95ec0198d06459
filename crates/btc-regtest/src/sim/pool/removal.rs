//! How transactions leave the pool: mined, conflicted, expired, evicted, no longer valid.

use std::collections::HashSet;

use bitcoin::{Transaction, Txid};

use super::accept::Judge;
use super::{Chunk, EXPIRY_SECS, Pool, chunks_of};
use crate::sim::chain::{Blocks, COINBASE_MATURITY, Coin};

impl Pool {
    /// Takes these out, and nothing else.
    pub(in crate::sim) fn remove(&mut self, txids: &HashSet<Txid>) {
        for txid in txids {
            if let Some(entry) = self.entries.remove(txid) {
                self.by_wtxid.remove(&entry.wtxid);
                for input in &entry.transaction.input {
                    self.spenders.remove(&input.previous_output);
                }
            }
        }
    }

    /// Takes these out with all that spend them; returns how many went.
    pub(in crate::sim) fn remove_with_descendants(
        &mut self,
        txids: impl IntoIterator<Item = Txid>,
    ) -> usize {
        let before = self.len();
        let going = self.with_descendants(txids);
        self.remove(&going);
        before - self.len()
    }

    /// A block with these has come.
    pub(in crate::sim) fn take_block(&mut self, transactions: &[Transaction], txids: &[Txid]) {
        for (transaction, txid) in transactions.iter().zip(txids) {
            self.remove(&HashSet::from([*txid]));
            let conflicts: Vec<Txid> = transaction
                .input
                .iter()
                .filter_map(|input| self.spender(&input.previous_output))
                .collect();
            self.remove_with_descendants(conflicts);
        }
    }

    /// Takes out what came too long ago, with all that spend it.
    pub(in crate::sim) fn expire(&mut self, now_secs: u64) -> usize {
        let oldest = now_secs.saturating_sub(EXPIRY_SECS);
        let old: Vec<Txid> = self
            .entries
            .values()
            .filter(|entry| entry.time_secs < oldest)
            .map(|entry| entry.txid)
            .collect();
        self.remove_with_descendants(old)
    }

    /// Takes out the worst chunks as long as they pay less than this, in sat/kvB, as a pool does
    /// that is full; the minimum becomes this rate.
    pub(in crate::sim) fn raise_minimum(&mut self, sat_per_kvb: u64) -> Vec<Txid> {
        let mut gone = Vec::new();
        while let Some(worst) = self.worst_chunk() {
            let fee_sat = u128::from(worst.fee_sat) * 4_000;
            if fee_sat >= u128::from(sat_per_kvb) * u128::from(worst.weight) {
                break;
            }
            self.remove(&worst.txids.iter().copied().collect());
            gone.extend(worst.txids);
        }
        self.set_rolling_min(sat_per_kvb);
        gone
    }

    fn worst_chunk(&self) -> Option<Chunk> {
        let all = self.nodes(self.entries.keys().copied());
        chunks_of(&all).pop()
    }

    /// Takes out what the next block could not have any more, after blocks were undone.
    pub(in crate::sim) fn forget_invalid(&mut self, blocks: &Blocks, now_secs: u64) {
        let judge = Judge::new(self, blocks, now_secs);
        let next = blocks.height() + 1;
        let mut invalid = Vec::new();
        for entry in self.entries.values() {
            let mut spent = Vec::new();
            let mut is_valid = judge.is_final(&entry.transaction);
            for input in &entry.transaction.input {
                let outpoint = input.previous_output;
                if self.get(&outpoint.txid).is_some() {
                    // Its height is that of the next block, so it meets no lock but one of 0.
                    spent.push(None);
                } else if let Some(coin) = blocks.coin(&outpoint) {
                    is_valid &= !coin.is_coinbase || next - coin.height >= COINBASE_MATURITY;
                    spent.push(Some(coin.clone()));
                } else {
                    is_valid = false;
                }
            }
            let coins: Vec<_> = spent
                .into_iter()
                .map(|coin| {
                    coin.unwrap_or(Coin {
                        output: bitcoin::TxOut::NULL,
                        height: next,
                        is_coinbase: false,
                    })
                })
                .collect();
            is_valid = is_valid
                && judge
                    .check_relative_locks(&entry.transaction, &coins)
                    .is_ok();
            if !is_valid {
                invalid.push(entry.txid);
            }
        }
        self.remove_with_descendants(invalid);
    }
}
