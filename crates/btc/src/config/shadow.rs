//! How shadow mode compares, and where it writes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use btc_iface::BitcoinResult;

use super::layers::Layers;
use super::{Config, parse};

/// The settings of shadow mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowConfig {
    /// The comparison log.
    pub log_file: PathBuf,
    /// Whether matches have lines of their own.
    pub log_all: bool,
    /// The size in bytes at which the log goes on in a new file; `None`: the log's own.
    pub log_max_bytes: Option<u64>,
    /// How many files of the log there may be; `None`: the log's own.
    pub log_max_files: Option<u32>,
    /// Whether earlier files of the log are compressed.
    pub log_compress: bool,
    /// Whether the caller waits for the comparison.
    pub is_inline: bool,
    /// Threads that compare; `None`: two.
    pub workers: Option<u32>,
    /// Calls that may wait to be compared; `None`: 16,384.
    pub queue: Option<u32>,
    /// The longest a step of a comparison may take; `None`: 30 seconds.
    pub timeout: Option<Duration>,
    /// Which share of the calls is compared, as `get_block=10%,…`; `None`: all.
    pub sampling: Option<String>,
    /// The waits in milliseconds before both sides are asked again.
    pub recheck_after_ms: Vec<u64>,
    /// What the build under comparison is called, beside the versions.
    pub build_id: Option<String>,
    /// Where the metrics are served.
    pub metrics: Option<SocketAddr>,
}

impl ShadowConfig {
    /// The waits before both sides are asked again, off the caller's path.
    pub const RECHECK_AFTER_MS: [u64; 3] = [500, 2_000, 10_000];

    /// The defaults, with this log.
    pub fn new(log_file: impl Into<PathBuf>) -> Self {
        Self {
            log_file: log_file.into(),
            log_all: true,
            log_max_bytes: None,
            log_max_files: None,
            log_compress: false,
            is_inline: false,
            workers: None,
            queue: None,
            timeout: None,
            sampling: None,
            recheck_after_ms: Self::RECHECK_AFTER_MS.to_vec(),
            build_id: None,
            metrics: None,
        }
    }
}

/// The settings of shadow mode, or nothing when it is off; they are checked all the same.
pub(super) fn resolve(layers: &Layers, is_on: bool) -> BitcoinResult<Option<ShadowConfig>> {
    let log_file = layers.get("LOG_FILE", parse::path)?;
    let defaults = ShadowConfig::new(log_file.unwrap_or_else(|| Config::DEFAULT_LOG_FILE.into()));
    let rechecks = layers.get("SHADOW_RECHECK_MS", parse::waits)?;
    let shadow = ShadowConfig {
        log_all: layers.get("LOG_ALL", parse::boolean)?.unwrap_or(true),
        log_max_bytes: layers.get("LOG_MAX_MB", parse::megabytes)?,
        log_max_files: layers.get("LOG_MAX_FILES", parse::files)?,
        log_compress: layers.get("LOG_COMPRESS", parse::boolean)?.unwrap_or(false),
        is_inline: layers
            .get("SHADOW_INLINE", parse::boolean)?
            .unwrap_or(false),
        workers: layers.get("SHADOW_WORKERS", parse::workers)?,
        queue: layers.get("SHADOW_QUEUE", parse::queue)?,
        timeout: layers.get("SHADOW_TIMEOUT_SECS", parse::timeout)?,
        sampling: layers.get("SHADOW_SAMPLING", parse::sampling)?,
        recheck_after_ms: rechecks.unwrap_or(defaults.recheck_after_ms),
        build_id: layers.get("BUILD_ID", parse::text)?,
        metrics: layers.get("METRICS_ADDR", parse::loopback)?,
        log_file: defaults.log_file,
    };
    Ok(is_on.then_some(shadow))
}
