//! Shadow mode over all eight operations while the chain moves: threads call, another one mines,
//! pays, replaces and reorganises.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use btc::bitcoin::hashes::Hash;
use btc::bitcoin::{Amount, ScriptBuf, Transaction, Txid};
use btc::shadow::compare::Verdict;
use btc::shadow::parity::Random;
use btc::{AddressType, BitcoinInterface, BitcoinTransaction, NodeConfig, Operation};
use btc_regtest::Chain;
use btc_tests::{Backend, Outcome, Reference, WalletFolder};

use crate::kill::send;
use crate::reorg::stranger;
use crate::sides::Sides;

const THREADS: u64 = 4;
/// Calls of all threads together.
const CALLS: u32 = 1200;
/// Of a hundred calls, how many must have been compared.
const COMPARED_PERCENT: u64 = 95;
const FUNDS: u32 = 40;
/// More indices than are given out.
const RANGE: u32 = 400;
/// Milliseconds between two moves of the chain, at least and at most.
const PACE_MS: (u64, u64) = (20, 250);

/// What callers may ask about, told by the one who moves the chain.
#[derive(Default)]
struct World {
    txids: Mutex<Vec<Txid>>,
    blocks: Mutex<Vec<String>>,
    scripts: Mutex<Vec<ScriptBuf>>,
    calls: AtomicU32,
    is_over: AtomicBool,
}

/// Shadow mode in one direction.
pub(crate) fn run(backend: Backend, chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let wallet = WalletFolder::random(chain.height())?;
    let sides = Sides::open(&wallet, backend, node)?;
    let reference = Reference::new(chain.node(), &wallet, RANGE)?;
    for _ in 0..FUNDS / 4 {
        let mut funds = Vec::new();
        for address_type in AddressType::ALL {
            let script = sides
                .bitcoin()
                .generate_address(address_type)?
                .script_pubkey;
            funds.push(chain.spend_to(&script, Amount::from_sat(200_000))?);
        }
        chain.mine_transactions(&funds)?;
    }
    // What the moves will spend, and no reorganisation reaches.
    chain.mine(30)?;
    let world = World::default();
    let moves = thread::scope(|scope| {
        for thread in 0..THREADS {
            let (world, sides) = (&world, &sides);
            scope.spawn(move || {
                let _over = OnEnd(world);
                Caller {
                    bitcoin: sides.bitcoin(),
                    world,
                    random: Random::new(thread),
                    unsent: Vec::new(),
                }
                .call_all();
            });
        }
        Mover {
            chain,
            world: &world,
            random: Random::new(THREADS),
            payments: Vec::new(),
        }
        .move_all()
    })?;
    sides.agree("at the end", chain.node(), &reference)?;
    let counts = sides.connected().counts().ok_or("not in shadow mode")?;
    let mut table = format!("moving::{}: {moves}\n", backend.name());
    for (operation, verdicts) in &counts.verdicts {
        writeln!(table, "  {operation:<22} {verdicts:?}")?;
    }
    for found in sides.connected().differences() {
        if let Some(reason) = found.reason {
            writeln!(
                table,
                "  {} {}: {reason}",
                found.operation,
                found.verdict.as_str()
            )?;
        }
    }
    println!("{table}");
    assert_eq!(counts.verdicts.len(), Operation::CALLS.len(), "{table}");
    assert!(counts.close(), "{counts:?}");
    let differences = sides.connected().differences();
    assert_eq!(counts.total(Verdict::Mismatch), 0, "{differences:#?}");
    let compared = counts.total(Verdict::Match) + counts.total(Verdict::Recovered);
    assert!(
        compared * 100 >= counts.total_offered() * COMPARED_PERCENT,
        "{compared} compared of {}: {differences:#?}",
        counts.total_offered()
    );
    Ok(())
}

/// Says that it is over, also when a thread panics.
struct OnEnd<'w>(&'w World);

impl Drop for OnEnd<'_> {
    fn drop(&mut self) {
        let calls = &self.0.calls;
        if thread::panicking() || calls.load(Ordering::Relaxed) >= CALLS {
            self.0.is_over.store(true, Ordering::Relaxed);
        }
    }
}

/// A thread that calls at random; what fails is compared, too.
struct Caller<'a> {
    bitcoin: &'a dyn BitcoinInterface,
    world: &'a World,
    random: Random,
    unsent: Vec<BitcoinTransaction>,
}

