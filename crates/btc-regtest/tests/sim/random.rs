//! Random lives of both nodes: payments, replacements, families, blocks and branches.

use bitcoin::consensus::encode;
use bitcoin::{Amount, OutPoint, Sequence, Transaction, TxOut};
use btc_regtest::sim::{OpenCoin, coins};
use serde_json::json;

use crate::pair::Pair;

/// More were tried while this was written: 1 to 120.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;

/// Repeatable numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.word() % end
    }
}

struct Life {
    pair: Pair,
    random: Random,
    /// Outputs of everything that was ever built, spent or not.
    outputs: Vec<OpenCoin>,
    built: Vec<Transaction>,
    number: u32,
    taken: u32,
    refused: u32,
}

impl Life {
    fn step(&mut self) {
        match self.random.below(20) {
            0 => {
                self.pair.sim.advance(600);
                self.pair.mine();
            }
            1 => self.reorganise(),
            2 => {
                let height = self.pair.sim.tip().0;
                let depth = u32::try_from(self.random.below(3)).unwrap();
                let hash = self.pair.sim.hash_at(height - depth).unwrap();
                self.pair.sim.invalidate(hash).unwrap();
                self.pair.mirror();
                self.pair.assert_same_state();
                self.pair.sim.reconsider(hash).unwrap();
                self.pair.mirror();
            }
            3 if !self.built.is_empty() => {
                let at = self.random.below(self.built.len() as u64);
                let again = self.built[usize::try_from(at).unwrap()].clone();
                self.send(&again);
            }
            _ => {
                let payment = self.payment();
                self.send(&payment);
                self.built.push(payment);
            }
        }
        self.pair.assert_same_state();
    }

    fn send(&mut self, payment: &Transaction) {
        if self.random.below(3) == 0 {
            let hex = encode::serialize_hex(payment);
            self.pair.same("testmempoolaccept", json!([[hex]])).unwrap();
        }
        match self.pair.send(payment) {
            Ok(_) => self.taken += 1,
            Err(_) => self.refused += 1,
        }
    }

    fn reorganise(&mut self) {
        let depth = 1 + u32::try_from(self.random.below(4)).unwrap();
        let mut contents = Vec::new();
        if self.random.below(2) == 0 {
            // Some of what was undone is in the new branch, parents first, if it still fits.
            let height = self.pair.sim.tip().0;
            let undone = self.pair.sim.blocks_from(height - depth + 1);
            let first = &undone[0].block.txdata[1..];
            contents.push(first.to_vec());
        }
        self.pair
            .sim
            .reorganise(depth, contents, &coins::script(0))
            .unwrap();
        self.pair.mirror();
    }

    /// Mostly one that is unspent.
    fn late_output(&mut self) -> OpenCoin {
        let is_there = |pair: &Pair, coin: &OpenCoin| {
            pair.sim.is_waiting(coin.outpoint.txid) || pair.sim.unspent(coin.outpoint).is_some()
        };
        let mut coin = self.outputs[self.outputs.len() - 1];
        for _ in 0..self.random.below(12) {
            let back = self.random.below(self.outputs.len().min(40) as u64);
            coin = self.outputs[self.outputs.len() - 1 - usize::try_from(back).unwrap()];
            let is_free = self.pair.sim.spender(coin.outpoint).is_none();
            if is_free && is_there(&self.pair, &coin) {
                break;
            }
        }
        coin
    }

    /// One to three inputs, old and new ones, one to three outputs, any fee.
    fn payment(&mut self) -> Transaction {
        let mut inputs: Vec<OpenCoin> = Vec::new();
        for _ in 0..=self.random.below(2) {
            let open = self.pair.sim.open_coins();
            let is_new = self.outputs.is_empty() || self.random.below(6) == 0;
            let coin = if is_new && !open.is_empty() {
                open[usize::try_from(self.random.below(open.len() as u64)).unwrap()]
            } else {
                // Rather a late one.
                self.late_output()
            };
            if !inputs.iter().any(|it| it.outpoint == coin.outpoint) {
                inputs.push(coin);
            }
        }
        let total: u64 = inputs.iter().map(|it| it.value.to_sat()).sum();
        let fee = match self.random.below(8) {
            0 => 5,
            1 => self.random.below(200),
            2 => 50_000,
            _ => 200 + self.random.below(3_000),
        };
        let rest = total.saturating_sub(fee).max(300);
        let count = 1 + self.random.below(3);
        let mut outputs: Vec<TxOut> = Vec::new();
        for number in 0..count {
            self.number += 1;
            let share = if number + 1 == count {
                rest - rest / count * (count - 1)
            } else {
                rest / count
            };
            outputs.push(coins::output(self.number, share));
        }
        let version = if self.random.below(5) == 0 { 3 } else { 2 };
        let mut payment = coins::spend(&inputs, outputs, version);
        if self.random.below(4) == 0 {
            payment.input[0].sequence = Sequence::MAX;
        }
        let txid = payment.compute_txid();
        let first = self.number + 1 - u32::try_from(count).unwrap();
        for (vout, output) in (0..).zip(&payment.output) {
            self.outputs.push(OpenCoin {
                outpoint: OutPoint { txid, vout },
                value: Amount::from_sat(output.value.to_sat()),
                number: first + vout,
            });
        }
        payment
    }
}

#[test]
fn random_lives_are_the_same_on_both() {
    for seed in SEEDS {
        let mut life = Life {
            pair: Pair::start(),
            random: Random(seed),
            outputs: Vec::new(),
            built: Vec::new(),
            number: 10,
            taken: 0,
            refused: 0,
        };
        for step in 0..120 {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| life.step()));
            if let Err(panic) = outcome {
                println!("seed {seed}, step {step}");
                std::panic::resume_unwind(panic);
            }
        }
        println!(
            "seed {seed}: {} taken, {} refused, height {}",
            life.taken,
            life.refused,
            life.pair.sim.tip().0
        );
    }
}
