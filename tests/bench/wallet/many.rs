//! Wallets of many coins: what grows with them, what must not, and what following costs.

use std::hint::black_box;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use btc::rust::wallet::RustWallet;
use btc::rust::wallet::reservations::Reservations;
use btc::{
    AddressType, BitcoinImplementationType, BitcoinInterface, Chain, NodeConfig, ObservedWallet,
    WalletInterface,
};

use super::ground::{Ground, SmallBlocks, access, many_coins, wait_for_filters};
use super::place::{GAP_LIMIT, Place, Words, config};
use crate::Outcome;
use crate::measure::{Effort, Pair, turns};
use crate::report::{Figure, Reach, Results, Row};

/// Less than the smallest coin is worth.
const AMOUNT_SAT: u64 = 50_000;
/// In sat/vB.
const FEE_RATE: u64 = 3;
/// How long the idle follower is watched.
const IDLE: Duration = Duration::from_secs(20);
/// How often it looks, as the shell's long-running verbs do.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What Linux counts in.
const TICKS_PER_SECOND: u64 = 100;

/// Measures wallets of each of these sizes.
pub(crate) fn many(effort: &Effort, results: &mut Results) -> Outcome<()> {
    let mut per_coin = Vec::new();
    for coins in effort.many_coins {
        per_coin.push(of_size(coins, effort, results)?);
    }
    let [(few, first), .., (most, last)] = per_coin.as_slice() else {
        return Err("two sizes are needed".into());
    };
    // Twice as long for each coin is still in proportion: caches are smaller than the wallet.
    results.tell(Figure {
        work: format!("listing the coins, {few} against {most}"),
        measured: format!("{first} ns, then {last} ns a coin"),
        reach: "≤ 2 × a coin",
        is_reached: *last <= first * 2,
    });
    results.add(reading_again(effort)?);
    Ok(())
}

/// What a payment to the last watched address costs: the window moves, and all blocks are read
/// again with it. With block filters, only those that match.
fn reading_again(effort: &Effort) -> Outcome<Row> {
    let ground = Ground::new()?;
    let words = Words::of(6)?;
    let running = ground.start(true)?;
    let [_, height, _] = effort.heights;
    eprintln!("a chain of {height} small blocks");
    let mut blocks = SmallBlocks::begin(&running, &words)?;
    blocks.grow(height)?;
    let (node, _) = access(&running)?;
    let place = words.restore(0)?;
    let config = config(&node, place.dir())?;
    let rust = btc::connect_observed(&config, BitcoinImplementationType::Rust)?;
    let python = btc::connect_observed(&config, BitcoinImplementationType::Python)?;
    let follow = |wallet: &dyn ObservedWallet| -> Outcome<_> {
        let started = Instant::now();
        let state = wallet.wallet_state()?;
        Ok((started.elapsed(), state.balance))
    };
    if follow(&*rust)?.1 != follow(&*python)?.1 {
        return Err("the wallets disagree".into());
    }
    let mut rounds = Vec::new();
    for _ in 0..effort.long_rounds {
        blocks.pay_ahead(GAP_LIMIT - 1)?;
        wait_for_filters(&running)?;
        let (ours, theirs) = (follow(&*rust)?, follow(&*python)?);
        if ours.1 != theirs.1 {
            return Err("the wallets disagree after the window moved".into());
        }
        rounds.push((ours.0, theirs.0));
    }
    Ok(Row {
        work: format!("reading again after the window moved, {height} small blocks, block filters"),
        against: "the Python implementation, embedded, on the same wallet",
        reach: Reach::FasterBy(5),
        pair: Pair::of(&rounds),
    })
}

/// A wallet of so many coins; what listing them takes for each, in nanoseconds.
fn of_size(coins: usize, effort: &Effort, results: &mut Results) -> Outcome<(usize, u128)> {
    let ground = Ground::new()?;
    let node = ground.start(true)?;
    let words = Words::of(4)?;
    eprintln!("a wallet of {coins} coins");
    many_coins(&node, &words, coins)?;
    let (node, _) = access(&node)?;
    let scene = Scene { coins, words, node };
    results.add(scene.first_sync(effort)?);
    let place = scene.words.restore(0)?;
    let config = config(&scene.node, place.dir())?;
    let rust = btc::connect_observed(&config, BitcoinImplementationType::Rust)?;
    let python = btc::connect_observed(&config, BitcoinImplementationType::Python)?;
    results.add(scene.balance(effort, &*rust, &*python)?);
    results.add(scene.payment(effort, &place, &*rust, &*python)?);
    let wallet = place.open_at(&scene.node)?;
    let per_coin = scene.listing(effort, &wallet)?;
    if coins == effort.many_coins[0] {
        results.tell(idle(wallet)?);
    }
    Ok((coins, per_coin))
}

