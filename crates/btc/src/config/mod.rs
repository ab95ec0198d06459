//! The configuration: environment over files over defaults, read once, as typed values.

mod builder;
mod files;
mod layers;
mod node;
mod parse;
mod rollout;
mod shadow;
mod variables;
mod wallet;

use std::path::PathBuf;
use std::sync::Once;
use std::time::Duration;

use btc_iface::{BitcoinImplementationType, BitcoinResult, NodeConfig};

pub use self::builder::ConfigBuilder;
use self::layers::Layers;
pub use self::rollout::{RolloutConfig, RolloutLimits};
pub use self::shadow::ShadowConfig;
pub use self::variables::{VARIABLES, Variable};
pub use self::wallet::{WalletSettings, WalletSource};

/// Everything that the variables say; [`Config::builder`] makes one in code. `Debug` hides what is
/// secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The implementation that answers.
    pub implementation: BitcoinImplementationType,
    /// Shadow mode, when it is on; a roll-out turns it on.
    pub shadow: Option<ShadowConfig>,
    /// The roll-out, when there is one; then `implementation` is Python, for what it does not
    /// cover.
    pub rollout: Option<RolloutConfig>,
    /// Whether a read that one implementation cannot answer goes to the other.
    pub fallback: bool,
    /// The file in which calls are recorded, to be replayed.
    pub call_log: Option<PathBuf>,
    /// The node, when one is configured.
    pub node: Option<NodeConfig>,
    /// The Python implementation.
    pub python: PythonSettings,
    /// The wallet, when one is configured.
    pub wallet: Option<WalletSettings>,
    /// The bitcoind executable for a private node, when one is named.
    pub bitcoind_exe: Option<PathBuf>,
}

/// The settings of the Python implementation; `None` stands for its own default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PythonSettings {
    /// The class, as `module:Class`.
    pub backend: Option<String>,
    /// Whether it runs in worker processes and not in this one.
    pub is_worker: bool,
    /// The virtual environment.
    pub venv: Option<PathBuf>,
    /// The longest a call may take.
    pub timeout: Limit,
}

/// A limit of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Limit {
    /// The implementation's own.
    #[default]
    Default,
    /// No limit.
    None,
    /// This long.
    After(Duration),
}

impl Config {
    /// Where the comparison log goes unless said otherwise.
    pub const DEFAULT_LOG_FILE: &str = "logs/shadow_comparison.log";

    /// Reads the environment, and below it the file that `BTC_CONFIG` names; without one, `btc.toml`
    /// of the current folder and, below that, `btc/btc.toml` of the user's folder for
    /// configuration (`XDG_CONFIG_HOME`, or `.config` of the home folder).
    ///
    /// The current folder's file is read if it is this user's and others may not write it, and sets
    /// only what is harmless ([`Variable::in_folder`]).
    ///
    /// # Errors
    /// `Configuration`: a value that is not allowed, a key that does not exist or that this file
    /// may not set, settings that contradict each other, a file that cannot be read. The message
    /// names the variable.
    ///
    /// # Effects
    /// Where the current folder has a `btc.toml`, one line on standard error says whether it is
    /// read; once in the life of the process.
    pub fn load() -> BitcoinResult<Self> {
        static SAID: Once = Once::new();
        let layers = Layers::load()?;
        if let Some(remark) = &layers.remark {
            SAID.call_once(|| eprintln!("note: {remark}"));
        }
        Self::from_layers(&layers)
    }

    /// As [`Config::load`], from given sources: the environment as a function, and the text of
    /// a `btc.toml`.
    pub fn from_sources(
        environment: impl Fn(&str) -> Option<String>,
        file: Option<&str>,
    ) -> BitcoinResult<Self> {
        Self::from_layers(&Layers::new(environment, file)?)
    }

    fn from_layers(layers: &Layers) -> BitcoinResult<Self> {
        let chosen = chosen(layers)?;
        let is_shadow = layers.get("SHADOW_MODE", parse::boolean)?;
        let rollout = rollout::resolve(layers, chosen, is_shadow)?;
        let is_shadow = is_shadow.unwrap_or(rollout.is_some());
        let shadow = shadow::resolve(layers, is_shadow)?;
        Ok(Self {
            implementation: chosen.unwrap_or_else(|| unchosen(rollout.is_some())),
            shadow,
            rollout,
            fallback: layers.get("FALLBACK", parse::boolean)?.unwrap_or(false),
            call_log: layers.get("CALL_LOG", parse::path)?,
            node: node::resolve(layers)?,
            python: PythonSettings {
                backend: layers.get("PYTHON_BACKEND", parse::python_class)?,
                is_worker: layers
                    .get("PYTHON_MODE", parse::is_worker)?
                    .unwrap_or(false),
                venv: layers.get("PYTHON_VENV", parse::path)?,
                timeout: layers
                    .get("PYTHON_TIMEOUT_SECS", parse::limit)?
                    .unwrap_or_default(),
            },
            wallet: wallet::resolve(layers)?,
            bitcoind_exe: layers.get("BITCOIND_EXE", parse::path)?,
        })
    }
}

/// Who is named to answer: by `PRIMARY_IMPL` or `USE_RUST_BITCOIN`, whichever the upper layer sets;
/// set both in one layer, they must agree.
fn chosen(layers: &Layers) -> BitcoinResult<Option<BitcoinImplementationType>> {
    use BitcoinImplementationType::{Python, Rust};
    for layer in layers.iter() {
        let primary = layer.get("PRIMARY_IMPL", parse::implementation)?;
        let use_rust = layer.get("USE_RUST_BITCOIN", parse::boolean)?;
        let wanted = use_rust.map(|use_rust| if use_rust { Rust } else { Python });
        match (primary, wanted) {
            (Some(primary), Some(wanted)) if primary != wanted => {
                return Err(layers::configuration(format!(
                    "PRIMARY_IMPL={primary} contradicts USE_RUST_BITCOIN={}; set one of them",
                    wanted == Rust
                )));
            }
            (Some(chosen), _) | (None, Some(chosen)) => return Ok(Some(chosen)),
            (None, None) => {}
        }
    }
    Ok(None)
}

/// Who answers when nobody is named: a roll-out begins with Python, and a build with one backend
/// answers with that one.
fn unchosen(is_rollout: bool) -> BitcoinImplementationType {
    let is_python_alone = cfg!(all(
        feature = "python-bitcoin",
        not(feature = "rust-bitcoin")
    ));
    if is_rollout || is_python_alone {
        BitcoinImplementationType::Python
    } else {
        BitcoinImplementationType::Rust
    }
}
