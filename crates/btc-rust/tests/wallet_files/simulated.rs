//! A wallet over a simulated node, on which it was paid.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitcoin::{Amount, Transaction, TxOut, consensus};
use btc_iface::{AddressType, BitcoinTransaction, CoinSelection, Credentials, Network, NodeConfig};
use btc_regtest::sim::{SimNode, coins};
use btc_rust::wallet::RustWallet;
use btc_rust::wallet::source::core::CoreSource;
use tempfile::TempDir;

use crate::support::plain_wallet;

/// A wallet's folder and the node that its wallet is over.
pub(crate) struct Simulated {
    _parent: TempDir,
    pub(crate) dir: PathBuf,
    pub(crate) node: SimNode,
}

impl Simulated {
    /// A wallet with these confirmed coins.
    pub(crate) fn funded(values_sat: &[u64]) -> (Self, RustWallet) {
        const FEE_SAT: u64 = 10_000;
        let (parent, dir) = plain_wallet();
        let node = SimNode::builder().start().expect("a node");
        let wallet = open(&dir, &node);
        let coin = node.open_coins()[0];
        let mut outputs: Vec<TxOut> = values_sat
            .iter()
            .map(|value_sat| TxOut {
                value: Amount::from_sat(*value_sat),
                script_pubkey: wallet
                    .generate_address(AddressType::P2wpkh)
                    .expect("an index")
                    .script_pubkey,
            })
            .collect();
        let rest = coin.value.to_sat() - FEE_SAT - values_sat.iter().sum::<u64>();
        outputs.push(coins::output(1, rest));
        let paying = coins::spend(&[coin], outputs, 2);
        node.submit(&paying).expect("valid");
        node.mine(coins::script(3)).expect("a block");
        let scene = Self {
            _parent: parent,
            dir,
            node,
        };
        (scene, wallet)
    }

    /// The wallet, opened and not followed; nothing else may have it open.
    pub(crate) fn open(&self) -> RustWallet {
        open(&self.dir, &self.node)
    }
}

fn open(dir: &Path, node: &SimNode) -> RustWallet {
    let config = NodeConfig {
        url: node.rpc_url(),
        credentials: Credentials::CookieFile(node.cookie_file()),
        ..NodeConfig::new(Network::Regtest)
    };
    let source = Arc::new(CoreSource::connect(&config).expect("connected"));
    RustWallet::open(dir, None, CoinSelection::LargestFirst, source).expect("sound")
}

/// Who is paid.
pub(crate) fn payee() -> String {
    coins::address(2).to_string()
}

/// The transaction as nodes take it.
pub(crate) fn whole(transaction: &BitcoinTransaction) -> Transaction {
    let bytes = btc_rust::encode_transaction(transaction).expect("whole");
    consensus::encode::deserialize(&bytes).expect("its own bytes")
}
