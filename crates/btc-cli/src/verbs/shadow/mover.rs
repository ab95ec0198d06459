//! Moves a private chain while a load runs: blocks, reorganisations, payments, replacements,
//! evictions.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use btc::bitcoin::address::NetworkUnchecked;
use btc::bitcoin::consensus::encode::serialize_hex;
use btc::bitcoin::{Address, Amount, BlockHash, ScriptBuf, Transaction};
use btc::shadow::parity::Random;
use btc_regtest::{Chain, NodeError};
use serde::Serialize;
use serde_json::json;

use crate::load::World;

/// Milliseconds between two moves, at least and at most.
const PACE_MS: (u64, u64) = (200, 800);
/// In soaks longer than so many minutes the moves are farther apart: on regtest a block's reward
/// halves every 150 blocks, and what there is to spend must last to the end.
const USUAL_MINUTES: u64 = 10;
const NAP: Duration = Duration::from_millis(20);
/// After so many failures in a row the node is given up.
const MAX_FAILURES: u32 = 20;
/// How many payments may be taken back.
const MAX_PAYMENTS: usize = 16;

/// What has happened to the chain.
#[derive(Debug, Default)]
pub(super) struct Moves {
    height: AtomicU32,
    blocks: AtomicU32,
    reorganisations: AtomicU32,
    payments: AtomicU32,
    replacements: AtomicU32,
    evictions: AtomicU32,
    refused: AtomicU32,
}

/// A copy of the counters.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Moved {
    /// The height of the last block.
    pub(super) height: u32,
    /// Blocks mined.
    pub(super) blocks: u32,
    /// Reorganisations, of one to three blocks.
    pub(super) reorganisations: u32,
    /// Payments to the wallet.
    pub(super) payments: u32,
    /// Payments that their sender took back before they confirmed.
    pub(super) replacements: u32,
    /// Payments that were confirmed and went with their block.
    pub(super) evictions: u32,
    /// Moves that the node did not allow.
    pub(super) refused: u32,
}

impl Moves {
    pub(super) fn now(&self) -> Moved {
        let read = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        Moved {
            height: read(&self.height),
            blocks: read(&self.blocks),
            reorganisations: read(&self.reorganisations),
            payments: read(&self.payments),
            replacements: read(&self.replacements),
            evictions: read(&self.evictions),
            refused: read(&self.refused),
        }
    }

    pub(super) fn see(&self, height: u32) {
        self.height.store(height, Ordering::Relaxed);
    }
}

/// Moves the chain.
pub(super) struct Mover<'a, 'n> {
    chain: &'a mut Chain<'n>,
    world: &'a World,
    moves: &'a Moves,
    random: Random,
    reorg_every: Option<Duration>,
    slowness: u64,
    payments: Vec<Transaction>,
}

impl<'a, 'n> Mover<'a, 'n> {
    pub(super) fn new(
        chain: &'a mut Chain<'n>,
        world: &'a World,
        moves: &'a Moves,
        reorg_every: Option<Duration>,
        seed: u64,
    ) -> Self {
        Self {
            chain,
            world,
            moves,
            random: Random::new(seed),
            reorg_every,
            slowness: 1,
            payments: Vec::new(),
        }
    }

    /// Sets the pace for a soak of so many minutes.
    #[must_use]
    pub(super) fn for_minutes(mut self, minutes: u64) -> Self {
        self.slowness = (minutes / USUAL_MINUTES).max(1);
        self
    }

    /// Moves until it is over.
    ///
    /// # Errors
    /// The node's, when it allows nothing any more.
    pub(super) fn run(&mut self, is_over: &dyn Fn() -> bool) -> Result<(), NodeError> {
        let mut last_reorg = Instant::now();
        let mut failures = 0;
        while !is_over() {
            let is_due = self
                .reorg_every
                .is_some_and(|every| last_reorg.elapsed() >= every);
            let moved = if is_due {
                last_reorg = Instant::now();
                self.reorganise()
            } else {
                self.move_on()
            };
            match moved {
                Ok(()) => failures = 0,
                Err(error) => {
                    count(&self.moves.refused);
                    failures += 1;
                    if failures >= MAX_FAILURES {
                        return Err(error);
                    }
                    // Most often there is no coin left, and a block brings one.
                    let _ = self.mine(1);
                }
            }
            self.moves.see(self.chain.height());
            let wait_ms = self.random.between(PACE_MS.0, PACE_MS.1);
            let wait = Duration::from_millis(wait_ms.saturating_mul(self.slowness));
            let until = Instant::now() + wait;
            while Instant::now() < until && !is_over() {
                thread::sleep(NAP);
            }
        }
        Ok(())
    }

