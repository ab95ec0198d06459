//! `BitcoinInterface`: the eight operations that every implementation offers.

use crate::error::BitcoinResult;
use crate::types::{AddressType, BitcoinAddress, BitcoinImplementationType, BitcoinTransaction};

/// Bitcoin as a program sees it, whichever implementation stands behind.
///
/// Every method may be called from several threads at once. Every method may fail with
/// [`Unavailable`], [`Timeout`] or [`Auth`] when the node cannot be asked, with
/// [`InvalidResponse`] when it answers nonsense, and with [`Internal`] on a defect of the
/// implementation; the list under each method names the kinds that mean something more.
///
/// [`Unavailable`]: crate::ErrorKind::Unavailable
/// [`Timeout`]: crate::ErrorKind::Timeout
/// [`Auth`]: crate::ErrorKind::Auth
/// [`InvalidResponse`]: crate::ErrorKind::InvalidResponse
/// [`Internal`]: crate::ErrorKind::Internal
pub trait BitcoinInterface: Send + Sync {
    /// Returns the transaction with this txid, from the mempool or from a block.
    ///
    /// # Behavior
    /// - `txid` is 64 hexadecimal digits in either case, in the order people read (reversed bytes).
    /// - `block_hash` is set when the transaction is in a block of the active chain.
    /// - A node without `-txindex` knows only the transactions of its mempool.
    ///
    /// # Errors
    /// `InvalidInput`: not a txid. `NotFound`: the node does not have the transaction.
    ///
    /// # Effects
    /// None.
    ///
    /// Source: Bitcoin Core RPC `getrawtransaction`.
    fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction>;

    /// Returns all transactions of the block with this hash, in block order, coinbase first.
    ///
    /// # Behavior
    /// - `hash` is 64 hexadecimal digits in either case, in the order people read.
    /// - `block_hash` of each transaction is the hash asked for; a block off the active chain
    ///   that the node still stores is returned as well.
    /// - The implementation checks that the header it received hashes to `hash`.
    ///
    /// # Errors
    /// `InvalidInput`: not a block hash. `NotFound`: unknown, or pruned by the node.
    ///
    /// # Effects
    /// None.
    ///
    /// Source: Bitcoin Core REST `/rest/block/<hash>.bin`, RPC `getblock` with verbosity 0.
    fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>>;

    /// Returns the height of the node's best block; the genesis block has height 0.
    ///
    /// # Effects
    /// None.
    ///
    /// Source: Bitcoin Core RPC `getblockcount`.
    fn get_block_height(&self) -> BitcoinResult<u32>;

    /// Reveals and returns the next unused receiving address of this type.
    ///
    /// # Errors
    /// `Unsupported`: no wallet is configured, or it has no account of this type.
    ///
    /// # Effects
    /// The wallet's next index for this type advances and is on disk before this returns.
    ///
    /// Source: BIP44, BIP49, BIP84, BIP86.
    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress>;

    /// Builds and signs a transaction that pays `outputs`, each an address with an amount in
    /// satoshi, at `fee_rate` in sat/vB.
    ///
    /// # Errors
    /// `Unsupported`: no wallet is configured. `InvalidInput`: an address of another network, a
    /// dust amount, a fee rate of 0, no output. `Rejected`: not enough coins; `missing_sat` in the
    /// context says by how much.
    ///
    /// # Effects
    /// Nothing is sent. The chosen coins are reserved for 10 minutes or until released, on disk
    /// before this returns; both implementations of one wallet see that.
    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction>;

    /// Hands a signed transaction to the node, which relays it to the network, and returns its
    /// txid.
    ///
    /// # Behavior
    /// - Idempotent: a transaction that the node already has, in mempool or chain, is success.
    /// - The bytes are serialised from the fields; the `txid` and `wtxid` fields must belong to
    ///   them.
    /// - The node's own limits hold: no fee rate above 0.10 BTC/kvB, no value burnt in an
    ///   unspendable output.
    /// - Sent at most once: an unclear outcome is an error, never a second attempt.
    ///
    /// # Errors
    /// `InvalidInput`: `txid` or `wtxid` do not belong to the fields, or the node cannot decode
    /// the bytes. `Rejected`: the node refuses it; the message holds the node's reason. `Unavailable`
    /// with its txid as `payment` in the context: the wallet has it written down as its payment and
    /// may send it again by itself; paying anew could pay twice, handing it over again is safe.
    ///
    /// # Effects
    /// Money moves when it is mined.
    ///
    /// Source: Bitcoin Core RPC `sendrawtransaction`.
    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String>;

    /// Returns the wallet's balance in satoshi: confirmed plus trusted pending (its own
    /// unconfirmed change), without immature coinbase outputs.
    ///
    /// # Errors
    /// `Unsupported`: no wallet is configured.
    ///
    /// # Effects
    /// None.
    fn get_balance(&self) -> BitcoinResult<u64>;

    /// Returns the fee rate in sat/vB that should confirm within `target_blocks` blocks.
    ///
    /// # Behavior
    /// - The rule is that of [`FeeEstimate`](crate::FeeEstimate): the node's own estimate in its
    ///   economical mode; without one, the rate at which its mempool fills so many blocks; never
    ///   less than the node's minimum, which is the answer when nothing else is known.
    /// - Rounded up to whole sat/vB, and never 0.
    /// - The node may raise a target it cannot answer (1 becomes 2).
    /// - [`FeeEstimator::explain_fee`](crate::FeeEstimator::explain_fee) returns the same number
    ///   with its source.
    ///
    /// # Errors
    /// `InvalidInput`: a target of 0. `InvalidResponse`: a mempool too large to be read.
    /// `Unsupported`: a node that was told not to estimate (`-blocksonly`), whose mempool says
    /// nothing either.
    ///
    /// # Effects
    /// None.
    ///
    /// Source: Bitcoin Core RPC `estimatesmartfee`, `getmempoolinfo`, and `getrawmempool` if the
    /// mempool decides.
    fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64>;

    /// Says which implementation answers. A decorator names the one whose answer it returns.
    fn implementation_type(&self) -> BitcoinImplementationType;
}

macro_rules! forward_through_pointer {
    ($pointer:ident) => {
        impl<T: BitcoinInterface + ?Sized> BitcoinInterface for $pointer<T> {
            fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
                (**self).get_transaction(txid)
            }
            fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
                (**self).get_block(hash)
            }
            fn get_block_height(&self) -> BitcoinResult<u32> {
                (**self).get_block_height()
            }
            fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
                (**self).generate_address(address_type)
            }
            fn create_transaction(
                &self,
                outputs: Vec<(String, u64)>,
                fee_rate: u64,
            ) -> BitcoinResult<BitcoinTransaction> {
                (**self).create_transaction(outputs, fee_rate)
            }
            fn broadcast_transaction(
                &self,
                transaction: &BitcoinTransaction,
            ) -> BitcoinResult<String> {
                (**self).broadcast_transaction(transaction)
            }
            fn get_balance(&self) -> BitcoinResult<u64> {
                (**self).get_balance()
            }
            fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
                (**self).estimate_fee(target_blocks)
            }
            fn implementation_type(&self) -> BitcoinImplementationType {
                (**self).implementation_type()
            }
        }
    };
}

use std::sync::Arc;
forward_through_pointer!(Arc);
forward_through_pointer!(Box);
