//! `CallLog`: the decorator that records each call that passes, to be replayed.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use btc_iface::{
    AddressType, BitcoinAddress, BitcoinImplementationType, BitcoinInterface, BitcoinResult,
    BitcoinTransaction,
};

use super::call::{Call, RecordedCall};
use super::call_file::{CallCounts, CallFile};
use crate::rollout::named_key;

/// Records calls with their arguments, not the answers, and hands them on.
///
/// # Behavior
/// - A call is recorded before it is made, so that one that does not come back is there too.
/// - The caller pays for a copy of the arguments and a place in a queue, and never waits. What
///   finds no place, or cannot be written, is counted as lost; a `lost_calls` line tells of it.
/// - The lines are in the order in which the calls began, of each thread. What a process has not
///   written when it is killed, at most a few milliseconds, is not there.
/// - Txids, hashes, addresses and amounts are recorded; of a broadcast, the txid. No argument is a
///   secret, but they say who was paid: the file is readable by its owner alone.
pub struct CallLog {
    inner: Arc<dyn BitcoinInterface>,
    file: CallFile,
}

impl CallLog {
    /// Decorates `inner`. The file is appended to, and made with its folder if need be.
    ///
    /// # Errors
    /// `Configuration`: it cannot be written. `Internal`: the system gives no thread.
    pub fn open(inner: Arc<dyn BitcoinInterface>, path: &Path) -> BitcoinResult<Self> {
        Ok(Self {
            inner,
            file: CallFile::open(path)?,
        })
    }

    /// The counts, which stay readable after the decorator is gone.
    pub fn counts(&self) -> Arc<CallCounts> {
        self.file.counts()
    }

    fn record(&self, call: Call) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let time_ms = since.ok().and_then(|it| u64::try_from(it.as_millis()).ok());
        self.file.take(RecordedCall {
            call,
            time_ms,
            key: named_key(str::to_owned),
        });
    }
}

impl BitcoinInterface for CallLog {
    fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.record(Call::GetTransaction {
            txid: txid.to_owned(),
        });
        self.inner.get_transaction(txid)
    }

    fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.record(Call::GetBlock {
            hash: hash.to_owned(),
        });
        self.inner.get_block(hash)
    }

    fn get_block_height(&self) -> BitcoinResult<u32> {
        self.record(Call::GetBlockHeight);
        self.inner.get_block_height()
    }

    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.record(Call::GenerateAddress { address_type });
        self.inner.generate_address(address_type)
    }

    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        self.record(Call::CreateTransaction {
            outputs: outputs.clone(),
            fee_rate_sat_per_vb: fee_rate,
        });
        self.inner.create_transaction(outputs, fee_rate)
    }

    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        self.record(Call::BroadcastTransaction {
            txid: transaction.txid,
        });
        self.inner.broadcast_transaction(transaction)
    }

    fn get_balance(&self) -> BitcoinResult<u64> {
        self.record(Call::GetBalance);
        self.inner.get_balance()
    }

    fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        self.record(Call::EstimateFee { target_blocks });
        self.inner.estimate_fee(target_blocks)
    }

    fn implementation_type(&self) -> BitcoinImplementationType {
        self.inner.implementation_type()
    }
}
