//! `ChainSource`: where a wallet learns about the chain, as one small trait.
//!
//! A source is asked for what is new and answers in pieces; the wallet applies each piece to its
//! books and stores it, so that an interrupted sync goes on where it stopped.

pub mod core;
#[cfg(feature = "electrum")]
pub mod electrum;
#[cfg(feature = "esplora")]
pub mod esplora;
#[cfg(any(feature = "electrum", feature = "esplora"))]
mod fixed;
mod mempool;
#[cfg(feature = "p2p")]
pub mod p2p;
mod pool;
pub mod scan;
#[cfg(any(feature = "electrum", feature = "esplora"))]
mod server;
#[cfg(any(feature = "electrum", feature = "esplora"))]
mod tls;
#[cfg(any(feature = "electrum", feature = "esplora"))]
mod verdict;
pub mod work;

use std::sync::Arc;

use bdk_chain::bdk_core::spk_client::FullScanResponse;
use bitcoin::{Block, OutPoint, ScriptBuf, Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Operation};

use super::build::{MempoolEntry, RelayRules};
use super::keys::Keychain;

/// A piece of news from a source, to be applied in the order of arrival.
pub enum Piece {
    /// The blocks above this height are no longer in the active chain.
    Disconnect {
        /// The last block that both chains share.
        fork: BlockRef,
    },
    /// A block with transactions that may be the wallet's. Blocks come in ascending order.
    Block {
        /// Its height.
        height: u32,
        /// It.
        block: Arc<Block>,
    },
    /// Everything up to this block was examined; what was applied so far may be stored.
    Scanned(BlockRef),
    /// The unconfirmed transactions that the source has now and that concern the wallet.
    Mempool {
        /// New ones, with the Unix second at which they were first seen.
        arrived: Vec<(Transaction, u64)>,
        /// Those the wallet counted before and the source has no more, not mined either.
        gone: Vec<Txid>,
        /// Those the wallet counts already and the source still has.
        kept: Vec<Txid>,
    },
    /// What a source that keeps histories by script has found, as BDK describes it.
    Update(Box<FullScanResponse<Keychain>>),
}

/// The wallet as a source sees it while it follows the chain.
pub trait Follower {
    /// Blocks that the wallet knows to be in its chain, the newest first, the birthday's or the
    /// genesis block last.
    fn checkpoints(&self) -> Vec<BlockRef>;

    /// The height from which on blocks matter.
    fn birthday(&self) -> u32;

    /// Whether the first scan has not come to its end; see [`at_tip`](Self::at_tip).
    fn is_first_scan(&self) -> bool;

    /// The last block that was examined, if any was: the source goes on above it, and not below
    /// the birthday.
    fn scanned(&self) -> Option<BlockRef>;

    /// Told by a source that reads blocks before it begins: what a server with histories by script
    /// has said since blocks were last read is undone, and what the filters of peers may have
    /// hidden is looked for, so that the blocks above are read. True: there were such sources, so
    /// that blocks further down may be their words, too.
    fn begin_blocks(&mut self) -> BitcoinResult<bool> {
        Ok(false)
    }

    /// Told by a source that reads the blocks whose filters match, as peers tell them, before it
    /// begins: as [`begin_blocks`](Self::begin_blocks), and what it examines from now on is looked
    /// at again by a source that reads blocks.
    fn begin_filters(&mut self) -> BitcoinResult<()> {
        self.begin_blocks().map(drop)
    }

    /// Told by a source that scans blocks when it has come to the tip. True: the window has moved
    /// during the first scan, so [`scanned`](Self::scanned) is at the birthday again and the
    /// source does one more pass.
    fn at_tip(&mut self) -> BitcoinResult<bool>;

    /// The watched scripts. The number of them only grows; it changes when the window moves.
    fn watched(&self) -> &[ScriptBuf];

    /// The outputs that pay watched scripts, spent or not.
    fn owned(&self) -> Vec<OutPoint>;

    /// Whether the transaction spends or pays the wallet.
    fn concerns(&self, transaction: &Transaction) -> bool;

