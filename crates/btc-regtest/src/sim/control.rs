//! What a test does with a simulated node: mine, reorganise, send, evict, restart, disturb.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use bitcoin::{Block, BlockHash, ScriptBuf, Transaction, Txid};

use super::assemble::in_order;
use super::chain::BadBlock;
use super::journal::Deed;
use super::rpc::hand_over;
use super::tap::Tap;
use super::{SimError, SimNode};

/// Beyond every fee rate: the node's own limit does not hold for those who run it.
const ANY_RATE: u64 = 0;

impl From<BadBlock> for SimError {
    fn from(BadBlock(reason): BadBlock) -> Self {
        Self::Block(reason)
    }
}

impl SimNode {
    /// Mines a block with the whole mempool; the reward goes to this script.
    ///
    /// # Errors
    ///
    /// [`SimError::Block`] when the mempool is not valid, which would be a defect of the node.
    pub fn mine(&self, script: ScriptBuf) -> Result<BlockHash, SimError> {
        let waiting = self.mempool().into_iter();
        let transactions = waiting.map(|it| (*it.transaction).clone()).collect();
        self.mine_these(transactions, script)
    }

    /// Mines a block with these transactions and nothing else, whether or not the mempool has them.
    ///
    /// # Errors
    ///
    /// [`SimError::Block`] when one of them spends what is not there.
    pub fn mine_these(
        &self,
        transactions: Vec<Transaction>,
        script: ScriptBuf,
    ) -> Result<BlockHash, SimError> {
        let block = self.assemble(self.tip().1, transactions, script)?;
        self.submit_block(block)
    }

    /// Puts a block together on any block that is known; nothing changes.
    ///
    /// # Errors
    ///
    /// [`SimError::Block`] when the parent is not known, or a transaction spends what is not there.
    pub fn assemble(
        &self,
        parent: BlockHash,
        transactions: Vec<Transaction>,
        script: ScriptBuf,
    ) -> Result<Block, SimError> {
        let mut world = self.shared.world();
        Ok(world.assemble(parent, transactions, script)?)
    }

    /// Hands a block over. The chain with the most work becomes active; of two with the same, the
    /// one that was there first stays.
    ///
    /// # Errors
    ///
    /// [`SimError::Block`] when its parent is not known or its chain is not valid.
    pub fn submit_block(&self, block: Block) -> Result<BlockHash, SimError> {
        let mut world = self.shared.world();
        world.journal.push(Deed::Block(Box::new(block.clone())));
        Ok(world.take_block(block)?)
    }

    /// Replaces the last `depth` blocks by one more, each with the transactions given for it; what
    /// they left out waits again if it may.
    ///
    /// # Errors
    ///
    /// [`SimError::Block`] when a transaction spends what is not there, or there are too few
    /// blocks; nothing changes then.
    pub fn reorganise(
        &self,
        depth: u32,
        contents: Vec<Vec<Transaction>>,
        script: &ScriptBuf,
    ) -> Result<(), SimError> {
        let height = self.tip().0;
        let fork = height.checked_sub(depth);
        let mut parent = fork
            .and_then(|fork| self.hash_at(fork))
            .ok_or(SimError::Block("the chain is shorter than that"))?;
        let mut contents = contents.into_iter();
        for _ in 0..=depth {
            let transactions = contents.next().unwrap_or_default();
            let block = self.assemble(parent, transactions, script.clone())?;
            parent = block.block_hash();
            self.submit_block(block)?;
        }
        Ok(())
    }

    /// Declares a block invalid, with all that stand on it, as `invalidateblock` does.
    ///
    /// # Errors
    ///
    /// [`SimError::Block`] when it is not known.
    pub fn invalidate(&self, hash: BlockHash) -> Result<(), SimError> {
        let mut world = self.shared.world();
        world.journal.push(Deed::Invalidated(hash));
        Ok(world.invalidate(hash)?)
    }

    /// Declares it valid again, as `reconsiderblock` does.
    ///
    /// # Errors
    ///
    /// [`SimError::Block`] when its chain is not valid.
    pub fn reconsider(&self, hash: BlockHash) -> Result<(), SimError> {
        let mut world = self.shared.world();
        world.journal.push(Deed::Reconsidered(hash));
        Ok(world.reconsider(hash)?)
    }

