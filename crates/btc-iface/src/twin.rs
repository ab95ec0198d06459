//! `WalletTwin`: what shadow mode may ask of the other side's wallet, none of which has an effect.

use std::sync::Arc;

use crate::bitcoin::BitcoinInterface;
use crate::error::{BitcoinError, BitcoinResult, ErrorKind};
use crate::types::{
    AddressType, BitcoinAddress, BitcoinTransaction, BlockRef, BroadcastCheck, Operation,
    PlannedTransaction, WalletSnapshot, WalletState,
};

/// The effect-free twins of the wallet's operations. No method reserves, promises or sends; a
/// wallet may follow the chain to answer.
///
/// Every method may fail with the kinds that [`BitcoinInterface`] lists for all, and with
/// `Unsupported` where no wallet is configured or the implementation has no twins.
///
/// A twin cannot be made to act:
///
/// ```compile_fail,E0599
/// # use btc_iface::{BitcoinResult, BitcoinTransaction, WalletTwin};
/// fn send(twin: &dyn WalletTwin, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
///     twin.broadcast_transaction(transaction)
/// }
/// ```
pub trait WalletTwin: Send + Sync {
    /// Derives the receiving address of this type at this index.
    ///
    /// # Errors
    /// `InvalidInput`: an index of 2^31 or more. `Unsupported`: the wallet has no account of
    /// this type.
    ///
    /// # Effects
    /// None.
    ///
    /// Source: BIP44, BIP49, BIP84, BIP86.
    fn derive_address(
        &self,
        address_type: AddressType,
        index: u32,
    ) -> BitcoinResult<BitcoinAddress>;

    /// Builds and signs the transaction that pays `outputs` at `fee_rate` in sat/vB from the
    /// coins of `snapshot`, in the deterministic mode of `docs/wallet.md`.
    ///
    /// # Behavior
    /// - The scripts and keys of the coins are derived here; nothing of the snapshot but
    ///   outpoints, values and indices is used.
    /// - Coins that this side does not know as spendable with that value are named, and used.
    ///
    /// # Errors
    /// Those of [`BitcoinInterface::create_transaction`].
    ///
    /// # Effects
    /// None.
    fn plan_transaction(
        &self,
        outputs: &[(String, u64)],
        fee_rate: u64,
        snapshot: &WalletSnapshot,
    ) -> BitcoinResult<PlannedTransaction>;

    /// Decodes a serialised transaction, computes its identifiers and asks the node whether it
    /// would take it.
    ///
    /// # Errors
    /// `InvalidInput`: not a transaction.
    ///
    /// # Effects
    /// None.
    ///
    /// Source: Bitcoin Core RPC `testmempoolaccept`, `getrawtransaction`.
    fn check_broadcast(&self, bytes: &[u8]) -> BitcoinResult<BroadcastCheck>;

    /// Follows the chain to the node's tip and tells what the wallet owns there.
    ///
    /// # Effects
    /// None but to have followed the chain.
    fn wallet_state(&self) -> BitcoinResult<WalletState>;

    /// The tip of the node's active chain.
    ///
    /// # Effects
    /// None but, unless an implementation asks the node alone, to have followed the chain.
    ///
    /// Source: Bitcoin Core RPC `getblockchaininfo`.
    fn tip(&self) -> BitcoinResult<BlockRef> {
        Ok(self.wallet_state()?.tip)
    }

    /// What [`BitcoinInterface::get_balance`] would answer, without what that call may do besides:
    /// sending missing payments again.
    ///
    /// # Effects
    /// None but to have followed the chain.
    fn balance_sat(&self) -> BitcoinResult<u64> {
        Ok(self.wallet_state()?.balance.spendable_sat())
    }

    /// What [`BitcoinInterface::create_transaction`] would build on now. With
    /// [`plan_transaction`](Self::plan_transaction) it tells how that call would end, when the
    /// other side failed and so left no snapshot.
    ///
    /// # Errors
    /// `Unsupported`: no wallet is configured, or this side cannot tell.
    ///
    /// # Effects
    /// None but to have followed the chain.
    fn snapshot(&self) -> BitcoinResult<WalletSnapshot> {
        Err(BitcoinError::new(
            ErrorKind::Unsupported,
            Operation::CreateTransaction,
            "this wallet does not tell what it would build on",
        ))
    }
}

/// A wallet that says what it built a transaction on, so that its twin can build it again.
pub trait SnapshotWallet: BitcoinInterface {
    /// [`BitcoinInterface::create_transaction`] in the deterministic mode, and the snapshot it
    /// was built on. The snapshot is the one of the moment, taken before the coins are reserved.
    ///
    /// # Errors
    /// # Effects
    /// Those of `create_transaction`.
    fn create_transaction_with_snapshot(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<(BitcoinTransaction, WalletSnapshot)>;
}

macro_rules! forward_through_pointer {
    ($pointer:ident) => {
        impl<T: WalletTwin + ?Sized> WalletTwin for $pointer<T> {
            fn derive_address(
                &self,
                address_type: AddressType,
                index: u32,
            ) -> BitcoinResult<BitcoinAddress> {
                (**self).derive_address(address_type, index)
            }
            fn plan_transaction(
                &self,
                outputs: &[(String, u64)],
                fee_rate: u64,
                snapshot: &WalletSnapshot,
            ) -> BitcoinResult<PlannedTransaction> {
                (**self).plan_transaction(outputs, fee_rate, snapshot)
            }
            fn check_broadcast(&self, bytes: &[u8]) -> BitcoinResult<BroadcastCheck> {
                (**self).check_broadcast(bytes)
            }
            fn wallet_state(&self) -> BitcoinResult<WalletState> {
                (**self).wallet_state()
            }
            fn tip(&self) -> BitcoinResult<BlockRef> {
                (**self).tip()
            }
            fn balance_sat(&self) -> BitcoinResult<u64> {
                (**self).balance_sat()
            }
            fn snapshot(&self) -> BitcoinResult<WalletSnapshot> {
                (**self).snapshot()
            }
        }
    };
}

forward_through_pointer!(Arc);
forward_through_pointer!(Box);
