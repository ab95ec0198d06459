//! `Blocks`: the tree of blocks that a node knows, which of them are active, and the unspent outputs there.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use bitcoin::bip158::BlockFilter;
use bitcoin::block::Header;
use bitcoin::consensus::encode;
use bitcoin::{
    Block, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Txid, absolute,
};

/// How many confirmations a coinbase needs before it can be spent.
pub(super) const COINBASE_MATURITY: u32 = 100;
/// How many blocks the median time looks back on (BIP113).
const MEDIAN_SPAN: usize = 11;

/// An unspent output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Coin {
    pub(super) output: TxOut,
    /// The height of its block; for one of the mempool, the height of the next block.
    pub(super) height: u32,
    pub(super) is_coinbase: bool,
}

/// A block with what is needed to answer questions about it.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) block: Block,
    pub(super) bytes: Vec<u8>,
    pub(super) hash: BlockHash,
    pub(super) height: u32,
    pub(super) txids: Vec<Txid>,
    /// What its transactions spend, once it was connected; the same in every branch that it is in.
    undo: OnceLock<HashMap<OutPoint, Coin>>,
    filter: OnceLock<Vec<u8>>,
}

impl Stored {
    pub(super) fn header(&self) -> &Header {
        &self.block.header
    }

    /// The compact filter (BIP158) of a block that was connected once.
    pub(super) fn filter(&self) -> Option<&[u8]> {
        let undo = self.undo.get();
        if undo.is_none() && self.height > 0 {
            return None;
        }
        let script = |outpoint: &OutPoint| -> Result<ScriptBuf, bitcoin::bip158::Error> {
            let coin = undo.and_then(|undo| undo.get(outpoint));
            coin.map(|coin| coin.output.script_pubkey.clone())
                .ok_or(bitcoin::bip158::Error::UtxoMissing(*outpoint))
        };
        if self.filter.get().is_none() {
            let made = BlockFilter::new_script_filter(&self.block, script).ok()?;
            // Another thread may have made the same one.
            let _ = self.filter.set(made.content);
        }
        self.filter.get().map(Vec::as_slice)
    }
}

/// Why a block cannot be connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadBlock(pub(super) &'static str);

/// The blocks, the active chain and its unspent outputs. Cheap to copy: blocks are shared.
#[derive(Debug, Clone)]
pub(super) struct Blocks {
    known: HashMap<BlockHash, Arc<Stored>>,
    invalid: HashSet<BlockHash>,
    active: Vec<BlockHash>,
    coins: HashMap<OutPoint, Coin>,
    /// The block that a transaction was last connected with; as Core's index, it forgets none.
    index: HashMap<Txid, BlockHash>,
}

impl Blocks {
    /// The genesis block alone.
    pub(super) fn new(genesis: Block) -> Self {
        let stored = Arc::new(store(genesis, 0));
        let hash = stored.hash;
        Self {
            known: HashMap::from([(hash, stored)]),
            invalid: HashSet::new(),
            active: vec![hash],
            coins: HashMap::new(),
            index: HashMap::new(),
        }
    }

    pub(super) fn tip(&self) -> &Arc<Stored> {
        let hash = self.active.last().expect("the genesis block never goes");
        &self.known[hash]
    }

    pub(super) fn height(&self) -> u32 {
        self.tip().height
    }

    pub(super) fn get(&self, hash: &BlockHash) -> Option<&Arc<Stored>> {
        self.known.get(hash)
    }

    pub(super) fn at(&self, height: u32) -> Option<&Arc<Stored>> {
        let hash = self.active.get(height as usize)?;
        self.known.get(hash)
    }

    pub(super) fn is_active(&self, stored: &Stored) -> bool {
        self.active.get(stored.height as usize) == Some(&stored.hash)
    }

    pub(super) fn is_invalid(&self, hash: &BlockHash) -> bool {
        let mut at = self.known.get(hash);
        while let Some(stored) = at {
            if self.invalid.contains(&stored.hash) {
                return true;
            }
            at = self.known.get(&stored.header().prev_blockhash);
        }
        false
    }