impl Caller<'_> {
    fn call_all(&mut self) {
        while self.world.calls.fetch_add(1, Ordering::Relaxed) < CALLS {
            self.call();
        }
    }

    fn call(&mut self) {
        let bitcoin = self.bitcoin;
        match self.random.between(0, 11) {
            0 => drop(bitcoin.get_block_height()),
            1 => {
                if let Some(hash) = self.one_of(&self.world.blocks) {
                    drop(bitcoin.get_block(&hash));
                }
            }
            2 | 3 => {
                let unknown = Txid::from_byte_array(self.random.bytes());
                let known = self.one_of(&self.world.txids);
                let txid = known
                    .filter(|_| !self.random.once_in(10))
                    .unwrap_or(unknown);
                drop(bitcoin.get_transaction(&txid.to_string()));
            }
            4 => {
                let target = self.random.pick(&[1, 2, 6, 144]);
                drop(bitcoin.estimate_fee(target));
            }
            5 | 6 => drop(bitcoin.get_balance()),
            7 => {
                let address_type = self.random.pick(&AddressType::ALL);
                if let Ok(address) = bitcoin.generate_address(address_type) {
                    lock(&self.world.scripts).push(address.script_pubkey);
                }
            }
            8 => self.send(),
            _ => self.create(),
        }
    }

    fn create(&mut self) {
        // Now and then more than there is, or nothing that can be sent.
        let value_sat = self
            .random
            .pick(&[100, 5_000, 50_000, 190_000, 390_000, 100_000_000]);
        let fee_rate = self.random.between(0, 9);
        let built = self
            .bitcoin
            .create_transaction(vec![(stranger(), value_sat)], fee_rate);
        self.unsent.extend(built);
        self.send();
    }

    fn send(&mut self) {
        let Some(transaction) = self.unsent.first().cloned() else {
            return;
        };
        if self.bitcoin.broadcast_transaction(&transaction).is_ok() {
            lock(&self.world.txids).push(transaction.txid);
        }
        // Now and then it is sent again.
        if !self.random.once_in(4) {
            self.unsent.remove(0);
        }
    }

    fn one_of<T: Clone>(&mut self, of: &Mutex<Vec<T>>) -> Option<T> {
        let all = lock(of);
        let count = u64::try_from(all.len()).unwrap_or(u64::MAX);
        // The last ones are those that move.
        let back = self.random.between(1, count.clamp(1, 6));
        all.len()
            .checked_sub(usize::try_from(back).unwrap_or(usize::MAX))
            .map(|place| all[place].clone())
    }
}

/// The one who moves the chain.
struct Mover<'a, 'n> {
    chain: &'a mut Chain<'n>,
    world: &'a World,
    random: Random,
    payments: Vec<Transaction>,
}

impl Mover<'_, '_> {
    /// Until the callers are done; returns what was done how often.
    fn move_all(&mut self) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let mut done = [0_u32; 5];
        let begun = Instant::now();
        while !self.world.is_over.load(Ordering::Relaxed) {
            let kind = self.random.pick(&[0, 0, 0, 1, 2, 2, 3, 4]);
            done[kind] += 1;
            match kind {
                0 => self.pay()?,
                1 => self.replace()?,
                2 => {
                    let hashes = self.chain.mine(1)?;
                    self.learn(&hashes);
                }
                3 => {
                    let depth = u32::try_from(self.random.between(1, 4))?;
                    let reorg = self.chain.reorg(depth)?;
                    self.learn(&reorg.connected);
                }
                _ => {
                    let depth = u32::try_from(self.random.between(1, 2))?;
                    let reorg = self.chain.reorg_empty(depth)?;
                    self.learn(&reorg.connected);
                }
            }
            let wait = self.random.between(PACE_MS.0, PACE_MS.1);
            thread::sleep(Duration::from_millis(wait));
        }
        let [paid, replaced, mined, reorgs, empty] = done;
        Ok(format!(
            "{:.0} s, {paid} payments, {replaced} replacements, {mined} blocks, {reorgs} \
             reorganisations and {empty} that left transactions out",
            begun.elapsed().as_secs_f32()
        ))
    }

    fn pay(&mut self) -> Outcome {
        let script = lock(&self.world.scripts).last().cloned();
        let Some(script) = script else {
            return Ok(());
        };
        let value = Amount::from_sat(self.random.between(10_000, 300_000));
        let payment = self.chain.spend_to(&script, value)?;
        send(self.chain.node(), &payment)?;
        lock(&self.world.txids).push(payment.compute_txid());
        self.payments.push(payment);
        Ok(())
    }

    /// In the mempool if it waits there, else by a reorganisation.
    fn replace(&mut self) -> Outcome {
        let Some(payment) = self.payments.pop() else {
            return Ok(());
        };
        let rival = self.chain.double_spend(&payment)?;
        lock(&self.world.txids).push(rival.compute_txid());
        if send(self.chain.node(), &rival).is_err() {
            self.chain.disconnect(2)?;
            // It may be in a block further down; then nothing can replace it here.
            if let Ok(hash) = self.chain.mine_transactions(&[rival]) {
                self.learn(&[hash]);
            }
            let hashes = self.chain.mine(3)?;
            self.learn(&hashes);
        }
        Ok(())
    }

    fn learn(&self, blocks: &[btc::bitcoin::BlockHash]) {
        let mut known = lock(&self.world.blocks);
        known.extend(blocks.iter().map(ToString::to_string));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
