//! `World`: chain, mempool and clock of a simulated node, and how one changes the other.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, Network, OutPoint, ScriptBuf, Transaction, Txid, constants,
};

use super::assemble::{self, Ingredients, assemble};
use super::chain::{BadBlock, Blocks, Stored};
use super::coins;
use super::journal::Deed;
use super::options::SimBuilder;
use super::pool::{Accepted, Judge, Pool, Refusal};

/// From how many blocks declared invalid on Core forgets their transactions.
const MAX_RETURNING_BLOCKS: usize = 10;
/// Seconds between two blocks of the base.
const BASE_STEP_SECS: u64 = 600;

/// Everything that a node knows.
pub(super) struct World {
    pub(super) options: SimBuilder,
    pub(super) blocks: Blocks,
    pub(super) pool: Pool,
    pub(super) now_secs: u64,
    pub(super) started_secs: u64,
    /// Distinguishes blocks of the same content.
    made: u64,
    /// In which order blocks became known: of two with the same work the first stays.
    order: HashMap<BlockHash, u64>,
    /// What the node estimates, in sat/kvB.
    pub(super) estimate_sat_per_kvb: Option<u64>,
    /// What a restart has not loaded yet; nothing: the mempool is loaded.
    pub(super) unloaded: Option<Vec<Transaction>>,
    /// For how many more questions the mempool is not loaded.
    pub(super) unloaded_calls: u32,
    /// For how many more calls the node warms up.
    pub(super) warm_up_calls: u32,
    /// What happened, for a replay on Bitcoin Core.
    pub(super) journal: Vec<Deed>,
}

impl World {
    pub(super) fn new(options: SimBuilder) -> Self {
        let blocks = base(&options);
        Self {
            pool: Pool::new(options.limits.clone()),
            now_secs: options.start_secs,
            started_secs: options.start_secs,
            made: 0,
            order: HashMap::new(),
            blocks,
            options,
            estimate_sat_per_kvb: None,
            unloaded: None,
            unloaded_calls: 0,
            warm_up_calls: 0,
            journal: Vec::new(),
        }
    }

    /// Judges a transaction and takes it if it may be.
    pub(super) fn accept(&mut self, transaction: &Transaction) -> Result<Accepted, Refusal> {
        let judged = Judge::new(&self.pool, &self.blocks, self.now_secs).judge(transaction);
        let accepted = judged?;
        self.pool.remove(&accepted.replaced);
        let mut entry = accepted.entry.clone();
        entry.is_unbroadcast = true;
        self.pool.insert(entry);
        self.pool.expire(self.now_secs);
        Ok(accepted)
    }

    /// Puts a block together on a parent; nothing changes.
    pub(super) fn assemble(
        &mut self,
        parent: BlockHash,
        transactions: Vec<Transaction>,
        script: ScriptBuf,
    ) -> Result<Block, BadBlock> {
        let transactions = assemble::in_order(transactions);
        let parent = self
            .blocks
            .get(&parent)
            .map(Arc::clone)
            .ok_or(BadBlock("prev-blk-not-found"))?;
        let fees = self.fees_on(&parent, &transactions)?;
        self.made += 1;
        let ingredients = Ingredients {
            parent: &parent,
            transactions,
            fees,
            script,
            now_secs: self.now_secs,
            extra: self.made,
        };
        Ok(assemble(&self.blocks, ingredients))
    }

