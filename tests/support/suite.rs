//! `Suite`: trials gathered under their names, run side by side, and never none.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::backend::Backend;

/// How a trial ends: it panics or returns an error when something is not as it should be.
pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// How a trial ends that finds out that it cannot be run here: with this as its error, it counts as
/// ignored, not as passed, and the reason is printed.
#[derive(Debug)]
pub struct Skipped(pub &'static str);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}", self.0)
    }
}

impl Error for Skipped {}

/// A trial that makes what it needs.
pub type Test = fn() -> Outcome;

/// A trial over one implementation that meets a fault.
pub type Fault = fn(Backend) -> Outcome;

/// Most trials wait for a node or for a limit of time, so more run at once than there are cores.
const THREADS: usize = 6;

/// The trials of one phase.
#[derive(Default)]
pub struct Suite {
    trials: Vec<Trial>,
}

impl Suite {
    /// Adds a trial.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        test: impl FnOnce() -> Outcome + Send + 'static,
    ) {
        self.trials
            .push(Trial::ignorable_test(name, || match test() {
                Ok(()) => Ok(Completion::Completed),
                Err(error) => match error.downcast_ref::<Skipped>() {
                    Some(Skipped(reason)) => Ok(Completion::ignored_with(*reason)),
                    None => Err(Failed::from(with_causes(&*error))),
                },
            }));
    }

    /// Names a trial that cannot be run, with the reason, which is printed.
    pub fn skip(&mut self, name: impl Into<String>, reason: &'static str) {
        self.trials.push(Trial::ignorable_test(name, move || {
            Ok(Completion::ignored_with(reason))
        }));
    }

    /// Runs what the command line selects.
    ///
    /// # Errors
    /// A suite without trials fails, as does a selection of which none is run.
    pub fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(THREADS);
        if self.trials.is_empty() {
            eprintln!("the suite has no trials, which proves nothing");
            return ExitCode::FAILURE;
        }
        let conclusion = libtest_mimic::run(&arguments, self.trials);
        let ran = conclusion.num_passed + conclusion.num_failed;
        let is_asked_to_run = !arguments.list && !arguments.ignored && !arguments.bench;
        if ran == 0 && is_asked_to_run {
            eprintln!("no trial was run, which proves nothing");
            return ExitCode::FAILURE;
        }
        conclusion.exit_code()
    }
}

fn with_causes(error: &dyn Error) -> String {
    std::iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n  because: ")
}
