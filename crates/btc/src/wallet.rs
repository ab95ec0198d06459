//! Puts the configured wallet together: its folder, its source, its keys.

use std::sync::Arc;

use btc_iface::{BitcoinError, BitcoinResult, CoinSelection, ErrorKind, Operation};
use btc_rust::wallet::RustWallet;
use btc_rust::wallet::source::ChainSource;
use btc_rust::wallet::source::core::CoreSource;

use crate::config::{Config, WalletSettings, WalletSource};
use crate::connect;

/// Opens the configured wallet with its chain source. It can sign when the passphrase is
/// configured or its secret is in the clear.
///
/// # Errors
/// `Configuration`: no wallet is configured, or its files or its source cannot be used. `Auth`:
/// a wrong passphrase. `Unavailable`: it is open already, or the source cannot be reached.
pub fn connect_wallet(config: &Config) -> BitcoinResult<Arc<RustWallet>> {
    settings(config)?;
    open_wallet(config, connect_source(config)?)
}

/// Opens the configured wallet as [`connect_wallet`] does, over a source of the caller's: one that
/// connects when it is first asked, say, so that what needs no chain works without one.
///
/// # Errors
/// As [`connect_wallet`], without those of the source.
pub fn open_wallet(
    config: &Config,
    source: Arc<dyn ChainSource>,
) -> BitcoinResult<Arc<RustWallet>> {
    let settings = settings(config)?;
    let selection = settings.selection.unwrap_or(if config.shadow.is_some() {
        CoinSelection::LargestFirst
    } else {
        CoinSelection::BranchAndBound
    });
    let passphrase = settings.passphrase.as_ref();
    let mut wallet = RustWallet::open(&settings.dir, passphrase, selection, source)?;
    if let Some(max_fee_rate) = settings.max_fee_rate {
        wallet = wallet.with_max_fee_rate(max_fee_rate);
    }
    if let Some(node) = &config.node
        && node.network != wallet.network()
    {
        use btc_iface::types::network::name;
        let message = format!(
            "the wallet is for {}, the configuration says {}; set WALLET_DIR or BITCOIN_NETWORK",
            name(wallet.network()),
            name(node.network)
        );
        return Err(BitcoinError::new(
            ErrorKind::Configuration,
            Operation::Connect,
            message,
        ));
    }
    Ok(Arc::new(wallet))
}

/// Connects to where the Rust wallet learns about the chain: the node, unless `WALLET_SOURCE`
/// says otherwise.
///
/// # Errors
/// `Configuration`: no node or network is configured, or this build lacks the source.
/// `Unavailable`, `Timeout`, `Auth`: it cannot be reached.
pub fn connect_source(config: &Config) -> BitcoinResult<Arc<dyn ChainSource>> {
    let node = connect::node(config)?;
    let source = config.wallet.as_ref().map(|wallet| &wallet.source);
    match source {
        None | Some(WalletSource::Core) => Ok(Arc::new(CoreSource::connect(node)?)),
        #[cfg(feature = "p2p")]
        Some(WalletSource::P2p { peers, pending_for }) => {
            use btc_rust::wallet::source::p2p::{P2pConfig, P2pSource};
            let config = P2pConfig {
                peers: peers.clone(),
                timeout: node.timeout,
                pending_for: *pending_for,
                ..P2pConfig::new(node.network)
            };
            Ok(Arc::new(P2pSource::start(config)?))
        }
        #[cfg(not(feature = "p2p"))]
        Some(WalletSource::P2p { .. }) => Err(connect::not_built("the source p2p", "p2p")),
        #[cfg(feature = "electrum")]
        Some(WalletSource::Electrum {
            url,
            cert_file,
            proxy,
        }) => {
            use btc_rust::wallet::source::electrum::{ElectrumConfig, ElectrumSource};
            let config = ElectrumConfig {
                timeout: node.timeout,
                cert_file: cert_file.clone(),
                proxy: proxy.clone(),
                ..ElectrumConfig::new(url, node.network)
            };
            Ok(Arc::new(ElectrumSource::connect(&config)?))
        }
        #[cfg(not(feature = "electrum"))]
        Some(WalletSource::Electrum { .. }) => {
            Err(connect::not_built("the source electrum", "electrum"))
        }
        #[cfg(feature = "esplora")]
        Some(WalletSource::Esplora {
            url,
            cert_file,
            proxy,
        }) => {
            use btc_rust::wallet::source::esplora::{EsploraConfig, EsploraSource};
            let config = EsploraConfig {
                timeout: node.timeout,
                cert_file: cert_file.clone(),
                proxy: proxy.clone(),
                ..EsploraConfig::new(url, node.network)
            };
            Ok(Arc::new(EsploraSource::connect(&config)?))
        }
        #[cfg(not(feature = "esplora"))]
        Some(WalletSource::Esplora { .. }) => {
            Err(connect::not_built("the source esplora", "esplora"))
        }
    }
}

fn settings(config: &Config) -> BitcoinResult<&WalletSettings> {
    config.wallet.as_ref().ok_or_else(|| {
        BitcoinError::new(
            ErrorKind::Configuration,
            Operation::Connect,
            "no wallet is configured; set WALLET_DIR",
        )
    })
}
