//! Which roll-out is configured, and what it says about shadow mode and the primary.

use std::path::PathBuf;
use std::time::Duration;

use btc_iface::BitcoinImplementationType::{Python, Rust};
use btc_iface::{BitcoinImplementationType, BitcoinResult};

use super::layers::{Layers, configuration};
use super::parse;

/// The settings of a roll-out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutConfig {
    /// The state file.
    pub file: PathBuf,
    /// The process's own key; `None`: from the host's name.
    pub key: Option<String>,
    /// When it is rolled back automatically.
    pub limits: RolloutLimits,
    /// Whether Python was named as the one that answers, whatever the file says: the way back that
    /// always works.
    pub is_overruled: bool,
}

/// How much worse than Python Rust may be before a roll-out is rolled back automatically; `None`
/// stands for the judge's own default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolloutLimits {
    /// The shortest stretch of time that is judged; `None`: 60 seconds.
    pub window: Option<Duration>,
    /// The fewest calls of Rust that are judged; `None`: 100.
    pub min_calls: Option<u64>,
    /// By how much Rust's rate of failures may exceed Python's, in thousandths; `None`: 10.
    pub max_failures_per_mille: Option<u32>,
    /// How long Rust's p99 of a read may be, in percent of Python's; `None`: 150.
    pub max_p99_percent: Option<u32>,
}

/// Whether the implementation that is named overrules the state file, as Python may.
pub(super) fn is_overruled(chosen: Option<BitcoinImplementationType>) -> BitcoinResult<bool> {
    if chosen == Some(Rust) {
        return Err(configuration(
            "with ROLLOUT_FILE the state file says who answers; unset PRIMARY_IMPL and \
             USE_RUST_BITCOIN, or name Python with one of them to overrule the file",
        ));
    }
    Ok(chosen == Some(Python))
}

/// The roll-out, or nothing when `ROLLOUT_FILE` is not set. `chosen` is the implementation that is
/// named, `is_shadow` what is said about shadow mode.
pub(super) fn resolve(
    layers: &Layers,
    chosen: Option<BitcoinImplementationType>,
    is_shadow: Option<bool>,
) -> BitcoinResult<Option<RolloutConfig>> {
    let file = layers.get("ROLLOUT_FILE", parse::path)?;
    let key = layers.get("ROLLOUT_KEY", parse::text)?;
    let limits = RolloutLimits {
        window: layers.get("ROLLOUT_WINDOW_SECS", parse::window)?,
        min_calls: layers.get("ROLLOUT_MIN_CALLS", parse::calls)?,
        max_failures_per_mille: layers.get("ROLLOUT_MAX_FAILURES", parse::per_mille)?,
        max_p99_percent: layers.get("ROLLOUT_MAX_P99", parse::ratio)?,
    };
    let Some(file) = file else {
        return Ok(None);
    };
    let is_overruled = is_overruled(chosen)?;
    if is_shadow == Some(false) && !is_overruled {
        return Err(configuration(
            "ROLLOUT_FILE needs shadow mode, which notices when Rust must not answer; unset \
             SHADOW_MODE",
        ));
    }
    Ok(Some(RolloutConfig {
        file,
        key,
        limits,
        is_overruled,
    }))
}
