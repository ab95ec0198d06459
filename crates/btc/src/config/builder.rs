//! `ConfigBuilder`: a configuration made in code, without the environment and without files.

use std::path::PathBuf;

use btc_iface::{BitcoinImplementationType, BitcoinResult, NodeConfig};

use super::layers::{Layers, configuration};
use super::{Config, PythonSettings, RolloutConfig, ShadowConfig, WalletSettings, rollout};

/// Makes a [`Config`] in code. What is not set is as without its variable; neither the environment
/// nor a file is read.
///
/// ```
/// use btc::{Config, Network, NodeConfig};
///
/// # fn main() -> btc::BitcoinResult<()> {
/// let config = Config::builder()
///     .node(NodeConfig::new(Network::Signet))
///     .build()?;
/// assert!(config.shadow.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ConfigBuilder {
    config: Config,
    implementation: Option<BitcoinImplementationType>,
}

impl Config {
    /// A configuration made in code; see [`ConfigBuilder`].
    ///
    /// # Panics
    /// Never: nothing is set, and that is allowed.
    pub fn builder() -> ConfigBuilder {
        let layers = Layers::new(|_| None, None);
        let config = layers.and_then(|layers| Self::from_layers(&layers));
        ConfigBuilder {
            config: config.expect("no settings are allowed settings"),
            implementation: None,
        }
    }
}

impl ConfigBuilder {
    /// The implementation that answers; with a roll-out, Python overrules its file.
    #[must_use]
    pub fn implementation(mut self, implementation: BitcoinImplementationType) -> Self {
        self.implementation = Some(implementation);
        self
    }

    /// The node. Its login is taken as it is: no cookie file is looked for.
    #[must_use]
    pub fn node(mut self, node: NodeConfig) -> Self {
        self.config.node = Some(node);
        self
    }

    /// Shadow mode.
    #[must_use]
    pub fn shadow(mut self, shadow: ShadowConfig) -> Self {
        self.config.shadow = Some(shadow);
        self
    }

    /// A roll-out, which turns shadow mode on.
    #[must_use]
    pub fn rollout(mut self, rollout: RolloutConfig) -> Self {
        self.config.rollout = Some(rollout);
        self
    }

    /// Whether a read that one implementation cannot answer goes to the other.
    #[must_use]
    pub fn fallback(mut self, fallback: bool) -> Self {
        self.config.fallback = fallback;
        self
    }

    /// The file in which calls are recorded.
    #[must_use]
    pub fn call_log(mut self, file: impl Into<PathBuf>) -> Self {
        self.config.call_log = Some(file.into());
        self
    }

    /// The Python implementation.
    #[must_use]
    pub fn python(mut self, python: PythonSettings) -> Self {
        self.config.python = python;
        self
    }

    /// The wallet.
    #[must_use]
    pub fn wallet(mut self, wallet: WalletSettings) -> Self {
        self.config.wallet = Some(wallet);
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// `Configuration`: the node's URL cannot be used, or settings contradict each other.
    pub fn build(self) -> BitcoinResult<Config> {
        let Self {
            mut config,
            implementation,
        } = self;
        if let Some(node) = &config.node {
            node.authority()
                .map_err(|cause| configuration(format!("the node's URL: {cause}")))?;
        }
        if let Some(rollout) = &mut config.rollout {
            rollout.is_overruled = rollout::is_overruled(implementation)?;
            let shadow = || ShadowConfig::new(Config::DEFAULT_LOG_FILE);
            config.shadow.get_or_insert_with(shadow);
        }
        config.implementation =
            implementation.unwrap_or_else(|| super::unchosen(config.rollout.is_some()));
        Ok(config)
    }
}