    /// What these pay in a block on this parent.
    fn fees_on(
        &self,
        parent: &Arc<Stored>,
        transactions: &[Transaction],
    ) -> Result<Amount, BadBlock> {
        let missing = BadBlock("bad-txns-inputs-missingorspent");
        // Only a branch needs a chain of its own.
        let mut side;
        let blocks = if parent.hash == self.blocks.tip().hash {
            &self.blocks
        } else {
            side = self.blocks.clone();
            let fork = side.fork_with(parent);
            while side.tip().hash != fork.hash {
                side.disconnect();
            }
            for stored in side.branch(&fork, parent) {
                side.connect(&stored)?;
            }
            &side
        };
        let mut made: HashMap<OutPoint, Amount> = HashMap::new();
        let mut fees = Amount::ZERO;
        for transaction in transactions {
            let mut paid = Amount::ZERO;
            for input in &transaction.input {
                let outpoint = input.previous_output;
                let known = blocks.coin(&outpoint).map(|coin| coin.output.value);
                let value = known.or_else(|| made.remove(&outpoint));
                paid += value.ok_or_else(|| missing.clone())?;
            }
            let given: Amount = transaction.output.iter().map(|it| it.value).sum();
            fees += paid
                .checked_sub(given)
                .ok_or(BadBlock("bad-txns-in-belowout"))?;
            let txid = transaction.compute_txid();
            for (vout, output) in (0..).zip(&transaction.output) {
                made.insert(OutPoint { txid, vout }, output.value);
            }
        }
        Ok(fees)
    }

    /// Takes a block, and makes it active if its chain has the most work now.
    pub(super) fn take_block(&mut self, block: Block) -> Result<BlockHash, BadBlock> {
        let stored = self.blocks.insert(block)?;
        let number = self.order.len() as u64 + 1;
        self.order.entry(stored.hash).or_insert(number);
        // A block on the tip is checked before it is kept, as it cannot be undone.
        self.activate_best()?;
        Ok(stored.hash)
    }

    /// Makes the valid chain with the most work active; of several, the one that was known first.
    pub(super) fn activate_best(&mut self) -> Result<(), BadBlock> {
        let order = |stored: &Stored| self.order.get(&stored.hash).copied().unwrap_or(0);
        let mut best: Option<Arc<Stored>> = None;
        for stored in self.candidates() {
            let is_better = best.as_ref().is_none_or(|best| {
                let ours = (stored.height, std::cmp::Reverse(order(&stored)));
                ours > (best.height, std::cmp::Reverse(order(best)))
            });
            if is_better {
                best = Some(stored);
            }
        }
        match best {
            Some(best) if best.hash != self.blocks.tip().hash => self.reorganise(&best),
            _ => Ok(()),
        }
    }

    /// The highest valid block of each branch.
    fn candidates(&self) -> Vec<Arc<Stored>> {
        let mut found = Vec::new();
        for end in self.blocks.ends() {
            let mut at = Arc::clone(end);
            while self.blocks.is_invalid(&at.hash) {
                let Some(below) = self.blocks.get(&at.header().prev_blockhash) else {
                    break;
                };
                at = Arc::clone(below);
            }
            found.push(at);
        }
        found
    }

    fn reorganise(&mut self, best: &Arc<Stored>) -> Result<(), BadBlock> {
        let old_height = self.blocks.height();
        let fork = self.blocks.fork_with(best);
        let before = (self.blocks.clone(), self.pool.clone());
        let mut undone: Vec<Arc<Stored>> = Vec::new();
        while self.blocks.tip().hash != fork.hash {
            undone.push(self.blocks.disconnect());
        }
        let mut mined: HashSet<Txid> = HashSet::new();
        for stored in self.blocks.branch(&fork, best) {
            if let Err(bad) = self.blocks.connect(&stored) {
                (self.blocks, self.pool) = before;
                self.blocks.set_invalid(stored.hash, true);
                return Err(bad);
            }
            self.pool.take_block(&stored.block.txdata, &stored.txids);
            mined.extend(&stored.txids);
            // Core takes care of the mempool as soon as it is better off than before.
            if stored.height > old_height && !undone.is_empty() {
                self.return_transactions(&std::mem::take(&mut undone), &mined);
            }
        }
        if !undone.is_empty() {
            self.return_transactions(&undone, &mined);
        }
        Ok(())
    }

    /// What was in undone blocks (the highest first) and is in no block now waits again, if it may.
    fn return_transactions(&mut self, undone: &[Arc<Stored>], mined: &HashSet<Txid>) {
        for stored in undone.iter().rev() {
            for (transaction, txid) in stored.block.txdata.iter().zip(&stored.txids) {
                if mined.contains(txid) {
                    continue;
                }
                if transaction.is_coinbase() || !self.take_back(transaction) {
                    // What spends it has lost its parent.
                    let children = self.pool.children_of(*txid);
                    self.pool.remove_with_descendants(children);
                }
            }
        }
        self.pool.forget_invalid(&self.blocks, self.now_secs);
        self.pool.expire(self.now_secs);
    }

