//! Nodes with chains for a wallet: many small blocks, full ones, many coins.

use std::thread::sleep;
use std::time::{Duration, Instant};

use btc::NodeConfig;
use btc::bitcoin::{Amount, ScriptBuf, consensus::encode};
use btc_regtest::{Chain, Node};
use btc_tests::{builder, node_config};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::place::Words;
use crate::Outcome;
use crate::measure::Effort;

/// What a coinbase needs to be spent, and some more.
const MATURE: u32 = 110;
/// Blocks from one payment to the next.
const PAYMENT_STEP: u32 = 50;
/// The fee rate of payments in sat/vB.
const FEE_RATE: u64 = 5;
/// What the wallet gets in each payment, in satoshi, plus a number.
const PAYMENT_SAT: u64 = 100_000;
/// How many transactions may depend on each other in a mempool, with room to spare.
const CHAIN_LIMIT: usize = 10;
/// Addresses that the many coins are on.
pub(super) const ADDRESSES: u32 = 1_000;
/// Coins made by one transaction.
const OUTPUTS: usize = 250;
/// Each so many full blocks, one pays the wallet.
const PAYING_STEP: u32 = 4;
/// How long an index may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// A data directory whose node can be started with filters or without.
pub(super) struct Ground {
    home: TempDir,
}

impl Ground {
    pub(super) fn new() -> Outcome<Self> {
        Ok(Self {
            home: tempfile::tempdir()?,
        })
    }

    /// Starts the node.
    pub(super) fn start(&self, has_filters: bool) -> Outcome<Node> {
        let node = builder()
            .datadir(self.home.path())
            .block_filters(has_filters)
            .start()?;
        if has_filters {
            wait_for_filters(&node)?;
        }
        Ok(node)
    }
}

/// How to reach a node, and the content of its cookie.
pub(super) fn access(node: &Node) -> Outcome<(NodeConfig, String)> {
    let path = node.cookie_file().ok_or("the node has no cookie")?;
    Ok((node_config(node), std::fs::read_to_string(path)?))
}

/// Waits until the node has the filter of each block.
pub(super) fn wait_for_filters(node: &Node) -> Outcome<()> {
    let height: u64 = node.call("getblockcount", &[])?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let all: Value = node.call("getindexinfo", &[])?;
        let index = &all["basic block filter index"];
        if index["synced"] == json!(true) && index["best_block_height"] == json!(height) {
            return Ok(());
        }
        sleep(Duration::from_millis(50));
    }
    Err("the node's filters are not ready".into())
}

/// A chain of small blocks that grows, with a payment to the wallet every so many blocks, each to
/// the next address.
pub(super) struct SmallBlocks<'n> {
    chain: Chain<'n>,
    words: &'n Words,
    paid: u32,
}

impl<'n> SmallBlocks<'n> {
    pub(super) fn begin(node: &'n Node, words: &'n Words) -> Outcome<Self> {
        let mut chain = Chain::new(node, 11)?;
        chain.mine(MATURE)?;
        Ok(Self {
            chain,
            words,
            paid: 0,
        })
    }

    /// Grows to this height.
    pub(super) fn grow(&mut self, height: u32) -> Outcome<()> {
        while self.chain.height() < height {
            let script = self.words.script(self.paid)?;
            let amount = Amount::from_sat(PAYMENT_SAT + u64::from(self.paid));
            self.chain.pay(&[(script, amount)], FEE_RATE)?;
            self.paid += 1;
            let step = PAYMENT_STEP.min(height - self.chain.height());
            self.chain.mine(step)?;
        }
        Ok(())
    }

    /// Pays the address that many behind the next one, in a block of its own; the one after it is
    /// the next.
    pub(super) fn pay_ahead(&mut self, ahead: u32) -> Outcome<()> {
        self.paid += ahead;
        let script = self.words.script(self.paid)?;
        let amount = Amount::from_sat(PAYMENT_SAT + u64::from(self.paid));
        self.chain.pay(&[(script, amount)], FEE_RATE)?;
        self.paid += 1;
        self.chain.mine(1)?;
        Ok(())
    }

    /// Payments so far.
    pub(super) fn paid(&self) -> u32 {
        self.paid
    }
}

/// Full blocks, and before each the one that makes its coins. Returns the height of the first.
pub(super) fn full_blocks(node: &Node, words: &Words, effort: &Effort) -> Outcome<u32> {
    let count = effort.full_blocks;
    let mut chain = Chain::new(node, 12)?;
    // Three coinbases for each full block, and one for each payment.
    chain.mine(MATURE + 4 * count)?;
    let first = chain.height() + 1;
    for number in 0..count {
        let payment = if number % PAYING_STEP == 0 {
            let amount = Amount::from_sat(PAYMENT_SAT + u64::from(number));
            let script = words.script(number / PAYING_STEP)?;
            Some(encode::serialize_hex(&chain.spend_to(&script, amount)?))
        } else {
            None
        };
        let mut sent = Ok(Value::Null);
        chain.mine_full_block(effort.full_block_transactions, &mut |progress| {
            // The block that makes the coins is mined, the full one is not.
            if progress.done == 0
                && progress.step == "filling a whole block"
                && let Some(hex) = &payment
            {
                sent = node.call("sendrawtransaction", &[json!(hex)]);
            }
        })?;
        sent?;
    }
    Ok(first)
}

/// Pays this many coins of different values to the wallet's first addresses.
pub(super) fn many_coins(node: &Node, words: &Words, coins: usize) -> Outcome<()> {
    let mut chain = Chain::new(node, 13)?;
    chain.mine(MATURE)?;
    let scripts: Vec<ScriptBuf> = words.scripts(ADDRESSES)?;
    let payments: Vec<_> = scripts
        .iter()
        .cycle()
        .zip(PAYMENT_SAT..)
        .take(coins)
        .map(|(script, value_sat)| (script.clone(), Amount::from_sat(value_sat)))
        .collect();
    for (number, outputs) in payments.chunks(OUTPUTS).enumerate() {
        chain.pay(outputs, FEE_RATE)?;
        if number % CHAIN_LIMIT == CHAIN_LIMIT - 1 {
            chain.mine(1)?;
        }
    }
    chain.mine(6)?;
    Ok(())
}
