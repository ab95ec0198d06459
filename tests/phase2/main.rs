//! Phase 2: the wallet's behaviour over every backend, its sources, its faults, parity and the program.

#![allow(
    clippy::unnecessary_wraps,
    reason = "cases have one signature, whether or not they can fail on their way"
)]

mod cli;
mod lab;
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
    cli::add(&mut suite, &phase);
    // The trials are gone afterwards, and with this the nodes.
    let code = suite.run();
    drop(phase);
    code
}
