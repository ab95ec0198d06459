//! Stands where the wallet stands in a build without one: no value of it can be made.

use bitcoin::Transaction;
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinResult, BitcoinTransaction, PlannedTransaction,
    WalletSnapshot, WalletState,
};

/// A wallet that cannot be there.
pub(crate) enum RustWallet {}

impl RustWallet {
    pub(crate) fn generate_address(&self, _: AddressType) -> BitcoinResult<BitcoinAddress> {
        match *self {}
    }

    pub(crate) fn create_transaction(
        &self,
        _: Vec<(String, u64)>,
        _: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        match *self {}
    }

    pub(crate) fn create_with_snapshot(
        &self,
        _: &[(String, u64)],
        _: u64,
    ) -> BitcoinResult<(BitcoinTransaction, WalletSnapshot)> {
        match *self {}
    }

    pub(crate) fn handing_over<T>(
        &self,
        _: &[u8],
        _: T,
        _: impl FnOnce(&Transaction) -> BitcoinResult<T>,
    ) -> BitcoinResult<T> {
        match *self {}
    }

    pub(crate) fn get_balance(&self) -> BitcoinResult<u64> {
        match *self {}
    }

    pub(crate) fn derive_address(&self, _: AddressType, _: u32) -> BitcoinResult<BitcoinAddress> {
        match *self {}
    }

    pub(crate) fn plan_transaction(
        &self,
        _: &[(String, u64)],
        _: u64,
        _: &WalletSnapshot,
    ) -> BitcoinResult<PlannedTransaction> {
        match *self {}
    }

    pub(crate) fn refusal_of(&self, _: &[u8]) -> BitcoinResult<Option<String>> {
        match *self {}
    }

    pub(crate) fn state(&self) -> BitcoinResult<WalletState> {
        match *self {}
    }

    pub(crate) fn balance_now(&self) -> BitcoinResult<u64> {
        match *self {}
    }

    pub(crate) fn current_snapshot(&self) -> BitcoinResult<WalletSnapshot> {
        match *self {}
    }
}
