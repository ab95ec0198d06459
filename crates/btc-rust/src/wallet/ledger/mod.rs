//! The wallet's books: its chain, its transactions, its coins.

mod assumed;
mod chain;
mod follow;
mod holds;
mod payments;
mod undo;
mod view;
mod window;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bdk_chain::indexed_tx_graph::IndexedTxGraph;
use bdk_chain::indexer::keychain_txout::KeychainTxOutIndex;
use bdk_chain::local_chain::LocalChain;
use bdk_chain::{ConfirmationBlockTime, Merge as _};
use bdk_chain::{indexed_tx_graph, indexer::keychain_txout, tx_graph};
use bitcoin::constants::genesis_block;
use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, HistoryEntry, Operation};

use self::chain::Blocks;
use self::payments::Payments;
pub use self::payments::{OwnPayment, SETTLED_DEPTH, Standing};
pub use self::view::{KnownTransaction, Unspent, View};
use super::keys::{Keychain, Keyring};
use super::store::{Content, Identity, Position, Store};

type Graph = IndexedTxGraph<ConfirmationBlockTime, KeychainTxOutIndex<Keychain>>;
type Changes = indexed_tx_graph::ChangeSet<ConfirmationBlockTime, keychain_txout::ChangeSet>;

/// Told how far a scan has come: blocks examined, and blocks of this pass.
pub type OnProgress = Box<dyn FnMut(u32, u32) + Send>;

/// The books of one wallet.
///
/// # Behavior
/// - They are a function of the active chain from the birthday on and of the node's mempool, as
///   far as a source has told them; see `docs/wallet.md`, "Following the chain".
/// - What is learned is on disk at every [`Piece::Scanned`](super::source::Piece::Scanned) and
///   whenever a method that changes something returns. When writing fails, what was not written
///   stays in memory and is written with the next change.
/// - Reading computes once after each change, and costs nothing more until the next.
pub struct Ledger {
    store: Store,
    blocks: Blocks,
    graph: Graph,
    /// Outputs of the wallet's transactions to somebody else, or to a script not yet watched.
    foreign: HashMap<ScriptBuf, Vec<Txid>>,
    watched: Vec<ScriptBuf>,
    /// How many scripts of each chain of keys are in `watched`.
    watched_of: HashMap<Keychain, u32>,
    birthday: u32,
    gap_limit: u32,
    /// One more than the highest index of each chain of keys that was given out.
    promised: BTreeMap<Keychain, u32>,
    payments: Payments,
    /// The payments that count although no mempool was seen.
    assumed: BTreeSet<Txid>,
    position: Position,
    /// The highest block that was taken since the last point where a scan can continue.
    read_up_to: u32,
    /// What is not on disk yet.
    staged: Content,
    is_position_staged: bool,
    view: OnceLock<Arc<View>>,
    on_progress: Option<OnProgress>,
}