    /// The unconfirmed transactions that count now.
    fn unconfirmed(&self) -> Vec<Txid>;

    /// Those of the unconfirmed transactions that count now which spend coins of the wallet.
    fn unconfirmed_spends(&self) -> Vec<Txid>;

    /// The transactions that count as confirmed, with their blocks.
    fn confirmed(&self) -> Vec<(Txid, BlockRef)>;

    /// Takes a piece of news. After [`Piece::Block`], [`watched`](Self::watched) may have grown.
    fn take(&mut self, piece: Piece) -> BitcoinResult<()>;

    /// Says how far the scan has come, for a progress bar: examined and all blocks of this pass.
    fn progress(&mut self, done: u32, total: u32);
}

/// A peer of the network or of the node.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Peer {
    /// `host:port`.
    pub address: String,
    /// What the software calls itself (BIP14), when it is known.
    pub user_agent: Option<String>,
    /// The height it claimed at the handshake, when it is known.
    pub start_height: Option<i32>,
    /// The service flags in hexadecimal (`getpeerinfo` `services`).
    pub services: String,
    /// Whether the peer opened the connection, when it is known.
    pub is_inbound: Option<bool>,
}

/// A transaction of the mempool with all that is above and below it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relatives {
    /// The transaction.
    pub itself: MempoolEntry,
    /// Its unconfirmed ancestors.
    pub ancestors: Vec<MempoolEntry>,
    /// Its descendants.
    pub descendants: Vec<MempoolEntry>,
}

/// Where a wallet learns about the chain, and where its transactions go.
pub trait ChainSource: Send + Sync {
    /// `core`, `p2p`, `electrum` or `esplora`.
    fn name(&self) -> &'static str;

    /// Whether the source can tell that a transaction has left the mempool. Where it cannot, an
    /// own payment that was handed over counts until the chain says otherwise.
    fn sees_mempool(&self) -> bool {
        true
    }

    /// The tip of the active chain.
    fn tip(&self) -> BitcoinResult<BlockRef>;

    /// Brings the follower up to the tip.
    fn follow(&self, follower: &mut dyn Follower) -> BitcoinResult<()>;

    /// Hands a transaction to the network, at most once.
    ///
    /// # Errors
    /// `Rejected`: a node's verdict, with its reason where it gives one. What is known already is
    /// success. `Auth`, `Configuration`, `InvalidInput`, `Unsupported`: no node has it by this call,
    /// since none of it was sent, or the node has looked at nothing but the call. Of every other
    /// kind the outcome is unknown.
    fn broadcast(&self, transaction: &Transaction) -> BitcoinResult<Txid>;

    /// Whether the mempool that the source sees is whole: a node that has just started reads it
    /// from disk first.
    fn is_mempool_loaded(&self) -> BitcoinResult<bool> {
        Ok(true)
    }

    /// Hands a transaction that is too cheap by itself to the network together with a child that
    /// pays for it.
    ///
    /// # Errors
    /// `Unsupported`: this source, or its node, takes no packages. `Rejected`: refused.
    ///
    /// Source: Bitcoin Core RPC `submitpackage`.
    fn submit_package(&self, _parent: &Transaction, _child: &Transaction) -> BitcoinResult<()> {
        Err(BitcoinError::new(
            ErrorKind::Unsupported,
            Operation::BroadcastTransaction,
            "this chain source takes no packages",
        ))
    }

    /// An unconfirmed transaction with its ancestors and descendants, where the source sees the
    /// whole mempool and the transaction is in it.
    fn relatives(&self, _txid: Txid) -> BitcoinResult<Option<Relatives>> {
        Ok(None)
    }

    /// What nodes ask of a transaction, where the source can tell.
    fn relay_rules(&self) -> BitcoinResult<Option<RelayRules>> {
        Ok(None)
    }

    /// The peers that this source, or its node, is connected to.
    fn peers(&self) -> BitcoinResult<Vec<Peer>>;
}
