//! Which wallet is configured, how it is unlocked, and where it learns about the chain.

use std::path::PathBuf;
use std::time::Duration;

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

impl WalletSettings {
    /// The wallet in this folder, locked, over the node.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            passphrase: None,
            selection: None,
            max_fee_rate: None,
            source: WalletSource::Core,
        }
    }
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
        /// How long an announced payment counts unconfirmed; `None`: announcements are not
        /// listened to.
        pending_for: Option<Duration>,
    },
    /// An Electrum server.
    Electrum {
        /// `tcp://host:port`, or `ssl://host:port` with TLS.
        url: String,
        /// Certificates to know the server by, in PEM; `None`: those that the system trusts.
        cert_file: Option<PathBuf>,
        /// `host:port` of a SOCKS5 proxy.
        proxy: Option<String>,
    },
    /// An Esplora server.
    Esplora {
        /// `https://host/path`, or `http://` without TLS.
        url: String,
        /// Certificates that sign the server's, in PEM; `None`: those that the system trusts.
        cert_file: Option<PathBuf>,
        /// `host:port` of a SOCKS5 proxy.
        proxy: Option<String>,
    },
}

/// The wallet, or nothing when `WALLET_DIR` is not set.
pub(super) fn resolve(layers: &Layers) -> BitcoinResult<Option<WalletSettings>> {
    let dir = layers.get("WALLET_DIR", parse::path)?;
    let (passphrase, file) = passphrase(layers)?;
    let selection = layers.get("WALLET_SELECTION", parse::selection)?;
    let max_fee_rate = layers.get("MAX_FEE_RATE", parse::fee_rate)?;
    let source = source(layers)?;
    let Some(dir) = dir else {
        return Ok(None);
    };
    let passphrase = match file {
        None => passphrase.map(Secret::new),
        Some(path) => {
            let text = std::fs::read_to_string(&path).map_err(|cause| {
                let message = format!(
                    "the file `{}` that WALLET_PASSPHRASE_FILE names cannot be read",
                    path.display()
                );
                configuration(message).with_source(cause)
            })?;
            Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
    };
    Ok(Some(WalletSettings {
        dir,
        passphrase,
        selection,
        max_fee_rate,
        source,
    }))
}

/// The passphrase, or the file with it: what the uppermost layer says of either.
fn passphrase(layers: &Layers) -> BitcoinResult<(Option<String>, Option<PathBuf>)> {
    for layer in layers.iter() {
        let passphrase = layer.get("WALLET_PASSPHRASE", parse::text)?;
        let file = layer.get("WALLET_PASSPHRASE_FILE", parse::path)?;
        match (passphrase, file) {
            (Some(_), Some(_)) => {
                return Err(configuration(
                    "WALLET_PASSPHRASE and WALLET_PASSPHRASE_FILE are both set; set one",
                ));
            }
            (None, None) => {}
            one => return Ok(one),
        }
    }
    Ok((None, None))
}

fn source(layers: &Layers) -> BitcoinResult<WalletSource> {
    let name = layers.get("WALLET_SOURCE", parse::source)?;
    let peers = layers.get("P2P_PEERS", parse::peers)?;
    let pending_for = layers.get("P2P_PENDING_HOURS", parse::pending_hours)?;
    let electrum = Server {
        url: layers.get("ELECTRUM_URL", parse::electrum_url)?,
        cert_file: layers.get("ELECTRUM_CERT_FILE", parse::path)?,
        proxy: layers.get("ELECTRUM_PROXY", parse::authority)?,
    };
    let esplora = Server {
        url: layers.get("ESPLORA_URL", parse::esplora_url)?,
        cert_file: layers.get("ESPLORA_CERT_FILE", parse::path)?,
        proxy: layers.get("ESPLORA_PROXY", parse::authority)?,
    };
    match name {
        None | Some("core") => Ok(WalletSource::Core),
        Some("p2p") => Ok(WalletSource::P2p {
            peers: peers.unwrap_or_default(),
            pending_for: pending_for.flatten(),
        }),
        Some("electrum") => {
            let Server {
                url,
                cert_file,
                proxy,
            } = electrum;
            let url = url.ok_or_else(|| {
                configuration(
                    "WALLET_SOURCE=electrum needs a server; set ELECTRUM_URL to ssl://host:port or \
                     tcp://host:port",
                )
            })?;
            Ok(WalletSource::Electrum {
                url,
                cert_file,
                proxy,
            })
        }
        Some(_) => {
            let Server {
                url,
                cert_file,
                proxy,
            } = esplora;
            let url = url.ok_or_else(|| {
                configuration(
                    "WALLET_SOURCE=esplora needs a server; set ESPLORA_URL to https://host/path",
                )
            })?;
            Ok(WalletSource::Esplora {
                url,
                cert_file,
                proxy,
            })
        }
    }
}

/// How a server is reached, of which the URL is what makes it one.
struct Server {
    url: Option<String>,
    cert_file: Option<PathBuf>,
    proxy: Option<String>,
}