impl Ledger {
    /// Opens the books at `path`, or begins them.
    ///
    /// `birthday` is the height from which on blocks matter, `gap_limit` the number of unused
    /// addresses to watch on each chain of keys.
    ///
    /// # Errors
    /// `Configuration`: the file is of another wallet, network, birthday or gap limit, of a newer
    /// program, or damaged. `Internal`: it cannot be read or written.
    pub fn open(
        path: &Path,
        keyring: &Keyring,
        birthday: u32,
        gap_limit: u32,
    ) -> BitcoinResult<Self> {
        let identity = Identity::new(keyring, birthday, gap_limit);
        let (mut store, content, position) = Store::open(path, &identity)?;
        let assumed = assumed::load(&mut store)?;
        let genesis = BlockRef {
            height: 0,
            hash: genesis_block(keyring.network()).block_hash(),
        };
        let is_new = position.is_none();
        let mut staged = Content::default();
        let chain = if is_new {
            let (chain, changes) = LocalChain::from_genesis_hash(genesis.hash);
            staged.chain = changes;
            chain
        } else {
            let chain = LocalChain::from_changeset(content.chain)
                .map_err(|cause| store.damaged("no genesis block").with_source(cause))?;
            if chain.genesis_hash() != genesis.hash {
                return Err(store.damaged("the genesis block of another network"));
            }
            chain
        };
        let graph = load_graph(keyring, content.graph, content.index)?;
        let relevant: BTreeSet<u32> = graph
            .graph()
            .all_anchors()
            .values()
            .flatten()
            .map(|anchor| anchor.block_id.height)
            .collect();
        let mut ledger = Self {
            store,
            blocks: Blocks::new(chain, &relevant),
            graph,
            foreign: HashMap::new(),
            watched: Vec::new(),
            watched_of: HashMap::new(),
            birthday,
            gap_limit,
            promised: content.promised,
            payments: Payments::default(),
            assumed,
            position: position.unwrap_or_default(),
            read_up_to: 0,
            staged,
            is_position_staged: false,
            view: OnceLock::new(),
            on_progress: None,
        };
        let known: Vec<_> = ledger
            .graph
            .graph()
            .full_txs()
            .map(|node| node.tx)
            .collect();
        for transaction in &known {
            ledger.note_foreign(transaction);
        }
        ledger.watch_new();
        if is_new {
            ledger.set_position(Position {
                watched: ledger.watched_by_use(),
                is_first_scan: true,
                ..Position::default()
            });
        }
        ledger.save()?;
        Ok(ledger)
    }

    /// The state as of the last piece of news.
    pub fn view(&self) -> Arc<View> {
        let view = self
            .view
            .get_or_init(|| Arc::new(View::of(&self.graph, &self.blocks, &self.payments)));
        Arc::clone(view)
    }

    /// All transactions that count, unconfirmed first, then the newest first; within a block by
    /// txid. Without labels.
    pub fn history(&self) -> Vec<HistoryEntry> {
        view::history(&self.graph, &self.view(), &self.payments)
    }

    /// A transaction of the wallet's, also one that no longer counts.
    pub fn transaction(&self, txid: Txid) -> Option<KnownTransaction> {
        let node = self.graph.graph().get_tx_node(txid)?;
        let counted = self.view().position_of(txid);
        Some(KnownTransaction {
            transaction: node.tx,
            block: counted.flatten(),
            is_counted: counted.is_some(),
        })
    }

    /// When the transaction was first seen unconfirmed, in seconds of Unix time.
    pub fn first_seen(&self, txid: Txid) -> Option<u64> {
        self.graph.graph().get_tx_node(txid)?.first_seen
    }

    /// The highest index of this chain of keys that was ever paid, on chain or in the mempool.
    pub fn highest_used(&self, keychain: Keychain) -> Option<u32> {
        self.graph.index.last_used_index(keychain)
    }

    /// Whether the script at this index was ever paid; not of one that is not derived yet.
    pub fn is_used(&self, keychain: Keychain, index: u32) -> bool {
        let derived = self.graph.index.last_revealed_index(keychain);
        derived.is_some_and(|last| index <= last) && self.graph.index.is_used(keychain, index)
    }

    /// Whether the output is one that pays a watched script, spent or not.
    pub fn owns(&self, outpoint: OutPoint) -> bool {
        self.graph.index.txout(outpoint).is_some()
    }

    /// The chain of keys and the index of a watched script.
    pub fn index_of(&self, script: &ScriptBuf) -> Option<(Keychain, u32)> {
        self.graph.index.index_of_spk(script.clone()).copied()
    }

    /// Adds a transaction that this wallet has sent itself; it counts until the mempool says
    /// otherwise. `now_secs` is Unix time.
    ///
    /// # Errors
    /// `Internal`: it cannot be written.
    pub fn insert_unconfirmed(
        &mut self,
        transaction: Transaction,
        now_secs: u64,
    ) -> BitcoinResult<()> {
        self.insert_seen(&Arc::new(transaction), now_secs);
        self.save()
    }

    /// Whom to tell how far a scan has come.
    pub fn on_progress(&mut self, told: Option<OnProgress>) {
        self.on_progress = told;
    }

