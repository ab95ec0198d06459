//! Carrying out a plan: base blocks, coins, rounds of every kind, a full block, a mempool.

use std::collections::BTreeMap;

use bitcoin::{Amount, BlockHash, Txid};

use super::Chain;
use super::draft::Built;
use super::hold::{Held, PATIENCE_BLOCKS};
use super::kind::Kind;
use super::lock::{Coin, Lock};
use super::odd::ODD_NEEDS;
use super::plan::{OnProgress, Plan, Progress, Summary};
use super::recipe::needs;
use crate::NodeError;

/// Made in every round.
const EVERYDAY: [Kind; 26] = [
    Kind::P2pk,
    Kind::P2pkUncompressed,
    Kind::P2pkh,
    Kind::Multisig,
    Kind::P2shMultisig,
    Kind::P2shP2wpkh,
    Kind::P2wpkh,
    Kind::P2wsh,
    Kind::P2shP2wsh,
    Kind::P2trKeyPath,
    Kind::P2trScriptPath,
    Kind::AnchorCreate,
    Kind::AnchorSpend,
    Kind::OpReturn,
    Kind::FutureWitness,
    Kind::Replacement,
    Kind::Final,
    Kind::HeightLock,
    Kind::TimeLock,
    Kind::RelativeHeightLock,
    Kind::RelativeTimeLock,
    Kind::Version1,
    Kind::Version3,
    Kind::SighashType,
    Kind::P2wpkh,
    Kind::P2trKeyPath,
];

/// Made once, in the first rounds.
const BULKY: [Kind; 4] = [
    Kind::ManyInputs,
    Kind::ManyOutputs,
    Kind::BigWitness,
    Kind::Descendant,
];

/// Outputs of one funding transaction: a third of the largest standard size.
const FUNDING_OUTPUTS: usize = 1_000;
/// Fee rate of funding transactions, in sat/vB.
const FUNDING_FEE_RATE: u64 = 2;

impl Chain<'_> {
    /// Builds a chain to a plan on top of what the node has.
    ///
    /// # Behavior
    ///
    /// - On a new node the blocks are ten minutes apart and the last is of now: the node's clock is
    ///   set for each, and given back at the end, also after an error.
    /// - Every transaction but the non-standard ones passes through the mempool, at 1 to 50 sat/vB
    ///   (bulky ones at most 5, replacements up to 110).
    /// - The same seed and plan on a new node give the same transactions.
    ///
    /// # Errors
    ///
    /// Those of the calls; [`NodeError::NoCoin`] for a plan with too few base blocks.
    pub fn build(
        &mut self,
        plan: &Plan,
        on_progress: OnProgress<'_>,
    ) -> Result<Summary, NodeError> {
        self.start_clock(plan.blocks())?;
        let built = self.build_on_clock(plan, on_progress);
        let stopped = self.stop_clock();
        let summary = built?;
        stopped?;
        Ok(summary)
    }

    fn build_on_clock(
        &mut self,
        plan: &Plan,
        on_progress: OnProgress<'_>,
    ) -> Result<Summary, NodeError> {
        let mut report = Report {
            summary: Summary::default(),
            next: self.height + 1,
        };
        let blocks = self.mine_steps(plan.base_blocks, "mining the first blocks", on_progress)?;
        report.blocks(blocks);

        let rounds: Vec<Vec<Kind>> = (0..plan.rounds)
            .map(|round| kinds_of(plan, round))
            .collect();
        let left = left_over(plan);
        let mut wanted: BTreeMap<Lock, u32> = BTreeMap::new();
        let all = rounds
            .iter()
            .flatten()
            .chain(&left)
            .flat_map(|kind| needs(*kind, plan));
        for (lock, count) in all.chain(if plan.rounds > 0 {
            ODD_NEEDS.to_vec()
        } else {
            vec![]
        }) {
            *wanted.entry(lock).or_default() += count;
        }
        let funding = self.fund(&wanted, coin_value)?;
        report.sent(Kind::Funding, &funding);
        report.blocks(self.mine(1)?);

        let mut turn = 0;
        let mut held = Held::default();
        for (done, kinds) in (0..).zip(&rounds) {
            on_progress(Progress {
                step: "filling blocks",
                done,
                total: plan.rounds,
            });
            let sent = self.send_kinds(kinds, plan, &mut turn, &mut report)?;
            if done + PATIENCE_BLOCKS < plan.rounds {
                self.hold(&mut held, done, &sent)?;
            }
            self.release(&mut held, done)?;
            report.blocks(self.mine(1)?);
        }
        on_progress(Progress {
            step: "filling blocks",
            done: plan.rounds,
            total: plan.rounds,
        });
        if plan.rounds > 0 {
            let (hash, odd) = self.mine_odd()?;
            report.sent(Kind::NonStandard, &odd);
            report.summary.odd_block = Some(hash);
            report.blocks(vec![hash]);
        }
        if let Some(count) = plan.full_block {
            let full = self.mine_full_block(count, on_progress)?;
            report.count(Kind::Funding, full.funding);
            report.count(Kind::FullBlock, full.txids);
            report.summary.full_block = Some(full.hash);
            report.blocks(vec![full.fan_out, full.hash]);
        }
        let left = self.send_kinds(&left, plan, &mut turn, &mut report)?;
        report.summary.mempool = left.iter().map(|built| built.txid).collect();
        Ok(report.summary)
    }

    /// Splits coinbases into coins and sends the transactions; a block must follow.
    pub(crate) fn fund(
        &mut self,
        wanted: &BTreeMap<Lock, u32>,
        value: fn(Lock, u32) -> Amount,
    ) -> Result<Vec<Built>, NodeError> {
        // Interleaved, so that neighbours differ.
        let most = wanted.values().copied().max().unwrap_or(0);
        let locks: Vec<Lock> = (0..most)
            .flat_map(|n| {
                wanted
                    .iter()
                    .filter(move |(_, count)| n < **count)
                    .map(|(lock, _)| *lock)
            })
            .collect();
        let mut all = Vec::new();
        for locks in locks.chunks(FUNDING_OUTPUTS) {
            let mut outputs = Vec::with_capacity(locks.len());
            for lock in locks {
                let value = value(*lock, self.next_key);
                outputs.push(self.out(*lock, value));
            }
            let paid = outputs.iter().map(|out| out.value).sum::<Amount>();
            let inputs = self.coinbases_worth(paid + FUNDING_RESERVE)?;
            let draft = self.draft(inputs, outputs, FUNDING_FEE_RATE);
            all.push(draft.finish(&self.keys, Kind::Funding.label())?);
        }
        self.send(&all.iter().collect::<Vec<_>>())?;
        Ok(all)
    }

    /// As many mature coinbases as it takes.
    pub(crate) fn coinbases_worth(&mut self, amount: Amount) -> Result<Vec<Coin>, NodeError> {
        let mut coins = Vec::new();
        let mut sum = Amount::ZERO;
        while sum < amount {
            let coin = self.take_coinbase()?;
            sum += coin.value;
            coins.push(coin);
        }
        Ok(coins)
    }

    /// Makes and sends one transaction per kind; returns what stays in the mempool.
    fn send_kinds(
        &mut self,
        kinds: &[Kind],
        plan: &Plan,
        turn: &mut u32,
        report: &mut Report,
    ) -> Result<Vec<Built>, NodeError> {
        let mut batch = Vec::new();
        let mut replaced = Vec::new();
        for kind in kinds {
            let made = self.make(*kind, plan, *turn, fee_rate(*turn))?;
            *turn += 1;
            let txids = made.built.iter().map(|built| built.txid);
            report.count(*kind, txids.filter(|txid| Some(*txid) != made.replaced));
            replaced.extend(made.replaced);
            batch.extend(made.built);
        }
        self.send(&batch.iter().collect::<Vec<_>>())?;
        batch.retain(|built| !replaced.contains(&built.txid));
        report.summary.replaced.extend(replaced);
        Ok(batch)
    }
}