    /// Hands a transaction over, as `sendrawtransaction` without a limit of the fee.
    ///
    /// # Errors
    ///
    /// [`SimError::Refused`] with Core's code and words.
    pub fn submit(&self, transaction: &Transaction) -> Result<Txid, SimError> {
        let mut world = self.shared.world();
        let sent = hand_over(&mut world, transaction, ANY_RATE, u64::MAX);
        let refusal = sent.as_ref().err();
        let refusal = refusal.map(|error| (error.code, error.message.clone()));
        world
            .journal
            .push(Deed::Sent(Box::new(transaction.clone()), refusal));
        sent.map_err(|error| SimError::Refused {
            code: error.code,
            message: error.message,
        })
    }

    /// Takes transactions out of the mempool, with all that spend them; returns how many went.
    pub fn evict(&self, txids: &[Txid]) -> usize {
        let mut world = self.shared.world();
        let gone = world.pool.remove_with_descendants(txids.iter().copied());
        world.note_restart();
        gone
    }

    /// Raises the least fee rate that is taken, in sat/kvB, as a full mempool does; what pays less
    /// goes. Returns what went.
    pub fn raise_minimum(&self, sat_per_kvb: u64) -> Vec<Txid> {
        let mut world = self.shared.world();
        let gone = world.pool.raise_minimum(sat_per_kvb);
        world.note_restart();
        gone
    }

    /// Lets the minimum fall back to that of the relay.
    pub fn lower_minimum(&self) {
        self.shared.world().pool.set_rolling_min(0);
    }

    /// Sets the node's clock ahead, in seconds. What has waited for more than 14 days goes when
    /// the next transaction comes.
    pub fn advance(&self, secs: u64) {
        let mut world = self.shared.world();
        world.now_secs = world.now_secs.saturating_add(secs);
        let now = world.now_secs;
        world.journal.push(Deed::Clock(now));
    }

    /// Ends every connection and starts anew, with the mempool or without it. The cookie changes.
    ///
    /// # Errors
    ///
    /// [`SimError::Io`] when the cookie cannot be written.
    pub fn restart(&self, keeps_mempool: bool) -> Result<(), SimError> {
        {
            let mut world = self.shared.world();
            if !keeps_mempool {
                let all: Vec<Txid> = world.pool.in_order().iter().map(|it| it.txid).collect();
                world.pool.remove_with_descendants(all);
            }
            world.pool.set_rolling_min(0);
            world.started_secs = world.now_secs;
            world.note_restart();
        }
        self.renew_cookie()?;
        self.shared.hang_up();
        Ok(())
    }

    /// Starts anew with a mempool that is not loaded yet: it is empty, and says so, until
    /// [`finish_loading`](Self::finish_loading). The cookie changes.
    ///
    /// # Errors
    ///
    /// [`SimError::Io`] when the cookie cannot be written.
    pub fn restart_loading(&self) -> Result<(), SimError> {
        let stored = self.mempool().into_iter();
        let stored = stored.map(|it| (*it.transaction).clone()).collect();
        self.restart(false)?;
        self.shared.world().unloaded = Some(stored);
        Ok(())
    }

    /// Loads the mempool that was there before the restart, as far as it is still valid.
    pub fn finish_loading(&self) {
        let stored = self.shared.world().unloaded.take().unwrap_or_default();
        // Core writes and reads parents first, in whatever order they came.
        for transaction in in_order(stored) {
            // What is not valid any more stays away.
            let _ = self.submit(&transaction);
        }
    }

    /// Whether the mempool is loaded.
    pub fn is_loaded(&self) -> bool {
        self.shared.world().unloaded.is_none()
    }

    /// For this many more calls, the node warms up: each is answered with -28.
    pub fn warm_up(&self, calls: u32) {
        self.shared.world().warm_up_calls = calls;
    }

    /// For this many more calls of `getmempoolinfo`, the mempool is not loaded.
    pub fn unload(&self, calls: u32) {
        self.shared.world().unloaded_calls = calls;
    }

    /// What `estimatesmartfee` answers, in sat/kvB; nothing: that it knows too little.
    pub fn set_estimate(&self, sat_per_kvb: Option<u64>) {
        self.shared.world().estimate_sat_per_kvb = sat_per_kvb;
    }

    /// Whether the node is down: it closes every connection at once.
    pub fn set_down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, Ordering::SeqCst);
        if is_down {
            self.shared.hang_up();
        }
    }

    /// Puts something into the way of every call, or takes it out.
    pub fn set_tap(&self, tap: Option<Tap>) {
        *self
            .shared
            .tap
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = tap;
    }
}
