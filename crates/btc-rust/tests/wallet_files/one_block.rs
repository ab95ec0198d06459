//! A wallet over a node with one block and a mempool that the test fills.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version as BlockVersion};
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, CompactTarget, OutPoint, Transaction, TxIn, TxMerkleNode, TxOut, Txid,
};
use btc_iface::{
    AddressType, BitcoinError, BitcoinResult, BitcoinTransaction, BlockRef, CoinSelection,
    ErrorKind, Network, Operation, PaymentState, WalletInterface,
};
use btc_rust::wallet::RustWallet;
use btc_rust::wallet::reservations::{PaymentRow, Reservations, now_ms};
use btc_rust::wallet::source::{ChainSource, Follower, Peer, Piece};
use tempfile::TempDir;

use crate::support::plain_wallet;

/// What the network answers to a transaction; told how many it was handed before.
pub(crate) type Answer = Box<dyn Fn(&Transaction, usize) -> BitcoinResult<()> + Send + Sync>;

/// A node with one block that pays the wallet, and a mempool that only the test fills.
#[derive(Default)]
pub(crate) struct OneBlock {
    block: OnceLock<Block>,
    answer: OnceLock<Answer>,
    /// What happens elsewhere after the mempool was looked at, once.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    pub(crate) handed: Mutex<Vec<Txid>>,
    pub(crate) packages: Mutex<Vec<[Txid; 2]>>,
    pub(crate) mempool: Mutex<HashSet<Txid>>,
    /// Whether it tells nothing of its mempool, as peers that DNS names.
    pub(crate) is_blind: AtomicBool,
}

impl ChainSource for OneBlock {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn tip(&self) -> BitcoinResult<BlockRef> {
        Ok(genesis())
    }

    fn follow(&self, follower: &mut dyn Follower) -> BitcoinResult<()> {
        if follower.scanned().is_none() {
            follower.take(Piece::Scanned(genesis()))?;
        }
        if let Some(block) = self.block.get() {
            let tip = BlockRef {
                height: 1,
                hash: block.block_hash(),
            };
            if follower.scanned() != Some(tip) {
                let block = Arc::new(block.clone());
                follower.take(Piece::Block { height: 1, block })?;
                follower.take(Piece::Scanned(tip))?;
            }
        }
        let mempool = self.mempool.lock().expect("no panic").clone();
        let all = follower.unconfirmed();
        let is_blind = !self.sees_mempool();
        let is_kept = |txid: &Txid| is_blind || mempool.contains(txid);
        let (kept, gone) = all.into_iter().partition(is_kept);
        follower.take(Piece::Mempool {
            arrived: Vec::new(),
            gone,
            kept,
        })?;
        follower.at_tip().map(drop)
    }

    fn broadcast(&self, transaction: &Transaction) -> BitcoinResult<Txid> {
        let txid = transaction.compute_txid();
        let before = {
            let mut handed = self.handed.lock().expect("no panic");
            handed.push(txid);
            handed.len() - 1
        };
        if let Some(answer) = self.answer.get() {
            answer(transaction, before)?;
        }
        self.mempool.lock().expect("no panic").insert(txid);
        Ok(txid)
    }

    fn sees_mempool(&self) -> bool {
        !self.is_blind.load(Ordering::SeqCst)
    }

    fn is_mempool_loaded(&self) -> BitcoinResult<bool> {
        let meanwhile = self.meanwhile.lock().expect("no panic").take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        Ok(true)
    }

    fn submit_package(&self, parent: &Transaction, child: &Transaction) -> BitcoinResult<()> {
        let package = [parent, child].map(Transaction::compute_txid);
        self.packages.lock().expect("no panic").push(package);
        Ok(())
    }

    fn peers(&self) -> BitcoinResult<Vec<Peer>> {
        Ok(Vec::new())
    }
}

