//! Where things are: the repository, and the cache that outlives `target/`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};

/// The folders that every command works in.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    cache: PathBuf,
}

impl Workspace {
    pub(crate) fn locate() -> Result<Self> {
        // Cargo tells where the package is now; the compiled-in path serves when it is run by hand.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = manifest.parent().map(Path::to_path_buf);
        let root = root
            .filter(|root| root.join("Cargo.toml").is_file())
            .ok_or_else(|| {
                Error::new("cannot find the repository; run `cargo xtask` inside a clone of it")
            })?;
        let cache = cache_folder(
            env::var_os("XDG_CACHE_HOME").map(PathBuf::from),
            env::home_dir(),
        )
        .ok_or_else(|| {
            Error::new("there is no home folder to keep built tools in; set XDG_CACHE_HOME")
        })?;
        Ok(Self { root, cache })
    }

    #[cfg(test)]
    pub(crate) fn at(root: &Path, cache: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            cache: cache.to_path_buf(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Built once per machine and shared by all clones.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// The `--root` of `cargo install`: never the person's own folder.
    pub(crate) fn tools(&self) -> PathBuf {
        self.cache.join("tools")
    }

    pub(crate) fn venv(&self) -> PathBuf {
        self.root.join(".venv")
    }

    /// The Python package's folder.
    pub(crate) fn python_package(&self) -> PathBuf {
        self.root.join("crates/btc-python/python")
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// Cargo in the repository's root, without what the outer `cargo run` left in the environment.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(is_about_xtask) {
                cargo.env_remove(name);
            }
        }
        cargo
    }
}

fn cache_folder(xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    // The specification says that a relative XDG_CACHE_HOME counts as unset.
    let base = xdg
        .filter(|path| path.is_absolute())
        .or_else(|| Some(home?.join(".cache")))?;
    Some(base.join("btc"))
}

/// Variables that describe the package `xtask`; a build script that reads them would run again.
fn is_about_xtask(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_BIN_")
        || matches!(
            name,
            "CARGO_MANIFEST_DIR"
                | "CARGO_MANIFEST_PATH"
                | "CARGO_CRATE_NAME"
                | "CARGO_PRIMARY_PACKAGE"
        )
}

#[cfg(test)]
mod tests {
    use super::{cache_folder, is_about_xtask};

    #[test]
    fn the_cache_follows_xdg_and_else_the_home() {
        assert_eq!(cache_folder(Some("/x".into()), None), Some("/x/btc".into()));
        assert_eq!(
            cache_folder(Some("x".into()), Some("/h".into())),
            Some("/h/.cache/btc".into())
        );
        assert_eq!(cache_folder(None, None), None);
    }

    #[test]
    fn only_what_cargo_says_about_xtask_is_dropped() {
        assert!(is_about_xtask("CARGO_PKG_NAME"));
        assert!(!is_about_xtask("CARGO_HOME"));
        assert!(!is_about_xtask("CARGO_TARGET_DIR"));
    }
}
