//! `Gossip`: transactions that a peer announces, looked through for payments to the wallet.
//!
//! A light client asks for every transaction that is announced, so that the peer does not learn
//! which are the wallet's (BIP37 would tell it, and few nodes offer that). Nothing of what comes is
//! checked but that it pays the wallet: anyone can make up such a transaction, at no cost. What
//! spends a coin of the wallet's is left out, since a false one would seem to take the coin away.
//!
//! # Limits
//! - Only what is announced while the connection stands; not what was in the mempool before.
//! - 2 MB a minute are asked for at most, and 100 payments of 4 MB together remembered.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bitcoin::p2p::message::NetworkMessage;
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid, Weight};

use super::failure::Failure;
use super::peers::Peers;

/// Peers ping every two minutes.
const IDLE: Duration = Duration::from_mins(10);
/// How long until another peer is tried.
const PAUSE: Duration = Duration::from_secs(5);
/// The bytes of transactions that are read in a minute, and of everything before the peer is left.
const BUDGET: usize = 2_000_000;
const FLOOD: usize = 4 * BUDGET;
const MINUTE: Duration = Duration::from_mins(1);
/// Announcements that are remembered, so that each is asked for once.
const MAX_SEEN: usize = 20_000;
/// Transactions that are asked for and have not come.
const MAX_ASKED: usize = 2_000;
/// Transactions asked for at once.
const BATCH: usize = 500;
/// The heaviest transaction that nodes relay.
const MAX_WEIGHT: Weight = Weight::from_wu(400_000);
/// Payments that are remembered, and their bytes.
const MAX_FOUND: usize = 100;
const MAX_FOUND_BYTES: usize = 4_000_000;

/// What was announced and pays the wallet.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// With the Unix second of the first announcement.
    pub(super) fresh: HashMap<Txid, (Transaction, u64)>,
    /// Not confirmed within the time allowed.
    pub(super) expired: HashSet<Txid>,
}

/// A thread that listens to one peer at a time; it ends with the value.
pub(super) struct Gossip {
    shared: Arc<Shared>,
    peers: Arc<Peers>,
    pending_for: Duration,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    scripts: HashSet<ScriptBuf>,
    owned: HashSet<OutPoint>,
    found: HashMap<Txid, Found>,
    expired: HashSet<Txid>,
    line: Option<TcpStream>,
    is_running: bool,
    is_over: bool,
}

struct Found {
    transaction: Transaction,
    since: Instant,
    at_secs: u64,
}

/// What one connection has announced and sent.
struct Ear {
    seen: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
    asked: HashSet<[u8; 32]>,
    minute: Instant,
    asked_bytes: usize,
    all_bytes: usize,
}

impl Gossip {
    pub(super) fn new(peers: &Arc<Peers>, pending_for: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
            peers: Arc::clone(peers),
            pending_for,
        }
    }

    /// What was heard up to now. Says what to listen for from now on, and begins to listen with the
    /// first call.
    pub(super) fn heard(&self, watched: &[ScriptBuf], owned: Vec<OutPoint>) -> Heard {
        let mut state = self.shared.state();
        if state.scripts.len() != watched.len() {
            state.scripts = watched.iter().cloned().collect();
        }
        state.owned = owned.into_iter().collect();
        if !state.is_running {
            let (shared, peers) = (Arc::clone(&self.shared), Arc::clone(&self.peers));
            // Without it, unconfirmed payments are not seen.
            let thread = thread::Builder::new().name("btc-p2p-gossip".to_owned());
            state.is_running = thread.spawn(move || run(&shared, &peers)).is_ok();
        }
        state.forget(self.pending_for);
        let fresh = state.found.iter();
        let fresh = fresh.map(|(txid, it)| (*txid, (it.transaction.clone(), it.at_secs)));
        Heard {
            fresh: fresh.collect(),
            expired: state.expired.clone(),
        }
    }
}

