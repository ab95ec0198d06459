//! Processes that are killed while they pay, replace, give up and send again, on a chain that mines,
//! forgets and reorganises: every payment stays known, none is paid twice, and coins are free
//! exactly when they should be.

mod check;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use btc::bitcoin::{ScriptBuf, Txid};
use btc::shadow::parity::Random;
use btc::{BitcoinImplementationType, Credentials, ErrorKind, NodeConfig, ObservedWallet};
use btc_regtest::Chain;
use btc_tests::{Outcome, Reference, WalletFolder, node_config};
use serde_json::json;

use super::PATIENCE;
use super::moments::{self, Before, Strike};
use super::said::Book;
use super::truth::{Blocks, Failure, Standing, read_file};
use crate::child::{Ended, Orders, Said, Work, Worker};

/// What names the number of kills of the long loop.
pub(crate) const KILLS: &str = "PAYMENT_KILLS";
/// What is done where nothing names it.
const FEW: u32 = 30;
/// Change addresses that one kill uses at most, on average.
const CHANGE_PER_KILL: u32 = 12;

/// Whose turn it is, and what it is killed in.
const TURNS: [(&[&str], &[&str]); 5] = [
    (
        &["rust"],
        &[
            "broadcast",
            "bump",
            "abandon",
            "cancel",
            "rebroadcast",
            "sync",
        ],
    ),
    (&["python-embedded"], &["broadcast", "create", "balance"]),
    (
        &["rust"],
        &["bump", "balance", "child", "broadcast", "cancel", "abandon"],
    ),
    (&["python-worker"], &["create", "broadcast", "balance"]),
    (
        &["rust", "python-embedded"],
        &["broadcast", "bump", "balance", "cancel"],
    ),
];

/// A wallet, those who work on it, and the world around them.
struct Field<'a, 'n> {
    chain: &'a mut Chain<'n>,
    node: NodeConfig,
    wallet: WalletFolder,
    reference: Reference,
    base: u32,
    blocks: Blocks,
    book: Book,
    random: Random,
    scripts: Vec<ScriptBuf>,
    /// Where each payment stood at the last check.
    stood: BTreeMap<Txid, Standing>,
    strike: Strike,
    tally: Tally,
    /// What the world did in this life.
    recent: Vec<&'static str>,
}

/// What happened.
#[derive(Default)]
struct Tally {
    /// What the processes were at when they were killed.
    killed_in: BTreeMap<String, u32>,
    world: BTreeMap<&'static str, u32>,
    /// From which to which standing payments went from one check to the next.
    moves: BTreeMap<String, u32>,
    confirmed: u32,
    waits: u32,
}

/// How many kills there are to be.
pub(crate) fn kills() -> u32 {
    let named = std::env::var(KILLS).ok().and_then(|it| it.parse().ok());
    named.unwrap_or(FEW)
}

/// The loop, on a node that forgets its mempool when it stops, and what is older than an hour.
pub(crate) fn run(kills: u32) -> Outcome {
    let options = btc_tests::builder()
        .arg("-persistmempool=0")
        .arg("-mempoolexpiry=1");
    let node = options.start()?;
    let mut chain = Chain::new(&node, 17)?;
    chain.mine(160)?;
    // Below everything that is reorganised.
    let base = chain.height() - 40;
    let wallet = WalletFolder::random(base)?;
    let mut field = Field {
        reference: Reference::new(&node, &wallet, 100 + kills * CHANGE_PER_KILL)?,
        base,
        node: node_config(&node),
        chain: &mut chain,
        wallet,
        blocks: Blocks::default(),
        book: Book::default(),
        random: Random::new(u64::from(kills)),
        scripts: Vec::new(),
        stood: BTreeMap::new(),
        strike: Strike::default(),
        tally: Tally::default(),
        recent: Vec::new(),
    };
    field.fund()?;
    let begun = Instant::now();
    for kill in 0..kills {
        let (turn, focuses) = TURNS[kill as usize % TURNS.len()];
        let focus = focuses[(kill as usize / TURNS.len()) % focuses.len()];
        field
            .live_and_die(turn, focus)
            .and_then(|()| field.check())
            .map_err(|error| format!("kill {kill} of {turn:?} in {focus}: {error}"))?;
        field.time_passes()?;
        if (kill + 1).is_multiple_of(10) {
            println!(
                "kill::payments: {} of {kills} kills in {:.0} s; {} orders, {} payments",
                kill + 1,
                begun.elapsed().as_secs_f32(),
                field.book.orders(),
                field.stood.len(),
            );
        }
    }
    field.chain.mine(1)?;
    field.check()?;
    field.report(kills);
    Ok(())
}

