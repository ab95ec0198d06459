//! The Electrum server that tests connect to: ElectrumX in a Python environment of its own, in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::lock::Lock;
use super::python::Python;
use super::venv;
use crate::error::{Context, Result};
use crate::process;
use crate::terminal::note;
use crate::workspace::Workspace;

/// The release and the number of our recipe: all clones share the folder, so other requirements
/// get another number. `btc-regtest` looks for the same name.
const BUILD: &str = "electrumx-2.0.0-1";
/// What builds the packages that come as source only; installed first.
const BUILDERS: &str = "requirements-build.txt";
const REQUIREMENTS: &str = "requirements.txt";
/// Written last: an environment without it is torn and is made again.
const STAMP: &str = "btc-requirements";
/// Fails when the environment was made for a Python that is gone or has another version now.
const PROBE: &str =
    "import importlib.util as u; raise SystemExit(u.find_spec('electrumx') is None)";

/// Installs the server unless it is there; returns its folder.
pub(crate) fn ensure(workspace: &Workspace, python: &Python) -> Result<PathBuf> {
    let folder = workspace.cache().join(BUILD);
    let wanted = wanted(workspace)?;
    if is_there(&folder, &wanted) {
        return Ok(folder);
    }
    let _lock = Lock::take(workspace)?;
    // Another setup may have done it in the meantime.
    if is_there(&folder, &wanted) {
        return Ok(folder);
    }
    note("installing the Electrum server for tests (once for this machine)");
    venv::make(&folder, python)?;
    // Without isolation pip builds with what is installed; isolated, it would fetch unpinned tools.
    let source = requirements(workspace);
    venv::pip(&folder, &source, &["-r", BUILDERS])?;
    venv::pip(
        &folder,
        &source,
        &["--no-build-isolation", "-r", REQUIREMENTS],
    )?;
    let stamp = folder.join(STAMP);
    fs::write(&stamp, wanted).context(|| format!("cannot write {}", stamp.display()))?;
    Ok(folder)
}

/// Where the requirements are.
fn requirements(workspace: &Workspace) -> PathBuf {
    workspace.root().join("crates/btc-regtest/python")
}

/// What the stamp says: the requirements themselves.
fn wanted(workspace: &Workspace) -> Result<String> {
    let read = |name: &str| {
        let path = requirements(workspace).join(name);
        fs::read_to_string(&path).context(|| format!("cannot read {}; restore it", path.display()))
    };
    Ok(format!("{}\n{}", read(BUILDERS)?, read(REQUIREMENTS)?))
}

fn is_there(folder: &Path, wanted: &str) -> bool {
    fs::read_to_string(folder.join(STAMP)).is_ok_and(|stamp| stamp == wanted)
        && process::succeeds(Command::new(folder.join("bin/python")).args(["-I", "-c", PROBE]))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{BUILD, STAMP, is_there};

    #[test]
    fn the_names_agree() {
        let searched = include_str!("../../../crates/btc-regtest/src/exe.rs");
        assert!(searched.contains(&format!("\"{BUILD}\"")));
        let requirements = include_str!("../../../crates/btc-regtest/python/requirements.in");
        let version = BUILD.split('-').nth(1).unwrap_or_default();
        assert!(requirements.contains(&format!("e-x=={version}\n")));
    }

    #[test]
    fn only_a_whole_install_that_runs_counts() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let folder = folder.path();
        let python = |code: u8| -> std::io::Result<()> {
            let path = folder.join("bin/python");
            fs::write(&path, format!("#!/bin/sh\nexit {code}\n"))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        };
        fs::create_dir_all(folder.join("bin"))?;
        python(0)?;
        assert!(!is_there(folder, "a==1"), "torn: no stamp");
        fs::write(folder.join(STAMP), "a==1")?;
        assert!(is_there(folder, "a==1"));
        assert!(!is_there(folder, "a==2"), "other requirements");
        python(1)?;
        assert!(!is_there(folder, "a==1"), "a Python that lost its packages");
        assert!(!is_there(Path::new("/nowhere"), "a==1"));
        Ok(())
    }
}
