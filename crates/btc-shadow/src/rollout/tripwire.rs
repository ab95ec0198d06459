//! `Tripwire`: has Python answer everything once the Rust implementation has panicked.

use std::sync::Arc;
use std::thread;

use btc_iface::{
    AddressType, BitcoinAddress, BitcoinImplementationType, BitcoinInterface, BitcoinResult,
    BitcoinTransaction, Operation,
};

use super::control::Control;

/// The decorator around Rust's route that rolls back when a call panics.
///
/// A shadow lets a panic of its primary go on to the caller and has nothing to compare, so that
/// its [`Judge`](super::Judge) hears of none. The panic still goes on; an answer passes unchanged.
pub struct Tripwire {
    rust: Arc<dyn BitcoinInterface>,
    control: Arc<Control>,
}

/// Watches over one call.
struct Wire<'a>(&'a Control, Operation);

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.roll_back(&format!("rust panicked in {}", self.1));
        }
    }
}

impl Tripwire {
    /// Watches over `rust`.
    pub fn new(rust: Arc<dyn BitcoinInterface>, control: Arc<Control>) -> Self {
        Self { rust, control }
    }

    fn call<T>(&self, operation: Operation, call: impl FnOnce(&dyn BitcoinInterface) -> T) -> T {
        // A caller may already be on its way out of a panic of its own.
        let _wire = (!thread::panicking()).then(|| Wire(&self.control, operation));
        call(&*self.rust)
    }
}

impl BitcoinInterface for Tripwire {
    fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.call(Operation::GetTransaction, |rust| rust.get_transaction(txid))
    }

    fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.call(Operation::GetBlock, |rust| rust.get_block(hash))
    }

    fn get_block_height(&self) -> BitcoinResult<u32> {
        self.call(Operation::GetBlockHeight, |rust| rust.get_block_height())
    }

    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.call(Operation::GenerateAddress, |rust| {
            rust.generate_address(address_type)
        })
    }

    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        self.call(Operation::CreateTransaction, |rust| {
            rust.create_transaction(outputs, fee_rate)
        })
    }

    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        self.call(Operation::BroadcastTransaction, |rust| {
            rust.broadcast_transaction(transaction)
        })
    }

    fn get_balance(&self) -> BitcoinResult<u64> {
        self.call(Operation::GetBalance, |rust| rust.get_balance())
    }

    fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        self.call(Operation::EstimateFee, |rust| {
            rust.estimate_fee(target_blocks)
        })
    }

    fn implementation_type(&self) -> BitcoinImplementationType {
        self.rust.implementation_type()
    }
}