    /// The file, for other tables in it.
    pub fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Adds a transaction, in whatever state; moves the window if it pays far out.
    fn insert(&mut self, transaction: &Arc<Transaction>) -> Txid {
        let changes = self.graph.insert_tx(Arc::clone(transaction));
        let txid = transaction.compute_txid();
        if !changes.tx_graph.txs.is_empty() {
            self.note_foreign(transaction);
        }
        self.stage(changes);
        self.watch_new();
        txid
    }

    /// Adds an unconfirmed transaction, so that it counts even if it was given up before, and what
    /// it replaces does not.
    fn insert_seen(&mut self, transaction: &Arc<Transaction>, now_secs: u64) {
        let graph = self.graph.graph();
        let replaced: Vec<_> = graph
            .walk_conflicts(transaction, |_, txid| Some(txid))
            .collect();
        for txid in replaced {
            self.mark_gone(txid, now_secs);
        }
        let txid = self.insert(transaction);
        self.mark_seen(txid, now_secs);
    }

    /// Seen and evicted in the same second is evicted: a transaction that comes back must be seen
    /// later than that.
    fn mark_seen(&mut self, txid: Txid, now_secs: u64) {
        let evicted = self.graph.graph().get_last_evicted(txid);
        let seen = evicted.map_or(now_secs, |evicted| now_secs.max(evicted.saturating_add(1)));
        let changes = self.graph.insert_seen_at(txid, seen);
        self.stage(changes);
    }

    /// No longer counts it, unless it is in a block of the chain.
    fn mark_gone(&mut self, txid: Txid, now_secs: u64) {
        let Some(node) = self.graph.graph().get_tx_node(txid) else {
            return;
        };
        let evicted = now_secs.max(node.last_seen.unwrap_or(0));
        let changes = self.graph.insert_evicted_at(txid, evicted);
        self.stage(changes);
    }

    fn stage(&mut self, changes: Changes) {
        if changes.is_empty() {
            return;
        }
        self.view = OnceLock::new();
        self.staged.merge(Content {
            graph: changes.tx_graph,
            index: changes.indexer,
            ..Content::default()
        });
    }

    fn stage_chain(&mut self, changes: bdk_chain::local_chain::ChangeSet) {
        if changes.is_empty() {
            return;
        }
        self.view = OnceLock::new();
        self.staged.merge(Content {
            chain: changes,
            ..Content::default()
        });
    }

    fn set_position(&mut self, position: Position) {
        self.is_position_staged |= self.position != position;
        let scanned = position.scanned.map_or(0, |block| block.height);
        if scanned < self.read_up_to && position.scanned != self.position.scanned {
            self.read_up_to = scanned;
        }
        self.position = position;
    }

    /// Writes what is not on disk yet.
    fn save(&mut self) -> BitcoinResult<()> {
        if self.staged.is_empty() && !self.is_position_staged {
            return Ok(());
        }
        self.store
            .commit(&self.staged, &self.position, &self.promised)?;
        self.staged = Content::default();
        self.is_position_staged = false;
        Ok(())
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("tip", &self.blocks.tip())
            .field("position", &self.position)
            .field("watched", &self.watched.len())
            .finish_non_exhaustive()
    }
}

fn load_graph(
    keyring: &Keyring,
    content: tx_graph::ChangeSet<ConfirmationBlockTime>,
    index: keychain_txout::ChangeSet,
) -> BitcoinResult<Graph> {
    let mut index = KeychainTxOutIndex::from_changeset(0, true, index);
    for (keychain, descriptor) in keyring.keychains() {
        index
            .insert_descriptor(keychain, descriptor.clone())
            .map_err(|cause| {
                let message = "two accounts with one descriptor; keep one of them";
                BitcoinError::new(ErrorKind::InvalidInput, Operation::Wallet, message)
                    .with_source(cause)
            })?;
    }
    let mut graph = Graph::new(index);
    // The change set's own way forgets when a transaction was first seen.
    let first_seen = content.first_seen.clone();
    graph.apply_changeset(Changes::from(content));
    for (txid, at) in first_seen {
        let _ = graph.insert_seen_at(txid, at);
    }
    Ok(graph)
}

/// Seconds of Unix time.
fn now_secs() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |age| age.as_secs())
}
