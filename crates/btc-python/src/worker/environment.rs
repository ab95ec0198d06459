//! What a worker inherits of this process's environment: what Python needs, and no secret.

use std::env;
use std::ffi::OsString;

use crate::config::PythonConfig;

/// How programs and libraries are found, and where people, places and times are looked up.
const INHERITED: [&str; 23] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TZDIR",
    "TMPDIR",
    "TEMP",
    "TMP",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SYSTEMROOT",
    "PYTHONPATH",
    "PYTHONHASHSEED",
    "PYTHONUTF8",
    "PYTHONWARNINGS",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
];

/// The variables that a worker gets: those above, `LC_*`, and those that the configuration names.
pub(super) fn inherited(config: &PythonConfig) -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        INHERITED.contains(&&*name)
            || name.starts_with("LC_")
            || config.inherit.iter().any(|named| *named == name)
    })
}
