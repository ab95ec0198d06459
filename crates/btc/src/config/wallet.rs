//! Which wallet is configured, how it is unlocked, and where it learns about the chain.

use std::path::PathBuf;

use btc_iface::{BitcoinResult, CoinSelection, FeeRate, Secret};

use super::layers::{Layers, configuration};
use super::parse;

/// The wallet that stands behind the wallet operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletSettings {
    /// The wallet's folder.
    pub dir: PathBuf,
    /// What its secret file is encrypted with.
    pub passphrase: Option<Secret>,
    /// How coins are chosen; `None`: branch and bound, largest first in shadow mode.
    pub selection: Option<CoinSelection>,
    /// The highest fee rate; `None`: the implementations' own, 1,000 sat/vB.
    pub max_fee_rate: Option<FeeRate>,
    /// Where the Rust wallet learns about the chain.
    pub source: WalletSource,
}

/// Where the Rust wallet learns about the chain. The Python wallet always asks the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WalletSource {
    /// The configured node, over RPC and REST.
    #[default]
    Core,
    /// The peer-to-peer network, with compact block filters. No peers: those that DNS names.
    P2p {
        /// `host:port` of peers to connect to.
        peers: Vec<String>,
    },
    /// An Electrum server.
    Electrum {
        /// `tcp://host:port`.
        url: String,
    },
}

/// The wallet, or nothing when `WALLET_DIR` is not set.
pub(super) fn resolve(layers: &Layers) -> BitcoinResult<Option<WalletSettings>> {
    let dir = layers.get("WALLET_DIR", parse::path)?;
    let passphrase = layers.get("WALLET_PASSPHRASE", parse::text)?;
    let file = layers.get("WALLET_PASSPHRASE_FILE", parse::path)?;
    let selection = layers.get("WALLET_SELECTION", parse::selection)?;
    let max_fee_rate = layers.get("MAX_FEE_RATE", parse::fee_rate)?;
    let source = source(layers)?;
    let Some(dir) = dir else {
        return Ok(None);
    };
    let passphrase = match (passphrase, file) {
        (Some(_), Some(_)) => {
            return Err(configuration(
                "WALLET_PASSPHRASE and WALLET_PASSPHRASE_FILE are both set; set one",
            ));
        }
        (Some(passphrase), None) => Some(Secret::new(passphrase)),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path).map_err(|cause| {
                let message = format!(
                    "the file `{}` that WALLET_PASSPHRASE_FILE names cannot be read",
                    path.display()
                );
                configuration(message).with_source(cause)
            })?;
            Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
        (None, None) => None,
    };
    Ok(Some(WalletSettings {
        dir,
        passphrase,
        selection,
        max_fee_rate,
        source,
    }))
}

fn source(layers: &Layers) -> BitcoinResult<WalletSource> {
    let name = layers.get("WALLET_SOURCE", parse::source)?;
    let peers = layers.get("P2P_PEERS", parse::peers)?;
    let url = layers.get("ELECTRUM_URL", parse::electrum_url)?;
    match name {
        None | Some("core") => Ok(WalletSource::Core),
        Some("p2p") => Ok(WalletSource::P2p {
            peers: peers.unwrap_or_default(),
        }),
        Some(_) => url
            .map(|url| WalletSource::Electrum { url })
            .ok_or_else(|| {
                configuration(
                    "WALLET_SOURCE=electrum needs a server; set ELECTRUM_URL to tcp://host:port",
                )
            }),
    }
}