fn genesis() -> BlockRef {
    BlockRef {
        height: 0,
        hash: bitcoin::constants::genesis_block(Network::Regtest).block_hash(),
    }
}

pub(crate) fn refusal(reason: &str) -> BitcoinError {
    let operation = Operation::BroadcastTransaction;
    BitcoinError::new(ErrorKind::Rejected, operation, reason.to_owned())
}

pub(crate) struct Scene {
    parent: TempDir,
    pub(crate) dir: PathBuf,
    pub(crate) network: Arc<OneBlock>,
    pub(crate) wallet: Arc<RustWallet>,
}

impl Scene {
    /// A wallet with these confirmed coins.
    pub(crate) fn of(values_sat: &[u64]) -> Self {
        let (parent, dir) = plain_wallet();
        let network = Arc::new(OneBlock::default());
        let source = Arc::clone(&network) as Arc<dyn ChainSource>;
        let wallet = RustWallet::open(&dir, None, CoinSelection::LargestFirst, source);
        let wallet = Arc::new(wallet.expect("sound"));
        let output = values_sat.iter().map(|value_sat| TxOut {
            value: Amount::from_sat(*value_sat),
            script_pubkey: wallet
                .generate_address(AddressType::P2wpkh)
                .expect("an index")
                .script_pubkey,
        });
        let payment = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::new(Txid::from_byte_array([7; 32]), 0),
                ..TxIn::default()
            }],
            output: output.collect(),
        };
        let header = Header {
            version: BlockVersion::TWO,
            prev_blockhash: genesis().hash,
            merkle_root: TxMerkleNode::all_zeros(),
            time: 1_600_000_000,
            bits: CompactTarget::from_consensus(0x207f_ffff),
            nonce: 0,
        };
        let block = Block {
            header,
            txdata: vec![payment],
        };
        network.block.set(block).expect("once");
        wallet.sync().expect("followed");
        Self {
            parent,
            dir,
            network,
            wallet,
        }
    }

    /// The wallet closed and opened again, and not followed.
    pub(crate) fn reopened(self) -> Self {
        let network = Arc::clone(&self.network);
        let (parent, dir) = self.closed();
        let source = Arc::clone(&network) as Arc<dyn ChainSource>;
        let wallet = RustWallet::open(&dir, None, CoinSelection::LargestFirst, source);
        Self {
            parent,
            dir,
            network,
            wallet: Arc::new(wallet.expect("nothing else has it open")),
        }
    }

    /// The folder alone, with the wallet closed.
    fn closed(self) -> (TempDir, PathBuf) {
        (self.parent, self.dir)
    }

    pub(crate) fn answers(
        &self,
        answer: impl Fn(&Transaction, usize) -> BitcoinResult<()> + Send + Sync + 'static,
    ) {
        let set = self.network.answer.set(Box::new(answer));
        assert!(set.is_ok(), "said once");
    }

    /// Says what happens elsewhere between the next look at the mempool and the question whether it
    /// is whole.
    pub(crate) fn meanwhile(&self, happens: impl FnOnce() + Send + 'static) {
        let mut meanwhile = self.network.meanwhile.lock().expect("no panic");
        *meanwhile = Some(Box::new(happens));
    }

    pub(crate) fn build(&self, value_sat: u64) -> BitcoinTransaction {
        let to = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202".to_owned();
        let built = self.wallet.create_transaction(vec![(to, value_sat)], 2);
        built.expect("enough coins")
    }

    pub(crate) fn rows(&self) -> HashMap<Txid, PaymentRow> {
        let mut shared = Reservations::open(&self.dir).expect("sound");
        let booking = shared.begin(now_ms()).expect("free");
        booking.payments(0).expect("rows").into_iter().collect()
    }

    pub(crate) fn state(&self, txid: Txid) -> Option<PaymentState> {
        let history = self.wallet.history().expect("books");
        let entry = history.into_iter().find(|entry| entry.txid == txid)?;
        Some(entry.state)
    }
}