/// More than the fee of the largest funding transaction and its change.
const FUNDING_RESERVE: Amount = Amount::from_sat(1_000_000);

/// Everyday coins are worth 0.05 BTC and a little, so that no two are alike.
fn coin_value(lock: Lock, key: u32) -> Amount {
    match lock {
        Lock::Anchor => Amount::from_sat(1_000),
        _ => Amount::from_sat(5_000_000 + u64::from(key) * 7_919 % 1_000_000),
    }
}

/// From 1 to 50 sat/vB, each as often as the others.
pub(crate) fn fee_rate(turn: u32) -> u64 {
    1 + (u64::from(turn) * 13 + 6) % 50
}

fn kinds_of(plan: &Plan, round: u32) -> Vec<Kind> {
    let mut kinds = EVERYDAY.to_vec();
    // Spread over the rounds as far as there are enough of them.
    let bulky = (0..).zip(BULKY).filter(|(n, _)| n % plan.rounds == round);
    kinds.extend(bulky.map(|(_, kind)| kind));
    kinds
}

/// What is sent last and not mined.
fn left_over(plan: &Plan) -> Vec<Kind> {
    let kinds = EVERYDAY.iter().cycle().skip(6);
    let mut kinds: Vec<_> = kinds.copied().take(plan.mempool as usize).collect();
    if plan.mempool > plan.descendants && plan.descendants > 0 {
        kinds.truncate((plan.mempool - plan.descendants) as usize);
        kinds.push(Kind::Descendant);
    }
    kinds
}

/// The summary in the making.
struct Report {
    summary: Summary,
    next: u32,
}

impl Report {
    fn blocks(&mut self, hashes: Vec<BlockHash>) {
        for hash in hashes {
            self.summary.blocks.push((self.next, hash));
            self.next += 1;
        }
    }

    fn sent(&mut self, kind: Kind, built: &[Built]) {
        self.count(kind, built.iter().map(|built| built.txid));
    }

    fn count(&mut self, kind: Kind, txids: impl IntoIterator<Item = Txid>) {
        self.summary.kinds.entry(kind).or_default().extend(txids);
    }
}
