//! The node to ask: the configured one, or a private one for this command.

use btc::{Config, Credentials, Network, NodeConfig};
use btc_regtest::Node;

use crate::exit::Failure;
use crate::output;

/// The configuration with a node in it, and the private node that serves it, if one does.
pub(crate) struct Session {
    pub(crate) config: Config,
    pub(crate) private: Option<Node>,
}

impl Session {
    /// Reads the configuration without its wallet, which these verbs have no use for; with no node
    /// configured, starts a private one and says so.
    pub(crate) fn open() -> Result<Self, Failure> {
        let mut session = Self::open_with_wallet()?;
        session.config.wallet = None;
        Ok(session)
    }

    /// The same with the configured wallet, unless a private node serves: its chain is another.
    pub(crate) fn open_with_wallet() -> Result<Self, Failure> {
        let config = Config::load()?;
        if config.node.is_some() {
            return Ok(Self {
                config,
                private: None,
            });
        }
        output::note(
            "no node is configured: a private regtest node serves, and is removed at the end",
        );
        Self::with_private(config, &[])
    }

    /// Starts a private node whatever is configured, with these further arguments.
    pub(crate) fn private(arguments: &[&str]) -> Result<Self, Failure> {
        let config = Config::load()?;
        output::note("a private regtest node serves, and is removed at the end");
        Self::with_private(config, arguments)
    }

    fn with_private(mut config: Config, arguments: &[&str]) -> Result<Self, Failure> {
        let mut builder = Node::builder();
        if let Some(exe) = &config.bitcoind_exe {
            builder = builder.exe(exe);
        }
        for argument in arguments {
            builder = builder.arg(argument);
        }
        let node = builder.start()?;
        config.node = Some(node_config(&node));
        config.wallet = None;
        Ok(Self {
            config,
            private: Some(node),
        })
    }

    /// The node's network.
    pub(crate) fn network(&self) -> Network {
        self.config
            .node
            .as_ref()
            .map_or(Network::Regtest, |node| node.network)
    }
}

fn node_config(node: &Node) -> NodeConfig {
    NodeConfig {
        url: node.rpc_url(),
        credentials: node
            .cookie_file()
            .map_or(Credentials::None, Credentials::CookieFile),
        ..NodeConfig::new(Network::Regtest)
    }
}