impl Drop for Gossip {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_over = true;
        if let Some(line) = state.line.take() {
            // It may be closed already.
            let _ = line.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change leaves sound entries.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets what was not confirmed in time.
    fn forget(&mut self, pending_for: Duration) {
        let old: Vec<Txid> = self
            .found
            .iter()
            .filter(|(_, it)| it.since.elapsed() >= pending_for)
            .map(|(txid, _)| *txid)
            .collect();
        if self.expired.len() + old.len() > MAX_FOUND {
            self.expired.clear();
        }
        for txid in old {
            self.found.remove(&txid);
            self.expired.insert(txid);
        }
    }

    fn note(&mut self, transaction: Transaction) {
        let mut outputs = transaction.output.iter();
        let pays = outputs.any(|output| self.scripts.contains(&output.script_pubkey));
        let mut inputs = transaction.input.iter();
        let spends = inputs.any(|input| self.owned.contains(&input.previous_output));
        let weight = transaction.weight();
        if !pays || spends || transaction.is_coinbase() || weight > MAX_WEIGHT {
            return;
        }
        let bytes: usize = self
            .found
            .values()
            .map(|it| it.transaction.total_size())
            .sum();
        let txid = transaction.compute_txid();
        let has_room =
            self.found.len() < MAX_FOUND && bytes + transaction.total_size() <= MAX_FOUND_BYTES;
        if has_room && !self.expired.contains(&txid) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            self.found.entry(txid).or_insert_with(|| Found {
                transaction,
                since: Instant::now(),
                at_secs: now.map_or(0, |age| age.as_secs()),
            });
        }
    }
}

fn run(shared: &Shared, peers: &Peers) {
    loop {
        for address in peers.in_order() {
            if let Err(failure) = listen(&address, shared, peers) {
                tracing::debug!(peer = address, %failure, "a peer announces nothing more");
            }
            if shared.state().is_over {
                return;
            }
        }
        let state = shared.state();
        let waited = shared
            .changed
            .wait_timeout_while(state, PAUSE, |it| !it.is_over);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_over {
            return;
        }
    }
}

/// Listens until the connection ends.
fn listen(address: &str, shared: &Shared, peers: &Peers) -> Result<(), Failure> {
    let mut open = peers.open(address)?;
    if !open.hello.relays {
        return Ok(());
    }
    {
        let mut state = shared.state();
        if state.is_over {
            return Ok(());
        }
        state.line = Some(open.handle()?);
    }
    let mut ear = Ear::new();
    loop {
        let (bytes, message) = open.next(&["inv", "tx"], IDLE)?;
        ear.count(bytes, message.as_ref())?;
        match message {
            Some(NetworkMessage::Inv(items)) => {
                let wanted = ear.wanted(items);
                for batch in wanted.chunks(BATCH) {
                    open.ask_for(batch.to_vec())?;
                }
            }
            Some(NetworkMessage::Tx(transaction)) if ear.has_asked(&transaction) => {
                shared.state().note(transaction);
            }
            _ => {}
        }
    }
}

impl Ear {
    fn new() -> Self {
        Self {
            seen: HashSet::new(),
            order: VecDeque::new(),
            asked: HashSet::new(),
            minute: Instant::now(),
            asked_bytes: 0,
            all_bytes: 0,
        }
    }

    /// Counts what came; a peer that sends without end is left.
    fn count(&mut self, bytes: usize, message: Option<&NetworkMessage>) -> Result<(), Failure> {
        if self.minute.elapsed() >= MINUTE {
            self.minute = Instant::now();
            (self.asked_bytes, self.all_bytes) = (0, 0);
            // What has not come does not come any more.
            self.asked.clear();
        }
        self.all_bytes += bytes;
        if matches!(message, Some(NetworkMessage::Tx(_))) {
            self.asked_bytes += bytes;
        }
        if self.all_bytes > FLOOD {
            return Err(Failure::Nonsense("more than it was asked for".to_owned()));
        }
        Ok(())
    }

    /// Those of the announced transactions that are new, as long as there is room in this minute.
    fn wanted(&mut self, items: Vec<Inventory>) -> Vec<Inventory> {
        let mut wanted = Vec::new();
        for item in items {
            let Some(id) = id(&item) else {
                continue;
            };
            let has_room = self.asked_bytes < BUDGET && self.asked.len() < MAX_ASKED;
            if !has_room || !self.seen.insert(id) {
                continue;
            }
            self.order.push_back(id);
            if self.order.len() > MAX_SEEN
                && let Some(oldest) = self.order.pop_front()
            {
                self.seen.remove(&oldest);
                self.asked.remove(&oldest);
            }
            self.asked.insert(id);
            wanted.push(item);
        }
        wanted
    }

    fn has_asked(&mut self, transaction: &Transaction) -> bool {
        use bitcoin::hashes::Hash;
        let txid = transaction.compute_txid().to_byte_array();
        let wtxid = transaction.compute_wtxid().to_byte_array();
        self.asked.remove(&wtxid) || self.asked.remove(&txid)
    }
}

/// What a transaction is announced as.
fn id(item: &Inventory) -> Option<[u8; 32]> {
    use bitcoin::hashes::Hash;
    match item {
        Inventory::WTx(wtxid) => Some(wtxid.to_byte_array()),
        Inventory::Transaction(txid) | Inventory::WitnessTransaction(txid) => {
            Some(txid.to_byte_array())
        }
        _ => None,
    }
}