    /// Marks a block, and with it all that stand on it.
    pub(super) fn set_invalid(&mut self, hash: BlockHash, is_invalid: bool) {
        if is_invalid {
            self.invalid.insert(hash);
        } else {
            // Core's `reconsiderblock` clears the block's ancestors and descendants too.
            let cleared: Vec<_> = self
                .invalid
                .iter()
                .filter(|other| self.descends(other, &hash) || self.descends(&hash, other))
                .copied()
                .collect();
            for hash in cleared {
                self.invalid.remove(&hash);
            }
        }
    }

    fn descends(&self, hash: &BlockHash, from: &BlockHash) -> bool {
        let mut at = self.known.get(hash);
        while let Some(stored) = at {
            if stored.hash == *from {
                return true;
            }
            at = self.known.get(&stored.header().prev_blockhash);
        }
        false
    }

    pub(super) fn coin(&self, outpoint: &OutPoint) -> Option<&Coin> {
        self.coins.get(outpoint)
    }

    /// Whether an output of this transaction is unspent in the active chain.
    pub(super) fn has_output_of(&self, txid: Txid, outputs: usize) -> bool {
        let count = u32::try_from(outputs).unwrap_or(u32::MAX);
        (0..count).any(|vout| self.coins.contains_key(&OutPoint { txid, vout }))
    }

    /// The block that the index names for a transaction, active or not.
    pub(super) fn block_of(&self, txid: &Txid) -> Option<&Arc<Stored>> {
        self.known.get(self.index.get(txid)?)
    }

