//! The wallet's real books over a source.

use btc_iface::{BitcoinResult, Credentials, Network, NodeConfig};
use btc_regtest::Node;
use btc_rust::wallet::keys::Keyring;
use btc_rust::wallet::ledger::{Ledger, View};
use btc_rust::wallet::source::ChainSource;
use btc_rust::wallet::source::core::CoreSource;
use tempfile::TempDir;

/// Unused addresses that are watched.
pub(crate) const GAP: u32 = 10;

/// Books over one source, in a folder of their own.
pub(crate) struct Books {
    pub(crate) ledger: Ledger,
    pub(crate) source: Box<dyn ChainSource>,
    _folder: TempDir,
}

impl Books {
    pub(crate) fn new(keyring: &Keyring, birthday: u32, source: Box<dyn ChainSource>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rust.sqlite");
        Self {
            ledger: Ledger::open(&path, keyring, birthday, GAP).expect("new books"),
            source,
            _folder: folder,
        }
    }

    pub(crate) fn follow(&mut self) -> BitcoinResult<View> {
        self.source.follow(&mut self.ledger)?;
        Ok(self.view())
    }

    pub(crate) fn sync(&mut self) -> View {
        let name = self.source.name();
        self.follow().expect(name)
    }

    pub(crate) fn view(&self) -> View {
        (*self.ledger.view()).clone()
    }
}

/// The node itself as a source.
pub(crate) fn core(node: &Node) -> CoreSource {
    let config = NodeConfig {
        url: node.rpc_url(),
        credentials: Credentials::CookieFile(node.cookie_file().expect("a cookie")),
        ..NodeConfig::new(Network::Regtest)
    };
    CoreSource::connect(&config).expect("a node")
}
