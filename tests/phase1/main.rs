//! Phase 1: the interface's behaviour over every backend, its failures, shadow mode and the program.

#![allow(
    clippy::unnecessary_wraps,
    reason = "cases have one signature, whether or not they can fail on their way"
)]

mod beside;
mod broadcast;
mod change;
mod cli;
mod ending;
mod estimates;
mod extremes;
mod faults;
mod hostile;
mod logs;
mod nodes;
mod python;
mod read;
mod refuse;
mod reorg;
mod rollout;
mod runbook;
mod verdicts;

use std::process::ExitCode;
use std::sync::Arc;

use btc_regtest::Plan;
use btc_tests::{Backend, Fixture, Lab, Outcome, Shared, Suite, builder};

/// What the trials share; each part starts when the first trial needs it.
#[derive(Default)]
struct Phase {
    reading: Shared<Fixture>,
    estimating: Shared<Fixture>,
    indexed: Shared<Lab>,
    plain: Shared<Lab>,
}

impl Phase {
    /// The node that is only read: every kind of transaction, a mempool, an odd block.
    fn reading(&self, run: impl FnOnce(&Fixture) -> Outcome) -> Outcome {
        self.reading.with(|| Fixture::start(&Plan::small()), run)
    }

    /// A node with enough history for fee estimates.
    fn estimating(&self, run: impl FnOnce(&Fixture) -> Outcome) -> Outcome {
        self.estimating
            .with(|| Fixture::start(&estimates::plan()), run)
    }

    /// The node that is changed, with an index of all transactions.
    fn indexed(&self, run: impl FnOnce(&Lab) -> Outcome) -> Outcome {
        self.indexed.with(|| Lab::start(builder()), run)
    }

    /// The node that is changed, without one.
    fn plain(&self, run: impl FnOnce(&Lab) -> Outcome) -> Outcome {
        self.plain
            .with(|| Lab::start(builder().txindex(false)), run)
    }
}

fn main() -> ExitCode {
    let phase = Arc::new(Phase::default());
    let mut suite = Suite::default();
    behaviours(&mut suite, &phase);
    faults::add(&mut suite);
    hostile::add(&mut suite);
    estimates::add(&mut suite, &phase);
    extremes::add(&mut suite);
    nodes::add(&mut suite);
    python::add(&mut suite);
    rollout::add(&mut suite, &phase);
    beside::add(&mut suite, &phase);
    ending::add(&mut suite, &phase);
    reorg::add(&mut suite, &phase);
    verdicts::add(&mut suite);
    logs::add(&mut suite);
    cli::add(&mut suite, &phase);
    runbook::add(&mut suite);
    // The trials are gone afterwards, and with this the nodes.
    let code = suite.run();
    drop(phase);
    code
}

/// Each case over every backend.
fn behaviours(suite: &mut Suite, phase: &Arc<Phase>) {
    for backend in Backend::ALL {
        for (name, case) in read::CASES.iter().chain(refuse::CASES) {
            let phase = Arc::clone(phase);
            suite.add(trial(name, backend), move || {
                phase.reading(|fixture| over(fixture, backend, *case))
            });
        }
        for (name, case) in estimates::CASES {
            let phase = Arc::clone(phase);
            suite.add(trial(name, backend), move || {
                phase.estimating(|fixture| over(fixture, backend, *case))
            });
        }
        for (name, case) in change::CASES.iter().chain(broadcast::CASES) {
            let phase = Arc::clone(phase);
            suite.add(trial(name, backend), move || {
                phase.indexed(|lab| lab.run(backend, *case))
            });
        }
        for (name, case) in broadcast::CASES_WITHOUT_INDEX {
            let phase = Arc::clone(phase);
            suite.add(trial(name, backend), move || {
                phase.plain(|lab| lab.run(backend, *case))
            });
        }
    }
}

fn over(fixture: &Fixture, backend: Backend, case: read::Case) -> Outcome {
    let connected = fixture.backends.connect(backend)?;
    case(fixture, &*connected.bitcoin)?;
    connected.assert_agreement();
    assert_eq!(
        connected.bitcoin.implementation_type(),
        backend.implementation()
    );
    Ok(())
}

fn trial(case: &str, backend: Backend) -> String {
    format!("behaviour::{case}::{}", backend.name())
}
