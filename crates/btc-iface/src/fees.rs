//! `FeeEstimator`: a fee rate together with where it comes from.

use std::sync::Arc;

use crate::error::BitcoinResult;
use crate::types::FeeEstimate;

/// What stands behind [`estimate_fee`](crate::BitcoinInterface::estimate_fee): the same number,
/// with its source and the floor.
///
/// May be called from several threads at once, and may fail as every operation of
/// [`BitcoinInterface`](crate::BitcoinInterface) may.
pub trait FeeEstimator: Send + Sync {
    /// Returns the fee rate in sat/vB that should confirm within `target_blocks` blocks, by the
    /// rule of [`FeeEstimate`].
    ///
    /// # Errors
    /// `InvalidInput`: a target of 0. `InvalidResponse`: a mempool too large to be read.
    /// `Unsupported`: a node that was told not to estimate (`-blocksonly`), whose mempool says
    /// nothing either; a Python class without this method.
    ///
    /// Errors name the operation `estimate_fee`.
    ///
    /// # Effects
    /// None.
    ///
    /// Source: Bitcoin Core RPC `estimatesmartfee`, `getmempoolinfo`, and `getrawmempool` if the
    /// mempool decides.
    fn explain_fee(&self, target_blocks: u8) -> BitcoinResult<FeeEstimate>;
}

macro_rules! forward_through_pointer {
    ($pointer:ident) => {
        impl<T: FeeEstimator + ?Sized> FeeEstimator for $pointer<T> {
            fn explain_fee(&self, target_blocks: u8) -> BitcoinResult<FeeEstimate> {
                (**self).explain_fee(target_blocks)
            }
        }
    };
}

forward_through_pointer!(Arc);
forward_through_pointer!(Box);
