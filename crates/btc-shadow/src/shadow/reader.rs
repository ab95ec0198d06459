//! `Reader`: a side as far as it can be asked without an effect.

use std::sync::Arc;

use btc_iface::{BitcoinInterface, BitcoinResult, BitcoinTransaction, ErrorKind, WalletTwin};

/// The reads of a side: what it can be asked has no effect, by type.
#[derive(Clone)]
pub(crate) struct Reader {
    side: Arc<dyn BitcoinInterface>,
    /// Of a side that must not act: its wallet without the effects of `get_balance`.
    wallet: Option<Arc<dyn WalletTwin>>,
}

impl Reader {
    pub(crate) fn new(side: Arc<dyn BitcoinInterface>) -> Self {
        Self { side, wallet: None }
    }

    /// With this wallet behind `get_balance`.
    pub(crate) fn with_wallet(self, wallet: Arc<dyn WalletTwin>) -> Self {
        Self {
            wallet: Some(wallet),
            ..self
        }
    }

    pub(crate) fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.side.get_transaction(txid)
    }

    pub(crate) fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.side.get_block(hash)
    }

    pub(crate) fn get_block_height(&self) -> BitcoinResult<u32> {
        self.side.get_block_height()
    }

    pub(crate) fn get_balance(&self) -> BitcoinResult<u64> {
        let Some(wallet) = &self.wallet else {
            return self.side.get_balance();
        };
        match wallet.balance_sat() {
            // A class with the eight operations and nothing more.
            Err(error) if error.kind() == ErrorKind::Unsupported => self.side.get_balance(),
            answer => answer,
        }
    }

    pub(crate) fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        self.side.estimate_fee(target_blocks)
    }
}
