//! The database of advisories that cargo-deny reads: it changes by the day, so that no version of it
//! can be pinned, and it comes from the network.

use std::env;
use std::path::{Path, PathBuf};

/// Why the step is left out.
pub(crate) const MISSING: &str =
    "no database of advisories here; `cargo deny fetch db` brings it where there is a network";

/// Whether a database was fetched.
pub(crate) fn are_here() -> bool {
    let named = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    named.or(home).is_some_and(|folder| has_database(&folder))
}

fn has_database(cargo_home: &Path) -> bool {
    let entries = cargo_home.join("advisory-dbs").read_dir();
    entries.is_ok_and(|entries| {
        let mut folders = entries.flatten();
        folders
            .any(|entry| entry.path().join(".git").exists() || entry.path().join("crates").exists())
    })
}

#[cfg(test)]
mod tests {
    use super::has_database;

    #[test]
    fn a_machine_without_advisories_is_known() -> std::io::Result<()> {
        let home = tempfile::tempdir()?;
        assert!(!has_database(home.path()));
        std::fs::create_dir_all(home.path().join("advisory-dbs"))?;
        assert!(!has_database(home.path()));
        std::fs::create_dir_all(home.path().join("advisory-dbs/github.com-1/crates"))?;
        assert!(has_database(home.path()));
        Ok(())
    }
}
