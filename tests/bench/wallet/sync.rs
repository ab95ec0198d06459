//! First syncs: words restored, the chain read, the coins known.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use btc::NodeConfig;
use btc::bitcoin::OutPoint;
use btc_regtest::Node;

use super::bdk::{Bdk, client};
use super::ground::{Ground, SmallBlocks, access, full_blocks as mine_full_blocks};
use super::memory::{Who, peak};
use super::place::Words;
use crate::Outcome;
use crate::measure::{Effort, turns};
use crate::report::{Reach, Results, Row};

/// Coins with their values, and what can be spent.
type Coins = (HashMap<OutPoint, u64>, u64);

/// Measures first syncs, and their memory.
pub(crate) fn syncs(effort: &Effort, results: &mut Results) -> Outcome<()> {
    small_blocks(effort, results)?;
    full_blocks(effort, results)
}

/// Small blocks, from the genesis block on, without filters and with them.
fn small_blocks(effort: &Effort, results: &mut Results) -> Outcome<()> {
    let words = Words::of(1)?;
    let ground = Ground::new()?;
    let [_, _, height] = effort.heights;
    let work;
    {
        let node = ground.start(false)?;
        let mut blocks = SmallBlocks::begin(&node, &words)?;
        for height in effort.heights {
            eprintln!("a chain of {height} small blocks");
            blocks.grow(height)?;
            for who in Who::ALL {
                let peak = peak(who, &words, &node, height)?;
                eprintln!("{peak}");
                results.peaks.push(peak);
            }
        }
        let paid = blocks.paid();
        work = format!("first sync, {height} small blocks, {paid} payments");
        Run::new(&node, &words, 0)?.rows(effort, &work, 10, results)?;
    }
    let node = ground.start(true)?;
    let work = format!("{work}, block filters");
    Run::new(&node, &words, 0)?.rows(effort, &work, 10, results)
}

/// Full blocks, and those that make their coins.
fn full_blocks(effort: &Effort, results: &mut Results) -> Outcome<()> {
    let words = Words::of(2)?;
    let ground = Ground::new()?;
    let birthday;
    let work = format!(
        "first sync, {} full blocks of {} transactions",
        effort.full_blocks, effort.full_block_transactions
    );
    {
        let node = ground.start(false)?;
        eprintln!("a chain for: {work}");
        birthday = mine_full_blocks(&node, &words, effort)?;
        Run::new(&node, &words, birthday)?.rows(effort, &work, 20, results)?;
    }
    let node = ground.start(true)?;
    let work = format!("{work}, block filters");
    Run::new(&node, &words, birthday)?.rows(effort, &work, 20, results)
}

/// First syncs of one wallet from one node.
struct Run<'w> {
    words: &'w Words,
    birthday: u32,
    node: NodeConfig,
    cookie: String,
}

impl<'w> Run<'w> {
    fn new(node: &Node, words: &'w Words, birthday: u32) -> Outcome<Self> {
        let (node, cookie) = access(node)?;
        Ok(Self {
            words,
            birthday,
            node,
            cookie,
        })
    }

    fn rows(&self, effort: &Effort, work: &str, times: u64, results: &mut Results) -> Outcome<()> {
        let (_, ours) = self.ours()?;
        let (_, theirs) = self.theirs()?;
        if ours != theirs || ours.0.is_empty() {
            return Err(format!("{work}: the wallets disagree, or found nothing").into());
        }
        let [pair] = turns(
            effort.long_rounds,
            &mut || Ok(self.ours()?.0),
            [&mut || Ok(self.theirs()?.0)],
        )?;
        results.add(Row {
            work: work.to_owned(),
            against: "BDK's emitter and wallet over bitcoincore-rpc, a connection for each call",
            reach: Reach::FasterBy(times),
            pair,
        });
        Ok(())
    }

    /// From the folder without books to the balance, all on disk.
    fn ours(&self) -> Outcome<(Duration, Coins)> {
        let place = self.words.restore(self.birthday)?;
        let started = Instant::now();
        let wallet = place.open_at(&self.node)?;
        let state = wallet.state()?;
        let took = started.elapsed();
        let spendable_sat = state.balance.spendable_sat();
        Ok((took, (state.coins.into_iter().collect(), spendable_sat)))
    }

    fn theirs(&self) -> Outcome<(Duration, Coins)> {
        let home = tempfile::tempdir()?;
        let started = Instant::now();
        let client = client(&self.node.url, &self.cookie)?;
        let mut wallet = Bdk::create(self.words, home.path())?;
        wallet.sync(&client, self.birthday)?;
        let coins = wallet.coins();
        Ok((started.elapsed(), coins))
    }
}