impl Field<'_, '_> {
    /// One life of a process, with the world moving meanwhile.
    fn live_and_die(&mut self, turn: &[&str], focus: &str) -> Outcome {
        self.recent.clear();
        self.prepare(focus)?;
        let Credentials::CookieFile(cookie) = &self.node.credentials else {
            return Err("the node has no cookie".into());
        };
        let (payments, reserved) = read_file(&self.wallet)?;
        let before = Before::new(&payments, &reserved);
        let random = &mut self.random;
        let (unfinished, unpaid) = self.book.unfinished(&payments, || random.once_in(2));
        let work = Work {
            dir: self.wallet.path().to_owned(),
            url: self.node.url.clone(),
            cookie: cookie.clone(),
            seed: self.random.word(),
            backends: turn.iter().map(|&name| name.to_owned()).collect(),
            calls: None,
            locks: false,
            orders: Some(Orders {
                focus: focus.to_owned(),
                unfinished,
                unpaid,
            }),
        };
        self.book.begin_life();
        let mut worker = Worker::spawn(&work)?;
        // A few are killed before they have opened the wallet.
        let is_opened = !self.random.once_in(15);
        let deadline = Instant::now() + PATIENCE;
        while is_opened {
            match worker.line(PATIENCE) {
                Ok(Some((_, Said::Open))) => break,
                // A Python worker whose parent was killed notices within a second.
                Ok(Some((_, Said::Failed(text)))) if text.contains("is open in process") => {
                    self.tally.waits += 1;
                    if Instant::now() > deadline {
                        return Err(format!("a lock was left: {text}").into());
                    }
                    std::thread::sleep(Duration::from_millis(50));
                    worker = Worker::spawn(&work)?;
                }
                Ok(Some(said)) => self.book.hear(said)?,
                Ok(None) | Err(Ended) => return Err("it does not open the wallet".into()),
            }
        }
        let plan = self.strike.plan(focus, is_opened, &mut self.random);
        let watch = std::thread::spawn(move || moments::watch(worker, &plan));
        while !watch.is_finished() {
            self.world_moves()?;
        }
        let watched = watch.join().map_err(|_| "the watch panicked")?;
        self.strike.learn(&watched.took);
        let was_open = is_opened || watched.said.iter().any(|(_, it)| matches!(it, Said::Open));
        for line in watched.said {
            let is_late = matches!(&line.1, Said::Failed(text) if text.contains("is open in"));
            if was_open || !is_late {
                self.book.hear(line)?;
            }
        }
        self.note_moment(was_open, &before)
    }

    /// What it was at, as far as the file and the node show it.
    fn note_moment(&mut self, was_open: bool, before: &Before) -> Outcome {
        let (payments, reserved) = read_file(&self.wallet)?;
        let is_known = |txid: Txid| {
            let found: Result<serde_json::Value, _> =
                (self.chain.node()).call("getmempoolentry", &[json!(txid)]);
            found.is_ok()
        };
        let mut names: BTreeSet<String> = BTreeSet::new();
        for (what, txid) in self.book.in_flight.values() {
            let after = before.changes(what, *txid, &payments, &reserved, &self.book, is_known);
            names.insert(format!("{what}{after}"));
        }
        if names.is_empty() {
            let name = if was_open { "between calls" } else { "opening" };
            names.insert(name.to_owned());
        }
        for name in names {
            *self.tally.killed_in.entry(name).or_default() += 1;
        }
        Ok(())
    }

    /// Opens the wallet here, once an orphaned Python worker has let it go.
    fn open(
        &mut self,
        implementation: BitcoinImplementationType,
    ) -> Result<Arc<dyn ObservedWallet>, Failure> {
        let config = self.wallet.config(&self.node, &[]);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match btc::connect_observed(&config, implementation) {
                Err(error)
                    if error.kind() == ErrorKind::Unavailable && Instant::now() < deadline =>
                {
                    self.tally.waits += 1;
                    std::thread::sleep(Duration::from_millis(50));
                }
                opened => return Ok(opened?),
            }
        }
    }

    fn report(&self, kills: u32) {
        let tally = &self.tally;
        println!(
            "kill::payments: {kills} kills; {} orders, {} of them confirmed; {} payments, waited \
             {} times for an orphan",
            self.book.orders(),
            tally.confirmed,
            self.stood.len(),
            tally.waits,
        );
        moments::table("killed in", &tally.killed_in);
        moments::table("payments went", &tally.moves);
        moments::table("refused", &self.book.refusals);
        moments::table("the world", &tally.world);
    }
}
