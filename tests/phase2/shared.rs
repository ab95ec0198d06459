//! One wallet used from several sides at once: processes, threads, implementations.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use btc::bitcoin::Amount;
use btc::{AddressType, BitcoinImplementationType, Credentials, NodeConfig};
use btc_regtest::Chain;
use btc_tests::{Backend, Outcome, Reference, WalletFolder, compare};

use crate::child::{Ended, Said, Work, Worker};
use crate::promises::{Promises, check_file};
use crate::sides::Sides;

/// More indices than all together give out.
const RANGE: u32 = 400;
/// Far longer than it ever takes.
const PATIENCE: Duration = Duration::from_mins(3);
const COINS_OF_A_TYPE: usize = 60;

/// Who works on the wallet: processes, each with the backends of its threads.
pub(crate) struct Crowd {
    pub(crate) name: &'static str,
    pub(crate) processes: &'static [&'static [&'static str]],
    /// Calls of each thread.
    pub(crate) calls: u32,
}

const RUST: &str = "rust";
const EMBEDDED: &str = "python-embedded";
const WORKER: &str = "python-worker";

pub(crate) const CROWDS: [Crowd; 5] = [
    Crowd {
        name: "rust_and_python_in_two_processes",
        processes: &[&[RUST], &[EMBEDDED]],
        calls: 60,
    },
    Crowd {
        name: "four_threads_in_each_of_two_processes",
        processes: &[&[RUST; 4], &[EMBEDDED; 4]],
        calls: 20,
    },
    Crowd {
        name: "eight_threads_in_one_process",
        processes: &[&[
            RUST, EMBEDDED, RUST, EMBEDDED, RUST, EMBEDDED, RUST, EMBEDDED,
        ]],
        calls: 20,
    },
    Crowd {
        name: "eight_threads_of_rust",
        processes: &[&[RUST; 8]],
        calls: 30,
    },
    Crowd {
        name: "rust_and_a_worker_in_one_process",
        processes: &[&[RUST, RUST, WORKER, WORKER]],
        calls: 30,
    },
];

impl Crowd {
    /// No index and no coin is promised twice, and all agree in the end.
    pub(crate) fn run(&self, chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
        let wallet = WalletFolder::random(chain.height())?;
        let reference = Reference::new(chain.node(), &wallet, RANGE)?;
        fund(&wallet, chain, node)?;
        let Credentials::CookieFile(cookie) = &node.credentials else {
            return Err("the node has no cookie".into());
        };
        let begun = Instant::now();
        let start = |(seed, backends): (u64, &&[&str])| {
            Worker::spawn(&Work {
                dir: wallet.path().to_owned(),
                url: node.url.clone(),
                cookie: cookie.clone(),
                seed,
                backends: backends.iter().map(|&name| name.to_owned()).collect(),
                calls: Some(self.calls),
                locks: false,
                orders: None,
            })
        };
        let workers = (0..).zip(self.processes).map(start);
        let workers: Vec<_> = workers.collect::<Result<_, _>>()?;
        let mut promises = Promises::default();
        for (process, worker) in workers.iter().enumerate() {
            let mut is_done = false;
            while !is_done {
                match worker.line(PATIENCE) {
                    Ok(Some((thread, said))) => {
                        is_done = matches!(said, Said::Done);
                        promises.hear((process * 100 + thread, said), &reference)?;
                    }
                    Ok(None) => return Err("no word from a process".into()),
                    Err(Ended) => return Err("a process ended early".into()),
                }
            }
        }
        drop(workers);
        check_file(&wallet, &promises)?;
        let (addresses, payments) = promises.counts();
        println!(
            "shared::{}: {addresses} addresses, {payments} payments, {} refused, {:.1} s",
            self.name,
            promises.refused,
            begun.elapsed().as_secs_f32()
        );
        let threads: usize = self.processes.iter().map(|threads| threads.len()).sum();
        let calls = threads * self.calls as usize;
        assert!(addresses + payments > calls / 2, "hardly anything was done");
        chain.mine(1)?;
        let expected = reference.state(chain.node())?;
        for implementation in [
            BitcoinImplementationType::Rust,
            BitcoinImplementationType::Python,
        ] {
            let config = wallet.config(node, &[]);
            let opened = btc::connect_observed(&config, implementation)?;
            let who = implementation.to_string();
            compare(&who, &opened.wallet_state()?, &expected)?;
        }
        Ok(())
    }
}

/// Coins enough for every call, in few transactions.
fn fund(wallet: &WalletFolder, chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let sides = Sides::open(wallet, Backend::Rust, node)?;
    for address_type in AddressType::ALL {
        let script = sides
            .bitcoin()
            .generate_address(address_type)?
            .script_pubkey;
        let outputs = vec![(script, Amount::from_sat(200_000)); COINS_OF_A_TYPE];
        chain.pay(&outputs, 2)?;
    }
    chain.mine(1)?;
    Ok(())
}

/// A wallet that is closed can be opened again at once, though the process starts others all the
/// time, which have its open files for a moment.
pub(crate) fn reopened_while_processes_start(
    backend: Backend,
    chain: &mut Chain<'_>,
    node: &NodeConfig,
) -> Outcome {
    let wallet = WalletFolder::random(chain.height())?;
    let is_over = AtomicBool::new(false);
    // Python takes its time to open one.
    let rounds = if backend == Backend::Rust { 60 } else { 15 };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // What it does is nothing to us.
                    let _ = Command::new("true").status();
                }
            });
        }
        let mut last = None;
        let mut reopen = || {
            for round in 0..rounds {
                let sides = Sides::open(&wallet, backend, node)
                    .map_err(|error| format!("opened for the {round}th time: {error}"))?;
                let index = sides.bitcoin().generate_address(AddressType::P2tr)?.index;
                assert!(index > last, "{index:?} after {last:?}");
                last = index;
            }
            Ok(())
        };
        let outcome = reopen();
        is_over.store(true, Ordering::Relaxed);
        outcome
    })
}
