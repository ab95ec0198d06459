//! The node to ask: the configured one, or a private one for this command.

use std::io::{IsTerminal as _, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use btc::{Config, Credentials, Network, NodeConfig};
use btc_regtest::Node;

use crate::exit::{Code, Failure};
use crate::output;

/// Whether `--private` was given.
static IS_PRIVATE: AtomicBool = AtomicBool::new(false);

/// Takes the option `--private` for the verb that runs.
pub(crate) fn ask_private(is_private: bool) {
    IS_PRIVATE.store(is_private, Ordering::Relaxed);
}

/// The configuration with a node in it, and the private node that serves it, if one does.
pub(crate) struct Session {
    pub(crate) config: Config,
    pub(crate) private: Option<Node>,
}

impl Session {
    /// Reads the configuration without its wallet, which these verbs have no use for. With
    /// `--private`, or at a terminal with no node configured, starts a private node and says so.
    /// A script that lost its settings must not be answered from an empty chain.
    pub(crate) fn open() -> Result<Self, Failure> {
        let mut session = Self::open_with_wallet()?;
        session.config.wallet = None;
        Ok(session)
    }

    /// The same with the configured wallet, unless a private node serves: its chain is another.
    pub(crate) fn open_with_wallet() -> Result<Self, Failure> {
        if IS_PRIVATE.load(Ordering::Relaxed) {
            return Self::private(&[]);
        }
        let config = Config::load()?;
        if config.node.is_some() {
            return Ok(Self {
                config,
                private: None,
            });
        }
        if !stdout().is_terminal() {
            let message = "no node is configured; set BITCOIN_NETWORK and BITCOIN_RPC_URL, or add \
                           --private for an empty regtest node of this command's own";
            return Err(Failure::Other(Code::Configuration, message.to_owned()));
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
