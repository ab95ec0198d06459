//! `LightningConfig`: where the node lives, which chain it follows, and what it tells the network.

use std::path::PathBuf;
use std::time::Duration;

use btc_iface::lightning::{LightningError, LightningErrorKind, LightningResult};
use btc_iface::{Network, NodeConfig};

/// How a node is run.
///
/// | field | default |
/// |---|---|
/// | `listen` | none: the node connects to others and accepts no connection |
/// | `alias` | none: channels are not announced |
/// | `reserve_per_channel_sat` | 25,000 |
/// | `stale_after` | 60 s |
/// | `is_mainnet_allowed` | no |
#[derive(Debug, Clone)]
pub struct LightningConfig {
    /// The node's directory. It is made, for its owner only, if it is not there.
    pub directory: PathBuf,
    /// Bitcoin Core, with the network. It needs no wallet, no index and no ZMQ.
    pub chain: NodeConfig,
    /// Where the node accepts connections, as `host:port`.
    pub listen: Vec<String>,
    /// The name that it announces, at most 32 bytes. Needed for announced channels.
    pub alias: Option<String>,
    /// Satoshi kept on the chain for each channel, so that it can be closed when fees are high. A
    /// peer that has less on its side is refused a channel.
    pub reserve_per_channel_sat: u64,
    /// How long the chain may not be followed before the node says so.
    pub stale_after: Duration,
    /// The word of consent without which no node is run on mainnet.
    pub is_mainnet_allowed: bool,
}

impl LightningConfig {
    /// The most that an alias may take.
    const MAX_ALIAS_BYTES: usize = 32;

    /// A node with the defaults.
    pub fn new(directory: impl Into<PathBuf>, chain: NodeConfig) -> Self {
        Self {
            directory: directory.into(),
            chain,
            listen: Vec::new(),
            alias: None,
            reserve_per_channel_sat: 25_000,
            stale_after: Duration::from_mins(1),
            is_mainnet_allowed: false,
        }
    }

    pub(crate) fn network(&self) -> Network {
        self.chain.network
    }

    pub(crate) fn check(&self) -> LightningResult<()> {
        let wrong = |message: &str| {
            Err(LightningError::new(
                LightningErrorKind::Configuration,
                message,
            ))
        };
        if self.network() == Network::Bitcoin && !self.is_mainnet_allowed {
            return wrong(
                "a Lightning node on mainnet holds real money in keys that are always in memory; \
                 allow it with is_mainnet_allowed (btc ln run --yes)",
            );
        }
        if let Some(alias) = &self.alias {
            if alias.is_empty() || alias.len() > Self::MAX_ALIAS_BYTES {
                return wrong("the alias takes 1 to 32 bytes");
            }
            if self.listen.is_empty() {
                return wrong("an alias is announced with an address; give one to listen on");
            }
        }
        if self.directory.as_os_str().is_empty() {
            return wrong("the node needs a directory");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mainnet_takes_a_word_of_consent() {
        let mut config = LightningConfig::new("/x", NodeConfig::new(Network::Bitcoin));
        let error = config.check().expect_err("no consent was given");
        assert_eq!(error.kind(), LightningErrorKind::Configuration);
        config.is_mainnet_allowed = true;
        assert!(config.check().is_ok());
    }

    #[test]
    fn an_alias_without_an_address_is_refused() {
        let mut config = LightningConfig::new("/x", NodeConfig::new(Network::Regtest));
        config.alias = Some("shop".to_owned());
        assert!(config.check().is_err());
        config.listen = vec!["127.0.0.1:9735".to_owned()];
        assert!(config.check().is_ok());
        config.alias = Some("x".repeat(33));
        assert!(config.check().is_err());
    }
}
