//! `Reader`: the secondary as shadow mode sees it.

use std::sync::Arc;

use btc_iface::{BitcoinImplementationType, BitcoinInterface, BitcoinResult, BitcoinTransaction};

/// The secondary's reads: what it can be asked has no effect, by type.
pub(crate) struct Reader(Arc<dyn BitcoinInterface>);

impl Reader {
    pub(crate) fn new(secondary: Arc<dyn BitcoinInterface>) -> Self {
        Self(secondary)
    }

    pub(crate) fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.0.get_transaction(txid)
    }

    pub(crate) fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.0.get_block(hash)
    }

    pub(crate) fn get_block_height(&self) -> BitcoinResult<u32> {
        self.0.get_block_height()
    }

    pub(crate) fn get_balance(&self) -> BitcoinResult<u64> {
        self.0.get_balance()
    }

    pub(crate) fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        self.0.estimate_fee(target_blocks)
    }

    pub(crate) fn implementation_type(&self) -> BitcoinImplementationType {
        self.0.implementation_type()
    }
}
