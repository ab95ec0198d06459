//! The async twin of `BitcoinInterface` and the one adapter that makes it from a blocking backend.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;

use crate::bitcoin::BitcoinInterface;
use crate::error::{BitcoinError, BitcoinResult, ErrorKind};
use crate::types::{
    AddressType, BitcoinAddress, BitcoinImplementationType, BitcoinTransaction, Operation,
};

/// The operations of [`BitcoinInterface`] for async programs, with the same behaviour, units,
/// errors and effects.
///
/// Dropping a future does not stop the operation: a broadcast that was started is finished.
#[async_trait]
pub trait AsyncBitcoinInterface: Send + Sync {
    /// See [`BitcoinInterface::get_transaction`].
    async fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction>;
    /// See [`BitcoinInterface::get_block`].
    async fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>>;
    /// See [`BitcoinInterface::get_block_height`].
    async fn get_block_height(&self) -> BitcoinResult<u32>;
    /// See [`BitcoinInterface::generate_address`].
    async fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress>;
    /// See [`BitcoinInterface::create_transaction`].
    async fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction>;
    /// See [`BitcoinInterface::broadcast_transaction`].
    async fn broadcast_transaction(
        &self,
        transaction: &BitcoinTransaction,
    ) -> BitcoinResult<String>;
    /// See [`BitcoinInterface::get_balance`].
    async fn get_balance(&self) -> BitcoinResult<u64>;
    /// See [`BitcoinInterface::estimate_fee`].
    async fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64>;
    /// See [`BitcoinInterface::implementation_type`].
    fn implementation_type(&self) -> BitcoinImplementationType;
}

/// Makes any blocking implementation async by running each call on a pool of threads kept for
/// blocking work. Needs no particular async runtime.
///
/// Over a [`BitcoinInterface`] it is an [`AsyncBitcoinInterface`]. Over another trait, such as
/// [`WalletInterface`](crate::WalletInterface), [`run`](Self::run) makes its calls:
///
/// ```
/// use std::sync::Arc;
///
/// use btc_iface::{AsyncAdapter, BitcoinResult, Operation, WalletInterface};
///
/// async fn pending(wallet: Arc<dyn WalletInterface>) -> BitcoinResult<usize> {
///     let wallet = AsyncAdapter::new(wallet);
///     let history = wallet.run(Operation::Wallet, |wallet| wallet.history()).await?;
///     Ok(history.iter().filter(|entry| entry.block.is_none()).count())
/// }
/// ```
pub struct AsyncAdapter<I: ?Sized = dyn BitcoinInterface> {
    inner: Arc<I>,
}

impl<I: ?Sized> Clone for AsyncAdapter<I> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<I: ?Sized + Send + Sync + 'static> AsyncAdapter<I> {
    /// Wraps a blocking implementation.
    pub fn new(inner: Arc<I>) -> Self {
        Self { inner }
    }

    /// Lets go of the implementation on the pool, and waits until that is done. Where this is the
    /// last handle, its end takes as long as its own limits say (calls under way, worker
    /// processes, a log), which a plain drop makes the executor's thread wait for.
    ///
    /// # Effects
    /// Those of dropping the implementation.
    pub async fn close(self) {
        let inner = self.inner;
        // A panic at the end of a backend ends nothing else; its hook has shown it.
        let end = move || drop(catch_unwind(AssertUnwindSafe(|| drop(inner))));
        blocking::unblock(end).await;
    }

    /// Makes a call, or several that belong together, on the pool. Dropping the future does not
    /// stop it.
    ///
    /// # Errors
    /// Those of the call. `Internal`, with `operation`, when it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        call: impl FnOnce(&I) -> BitcoinResult<T> + Send + 'static,
    ) -> BitcoinResult<T> {
        let inner = Arc::clone(&self.inner);
        blocking::unblock(move || {
            catch_unwind(AssertUnwindSafe(|| call(&*inner)))
                .unwrap_or_else(|panic| Err(panicked(operation, &*panic)))
        })
        .await
    }
}

fn panicked(operation: Operation, panic: &(dyn Any + Send)) -> BitcoinError {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    BitcoinError::new(
        ErrorKind::Internal,
        operation,
        format!("the backend panicked: {text}"),
    )
}

#[async_trait]
impl<I: BitcoinInterface + ?Sized + 'static> AsyncBitcoinInterface for AsyncAdapter<I> {
    async fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        let txid = txid.to_owned();
        self.run(Operation::GetTransaction, move |inner| {
            inner.get_transaction(&txid)
        })
        .await
    }

    async fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        let hash = hash.to_owned();
        self.run(Operation::GetBlock, move |inner| inner.get_block(&hash))
            .await
    }

    async fn get_block_height(&self) -> BitcoinResult<u32> {
        self.run(Operation::GetBlockHeight, I::get_block_height)
            .await
    }

    async fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.run(Operation::GenerateAddress, move |inner| {
            inner.generate_address(address_type)
        })
        .await
    }

    async fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        self.run(Operation::CreateTransaction, move |inner| {
            inner.create_transaction(outputs, fee_rate)
        })
        .await
    }

    async fn broadcast_transaction(
        &self,
        transaction: &BitcoinTransaction,
    ) -> BitcoinResult<String> {
        let transaction = transaction.clone();
        self.run(Operation::BroadcastTransaction, move |inner| {
            inner.broadcast_transaction(&transaction)
        })
        .await
    }

    async fn get_balance(&self) -> BitcoinResult<u64> {
        self.run(Operation::GetBalance, I::get_balance).await
    }

    async fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        self.run(Operation::EstimateFee, move |inner| {
            inner.estimate_fee(target_blocks)
        })
        .await
    }

    fn implementation_type(&self) -> BitcoinImplementationType {
        self.inner.implementation_type()
    }
}
