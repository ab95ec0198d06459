//! Where the Python environment and the package lie unless it is said: beside the program that
//! runs. No path of the machine that built it counts, where another user may own it by now.

use std::env;
use std::path::{Path, PathBuf};

/// Where an installed program has them, from the folder of its executable.
const INSTALLED: &str = "../lib/btc";
/// The package in a workspace, and its module.
const PACKAGE: &str = "crates/btc-python/python";
const MODULE: &str = "btc_legacy";

/// The environment: `../lib/btc/venv` from the executable's folder, or `.venv` of the workspace
/// whose `target` folder the executable is in.
pub(crate) fn venv() -> PathBuf {
    let Some(folder) = folder_of_executable() else {
        return Path::new(INSTALLED).join("venv");
    };
    venv_from(&folder)
}

/// The folder that holds the package: `../lib/btc/python` from the executable's folder, or the
/// workspace's. `None`: neither is there, so that the environment must have it.
pub(crate) fn package() -> Option<PathBuf> {
    package_from(&folder_of_executable()?)
}

/// The package of the workspace that this environment belongs to.
pub(crate) fn package_of(venv: &Path) -> Option<PathBuf> {
    let folder = venv.parent()?.join(PACKAGE);
    folder.join(MODULE).is_dir().then_some(folder)
}

fn venv_from(folder: &Path) -> PathBuf {
    let installed = folder.join(INSTALLED).join("venv");
    match workspace(folder) {
        Some(workspace) if !installed.is_dir() => workspace.join(".venv"),
        _ => installed,
    }
}

fn package_from(folder: &Path) -> Option<PathBuf> {
    let installed = folder.join(INSTALLED).join("python");
    let in_workspace = workspace(folder).map(|workspace| workspace.join(PACKAGE));
    std::iter::once(installed)
        .chain(in_workspace)
        .find(|folder| folder.join(MODULE).is_dir())
}

fn folder_of_executable() -> Option<PathBuf> {
    let executable = env::current_exe().ok()?.canonicalize().ok()?;
    Some(executable.parent()?.to_owned())
}

/// The workspace whose `target` folder this folder is in: it has the package, too.
fn workspace(folder: &Path) -> Option<&Path> {
    let target = folder.ancestors().find(|it| it.ends_with("target"))?;
    let workspace = target.parent()?;
    let is_ours = workspace.join(PACKAGE).join(MODULE).is_dir();
    is_ours.then_some(workspace)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn made(folders: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        for folder in folders {
            fs::create_dir_all(root.path().join(folder)).expect("a new folder");
        }
        root
    }

    #[test]
    fn an_installed_program_has_them_beside_itself() {
        let root = made(&["bin", "lib/btc/venv", "lib/btc/python/btc_legacy"]);
        let bin = root.path().join("bin");
        assert_eq!(venv_from(&bin), bin.join("../lib/btc/venv"));
        let package = package_from(&bin).expect("it is there");
        assert_eq!(package, bin.join("../lib/btc/python"));
    }

    #[test]
    fn a_program_of_a_workspace_has_those_of_the_workspace() {
        let root = made(&["target/debug/deps", "crates/btc-python/python/btc_legacy"]);
        for folder in ["target/debug", "target/debug/deps"] {
            let folder = root.path().join(folder);
            assert_eq!(venv_from(&folder), root.path().join(".venv"));
            let package = package_from(&folder).expect("it is there");
            assert_eq!(package, root.path().join(PACKAGE));
        }
        let package = package_of(&root.path().join(".venv"));
        assert_eq!(package, Some(root.path().join(PACKAGE)));
    }

    #[test]
    fn a_program_that_was_moved_away_remembers_nothing_of_its_build() {
        let root = made(&["elsewhere/target/debug"]);
        for folder in ["elsewhere", "elsewhere/target/debug"] {
            let folder = root.path().join(folder);
            assert_eq!(package_from(&folder), None);
            assert!(venv_from(&folder).starts_with(root.path()));
            assert!(!venv_from(&folder).exists());
        }
        assert_eq!(package_of(&root.path().join(".venv")), None);
    }
}
