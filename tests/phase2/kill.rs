//! Processes that are killed with SIGKILL at random moments, again and again: the books balance.

mod moments;
pub(crate) mod payments;
mod said;
mod truth;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use btc::bitcoin::{Amount, Txid};
use btc::rust::wallet::reservations::{Reservations, now_ms};
use btc::shadow::parity::Random;
use btc::{BitcoinImplementationType, Credentials, ErrorKind, NodeConfig, ObservedWallet};
use btc_regtest::{Chain, Node, NodeError};
use btc_tests::{Outcome, Reference, WalletFolder, compare};
use serde_json::{Value, json};

use crate::child::{Ended, Said, Work, Worker, children_of};
use crate::promises::{Promises, check_file};

/// More than all lives together give out.
const RANGE: u32 = 400;
/// Far longer than a process takes to open a wallet.
const PATIENCE: Duration = Duration::from_mins(1);

/// A loop of kills over one wallet.
pub(crate) struct Loop {
    pub(crate) name: &'static str,
    pub(crate) kills: u32,
    /// What works on the wallet, by turns.
    pub(crate) turns: &'static [&'static [&'static str]],
}

pub(crate) const LOOPS: [Loop; 3] = [
    Loop {
        name: "rust_100_times",
        kills: 100,
        turns: &[&["rust"]],
    },
    Loop {
        name: "python_50_times",
        kills: 50,
        turns: &[&["python-embedded"], &["python-worker"]],
    },
    Loop {
        name: "both_50_times",
        kills: 50,
        turns: &[
            &["rust"],
            &["python-embedded"],
            &["rust", "python-embedded"],
            &["rust", "python-worker"],
        ],
    },
];

impl Loop {
    pub(crate) fn run(&self, chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
        let wallet = WalletFolder::random(chain.height())?;
        let mut field = Field {
            reference: Reference::new(chain.node(), &wallet, RANGE)?,
            promises: Promises::default(),
            random: Random::new(u64::from(self.kills)),
            chain,
            node,
            wallet,
            moments: BTreeMap::new(),
            waits: 0,
        };
        field.fund()?;
        let begun = Instant::now();
        for kill in 0..self.kills {
            let turn = self.turns[kill as usize % self.turns.len()];
            field
                .live_and_die(turn)
                .and_then(|()| field.check())
                .map_err(|error| format!("kill {kill} of {turn:?}: {error}"))?;
            if (kill + 1).is_multiple_of(10) {
                let (addresses, payments) = field.promises.counts();
                println!(
                    "kill::{}: {} of {} kills in {:.0} s; {addresses} addresses, {payments} \
                     payments, {} sent",
                    self.name,
                    kill + 1,
                    self.kills,
                    begun.elapsed().as_secs_f32(),
                    field.promises.sent.len(),
                );
            }
        }
        field.settle()?;
        println!(
            "kill::{}: killed during {:?}; {} refusals; waited {} times for an orphan",
            self.name, field.moments, field.promises.refused, field.waits
        );
        Ok(())
    }
}

/// A wallet, those who work on it, and the world around them.
struct Field<'a, 'n> {
    chain: &'a mut Chain<'n>,
    node: &'a NodeConfig,
    wallet: WalletFolder,
    reference: Reference,
    promises: Promises,
    random: Random,
    /// What the processes were at when they were killed.
    moments: BTreeMap<String, u32>,
    /// How often a wallet was still held by a Python worker whose parent was gone.
    waits: u32,
}

impl Field<'_, '_> {
    fn fund(&mut self) -> Outcome {
        let rust = self.open(BitcoinImplementationType::Rust)?;
        for address_type in btc::AddressType::ALL {
            for _ in 0..3 {
                let script = rust.generate_address(address_type)?.script_pubkey;
                self.chain.pay(&[(script, Amount::from_sat(300_000))], 2)?;
            }
        }
        drop(rust);
        self.chain.mine(1)?;
        Ok(())
    }

    /// One life of a process, with the chain moving meanwhile.
    fn live_and_die(&mut self, turn: &[&str]) -> Outcome {
        let Credentials::CookieFile(cookie) = &self.node.credentials else {
            return Err("the node has no cookie".into());
        };
        let work = Work {
            dir: self.wallet.path().to_owned(),
            url: self.node.url.clone(),
            cookie: cookie.clone(),
            seed: self.random.word(),
            backends: turn.iter().map(|&name| name.to_owned()).collect(),
            calls: None,
            locks: turn.len() == 1,
            orders: None,
        };
        self.promises.begin_life();
        let mut worker = Worker::spawn(&work)?;
        let mut is_open = false;
        // Some are killed before they have opened the wallet.
        if !self.random.once_in(5) {
            let deadline = Instant::now() + PATIENCE;
            while !is_open {
                match worker.line(PATIENCE) {
                    Ok(Some((_, Said::Open))) => is_open = true,
                    // A Python worker whose parent was killed notices within a second.
                    Ok(Some((_, Said::Failed(text)))) if text.contains("is open in process") => {
                        self.waits += 1;
                        if Instant::now() > deadline {
                            return Err(format!("a lock was left: {text}").into());
                        }
                        std::thread::sleep(Duration::from_millis(50));
                        worker = Worker::spawn(&work)?;
                    }
                    Ok(Some(said)) => self.promises.hear(said, &self.reference)?,
                    Ok(None) | Err(Ended) => return Err("it does not open the wallet".into()),
                }
            }
        }
        let moment = Duration::from_millis(self.random.between(0, 300));
        let kills_helper = self.random.once_in(2);
        let reaper = std::thread::spawn(move || {
            std::thread::sleep(moment / 2);
            if kills_helper {
                // Its Python worker if it has one: the next call starts another.
                kill_all(&children_of(worker.id()));
            }
            std::thread::sleep(moment / 2);
            worker.kill()
        });
        while !reaper.is_finished() {
            self.move_chain()?;
        }
        let said = reaper.join().map_err(|_| "the reaper panicked")?;
        let was_open = is_open || said.iter().any(|(_, said)| matches!(said, Said::Open));
        for line in said {
            // An orphan had it still, or its own worker was killed before it was there.
            let is_excused = |text: &str| {
                text.contains("is open in process") || text.contains("worker ended during the call")
            };
            let is_late = matches!(&line.1, Said::Failed(text) if is_excused(text));
            if was_open || !is_late {
                self.promises.hear(line, &self.reference)?;
            }
        }
        let moment = match &self.promises.in_flight {
            _ if !was_open => "open",
            Some(what) => what,
            None => "between",
        };
        *self.moments.entry(moment.to_owned()).or_default() += 1;
        Ok(())
    }