struct Scene {
    coins: usize,
    words: Words,
    node: NodeConfig,
}

impl Scene {
    fn row(&self, work: &str, reach: Reach, pair: Pair) -> Row {
        Row {
            work: format!("{work} at {} coins", self.coins),
            against: "the Python implementation, embedded, on the same wallet",
            reach,
            pair,
        }
    }

    /// From a folder without books to the balance.
    fn first_sync(&self, effort: &Effort) -> Outcome<Row> {
        let sync = |who| -> Outcome<(Duration, u64)> {
            let place = self.words.restore(0)?;
            let config = config(&self.node, place.dir())?;
            let started = Instant::now();
            let balance_sat = btc::connect_to(&config, who)?.get_balance()?;
            Ok((started.elapsed(), balance_sat))
        };
        let rust = || sync(BitcoinImplementationType::Rust);
        let python = || sync(BitcoinImplementationType::Python);
        if rust()?.1 != python()?.1 {
            return Err("the wallets disagree".into());
        }
        let [pair] = turns(
            effort.long_rounds,
            &mut || Ok(rust()?.0),
            [&mut || Ok(python()?.0)],
        )?;
        Ok(self.row("first sync", Reach::FasterBy(2), pair))
    }

    /// The balance of a wallet that knows all.
    fn balance(
        &self,
        effort: &Effort,
        rust: &dyn ObservedWallet,
        python: &dyn ObservedWallet,
    ) -> Outcome<Row> {
        let ask = |wallet: &dyn ObservedWallet| {
            let started = Instant::now();
            black_box(wallet.get_balance()?);
            Ok(started.elapsed())
        };
        if rust.get_balance()? != python.get_balance()? {
            return Err("the wallets disagree".into());
        }
        let [pair] = turns(effort.long_rounds, &mut || ask(rust), [&mut || ask(python)])?;
        Ok(self.row("get_balance", Reach::FasterBy(2), pair))
    }

    /// A payment, whose coins are free again afterwards.
    fn payment(
        &self,
        effort: &Effort,
        place: &Place,
        rust: &dyn ObservedWallet,
        python: &dyn ObservedWallet,
    ) -> Outcome<Row> {
        let to = Words::of(9)?
            .keyring()?
            .address((AddressType::P2wpkh, Chain::Receive), 0)?;
        let outputs = vec![(to.address, AMOUNT_SAT)];
        let mut reservations = Reservations::open(place.dir())?;
        let mut pay = |wallet: &dyn ObservedWallet| -> Outcome<Duration> {
            let started = Instant::now();
            let built = wallet.create_transaction(outputs.clone(), FEE_RATE)?;
            let took = started.elapsed();
            reservations.release_for(built.txid)?;
            Ok(took)
        };
        let mut rounds = Vec::new();
        for _ in 0..effort.long_rounds {
            rounds.push((pay(rust)?, pay(python)?));
        }
        let pair = Pair::of(&rounds);
        Ok(self.row("create_transaction", Reach::FasterBy(10), pair))
    }

    /// What `utxo list` asks the wallet, in nanoseconds a coin.
    fn listing(&self, effort: &Effort, wallet: &RustWallet) -> Outcome<u128> {
        let mut times = Vec::new();
        for _ in 0..effort.long_rounds {
            let started = Instant::now();
            let listed = wallet.unspent()?;
            times.push(started.elapsed());
            if listed.len() != self.coins {
                return Err("coins are missing from the list".into());
            }
        }
        times.sort_unstable();
        let middle = times[times.len() / 2];
        Ok(middle.as_nanos() / u128::try_from(self.coins.max(1))?)
    }
}

/// What the thread that follows costs while nothing happens.
fn idle(wallet: RustWallet) -> Outcome<Figure> {
    let wallet = Arc::new(wallet);
    let _follower = wallet.follow_in_background(LOOK_EVERY)?;
    sleep(LOOK_EVERY);
    let before = ticks()?;
    sleep(IDLE);
    let spent = ticks()? - before;
    let ms_a_minute = spent * 1_000 / TICKS_PER_SECOND * 60 / IDLE.as_secs();
    Ok(Figure {
        work: "CPU of the follower and the rest of the process, nothing happens".to_owned(),
        measured: format!("{ms_a_minute} ms a minute"),
        reach: "≤ 600 ms a minute",
        is_reached: ms_a_minute <= 600,
    })
}

/// The processor time of this process so far (`/proc/self/stat`, fields 14 and 15).
fn ticks() -> Outcome<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, after_name) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut next = || -> Outcome<u64> { Ok(fields.next().ok_or("too few fields")?.parse()?) };
    Ok(next()? + next()?)
}
