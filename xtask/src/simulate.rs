//! `cargo xtask simulate`: random lives of a wallet over a simulated node.

use crate::error::{Error, Result};
use crate::flags::{Purpose, SimulateFlags};
use crate::process;
use crate::session::Session;
use crate::workspace::Workspace;

/// How many histories CI plays: two to three minutes on two cores.
const CI_HISTORIES: &str = "--histories=300";
/// How many of these are played once more on Bitcoin Core.
const CI_CONFIRMED: &str = "--confirm=5";
/// What the suite's last line but for failures holds.
const SUMMARY: &str = " histories in ";

pub(crate) fn run(workspace: &Workspace, flags: &SimulateFlags) -> Result<()> {
    let session = Session::open(workspace, Purpose::Use, false)?;
    // Broken rules are compiled in only where they are asked for.
    let is_planted = flags.args.iter().any(|arg| arg.starts_with("--planted"));
    let words = if is_planted {
        "test --package btc-tests --features planted --test simulate --"
    } else {
        "test --package btc-tests --test simulate --"
    };
    session.run(session.cargo(words)?.args(&flags.args))
}

/// What CI plays: the scenarios, and as many histories as fit into some minutes.
pub(crate) fn run_suite(session: &Session<'_>) -> Result<String> {
    let words = "test --package btc-tests --test simulate --";
    session.run(session.cargo(words)?.args(["--scenario", "all"]))?;
    let mut summary = None;
    let mut cargo = session.cargo(words)?;
    cargo.args([CI_HISTORIES, CI_CONFIRMED]);
    process::watch(&mut cargo, session.output, |line| {
        if line.contains(SUMMARY) {
            summary = Some(line.trim_end().to_owned());
        }
    })?;
    summary.ok_or_else(|| Error::new("no history was played; that proves nothing"))
}
