//! Phase 2: the wallet's behaviour over every backend, its sources, its faults, parity and the program.

#![allow(
    clippy::unnecessary_wraps,
    reason = "cases have one signature, whether or not they can fail on their way"
)]

mod child;
mod cli;
mod faults;
mod interface;
mod kill;
mod lab;
mod moving;
mod outages;
mod payments;
mod promises;
mod reorg;
mod shared;
mod sides;
mod sources;
mod turn;
mod vectors;
mod wallet;

use std::process::ExitCode;
use std::sync::Arc;

use btc_regtest::NodeBuilder;
use btc_tests::{Backend, Outcome, Shared, Suite, builder};

use crate::lab::WalletLab;

/// What the trials share; each part starts when the first trial needs it.
#[derive(Default)]
struct Phase {
    filtered: Shared<WalletLab>,
    plain: Shared<WalletLab>,
    /// Where deep reorganisations take away what other cases would pay with.
    shaken: Shared<WalletLab>,
    shaken_plain: Shared<WalletLab>,
    programs: Shared<WalletLab>,
}

impl Phase {
    /// A node with everything that makes a wallet fast.
    fn filtered(&self, run: impl FnOnce(&WalletLab) -> Outcome) -> Outcome {
        self.filtered.with(|| WalletLab::start(full_node()), run)
    }

    /// A node without filters or REST.
    fn plain(&self, run: impl FnOnce(&WalletLab) -> Outcome) -> Outcome {
        let options = || builder().rest(false);
        self.plain.with(|| WalletLab::start(options()), run)
    }

    fn shaken(&self, is_plain: bool, run: impl FnOnce(&WalletLab) -> Outcome) -> Outcome {
        if is_plain {
            let options = || builder().rest(false);
            return self.shaken_plain.with(|| WalletLab::start(options()), run);
        }
        self.shaken.with(|| WalletLab::start(full_node()), run)
    }

    /// A node of its own for the program, which runs beside the others.
    fn programs(&self, run: impl FnOnce(&WalletLab) -> Outcome) -> Outcome {
        self.programs.with(|| WalletLab::start(full_node()), run)
    }
}

/// A node with REST, block filters and an index.
fn full_node() -> NodeBuilder {
    builder().block_filters(true)
}

fn main() -> ExitCode {
    if let Some(code) = child::run() {
        return code;
    }
    let phase = Arc::new(Phase::default());
    let mut suite = Suite::default();
    for backend in Backend::ALL {
        for (name, case) in wallet::CASES {
            let shared = Arc::clone(&phase);
            suite.add(format!("wallet::{name}::{}", backend.name()), move || {
                shared.filtered(|lab| lab.run(backend, *case))
            });
        }
    }
    for (name, case) in wallet::CASES {
        let shared = Arc::clone(&phase);
        suite.add(format!("plain_node::{name}::rust"), move || {
            shared.plain(|lab| lab.run(Backend::Rust, *case))
        });
    }
    for (name, case) in interface::CASES {
        let shared = Arc::clone(&phase);
        suite.add(format!("interface::{name}"), move || {
            let case = *case;
            shared.filtered(|lab| lab.with(move |chain, node| interface::run(chain, node, case)))
        });
    }
    payments::add(&mut suite);
    sources::add(&mut suite);
    vectors::add(&mut suite);
    for part in kill::LOOPS {
        suite.add(format!("kill::{}", part.name), move || {
            let lab = WalletLab::start(full_node())?;
            lab.with(move |chain, node| part.run(chain, &node))
        });
    }
    let kills = kill::payments::kills();
    suite.add(format!("kill::payments_{kills}_times"), move || {
        kill::payments::run(kills)
    });
    let backends = reorg::BACKENDS.map(|backend| (backend, false));
    for (backend, is_plain) in backends.into_iter().chain([(Backend::Rust, true)]) {
        let suffix = if is_plain { "-without-filters" } else { "" };
        for depth in reorg::DEPTHS {
            let shared = Arc::clone(&phase);
            let name = format!("reorg::{depth}::{}{suffix}", backend.name());
            suite.add(name, move || {
                shared.shaken(is_plain, |lab| {
                    lab.with(move |chain, node| reorg::run(depth, backend, chain, &node))
                })
            });
        }
    }
    for backend in [Backend::ShadowPythonFirst, Backend::ShadowRustFirst] {
        suite.add(format!("moving::{}", backend.name()), move || {
            let lab = WalletLab::start(full_node())?;
            lab.with(move |chain, node| moving::run(backend, chain, &node))
        });
    }
    let shared = Arc::clone(&phase);
    suite.add("moving::a_broadcast_whose_turn_comes_later", move || {
        shared.shaken(false, |lab| lab.with(|chain, node| turn::run(chain, &node)))
    });
    for crowd in shared::CROWDS {
        let phase = Arc::clone(&phase);
        suite.add(format!("shared::{}", crowd.name), move || {
            phase.filtered(|lab| lab.with(move |chain, node| crowd.run(chain, &node)))
        });
    }
    for backend in Backend::REAL {
        let phase = Arc::clone(&phase);
        let name = format!("shared::reopened_while_processes_start::{}", backend.name());
        suite.add(name, move || {
            phase.filtered(|lab| {
                lab.with(move |chain, node| {
                    shared::reopened_while_processes_start(backend, chain, &node)
                })
            })
        });
    }
    cli::add(&mut suite, &phase);
    for backend in Backend::REAL {
        for (name, fault) in faults::FAULTS.into_iter().chain(outages::SHORTAGES) {
            let phase = Arc::clone(&phase);
            suite.add(format!("faults::{name}::{}", backend.name()), move || {
                phase.filtered(|lab| lab.with(move |chain, node| fault(backend, chain, &node)))
            });
        }
    }
    for backend in Backend::REAL {
        for (name, outage, forgets) in outages::OUTAGES {
            suite.add(format!("outages::{name}::{}", backend.name()), move || {
                outages::on_own_node(backend, outage, forgets, full_node())
            });
        }
    }
    // The trials are gone afterwards, and with this the nodes.
    let code = suite.run();
    drop(phase);
    code
}
