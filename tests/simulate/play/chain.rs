//! Blocks, branches, rewards.

use std::collections::{HashMap, HashSet};

use btc::bitcoin::{Transaction, Txid};
use btc_regtest::sim::coins;

use crate::Failure;
use crate::identity::RANGE;
use crate::stage::{BASE_BLOCKS, Stage};
use crate::step::Step;

/// Seconds between blocks.
const BLOCK_SECS: u64 = 600;

impl Stage {
    /// One to three blocks with all, some or none of the mempool.
    pub(super) fn mine(&mut self, step: &Step) -> Result<(), Failure> {
        let count = 1 + step.pick(0, 3);
        for number in 0..count {
            self.node.advance(BLOCK_SECS);
            let waiting: Vec<(Txid, Transaction)> = self.truth().waiting;
            let chosen = match step.pick(1, 4) {
                0 | 1 => waiting.len(),
                2 => step.pick(2, waiting.len() + 1),
                _ => 0,
            };
            // Parents come first, so that any beginning is whole.
            let chosen: Vec<Transaction> =
                waiting.into_iter().take(chosen).map(|(_, it)| it).collect();
            self.say(format!(
                "block {} with {} transactions",
                number + 1,
                chosen.len()
            ));
            self.node.mine_these(chosen, coins::script(1))?;
        }
        Ok(())
    }

    /// A block pays an address of the wallet.
    pub(super) fn reward(&mut self, step: &Step) -> Result<(), Failure> {
        let Some(given) = step.one_of(0, &self.payable()).cloned() else {
            return self.idle("no address was given out");
        };
        self.node.advance(BLOCK_SECS);
        self.node
            .mine_these(Vec::new(), given.address.script_pubkey.clone())?;
        self.say(format!("a reward for {:?}", given.place));
        Ok(())
    }

    pub(super) fn mature(&mut self) -> Result<(), Failure> {
        const BLOCKS: u32 = 100;
        const LIMIT: u32 = 300;
        if self.node.tip().0 > BASE_BLOCKS + LIMIT {
            return self.idle("the chain is long");
        }
        for _ in 0..BLOCKS {
            self.node.advance(BLOCK_SECS);
            self.node.mine_these(Vec::new(), coins::script(1))?;
        }
        self.say("a hundred blocks");
        Ok(())
    }

    /// The last blocks are replaced; what was in them is again in the new branch, or some of it,
    /// or none, or a rival of it.
    pub(super) fn reorganise(&mut self, step: &Step) -> Result<(), Failure> {
        let height = self.node.tip().0;
        let most = (height - BASE_BLOCKS).min(6);
        if most == 0 {
            return self.idle("there is no block to undo");
        }
        let depth = 1 + u32::try_from(step.pick(0, most as usize))?;
        let undone = self.node.blocks_from(height - depth + 1);
        let undone: Vec<Transaction> = undone
            .into_iter()
            .flat_map(|placed| placed.block.txdata.into_iter().skip(1))
            .collect();
        let mode = step.pick(1, 4);
        // Rewards of the undone blocks are gone, and with them all that spends them.
        let mut lost: HashSet<Txid> = self
            .node
            .blocks_from(height - depth + 1)
            .iter()
            .map(|placed| placed.block.txdata[0].compute_txid())
            .collect();
        let mut kept: Vec<Transaction> = Vec::new();
        let mut rivals = 0;
        for (number, transaction) in undone.iter().enumerate() {
            let txid = transaction.compute_txid();
            let is_pinned = self.pinned.contains(&txid);
            let mut inputs = transaction.input.iter();
            let has_lost = inputs.any(|it| lost.contains(&it.previous_output.txid));
            let die = usize::from(step.dice[2]) >> (number % 12);
            let stays = match mode {
                0 => true,
                1 => false,
                _ => die % 2 == 0,
            };
            if !has_lost && (is_pinned || stays) {
                kept.push(transaction.clone());
                continue;
            }
            lost.insert(txid);
            // A rival of one of others' transactions takes its coin for good.
            let is_foreign = transaction.input.iter().all(is_open);
            if mode == 3 && !has_lost && is_foreign && rivals == 0 {
                rivals += 1;
                if let Some(rival) = self.rival_of(transaction) {
                    kept.push(rival);
                }
            }
        }
        self.say(format!(
            "the last {depth} blocks are replaced; {} of {} transactions are in the new branch, \
             {rivals} rivals",
            kept.len() - rivals,
            undone.len()
        ));
        self.node.advance(BLOCK_SECS);
        let fork = height - depth;
        let contents = spread(kept, fork, depth, step.once_in(3, 2));
        self.node
            .reorganise(depth, contents, &coins::script(2))
            .map_err(|error| format!("this program built a wrong branch: {error}"))?;
        Ok(())
    }

    /// A transaction that spends the same coins of others, to others.
    pub(super) fn rival_of(&mut self, transaction: &Transaction) -> Option<Transaction> {
        const MORE_SAT: u64 = 20_000;
        let mut rival = transaction.clone();
        let total: u64 = transaction.output.iter().map(|it| it.value.to_sat()).sum();
        let number = self.new_recipient();
        rival.output = vec![coins::output(number, total.checked_sub(MORE_SAT)?)];
        Some(rival)
    }

    /// The addresses that others may pay: those that a wallet restored now would find.
    pub(super) fn payable(&self) -> Vec<crate::stage::Given> {
        let truth = self.truth();
        let paid = truth.paid_indices(&self.identity);
        let none = std::collections::HashMap::new();
        let mut used = std::collections::HashMap::new();
        let windows = crate::truth::Truth::windows(&paid, self.setup.gap_limit, &none, &mut used);
        let found = self.given.iter().filter(|given| {
            given.place.index < windows[&given.place.keychain] && given.place.index < RANGE
        });
        found.cloned().collect()
    }
}

/// The contents of the blocks above `fork`: each transaction as early as its lock time and its
/// parents allow, or in the last block.
fn spread(
    transactions: Vec<Transaction>,
    fork: u32,
    depth: u32,
    is_late: bool,
) -> Vec<Vec<Transaction>> {
    let count = depth as usize + 1;
    let mut contents: Vec<Vec<Transaction>> = vec![Vec::new(); count];
    let mut places: HashMap<Txid, usize> = HashMap::new();
    for transaction in transactions {
        let locked = transaction
            .lock_time
            .to_consensus_u32()
            .saturating_sub(fork) as usize;
        let parents = transaction.input.iter();
        let after = parents
            .filter_map(|input| places.get(&input.previous_output.txid))
            .max();
        let wanted = if is_late { count - 1 } else { 0 };
        let place = wanted
            .max(locked)
            .max(after.copied().unwrap_or(0))
            .min(count - 1);
        places.insert(transaction.compute_txid(), place);
        contents[place].push(transaction);
    }
    contents
}

/// Whether an input needs no signature: it is one of others.
pub(super) fn is_open(input: &btc::bitcoin::TxIn) -> bool {
    const OPEN_SCRIPT_BYTES: usize = 8;
    input.witness.len() == 1
        && input
            .witness
            .nth(0)
            .is_some_and(|script| script.len() < OPEN_SCRIPT_BYTES)
}
