//! The implementations under the bench: they answer at once, or hang.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use btc::bitcoin::hashes::Hash;
use btc::bitcoin::{OutPoint, ScriptBuf, Txid, Witness, Wtxid};
use btc::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinImplementationType, BitcoinInterface,
    BitcoinResult, BitcoinTransaction, ErrorKind, Operation, TransactionInput, TransactionOutput,
};

/// An implementation that answers at once, or hangs.
pub(super) struct Side {
    implementation: BitcoinImplementationType,
    transaction: BitcoinTransaction,
    hangs: bool,
}

impl Side {
    pub(super) fn new(implementation: BitcoinImplementationType, hangs: bool) -> Arc<Self> {
        Arc::new(Self {
            implementation,
            transaction: transaction(),
            hangs,
        })
    }

    fn wait(&self) {
        if self.hangs {
            thread::sleep(Duration::from_hours(1));
        }
    }
}

fn unsupported<T>(operation: Operation) -> BitcoinResult<T> {
    Err(BitcoinError::new(
        ErrorKind::Unsupported,
        operation,
        "not here",
    ))
}

impl BitcoinInterface for Side {
    fn get_transaction(&self, _: &str) -> BitcoinResult<BitcoinTransaction> {
        self.wait();
        Ok(self.transaction.clone())
    }
    fn get_block(&self, _: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        unsupported(Operation::GetBlock)
    }
    fn get_block_height(&self) -> BitcoinResult<u32> {
        self.wait();
        Ok(5)
    }
    fn generate_address(&self, _: AddressType) -> BitcoinResult<BitcoinAddress> {
        unsupported(Operation::GenerateAddress)
    }
    fn create_transaction(
        &self,
        _: Vec<(String, u64)>,
        _: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        unsupported(Operation::CreateTransaction)
    }
    fn broadcast_transaction(&self, _: &BitcoinTransaction) -> BitcoinResult<String> {
        unsupported(Operation::BroadcastTransaction)
    }
    fn get_balance(&self) -> BitcoinResult<u64> {
        self.wait();
        Ok(5)
    }
    fn estimate_fee(&self, _: u8) -> BitcoinResult<u64> {
        self.wait();
        Ok(5)
    }
    fn implementation_type(&self) -> BitcoinImplementationType {
        self.implementation
    }
}

/// Two inputs, two outputs.
fn transaction() -> BitcoinTransaction {
    let input = |n| TransactionInput {
        previous_output: OutPoint::new(Txid::from_byte_array([n; 32]), 0),
        script_sig: ScriptBuf::new(),
        sequence: u32::MAX,
        witness: Witness::from_slice(&[vec![n; 71], vec![n; 33]]),
    };
    let output = |value_sat| TransactionOutput {
        value_sat,
        script_pubkey: ScriptBuf::from_bytes(vec![7; 22]),
    };
    BitcoinTransaction {
        txid: Txid::from_byte_array([1; 32]),
        wtxid: Wtxid::from_byte_array([2; 32]),
        version: 2,
        lock_time: 0,
        inputs: vec![input(1), input(2)],
        outputs: vec![output(1_000), output(2_000)],
        size: 371,
        weight: 833,
        fee_sat: None,
        block_hash: None,
        block_height: None,
    }
}
