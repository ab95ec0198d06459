//! `cargo xtask bench`: measures with the release build and writes the numbers down.

use crate::error::Result;
use crate::flags::{BenchFlags, Purpose};
use crate::session::Session;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, flags: &BenchFlags) -> Result<()> {
    let session = Session::open(workspace, Purpose::Use, false)?;
    let mut cargo = session.cargo("run --release --package btc-tests --bin bench --")?;
    if flags.quick {
        // Too short to be written down.
        cargo.arg("--quick");
    } else {
        cargo.args(["--markdown", "docs/performance.md"]);
        cargo.args(["--json", "target/bench.json"]);
    }
    session.run(cargo.args(&flags.args))
}
