//! The source of Bitcoin Core, taken out of a package of the Rust registry by cargo itself.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};
use crate::process;
use crate::terminal::note;
use crate::workspace::Workspace;

/// Ships the whole tree of Bitcoin Core below `bitcoin/`.
pub(crate) const PACKAGE: &str = "libbitcoinkernel-sys";
const VERSION: &str = "0.4.1";
/// The registry's checksum of that version: another source must not slip in.
const CHECKSUM: &str = "345d18a1ce19a1becfcaaa066e3a60e9c7813ef5c23ea8c20704ca4ba1a46339";

/// Puts the source below `folder` and returns where its `CMakeLists.txt` is.
pub(super) fn fetch(workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
    let source = folder.join("vendor").join(PACKAGE).join("bitcoin");
    // Written after the copy is complete.
    let complete = folder.join("source-is-complete");
    if complete.is_file() {
        note("going on with a build that was interrupted");
        return Ok(source);
    }
    if folder.exists() {
        fs::remove_dir_all(folder).context(|| format!("cannot remove {}", folder.display()))?;
    }
    note(&format!(
        "fetching the source of Bitcoin Core ({PACKAGE} {VERSION})"
    ));
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).context(|| format!("cannot write {}", path.display()))
    };
    fs::create_dir_all(folder.join("src"))
        .context(|| format!("cannot create {}", folder.display()))?;
    write("Cargo.toml", &manifest())?;
    write("src/lib.rs", "")?;
    // Vendoring copies: a build inside the registry's own folder would damage it.
    process::read(
        workspace
            .cargo()
            .current_dir(folder)
            .args(["vendor", "--quiet", "vendor"]),
    )?;
    let lock = folder.join("Cargo.lock");
    let lock = fs::read_to_string(&lock).context(|| format!("cannot read {}", lock.display()))?;
    if checksum(&lock) != Some(CHECKSUM) {
        return Err(Error::new(format!(
            "{PACKAGE} {VERSION} is not the package it was; do not build it"
        )));
    }
    if !source.join("CMakeLists.txt").is_file() {
        return Err(Error::new(format!(
            "{PACKAGE} {VERSION} has no Bitcoin Core in it"
        )));
    }
    write("source-is-complete", "")?;
    Ok(source)
}

fn manifest() -> String {
    format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\n{PACKAGE} = \"={VERSION}\"\n\n[workspace]\n"
    )
}

fn checksum(lock: &str) -> Option<&str> {
    let (_, package) = lock.split_once(&format!("name = \"{PACKAGE}\""))?;
    let (_, rest) = package.split_once("checksum = \"")?;
    Some(rest.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn the_checksum_is_the_packages_own() {
        let lock = "[[package]]\nname = \"cc\"\nchecksum = \"1\"\n\n[[package]]\n\
                    name = \"libbitcoinkernel-sys\"\nversion = \"0.4.1\"\nchecksum = \"2\"\n";
        assert_eq!(checksum(lock), Some("2"));
        assert_eq!(
            checksum("[[package]]\nname = \"cc\"\nchecksum = \"1\"\n"),
            None
        );
    }
}