    fn move_on(&mut self) -> Result<(), NodeError> {
        match self.random.between(0, 9) {
            0..4 => self.pay(),
            4..7 => self.mine(1),
            7..9 => self.replace(),
            _ => self.evict(),
        }
    }

    fn mine(&mut self, blocks: u32) -> Result<(), NodeError> {
        let hashes = self.chain.mine(blocks)?;
        self.learn(&hashes);
        Ok(())
    }

    /// Blocks taken back and others in their place, which hold their transactions or leave them
    /// waiting.
    fn reorganise(&mut self) -> Result<(), NodeError> {
        let depth = u32::try_from(self.random.between(1, 3)).unwrap_or(1);
        let reorg = if self.random.once_in(2) {
            self.chain.reorg(depth)?
        } else {
            self.chain.reorg_empty(depth)?
        };
        count(&self.moves.reorganisations);
        self.learn(&reorg.connected);
        Ok(())
    }

    fn pay(&mut self) -> Result<(), NodeError> {
        let Some(script) = self.script() else {
            return Ok(());
        };
        let value = Amount::from_sat(self.random.between(10_000, 300_000));
        if self.random.once_in(2) {
            // Its change comes back, so that this goes on for as long as it takes.
            let txid = self.chain.pay(&[(script, value)], 3)?;
            self.world.learn_transaction(txid.to_string());
        } else {
            let payment = self.chain.spend_to(&script, value)?;
            self.send(&payment)?;
            if self.payments.len() < MAX_PAYMENTS {
                self.payments.push(payment);
            }
        }
        count(&self.moves.payments);
        Ok(())
    }

    /// Takes a payment back that waits for a block, if it still does.
    fn replace(&mut self) -> Result<(), NodeError> {
        let Some(payment) = self.payments.pop() else {
            return self.pay();
        };
        let rival = self.chain.double_spend(&payment)?;
        // One that is in a block already cannot be replaced.
        if self.send(&rival).is_ok() {
            count(&self.moves.replacements);
        }
        Ok(())
    }

    /// A payment is confirmed, and goes with its block: another transaction spends the same coin.
    fn evict(&mut self) -> Result<(), NodeError> {
        let Some(script) = self.script() else {
            return Ok(());
        };
        let value = Amount::from_sat(self.random.between(10_000, 300_000));
        let payment = self.chain.spend_to(&script, value)?;
        self.send(&payment)?;
        self.mine(1)?;
        let rival = self.chain.double_spend(&payment)?;
        self.chain.disconnect(1)?;
        let hash = self.chain.mine_transactions(std::slice::from_ref(&rival))?;
        self.world
            .learn_transaction(rival.compute_txid().to_string());
        self.learn(&[hash]);
        count(&self.moves.evictions);
        self.mine(1)
    }

    /// Where the wallet is paid.
    fn script(&mut self) -> Option<ScriptBuf> {
        let address = self.world.address(&mut self.random)?;
        let address: Address<NetworkUnchecked> = address.parse().ok()?;
        Some(address.assume_checked().script_pubkey())
    }

    fn send(&self, transaction: &Transaction) -> Result<(), NodeError> {
        let hex = serialize_hex(transaction);
        let txid: String = self
            .chain
            .node()
            .call("sendrawtransaction", &[json!(hex)])?;
        self.world.learn_transaction(txid);
        Ok(())
    }

    fn learn(&self, blocks: &[BlockHash]) {
        for hash in blocks {
            self.world.learn_block(hash.to_string());
            count(&self.moves.blocks);
        }
    }
}

fn count(counter: &AtomicU32) {
    counter.fetch_add(1, Ordering::Relaxed);
}
