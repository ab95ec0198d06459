//! Which roll-out is configured, and what it says about shadow mode and the primary.

use std::path::PathBuf;

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
    /// Whether Python was named as the one that answers, whatever the file says: the way back that
    /// always works.
    pub is_overruled: bool,
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
    let Some(file) = file else {
        return Ok(None);
    };
    if chosen == Some(Rust) {
        return Err(configuration(
            "with ROLLOUT_FILE the state file says who answers; unset PRIMARY_IMPL and \
             USE_RUST_BITCOIN, or name Python with one of them to overrule the file",
        ));
    }
    let is_overruled = chosen == Some(Python);
    if is_shadow == Some(false) && !is_overruled {
        return Err(configuration(
            "ROLLOUT_FILE needs shadow mode, which notices when Rust must not answer; unset \
             SHADOW_MODE",
        ));
    }
    Ok(Some(RolloutConfig {
        file,
        key,
        is_overruled,
    }))
}
