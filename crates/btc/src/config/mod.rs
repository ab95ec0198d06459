//! The configuration: environment over `btc.toml` over defaults, read once, as typed values.

mod layers;
mod node;
mod parse;
mod variables;
mod wallet;

use std::path::PathBuf;
use std::time::Duration;

use btc_iface::{BitcoinImplementationType, BitcoinResult, NodeConfig};

use self::layers::Layers;
pub use self::variables::{VARIABLES, Variable};
pub use self::wallet::{WalletSettings, WalletSource};

/// Everything that the variables say. `Debug` hides what is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The implementation that answers.
    pub implementation: BitcoinImplementationType,
    /// Shadow mode, when it is on.
    pub shadow: Option<ShadowConfig>,
    /// The node, when one is configured.
    pub node: Option<NodeConfig>,
    /// The Python implementation.
    pub python: PythonSettings,
    /// The wallet, when one is configured.
    pub wallet: Option<WalletSettings>,
    /// The bitcoind executable for a private node, when one is named.
    pub bitcoind_exe: Option<PathBuf>,
}

/// The settings of shadow mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowConfig {
    /// The comparison log.
    pub log_file: PathBuf,
    /// Whether matches have lines of their own.
    pub log_all: bool,
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

    /// Reads the environment, and the file that `BTC_CONFIG` names, or `btc.toml` in the current
    /// folder if there is one.
    ///
    /// # Errors
    /// `Configuration`: a value that is not allowed, a key that does not exist, settings that
    /// contradict each other, a file that cannot be read. The message names the variable.
    pub fn load() -> BitcoinResult<Self> {
        Self::from_layers(&Layers::load()?)
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
        let is_shadow = layers.get("SHADOW_MODE", parse::boolean)?.unwrap_or(false);
        let log_file = layers.get("LOG_FILE", parse::path)?;
        let log_all = layers.get("LOG_ALL", parse::boolean)?.unwrap_or(true);
        let shadow = is_shadow.then(|| ShadowConfig {
            log_file: log_file.unwrap_or_else(|| Self::DEFAULT_LOG_FILE.into()),
            log_all,
        });
        Ok(Self {
            implementation: implementation(layers)?,
            shadow,
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

/// Who answers: `PRIMARY_IMPL` or `USE_RUST_BITCOIN`, whichever the upper layer sets; set both in
/// one layer, they must agree.
fn implementation(layers: &Layers) -> BitcoinResult<BitcoinImplementationType> {
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
            (Some(chosen), _) | (None, Some(chosen)) => return Ok(chosen),
            (None, None) => {}
        }
    }
    // A build with one backend answers with that one.
    Ok(
        if cfg!(all(
            feature = "python-bitcoin",
            not(feature = "rust-bitcoin")
        )) {
            Python
        } else {
            Rust
        },
    )
}
