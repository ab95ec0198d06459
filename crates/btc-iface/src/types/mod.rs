//! The domain types: plain data, one type a file.

mod address;
mod fee;
mod implementation;
pub mod network;
mod node;
mod operation;
mod transaction;
mod wallet;

pub use self::address::{AddressType, BitcoinAddress};
pub use self::fee::{FeeEstimate, FeeSource};
pub use self::implementation::BitcoinImplementationType;
pub use self::network::Network;
pub use self::node::{BadUrl, Credentials, NodeConfig, Secret};
pub use self::operation::Operation;
pub use self::transaction::{BitcoinTransaction, TransactionInput, TransactionOutput};
pub use self::wallet::{
    BlockRef, BroadcastCheck, BroadcastVerdict, Chain, Coin, CoinSelection, CoinState, FeeRate,
    HistoryEntry, Label, LabelKind, PaymentState, PendingTransaction, PlannedTransaction,
    Recipient, SignedMessage, SnapshotCoin, TransactionRequest, WalletBalance, WalletSnapshot,
    WalletState, WrongFeeRate,
};
