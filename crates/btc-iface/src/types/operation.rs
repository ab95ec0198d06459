//! `Operation`: the names of the interface's operations, for errors, records and metrics.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An operation of `BitcoinInterface`, or a step around it that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// `BitcoinInterface::get_transaction`.
    GetTransaction,
    /// `BitcoinInterface::get_block`.
    GetBlock,
    /// `BitcoinInterface::get_block_height`.
    GetBlockHeight,
    /// `BitcoinInterface::generate_address`.
    GenerateAddress,
    /// `BitcoinInterface::create_transaction`.
    CreateTransaction,
    /// `BitcoinInterface::broadcast_transaction`.
    BroadcastTransaction,
    /// `BitcoinInterface::get_balance`.
    GetBalance,
    /// `BitcoinInterface::estimate_fee`.
    EstimateFee,
    /// Reading the configuration.
    Configure,
    /// Reaching the node or starting a backend.
    Connect,
    /// Writing or reading a comparison log.
    Log,
    /// Creating, opening or reading the wallet's files, or an operation of `WalletInterface`.
    Wallet,
    /// Following the chain.
    Sync,
    /// An operation of `DlcInterface` or `OracleInterface`.
    Contract,
}

impl Operation {
    /// The operations of the interface, in its order.
    pub const CALLS: [Self; 8] = [
        Self::GetTransaction,
        Self::GetBlock,
        Self::GetBlockHeight,
        Self::GenerateAddress,
        Self::CreateTransaction,
        Self::BroadcastTransaction,
        Self::GetBalance,
        Self::EstimateFee,
    ];

    /// The stable name, as in logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GetTransaction => "get_transaction",
            Self::GetBlock => "get_block",
            Self::GetBlockHeight => "get_block_height",
            Self::GenerateAddress => "generate_address",
            Self::CreateTransaction => "create_transaction",
            Self::BroadcastTransaction => "broadcast_transaction",
            Self::GetBalance => "get_balance",
            Self::EstimateFee => "estimate_fee",
            Self::Configure => "configure",
            Self::Connect => "connect",
            Self::Log => "log",
            Self::Wallet => "wallet",
            Self::Sync => "sync",
            Self::Contract => "contract",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
