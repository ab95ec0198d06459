//! `cargo xtask setup`: makes a bare Debian or Ubuntu machine ready, and costs nothing when it is.

mod apt;
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
}

pub(crate) fn run(workspace: &Workspace, flags: &SetupFlags) -> Result<()> {
    let machine = prepare(workspace, flags.purpose, flags.yes)?;
    println!("bitcoind  {}", machine.bitcoind.display());
    println!(
        "python    {} ({})",
        machine.python.version,
        machine.python.executable.display()
    );
    println!("venv      {}", workspace.venv().display());
    if flags.purpose == Purpose::Test {
        println!("tools     {}", workspace.tools().join("bin").display());
    }
    println!("{}", terminal::green("ready"));
    Ok(())
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
    if purpose == Purpose::Test {
        tools::ensure(workspace, &[tools::CARGO_HACK, tools::CARGO_DENY])?;
    }
    Ok(Machine { bitcoind, python })
}

/// Looks, installs the system packages that are missing, and looks again.
pub(crate) fn provide(scope: packages::Scope, yes: bool) -> Result<Look> {
    let mut look = Look::around(scope);
    // A second round serves a compiler that turns out too old only once it is there.
    for _ in 0..2 {
        let missing = packages::missing(scope, &look)?;
        if missing.is_empty() {
            return Ok(look);
        }
        apt::install(&missing, yes)?;
        note("system packages are installed");
        look = Look::around(scope);
    }
    let missing = packages::missing(scope, &look)?;
    if missing.is_empty() {
        Ok(look)
    } else {
        Err(apt::still_missing(&missing))
    }
}
