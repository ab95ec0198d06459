//! `Five`: an implementation for unit tests that answers at once.

use btc_iface::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinImplementationType, BitcoinInterface,
    BitcoinResult, BitcoinTransaction, ErrorKind, Operation,
};

/// Answers five, and has no transactions.
pub(crate) struct Five;

fn none<T>(operation: Operation) -> BitcoinResult<T> {
    Err(BitcoinError::new(
        ErrorKind::NotFound,
        operation,
        "there is none",
    ))
}

impl BitcoinInterface for Five {
    fn get_transaction(&self, _: &str) -> BitcoinResult<BitcoinTransaction> {
        none(Operation::GetTransaction)
    }
    fn get_block(&self, _: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        Ok(Vec::new())
    }
    fn get_block_height(&self) -> BitcoinResult<u32> {
        Ok(5)
    }
    fn generate_address(&self, _: AddressType) -> BitcoinResult<BitcoinAddress> {
        none(Operation::GenerateAddress)
    }
    fn create_transaction(
        &self,
        _: Vec<(String, u64)>,
        _: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        none(Operation::CreateTransaction)
    }
    fn broadcast_transaction(&self, _: &BitcoinTransaction) -> BitcoinResult<String> {
        none(Operation::BroadcastTransaction)
    }
    fn get_balance(&self) -> BitcoinResult<u64> {
        Ok(5)
    }
    fn estimate_fee(&self, _: u8) -> BitcoinResult<u64> {
        Ok(5)
    }
    fn implementation_type(&self) -> BitcoinImplementationType {
        BitcoinImplementationType::Python
    }
}