    /// The median time of the blocks up to this one (BIP113).
    pub(super) fn median_time(&self, stored: &Stored) -> u32 {
        let mut times = Vec::with_capacity(MEDIAN_SPAN);
        let mut at = Some(stored);
        while let Some(stored) = at.filter(|_| times.len() < MEDIAN_SPAN) {
            times.push(stored.header().time);
            at = self
                .known
                .get(&stored.header().prev_blockhash)
                .map(|below| &**below);
        }
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// Every block at the end of a branch.
    pub(super) fn ends(&self) -> Vec<&Arc<Stored>> {
        let parents: HashSet<_> = self
            .known
            .values()
            .map(|stored| stored.header().prev_blockhash)
            .collect();
        let ends = self.known.values();
        ends.filter(|stored| !parents.contains(&stored.hash))
            .collect()
    }

    /// Keeps a block whose parent is known; returns it. Nothing becomes active by this.
    pub(super) fn insert(&mut self, block: Block) -> Result<Arc<Stored>, BadBlock> {
        let parent = self
            .known
            .get(&block.header.prev_blockhash)
            .ok_or(BadBlock("prev-blk-not-found"))?;
        let stored = Arc::new(store(block, parent.height + 1));
        self.known.insert(stored.hash, Arc::clone(&stored));
        Ok(stored)
    }

    /// Undoes the block at the tip and returns it.
    pub(super) fn disconnect(&mut self) -> Arc<Stored> {
        let stored = Arc::clone(self.tip());
        self.active.pop();
        for (txid, transaction) in stored.txids.iter().zip(&stored.block.txdata) {
            for vout in 0..transaction.output.len() {
                let vout = u32::try_from(vout).unwrap_or(u32::MAX);
                self.coins.remove(&OutPoint { txid: *txid, vout });
            }
        }
        let made: HashSet<Txid> = stored.txids.iter().copied().collect();
        for (outpoint, coin) in stored.undo.get().into_iter().flatten() {
            if !made.contains(&outpoint.txid) {
                self.coins.insert(*outpoint, coin.clone());
            }
        }
        stored
    }

    /// Applies a block on top of the tip.
    pub(super) fn connect(&mut self, stored: &Arc<Stored>) -> Result<(), BadBlock> {
        let undo = self.spend(stored)?;
        // The same block spends the same outputs each time.
        let _ = stored.undo.set(undo);
        for (number, (txid, transaction)) in
            stored.txids.iter().zip(&stored.block.txdata).enumerate()
        {
            self.index.insert(*txid, stored.hash);
            let is_coinbase = number == 0;
            for (vout, output) in (0..).zip(&transaction.output) {
                let outpoint = OutPoint { txid: *txid, vout };
                let is_spent = stored
                    .undo
                    .get()
                    .is_some_and(|undo| undo.contains_key(&outpoint));
                if !is_spent && !output.script_pubkey.is_op_return() {
                    let coin = Coin {
                        output: output.clone(),
                        height: stored.height,
                        is_coinbase,
                    };
                    self.coins.insert(outpoint, coin);
                }
            }
        }
        self.active.push(stored.hash);
        Ok(())
    }

    /// Takes what a block spends out of the unspent outputs; nothing when it spends what is not
    /// there.
    fn spend(&mut self, stored: &Stored) -> Result<HashMap<OutPoint, Coin>, BadBlock> {
        let mut undo: HashMap<OutPoint, Coin> = HashMap::new();
        let mut made: HashMap<OutPoint, Coin> = HashMap::new();
        for (number, (txid, transaction)) in
            stored.txids.iter().zip(&stored.block.txdata).enumerate()
        {
            if number > 0 {
                if !self.is_final(transaction, stored) {
                    return Err(BadBlock("bad-txns-nonfinal"));
                }
                for input in &transaction.input {
                    let outpoint = input.previous_output;
                    let coin = made
                        .get(&outpoint)
                        .or_else(|| self.coins.get(&outpoint))
                        .ok_or(BadBlock("bad-txns-inputs-missingorspent"))?;
                    if coin.is_coinbase && stored.height - coin.height < COINBASE_MATURITY {
                        return Err(BadBlock("bad-txns-premature-spend-of-coinbase"));
                    }
                    if undo.insert(outpoint, coin.clone()).is_some() {
                        return Err(BadBlock("bad-txns-inputs-missingorspent"));
                    }
                }
            }
            for (vout, output) in (0..).zip(&transaction.output) {
                let coin = Coin {
                    output: output.clone(),
                    height: stored.height,
                    is_coinbase: number == 0,
                };
                made.insert(OutPoint { txid: *txid, vout }, coin);
            }
        }
        for outpoint in undo.keys() {
            self.coins.remove(outpoint);
        }
        Ok(undo)
    }

    /// Whether a block may have a transaction, by its lock time (BIP113).
    fn is_final(&self, transaction: &Transaction, stored: &Stored) -> bool {
        let is_over = match transaction.lock_time {
            absolute::LockTime::Blocks(height) => {
                let height = height.to_consensus_u32();
                height == 0 || height < stored.height
            }
            absolute::LockTime::Seconds(time) => {
                let parent = self.known.get(&stored.header().prev_blockhash);
                parent.is_some_and(|it| time.to_consensus_u32() < self.median_time(it))
            }
        };
        let mut inputs = transaction.input.iter();
        is_over || inputs.all(|input| input.sequence == Sequence::MAX)
    }

    /// The last block of the active chain that this one descends from, or is.
    pub(super) fn fork_with(&self, stored: &Arc<Stored>) -> Arc<Stored> {
        let mut at = Arc::clone(stored);
        while !self.is_active(&at) {
            at = Arc::clone(&self.known[&at.header().prev_blockhash]);
        }
        at
    }

    /// The blocks from above `fork` up to this one, the lowest first.
    pub(super) fn branch(&self, fork: &Stored, end: &Arc<Stored>) -> Vec<Arc<Stored>> {
        let mut branch = Vec::new();
        let mut at = Arc::clone(end);
        while at.hash != fork.hash {
            let below = Arc::clone(&self.known[&at.header().prev_blockhash]);
            branch.push(at);
            at = below;
        }
        branch.reverse();
        branch
    }
}

fn store(block: Block, height: u32) -> Stored {
    Stored {
        bytes: encode::serialize(&block),
        hash: block.block_hash(),
        height,
        txids: block.txdata.iter().map(Transaction::compute_txid).collect(),
        undo: OnceLock::new(),
        filter: OnceLock::new(),
        block,
    }
}
