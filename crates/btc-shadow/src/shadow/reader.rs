//! `Reader`: a side as far as it can be asked without an effect.

use std::sync::Arc;

use btc_iface::{BitcoinInterface, BitcoinResult, BitcoinTransaction};

/// The reads of a side: what it can be asked has no effect, by type.
#[derive(Clone)]
pub(crate) struct Reader(Arc<dyn BitcoinInterface>);

impl Reader {
    pub(crate) fn new(side: Arc<dyn BitcoinInterface>) -> Self {
        Self(side)
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
}
