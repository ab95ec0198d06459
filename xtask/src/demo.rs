//! `cargo xtask demo`: both implementations side by side on a private chain, from nothing typed before.

use crate::error::Result;
use crate::flags::{DemoFlags, Purpose};
use crate::session::Session;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, flags: &DemoFlags) -> Result<()> {
    let session = Session::open(workspace, Purpose::Use, false)?;
    // The dev profile: it shares its build with `cargo run` and `test`, its dependencies are optimised,
    // and the demo's time goes into Python and the node. A release build costs minutes, to save none.
    let mut cargo = session.cargo("run --package btc-migration-cli -- demo")?;
    session.run(cargo.args(&flags.args))
}
