//! Where Python looks for modules: one order, embedded and in workers.

use std::ffi::OsString;

use crate::config::PythonConfig;

/// Defines `arrange`, in Python that needs no package.
pub(crate) const SOURCE: &str = include_str!("../python/btc_legacy/paths.py");

/// What `arrange` is called with: the environment, then the folders that are searched first.
pub(crate) fn arguments(config: &PythonConfig) -> Vec<OsString> {
    let folders = config.search_path.iter().chain(&config.package_dir);
    std::iter::once(&config.venv)
        .chain(folders)
        .map(|path| path.clone().into_os_string())
        .collect()
}
