//! `Later`: a chain source that connects when it is first asked, so that the rest works offline.

use std::sync::{Arc, Mutex, PoisonError};

use btc::bitcoin::{Transaction, Txid};
use btc::config::WalletSource;
use btc::rust::wallet::build::RelayRules;
use btc::rust::wallet::source::{ChainSource, Follower, Peer, Relatives};
use btc::{BitcoinResult, BlockRef, Config};

/// The configured source, once it is needed.
pub(super) struct Later {
    config: Config,
    connected: Mutex<Option<Arc<dyn ChainSource>>>,
}

impl Later {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            connected: Mutex::default(),
        }
    }

    fn source(&self) -> BitcoinResult<Arc<dyn ChainSource>> {
        let lock = self.connected.lock();
        let mut connected = lock.unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = &*connected {
            return Ok(Arc::clone(source));
        }
        let source = btc::connect_source(&self.config)?;
        *connected = Some(Arc::clone(&source));
        Ok(source)
    }
}

impl ChainSource for Later {
    fn name(&self) -> &'static str {
        match self.config.wallet.as_ref().map(|wallet| &wallet.source) {
            None | Some(WalletSource::Core) => "core",
            Some(WalletSource::P2p { .. }) => "p2p",
            Some(WalletSource::Electrum { .. }) => "electrum",
            Some(WalletSource::Esplora { .. }) => "esplora",
        }
    }

    fn sees_mempool(&self) -> bool {
        let source = self.config.wallet.as_ref().map(|wallet| &wallet.source);
        !matches!(source, Some(WalletSource::P2p { .. }))
    }

    fn tip(&self) -> BitcoinResult<BlockRef> {
        self.source()?.tip()
    }

    fn follow(&self, follower: &mut dyn Follower) -> BitcoinResult<()> {
        self.source()?.follow(follower)
    }

    fn broadcast(&self, transaction: &Transaction) -> BitcoinResult<Txid> {
        self.source()?.broadcast(transaction)
    }

    fn is_mempool_loaded(&self) -> BitcoinResult<bool> {
        self.source()?.is_mempool_loaded()
    }

    fn submit_package(&self, parent: &Transaction, child: &Transaction) -> BitcoinResult<()> {
        self.source()?.submit_package(parent, child)
    }

    fn relatives(&self, txid: Txid) -> BitcoinResult<Option<Relatives>> {
        self.source()?.relatives(txid)
    }

    fn relay_rules(&self) -> BitcoinResult<Option<RelayRules>> {
        self.source()?.relay_rules()
    }

    fn peers(&self) -> BitcoinResult<Vec<Peer>> {
        self.source()?.peers()
    }
}
