//! `cargo xtask page`: the HTML report of `btc analyze` in a headless browser.

use crate::error::{Error, Result};
use crate::flags::{PageFlags, Purpose};
use crate::session::Session;
use crate::setup::browser;
use crate::suite::{self, Count};
use crate::terminal;
use crate::workspace::Workspace;

/// Why there is nothing to open pages with.
pub(crate) const MISSING: &str =
    "no Chromium on PATH, and none could be installed; install the package chromium";

pub(crate) fn run(workspace: &Workspace, flags: &PageFlags) -> Result<()> {
    browser::ensure(false);
    if browser::find().is_none() {
        return Err(Error::new(MISSING));
    }
    let session = Session::open(workspace, Purpose::Use, false)?;
    let count = run_suite(&session, &flags.args)?;
    let summary = terminal::green(&count.summary());
    terminal::answer(&format!("pages: {summary}; look at them in target/page"));
    Ok(())
}

/// Runs the suite.
pub(crate) fn run_suite(session: &Session<'_>, args: &[String]) -> Result<Count> {
    let mut cargo = session.cargo("test --package btc-tests --test page --")?;
    suite::run(session, cargo.args(args))
}
