//! An implementation that answers what the test puts in and counts what it is asked.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use btc_iface::rust_bitcoin::ScriptBuf;
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinImplementationType, BitcoinInterface,
    BitcoinResult, BitcoinTransaction, ErrorKind, Network, Operation,
};
use btc_shadow::record::Line;
use btc_shadow::sink::Sink;

use crate::samples::transaction;

/// Decides what the `n`th call of an operation (from 1) answers: a number, or a failure.
pub(crate) type Script = Box<dyn Fn(Operation, u64) -> BitcoinResult<u64> + Send + Sync>;

/// An implementation whose answers all follow from one number.
pub(crate) struct Double {
    implementation: BitcoinImplementationType,
    script: Script,
    calls: Mutex<BTreeMap<Operation, u64>>,
}

impl Double {
    pub(crate) fn new(
        implementation: BitcoinImplementationType,
        script: impl Fn(Operation, u64) -> BitcoinResult<u64> + Send + Sync + 'static,
    ) -> Self {
        Self {
            implementation,
            script: Box::new(script),
            calls: Mutex::default(),
        }
    }

    /// How often an operation was asked for.
    pub(crate) fn calls(&self, operation: Operation) -> u64 {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get(&operation).copied().unwrap_or(0)
    }

    /// All operations that were asked for, however often.
    pub(crate) fn asked(&self) -> Vec<Operation> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.keys().copied().collect()
    }

    fn answer(&self, operation: Operation) -> BitcoinResult<u64> {
        let number = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let number = calls.entry(operation).or_default();
            *number += 1;
            *number
        };
        (self.script)(operation, number)
    }

    fn transaction(&self, operation: Operation) -> BitcoinResult<BitcoinTransaction> {
        let mut transaction = transaction();
        transaction.outputs[0].value_sat = self.answer(operation)?;
        Ok(transaction)
    }
}

/// A failure of this kind.
pub(crate) fn failure(operation: Operation, kind: ErrorKind) -> BitcoinError {
    BitcoinError::new(kind, operation, "as the test wants it")
}

impl BitcoinInterface for Double {
    fn get_transaction(&self, _txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.transaction(Operation::GetTransaction)
    }
    fn get_block(&self, _hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.transaction(Operation::GetBlock)
            .map(|transaction| vec![transaction])
    }
    fn get_block_height(&self) -> BitcoinResult<u32> {
        let height = self.answer(Operation::GetBlockHeight)?;
        Ok(u32::try_from(height).expect("the tests use small heights"))
    }
    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.answer(Operation::GenerateAddress)
            .map(|number| BitcoinAddress {
                address: number.to_string(),
                address_type,
                network: Network::Regtest,
                script_pubkey: ScriptBuf::new(),
                index: None,
            })
    }
    fn create_transaction(
        &self,
        _outputs: Vec<(String, u64)>,
        _fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        self.transaction(Operation::CreateTransaction)
    }
    fn broadcast_transaction(&self, _transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        self.answer(Operation::BroadcastTransaction)
            .map(|number| number.to_string())
    }
    fn get_balance(&self) -> BitcoinResult<u64> {
        self.answer(Operation::GetBalance)
    }
    fn estimate_fee(&self, _target_blocks: u8) -> BitcoinResult<u64> {
        self.answer(Operation::EstimateFee)
    }
    fn implementation_type(&self) -> BitcoinImplementationType {
        self.implementation
    }
}

/// A sink that takes no line and counts how many it was offered.
#[derive(Default)]
pub(crate) struct FullDisk {
    pub(crate) offered: AtomicU64,
}

impl Sink for FullDisk {
    fn write(&self, _line: &Line) -> io::Result<()> {
        self.offered.fetch_add(1, Ordering::Relaxed);
        Err(io::ErrorKind::StorageFull.into())
    }
}
