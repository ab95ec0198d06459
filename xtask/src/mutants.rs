//! `cargo xtask mutants`: whether shadow mode catches every faulty copy of the Python implementation.

use crate::error::{Error, Result};
use crate::flags::{MutantsFlags, Purpose};
use crate::process;
use crate::session::Session;
use crate::terminal;
use crate::workspace::Workspace;

/// How the suite's last line begins.
const SCORE: &str = "mutation score ";

pub(crate) fn run(workspace: &Workspace, flags: &MutantsFlags) -> Result<()> {
    let session = Session::open(workspace, Purpose::Use, false)?;
    let score = run_suite(&session, &flags.args)?;
    terminal::answer(&terminal::green(&score));
    Ok(())
}

/// Runs the suite and returns its score in words.
pub(crate) fn run_suite(session: &Session<'_>, args: &[String]) -> Result<String> {
    let mut cargo = session.cargo("test --package btc-tests --test mutants --")?;
    let mut score = None;
    process::watch(cargo.args(args), session.output, |line| {
        if line.starts_with(SCORE) {
            score = Some(line.trim_end().to_owned());
        }
    })?;
    score.ok_or_else(|| {
        Error::new("no mutant was run; a suite that selects none of them proves nothing")
    })
}