    fn take_back(&mut self, transaction: &Transaction) -> bool {
        let mut judge = Judge::new(&self.pool, &self.blocks, self.now_secs);
        judge.is_bypassing = true;
        let Ok(accepted) = judge.judge(transaction) else {
            return false;
        };
        self.pool.remove(&accepted.replaced);
        self.pool.insert(accepted.entry);
        true
    }

    /// Marks a block as invalid, with all that stand on it, as `invalidateblock` does.
    pub(super) fn invalidate(&mut self, hash: BlockHash) -> Result<(), BadBlock> {
        let Some(stored) = self.blocks.get(&hash).map(Arc::clone) else {
            return Err(BadBlock("Block not found"));
        };
        self.blocks.set_invalid(hash, true);
        if self.blocks.is_active(&stored) {
            // Core undoes them one by one, and each time what was in the block waits again.
            let mut undone = 0;
            while self.blocks.is_active(&stored) {
                let block = self.blocks.disconnect();
                undone += 1;
                if undone <= MAX_RETURNING_BLOCKS {
                    self.return_transactions(&[block], &HashSet::new());
                } else {
                    self.drop_transactions(&block);
                }
            }
        }
        self.activate_best()
    }

    fn drop_transactions(&mut self, block: &Stored) {
        for txid in &block.txids {
            let children = self.pool.children_of(*txid);
            self.pool.remove_with_descendants(children);
        }
        self.pool.forget_invalid(&self.blocks, self.now_secs);
    }

    /// Takes the mark away again.
    pub(super) fn reconsider(&mut self, hash: BlockHash) -> Result<(), BadBlock> {
        self.blocks.set_invalid(hash, false);
        self.activate_best()
    }

    /// Writes down what the mempool has, after a change that Core has no call for.
    pub(super) fn note_restart(&mut self) {
        let kept = self.pool.in_order().iter().map(|it| it.txid).collect();
        self.journal.push(Deed::Restarted(kept));
    }

    /// Where a transaction is: in the mempool, or in a block that may be off the active chain.
    pub(super) fn find(&self, txid: &Txid) -> Option<(Transaction, Option<Arc<Stored>>)> {
        if let Some(entry) = self.pool.get(txid) {
            return Some(((*entry.transaction).clone(), None));
        }
        let stored = self.blocks.block_of(txid)?;
        let number = stored.txids.iter().position(|it| it == txid)?;
        Some((
            stored.block.txdata[number].clone(),
            Some(Arc::clone(stored)),
        ))
    }
}

/// The blocks that each node begins with, made once for each number.
fn base(options: &SimBuilder) -> Blocks {
    static MADE: Mutex<Vec<(u32, u64, Blocks)>> = Mutex::new(Vec::new());
    let (count, end) = (options.base_blocks, options.start_secs);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let known = made
        .iter()
        .find(|(blocks, secs, _)| (*blocks, *secs) == (count, end));
    if let Some((_, _, blocks)) = known {
        return blocks.clone();
    }
    let mut blocks = Blocks::new(constants::genesis_block(Network::Regtest));
    for number in 0..count {
        let parent = Arc::clone(blocks.tip());
        let ingredients = Ingredients {
            parent: &parent,
            transactions: Vec::new(),
            fees: Amount::ZERO,
            script: coins::script(0),
            now_secs: end.saturating_sub(u64::from(count - number) * BASE_STEP_SECS),
            extra: u64::MAX - u64::from(number),
        };
        let block = assemble(&blocks, ingredients);
        let stored = blocks.insert(block).expect("it stands on the tip");
        blocks.connect(&stored).expect("it spends nothing");
    }
    debug_assert_ne!(blocks.tip().hash, BlockHash::all_zeros());
    made.push((count, end, blocks.clone()));
    blocks
}