    /// Somebody pays an address that was given out, or finds a block.
    fn move_chain(&mut self) -> Outcome {
        std::thread::sleep(Duration::from_millis(self.random.between(1, 40)));
        if self.random.once_in(3) {
            self.chain.mine(1)?;
        } else if let Some((_, script)) = self.promises.given(self.random.word()) {
            let value = Amount::from_sat(self.random.between(5_000, 200_000));
            let script = script.clone();
            self.chain.pay(&[(script, value)], 2)?;
        }
        Ok(())
    }

    /// Between two lives: what was sent is there, and all agree on what the wallet owns.
    fn check(&mut self) -> Outcome {
        for txid in &self.promises.sent {
            if !self.is_known(txid) {
                return Err(format!("{txid} was said to be sent, and is not there").into());
            }
        }
        check_file(&self.wallet, &self.promises)?;
        let expected = self.reference.state(self.chain.node())?;
        for implementation in [
            BitcoinImplementationType::Rust,
            BitcoinImplementationType::Python,
        ] {
            let wallet = self.open(implementation)?;
            let state = wallet.wallet_state()?;
            let who = implementation.to_string();
            compare(&who, &state, &expected)?;
        }
        if self.random.once_in(8) {
            let all: Vec<_> = self.promises.unsent().map(|(txid, _)| *txid).collect();
            // One that was sent by a process that could not say so any more is not to be let go.
            let unsent = all.into_iter().find(|txid| !self.is_known(txid));
            if let Some(txid) = unsent {
                self.promises.expire(&self.wallet, txid)?;
            }
        }
        Ok(())
    }

    /// At the end every promise can still be kept, and the sums are right.
    fn settle(&mut self) -> Outcome {
        self.chain.mine(1)?;
        let (mut kept, mut known) = (0, 0);
        for (txid, created) in self.promises.unsent() {
            if self.is_known(txid) {
                known += 1;
                continue;
            }
            self.send(&created.transaction)
                .map_err(|error| format!("the promise {txid} cannot be kept: {error}"))?;
            kept += 1;
        }
        println!("  {kept} payments sent at the end, {known} were sent by one that died of it");
        self.check()?;
        self.chain.mine(1)?;
        self.check()?;
        let reservations = Reservations::open(self.wallet.path())?;
        // Nothing but what time or a user will release.
        for (coin, reservation) in reservations.reserved(now_ms())? {
            if reservation.until_ms.is_none() != reservation.is_lock() {
                return Err(format!("{coin} is held for ever: {reservation:?}").into());
            }
        }
        Ok(())
    }

    /// Opens the wallet here, once an orphaned Python worker has let it go.
    fn open(
        &mut self,
        implementation: BitcoinImplementationType,
    ) -> Result<std::sync::Arc<dyn ObservedWallet>, Box<dyn std::error::Error + Send + Sync>> {
        let config = self.wallet.config(self.node, &[]);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match btc::connect_observed(&config, implementation) {
                Err(error)
                    if error.kind() == ErrorKind::Unavailable && Instant::now() < deadline =>
                {
                    self.waits += 1;
                    std::thread::sleep(Duration::from_millis(50));
                }
                opened => return Ok(opened?),
            }
        }
    }

    fn is_known(&self, txid: &Txid) -> bool {
        let found: Result<Value, NodeError> =
            self.chain.node().call("getrawtransaction", &[json!(txid)]);
        found.is_ok()
    }

    fn send(&self, transaction: &btc::bitcoin::Transaction) -> Outcome {
        send(self.chain.node(), transaction)
    }
}

/// Hands a transaction to the node.
pub(crate) fn send(node: &Node, transaction: &btc::bitcoin::Transaction) -> Outcome {
    let hex = btc::bitcoin::consensus::encode::serialize_hex(transaction);
    let _: Txid = node.call("sendrawtransaction", &[json!(hex)])?;
    Ok(())
}

fn kill_all(ids: &[u32]) {
    if !ids.is_empty() {
        let ids = ids.iter().map(ToString::to_string);
        // Fails for one that has ended already.
        let _ = Command::new("kill").arg("-KILL").args(ids).status();
    }
}
