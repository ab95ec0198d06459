//! `cargo xtask setup`: makes a bare Debian or Ubuntu machine ready, and costs nothing when it is.

pub(crate) mod advisories;
mod apt;
pub(crate) mod browser;
mod electrum;
pub(crate) mod lock;
pub(crate) mod packages;
pub(crate) mod python;
pub(crate) mod tools;
mod venv;

use std::path::PathBuf;

use crate::bitcoind;
use crate::error::Result;
use crate::flags::{Purpose, SetupFlags};
use crate::terminal::{self, note};
use crate::workspace::Workspace;

use packages::Look;
use python::Python;

/// What the commands after setup rely on.
pub(crate) struct Machine {
    pub(crate) bitcoind: PathBuf,
    pub(crate) python: Python,
    /// The folder of the Electrum server; only tests need one.
    electrum: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, flags: &SetupFlags) -> Result<()> {
    note(purpose_in_words(flags.purpose));
    let machine = prepare(workspace, flags.purpose, flags.yes)?;
    let python = &machine.python;
    terminal::answer(&format!("bitcoind  {}", machine.bitcoind.display()));
    terminal::answer(&format!(
        "python    {} ({})",
        python.version,
        python.executable.display()
    ));
    terminal::answer(&format!("venv      {}", workspace.venv().display()));
    if let Some(folder) = &machine.electrum {
        terminal::answer(&format!("electrum  {}", folder.display()));
    }
    if flags.purpose == Purpose::Test {
        terminal::answer(&format!(
            "tools     {}",
            workspace.tools().join("bin").display()
        ));
        let browser = browser::find().map(|path| path.display().to_string());
        let browser = browser.as_deref().unwrap_or("none, so pages are left out");
        terminal::answer(&format!("browser   {browser}"));
    }
    terminal::answer(&terminal::green("ready"));
    Ok(())
}

/// What a setup brings, and for what.
fn purpose_in_words(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Use => {
            "setup for use: Bitcoin Core, and Python with its packages (--for test brings what the \
             checks need besides)"
        }
        Purpose::Test => {
            "setup for test: Bitcoin Core, Python with its packages and checkers, an Electrum server, \
             cargo-hack, cargo-deny and a browser (--for use brings Bitcoin Core and Python alone)"
        }
    }
}

/// Installs what is missing for `purpose`, and only that.
pub(crate) fn prepare(workspace: &Workspace, purpose: Purpose, yes: bool) -> Result<Machine> {
    let node = bitcoind::find(workspace)?;
    let scope = packages::Scope {
        builds_node: node.is_none(),
        runs_python: true,
        builds_fuzzers: purpose == Purpose::Test && workspace.has("fuzz/Cargo.toml"),
    };
    let look = provide(scope, yes)?;
    let python = look.python_or_advice()?;
    let bitcoind = match node {
        Some(path) => path,
        None => bitcoind::build(workspace, look.compiler.as_ref())?,
    };
    venv::ensure(workspace, &python, purpose)?;
    let mut electrum = None;
    if purpose == Purpose::Test {
        electrum = Some(electrum::ensure(workspace, &python)?);
        tools::ensure(workspace, &[tools::CARGO_HACK, tools::CARGO_DENY])?;
        browser::ensure(yes);
    }
    Ok(Machine {
        bitcoind,
        python,
        electrum,
    })
}

/// Looks, installs the system packages that are missing, and looks again.
pub(crate) fn provide(scope: packages::Scope, yes: bool) -> Result<Look> {
    let mut tried = Vec::new();
    loop {
        let look = Look::around(scope);
        let missing = packages::missing(scope, &look)?;
        if missing.is_empty() {
            return Ok(look);
        }
        // Once more when something else is missing now: a compiler may turn out too old only when
        // it is there. Never twice for the same package.
        if missing.iter().any(|need| tried.contains(need)) {
            return Err(apt::still_missing(&missing));
        }
        apt::install(&missing, yes)?;
        note("system packages are installed");
        tried.extend(missing);
    }
}

#[cfg(test)]
mod tests {
    use super::purpose_in_words;
    use crate::flags::Purpose;

    #[test]
    fn setup_says_what_it_installs_for_what_purpose() {
        let (of_use, of_test) = (
            purpose_in_words(Purpose::Use),
            purpose_in_words(Purpose::Test),
        );
        for (words, purpose) in [(of_use, "setup for use:"), (of_test, "setup for test:")] {
            assert!(words.starts_with(purpose), "{words}");
            assert!(words.contains("Bitcoin Core") && words.contains("Python"));
        }
        assert!(of_test.contains("Electrum") && of_test.contains("cargo-deny"));
        assert!(!of_use.contains("Electrum"));
    }
}
