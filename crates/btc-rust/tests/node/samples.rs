//! A block and a transaction that everybody knows, and their forms.

use bitcoin::Block;
use bitcoin::consensus::encode::serialize;
use bitcoin::hex::DisplayHex as _;
use btc_iface::{BitcoinTransaction, Network};
use btc_rust::decode_transaction;

/// The first block of regtest, whose one transaction is everywhere the same.
pub(crate) fn block() -> Block {
    bitcoin::constants::genesis_block(Network::Regtest)
}

/// Its transaction.
pub(crate) fn transaction() -> BitcoinTransaction {
    decode_transaction(&raw()).expect("a serialised transaction")
}

/// Its transaction's bytes.
pub(crate) fn raw() -> Vec<u8> {
    serialize(&block().txdata[0])
}

/// Its transaction's bytes in hexadecimal.
pub(crate) fn hex() -> String {
    raw().to_lower_hex_string()
}
