//! Processes that are killed while they pay, replace, give up and send again, on a chain that mines,
//! forgets and reorganises: every payment stays known, none is paid twice, and coins are free
//! exactly when they should be.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use btc::bitcoin::{Amount, ScriptBuf, Txid};
use btc::rust::RustBitcoin;
use btc::rust::wallet::RustWallet;
use btc::rust::wallet::reservations::{Reservations, now_ms};
use btc::shadow::parity::Random;
use btc::{
    AddressType, BitcoinImplementationType, BitcoinInterface, Credentials, ErrorKind, NodeConfig,
    ObservedWallet, PaymentState, WalletInterface, WalletSnapshot, WalletState, WalletTwin,
};
use btc_regtest::Chain;
use btc_tests::{Outcome, Reference, WalletFolder, node_config};
use serde_json::json;

use super::moments::{self, Before, Strike};
use super::said::Book;
use super::truth::{
    Blocks, Failure, Payments, Standing, Truth, held, read_file, replaced, standings,
};
use super::{PATIENCE, send};
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
    fn fund(&mut self) -> Outcome {
        let rust = self.open(BitcoinImplementationType::Rust)?;
        for address_type in AddressType::ALL {
            for _ in 0..6 {
                let script = rust.generate_address(address_type)?.script_pubkey;
                self.chain
                    .pay(&[(script.clone(), Amount::from_sat(400_000))], 2)?;
                self.scripts.push(script);
            }
        }
        self.chain.mine(1)?;
        Ok(())
    }

    /// What a call of this kind needs to be hit in.
    fn prepare(&mut self, focus: &str) -> Outcome {
        match focus {
            "abandon" | "rebroadcast" => self.forget(),
            // One settles, one sends again.
            "balance" | "sync" if self.random.once_in(3) => self.bury(),
            "balance" => {
                self.forget()?;
                self.hours_pass()
            }
            _ => Ok(()),
        }
    }

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

    /// Someone pays, finds a block, forgets, reorganises or restarts the node.
    fn world_moves(&mut self) -> Outcome {
        std::thread::sleep(Duration::from_millis(self.random.between(5, 60)));
        match self.random.between(0, 99) {
            0..=24 => {
                self.chain.mine(1)?;
                self.note("blocks");
            }
            25..=44 => {
                let number = self.random.word() as usize % self.scripts.len();
                let value = Amount::from_sat(self.random.between(20_000, 400_000));
                let script = self.scripts[number].clone();
                // The coin may have gone with a reorganisation.
                if self.chain.pay(&[(script, value)], 2).is_ok() {
                    self.note("incoming payments");
                }
            }
            45..=52 => self.forget()?,
            53..=57 => {
                let depth = u32::try_from(self.random.between(1, 4))?;
                self.chain.reorg(depth)?;
                self.note("reorganisations");
            }
            58..=62 => {
                let depth = u32::try_from(self.random.between(1, 4))?;
                self.chain.reorg_empty(depth)?;
                self.note("reorganisations without payments");
            }
            63 => {
                self.chain.node().restart()?;
                self.note("restarts without a mempool");
            }
            64 => self.bury()?,
            _ => {}
        }
        Ok(())
    }

    /// What waits for longer than an hour is forgotten when the next transaction comes.
    fn forget(&mut self) -> Outcome {
        let node = self.chain.node();
        let later = now_ms() / 1_000 + 3_700;
        let script = ScriptBuf::new_p2wsh(&btc::bitcoin::hashes::Hash::all_zeros());
        let other = self.chain.spend_to(&script, Amount::from_sat(10_000));
        let _: serde_json::Value = node.call("setmocktime", &[json!(later)])?;
        // It is refused where its coin has gone with a reorganisation.
        let sent = other.map(|other| send(node, &other));
        let _: serde_json::Value = node.call("setmocktime", &[json!(0)])?;
        if matches!(sent, Ok(Ok(()))) {
            self.note("mempools forgotten");
        }
        Ok(())
    }

    /// Deep enough that what is in the chain is settled.
    fn bury(&mut self) -> Outcome {
        self.chain.mine(146)?;
        self.note("days");
        Ok(())
    }

    fn note(&mut self, what: &'static str) {
        self.recent.push(what);
        *self.tally.world.entry(what).or_default() += 1;
    }

    /// Missing payments are to be sent again now.
    fn hours_pass(&mut self) -> Outcome {
        let mut reservations = Reservations::open(self.wallet.path())?;
        let booking = reservations.begin(now_ms())?;
        for txid in booking.payments(i64::MAX)?.keys() {
            booking.set_next_broadcast(*txid, now_ms())?;
        }
        booking.commit()?;
        self.note("times to send again");
        Ok(())
    }

    /// Some reservations end, so that there are always coins.
    fn time_passes(&mut self) -> Outcome {
        let mut over: Vec<Txid> = self.book.reserved_for().collect();
        let (_, reserved) = read_file(&self.wallet)?;
        let strays = reserved.values().filter_map(|it| it.parse::<Txid>().ok());
        over.extend(strays.filter(|it| !self.book.has_token(*it)));
        over.retain(|_| self.random.once_in(3));
        let mut reservations = Reservations::open(self.wallet.path())?;
        for token in over {
            reservations.release_for(token)?;
            self.book.let_go(token);
        }
        Ok(())
    }

    /// Between two lives: both sides agree with the node, with the file, and with what was said.
    fn check(&mut self) -> Outcome {
        let python = self.open(BitcoinImplementationType::Python)?;
        let config = self.wallet.config(&self.node, &[]);
        let rust = btc::connect_wallet(&config)?;
        let bitcoin = RustBitcoin::connect(&self.node)?.with_wallet(Arc::clone(&rust));
        // What is due is sent again; and then there is nothing more to do.
        if self.random.once_in(2) {
            python.get_balance()?;
        }
        bitcoin.get_balance()?;
        python.get_balance()?;

        let node = self.chain.node();
        let truth = Truth::read(node, self.base, &mut self.blocks, &self.reference)?;
        let (payments, reserved) = read_file(&self.wallet)?;
        for txid in &truth.own {
            if !payments.contains_key(txid) {
                return Err(format!("the node has {txid}, and the wallet does not know it").into());
            }
        }
        let standings = standings(&payments, &truth);
        let held = held(&payments, &standings);
        let expected = truth.state(&held);
        let free = truth.free(&held, |coin| reserved.contains_key(coin));
        for (who, side) in [("rust", &bitcoin as &dyn WalletTwin), ("python", &*python)] {
            let state = side.wallet_state()?;
            if state != expected {
                let again = side.wallet_state()? == expected;
                let pending = self.book.trails(truth.pending());
                let text = differences(&state, &expected);
                let world = &self.recent;
                let message = format!(
                    "{who} is wrong about what it owns: {text}\n  right when asked again: {again}\n  \
                     lately: {world:?}\n  pending: {pending}"
                );
                return Err(message.into());
            }
            let snapshot = side.snapshot()?;
            let may_take: BTreeSet<_> = snapshot.coins.iter().map(|it| it.outpoint).collect();
            if may_take != free {
                let keeps: Vec<_> = free.difference(&may_take).collect();
                let takes: Vec<_> = may_take.difference(&free).collect();
                let message = format!("{who} keeps the free {keeps:?} and takes {takes:?}");
                return Err(message.into());
            }
        }
        check_snapshots(bitcoin.snapshot()?, python.snapshot()?)?;
        check_history(&rust, &payments, &standings)?;
        check_words(&bitcoin, &*python, &payments, &standings)?;
        self.book.check_file(&payments, &standings, &reserved)?;
        self.tally.confirmed = self.book.check_orders(&payments, &standings, &truth)?;
        self.note_moves(standings);
        Ok(())
    }

    fn note_moves(&mut self, standings: BTreeMap<Txid, Standing>) {
        for (txid, standing) in &standings {
            let old = self.stood.get(txid);
            if old != Some(standing) {
                let from = old.map_or_else(|| "new".to_owned(), |it| format!("{it:?}"));
                let name = format!("{from} -> {standing:?}");
                *self.tally.moves.entry(name).or_default() += 1;
            }
        }
        self.stood = standings;
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

/// What is said to be owned and is not, and the other way round.
fn differences(said: &WalletState, is: &WalletState) -> String {
    let surplus = said.coins.iter().filter(|it| !is.coins.contains(it));
    let lacking = is.coins.iter().filter(|it| !said.coins.contains(it));
    format!(
        "{:?} {:?}, not {:?} {:?}\n  has not {:?}\n  has {:?}",
        said.tip,
        said.balance,
        is.tip,
        is.balance,
        surplus.collect::<Vec<_>>(),
        lacking.collect::<Vec<_>>()
    )
}

/// That both sides would build on the same, in whatever order they say it.
fn check_snapshots(mut rust: WalletSnapshot, mut python: WalletSnapshot) -> Outcome {
    for snapshot in [&mut rust, &mut python] {
        snapshot.coins.sort_by_key(|coin| coin.outpoint);
    }
    if rust == python {
        return Ok(());
    }
    let mut text = format!(
        "the change: {} and {}",
        rust.change_index, python.change_index
    );
    for (name, ours, theirs) in [("rust", &rust, &python), ("python", &python, &rust)] {
        let coins = ours.coins.iter().filter(|it| !theirs.coins.contains(it));
        let coins: Vec<_> = coins.collect();
        let pending = ours
            .pending
            .iter()
            .filter(|it| !theirs.pending.contains(it));
        let pending: Vec<_> = pending.collect();
        text += &format!("\n  {name} alone: {coins:?} {pending:?}");
    }
    Err(format!("the sides would build on different things; {text}").into())
}

/// That history lists each payment with its state, and not those that another one replaced.
fn check_history(
    wallet: &RustWallet,
    payments: &Payments,
    standings: &BTreeMap<Txid, Standing>,
) -> Outcome {
    let history = wallet.history()?;
    let mut listed = BTreeMap::new();
    for entry in &history {
        if listed.insert(entry.txid, entry.state).is_some() {
            return Err(format!("{} is listed twice", entry.txid).into());
        }
    }
    let replaced: HashSet<Txid> = replaced(payments, standings);
    for (txid, standing) in standings {
        let found = listed.get(txid).copied();
        if payments[txid].is_settled {
            let is_decided = matches!(standing, Standing::Confirmed | Standing::Conflicted);
            if !is_decided {
                return Err(format!("{txid} is settled, and {standing:?}").into());
            }
        }
        let wanted = match standing {
            // Also where what is to replace it did not reach the node.
            Standing::InMempool => Some(PaymentState::InMempool),
            _ if replaced.contains(txid) => None,
            Standing::Missing => Some(PaymentState::Missing),
            Standing::Confirmed => Some(PaymentState::Confirmed),
            Standing::Conflicted if payments[txid].is_settled => continue,
            Standing::Conflicted => Some(PaymentState::Conflicted),
            Standing::Abandoned => Some(PaymentState::Abandoned),
        };
        if found != wanted {
            let message = format!("{txid} is listed as {found:?}, and is {standing:?}");
            return Err(message.into());
        }
    }
    Ok(())
}

/// That both sides say the same of each payment that is not confirmed, asked whether it may be sent.
fn check_words(
    rust: &RustBitcoin,
    python: &dyn ObservedWallet,
    payments: &Payments,
    standings: &BTreeMap<Txid, Standing>,
) -> Outcome {
    let open = payments
        .iter()
        .filter(|(txid, payment)| !payment.is_settled && standings[*txid] != Standing::Confirmed);
    for (txid, payment) in open {
        let bytes = btc::bitcoin::consensus::encode::serialize(&payment.transaction);
        let words = [
            rust.check_broadcast(&bytes)?,
            python.check_broadcast(&bytes)?,
        ];
        if words[0].verdict != words[1].verdict {
            let standing = standings[txid];
            return Err(format!("of {txid}, {standing:?}, the sides say {words:?}").into());
        }
    }
    Ok(())
}
