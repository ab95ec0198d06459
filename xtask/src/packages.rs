//! That every crate which is published can be packaged, with all that it needs.

use std::fs;

use crate::error::{Context, Error, Result};
use crate::session::Session;

/// Where cargo puts packages.
const PLACE: &str = "target/package";

/// Packages the crates without building them again: that would take as long as all else.
pub(crate) fn check(session: &Session<'_>) -> Result<String> {
    let place = session.workspace.root().join(PLACE);
    // What is there from before proves nothing.
    if place.exists() {
        fs::remove_dir_all(&place).context(|| format!("cannot empty `{PLACE}`"))?;
    }
    let words = "package --workspace --exclude btc-tests --exclude xtask --quiet --no-verify \
                 --allow-dirty";
    session.run(&mut session.cargo(words)?)?;
    let files = fs::read_dir(&place).context(|| format!("cannot read `{PLACE}`"))?;
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    match paths
        .filter(|path| path.extension() == Some("crate".as_ref()))
        .count()
    {
        0 => Err(Error::new("no crate was packaged; that proves nothing")),
        count => Ok(format!("{count} packaged")),
    }
}
