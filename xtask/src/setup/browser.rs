//! The browser that opens the report: a tool of the tests alone, so its absence ends nothing.

use std::path::PathBuf;

use super::apt;
use super::packages::Need;
use crate::process::find_on_path;
use crate::terminal::note;

/// The package of Debian.
pub(crate) const PACKAGE: &str = "chromium";
/// The names under which it is installed.
const PROGRAMS: [&str; 5] = [
    PACKAGE,
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
];

pub(crate) fn find() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM_EXE").map(PathBuf::from);
    named.or_else(|| PROGRAMS.into_iter().find_map(find_on_path))
}

/// Installs it where that can be done. Where it cannot, the step that needs it says so.
pub(crate) fn ensure(yes: bool) {
    if find().is_some() || !apt::offers(PACKAGE) {
        return;
    }
    let need = Need {
        package: PACKAGE,
        reason: "opens the HTML report in tests",
    };
    if let Err(error) = apt::install(&[need], yes) {
        note(&format!("goes on without a browser: {error}"));
    }
}
