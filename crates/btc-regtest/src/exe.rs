//! Where the `bitcoind` program is: given, on the PATH, or built into the cache folder.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::NodeError;

/// The build of Bitcoin Core that `cargo xtask bitcoind` installs: its version, then the number of
/// our recipe. It names the folder below [`cache_dir`].
pub const NODE_BUILD: &str = "bitcoin-31.99-1";

/// The Electrum server that `cargo xtask setup` installs: its version, then the number of our recipe.
pub const ELECTRUM_BUILD: &str = "electrumx-2.0.0-1";
/// What the installation of the Electrum server leaves behind when it is complete.
const ELECTRUM_STAMP: &str = "btc-requirements";

/// Finds the `bitcoind` to run.
///
/// # Behavior
///
/// - `explicit` (what the caller read from `BITCOIND_EXE`) wins, and must be an executable file.
/// - Else the first `bitcoind` on the `PATH`.
/// - Else [`cached_exe`].
///
/// # Errors
///
/// [`NodeError::BadExe`] for an explicit path that cannot run, [`NodeError::MissingExe`] when there
/// is none.
pub fn find(explicit: Option<&Path>) -> Result<PathBuf, NodeError> {
    if let Some(path) = explicit {
        if is_executable(path) {
            return Ok(path.to_path_buf());
        }
        return Err(NodeError::BadExe {
            path: path.to_path_buf(),
        });
    }
    let search = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&search)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("bitcoind"));
    if let Some(path) = on_path.into_iter().find(|path| is_executable(path)) {
        return Ok(path);
    }
    let mut tried = vec![PathBuf::from("bitcoind on PATH")];
    if let Some(path) = cached_exe() {
        if is_executable(&path) {
            return Ok(path);
        }
        tried.push(path);
    }
    Err(NodeError::MissingExe { tried })
}

/// Where `cargo xtask bitcoind` installs the program, whether or not it is there yet. `None` when
/// there is no home directory.
pub fn cached_exe() -> Option<PathBuf> {
    Some(cache_dir()?.join(NODE_BUILD).join("bin").join("bitcoind"))
}

/// Finds the Python that runs the Electrum server, in the environment that `cargo xtask setup`
/// makes.
///
/// # Errors
///
/// [`NodeError::MissingElectrum`] when it is not there, or only a part of it.
pub fn electrum_python() -> Result<PathBuf, NodeError> {
    let folder = cache_dir().unwrap_or_default().join(ELECTRUM_BUILD);
    let python = folder.join("bin").join("python");
    if folder.join(ELECTRUM_STAMP).is_file() && is_executable(&python) {
        Ok(python)
    } else {
        Err(NodeError::MissingElectrum { path: folder })
    }
}

/// The project's cache folder: `$XDG_CACHE_HOME/btc`, else `$HOME/.cache/btc`. It outlives
/// `target/`.
pub fn cache_dir() -> Option<PathBuf> {
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("btc"))
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explicit_path_must_be_a_program() {
        let error = find(Some(Path::new("/does/not/exist"))).expect_err("no such file");
        assert!(matches!(error, NodeError::BadExe { .. }));
        assert!(error.to_string().contains("BITCOIND_EXE"), "{error}");
        assert!(
            find(Some(Path::new("/"))).is_err(),
            "a folder is not a program"
        );
        assert_eq!(
            find(Some(Path::new("/bin/sh"))).expect("a program"),
            Path::new("/bin/sh")
        );
    }

    #[test]
    fn a_missing_node_says_what_to_run() {
        let text = NodeError::MissingExe {
            tried: vec!["/a".into(), "/b".into()],
        }
        .to_string();
        assert!(
            text.contains("/a, /b") && text.contains("cargo xtask bitcoind"),
            "{text}"
        );
    }

    #[test]
    fn a_missing_electrum_server_says_what_to_run() {
        let text = NodeError::MissingElectrum { path: "/a".into() }.to_string();
        assert!(
            text.contains("/a") && text.contains("cargo xtask setup"),
            "{text}"
        );
    }
}
