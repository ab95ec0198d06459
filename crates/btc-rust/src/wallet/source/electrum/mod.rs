//! An Electrum server as a chain source.
//!
//! # What is verified
//! - The network, by the genesis block, at each connection.
//! - Each confirmation by its Merkle proof; each header has the work that it claims, and the
//!   newest ones connect.
//!
//! # Limits
//! - The server learns which scripts belong together. It can withhold transactions, and make up
//!   unconfirmed ones. Use your own.
//! - Headers below the newest eight are not followed down to the genesis block.
//! - No TLS.

mod chain;
mod connection;
mod guard;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bdk_chain::bdk_core::spk_client::{FullScanResponse, SyncRequest};
use bdk_chain::{ConfirmationBlockTime, TxUpdate};
use bdk_electrum::BdkElectrumClient;
use bdk_electrum::electrum_client::{ElectrumApi, Error};
use bitcoin::{ScriptBuf, Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Network, Operation};

use self::chain::ServerChain;
use self::connection::{Connection, Place, reason};
use super::{ChainSource, Follower, Peer, Piece};
use crate::wallet::keys::Keychain;

/// Scripts asked for at once.
const BATCH: usize = 50;
/// How often a look is repeated because the chain went on meanwhile.
const MAX_LOOKS: u32 = 5;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// Answers to a broadcast that say that the transaction is known: Bitcoin Core's, and older
/// ones.
const KNOWN: [&str; 4] = [
    "already in utxo set",
    "already in block chain",
    "txn-already-in-mempool",
    "txn-already-known",
];

type Findings = TxUpdate<ConfirmationBlockTime>;

/// An Electrum server.
///
/// # Behavior
/// - One connection is kept. When it was lost, a read is tried once more over a new one; a
///   broadcast has a connection of its own and is never repeated.
/// - [`ChainSource::follow`] asks for the history of every watched script. A server that is
///   behind the wallet's last block is not listened to.
/// - [`ChainSource::peers`] is the server itself, without services.
pub struct ElectrumSource {
    place: Place,
    connection: Mutex<Option<Connection>>,
    memory: Mutex<Memory>,
}

/// What need not be asked for again: transactions, and proven confirmations, which hold as long
/// as their block is in the chain.
#[derive(Default)]
struct Memory {
    transactions: HashMap<Txid, Arc<Transaction>>,
    anchors: HashMap<Txid, ConfirmationBlockTime>,
}

impl ElectrumSource {
    /// Connects to `tcp://host:port`. The timeout is for each answer; one that keeps coming may
    /// take longer.
    ///
    /// # Errors
    /// `Configuration`: another kind of URL, or a server on another network. `Unavailable`: it
    /// cannot be reached. `Timeout`: it does not answer. `InvalidResponse`: it is no Electrum
    /// server.
    pub fn connect(url: &str, network: Network, timeout: Duration) -> BitcoinResult<Self> {
        let place = Place::new(url, network, timeout)?;
        let connection = place.open().map_err(|it| it.during(Operation::Connect))?;
        Ok(Self {
            place,
            connection: Mutex::new(Some(connection)),
            memory: Mutex::default(),
        })
    }

    /// Reads over the kept connection, and once more over a new one when it was lost.
    fn read<T>(&self, mut ask: impl FnMut(&Connection) -> BitcoinResult<T>) -> BitcoinResult<T> {
        let slot = self.connection.lock();
        let mut slot = slot.unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = slot.take() {
            match ask(&kept) {
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                Err(error) => return Err(error),
                Ok(found) => {
                    *slot = Some(kept);
                    return Ok(found);
                }
            }
        }
        // After an error another answer may still come, which nobody waits for: such a
        // connection is not kept.
        let fresh = self.place.open()?;
        let found = ask(&fresh)?;
        *slot = Some(fresh);
        Ok(found)
    }

    /// One look at all watched scripts; they may become more on the way.
    fn look(&self, connection: &Connection, follower: &mut dyn Follower) -> BitcoinResult<()> {
        let mut present = HashSet::new();
        let mut done = 0;
        loop {
            let scripts = follower.watched().get(done..).unwrap_or_default().to_vec();
            if done > 0 && scripts.is_empty() {
                break;
            }
            let Some(update) = self.find(connection, &scripts, follower)? else {
                tracing::debug!("the Electrum server is behind the wallet");
                return Ok(());
            };
            done += scripts.len();
            present.extend(update.tx_update.txs.iter().map(|it| it.compute_txid()));
            follower.take(Piece::Update(Box::new(update)))?;
        }
        let (kept, gone): (Vec<_>, Vec<_>) = follower
            .unconfirmed()
            .into_iter()
            .partition(|txid| present.contains(txid));
        if !gone.is_empty() {
            let arrived = Vec::new();
            follower.take(Piece::Mempool {
                arrived,
                gone,
                kept,
            })?;
        }
        Ok(())
    }

    /// The histories of these scripts, on one state of the chain. `None`: the server is behind.
    fn find(
        &self,
        connection: &Connection,
        scripts: &[ScriptBuf],
        follower: &mut dyn Follower,
    ) -> BitcoinResult<Option<FullScanResponse<Keychain>>> {
        let known = follower.checkpoints();
        for look in 0..MAX_LOOKS {
            if look > 0 {
                std::thread::sleep(PAUSE);
            }
            let tip = connection.tip(&self.place)?;
            if known
                .first()
                .is_some_and(|newest| newest.height > tip.height)
            {
                return Ok(None);
            }
            let chain = ServerChain::compare(connection, &self.place, tip, &known)?;
            let findings = self.histories(connection, scripts, follower)?;
            // What has neither a proof nor a place in the mempool was moved meanwhile.
            if connection.tip(&self.place)? != tip || !is_complete(&findings) {
                continue;
            }
            let anchors = findings.anchors.iter().map(|(anchor, _)| anchor.block_id);
            let Some(chain) = chain.with(anchors) else {
                continue;
            };
            self.remember(&findings);
            return Ok(Some(FullScanResponse {
                tx_update: since(findings, follower.birthday()),
                chain_update: Some(chain),
                ..FullScanResponse::default()
            }));
        }
        Err(connection.lied("a confirmation without proof, again and again"))
    }

    fn histories(
        &self,
        connection: &Connection,
        scripts: &[ScriptBuf],
        follower: &mut dyn Follower,
    ) -> BitcoinResult<Findings> {
        // A new one each time: it would take the headers of before a reorganisation for those of
        // today.
        let client = BdkElectrumClient::new(Arc::clone(&connection.client));
        {
            let memory = self.memory();
            client.populate_tx_cache(memory.transactions.values().cloned());
            let anchors = memory.anchors.iter();
            client.populate_anchor_cache(anchors.map(|(txid, anchor)| (*txid, [*anchor])));
        }
        let total = u32::try_from(scripts.len()).unwrap_or(u32::MAX);
        let mut findings = Findings::default();
        let mut done = 0_u32;
        follower.progress(done, total);
        for some in scripts.chunks(BATCH) {
            let request = SyncRequest::builder().spks(some.iter().cloned());
            let response = client
                .sync(request, BATCH, false)
                .map_err(|cause| self.place.tell(cause))?;
            findings.extend(response.tx_update);
            done = done.saturating_add(u32::try_from(some.len()).unwrap_or(u32::MAX));
            follower.progress(done, total);
        }
        Ok(findings)
    }

    fn remember(&self, findings: &Findings) {
        let mut memory = self.memory();
        for transaction in &findings.txs {
            let txid = transaction.compute_txid();
            memory.transactions.insert(txid, Arc::clone(transaction));
        }
        for (anchor, txid) in &findings.anchors {
            memory.anchors.insert(*txid, *anchor);
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Each insertion leaves it sound.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChainSource for ElectrumSource {
    fn name(&self) -> &'static str {
        "electrum"
    }

    fn tip(&self) -> BitcoinResult<BlockRef> {
        self.read(|connection| connection.tip(&self.place))
    }

    fn follow(&self, follower: &mut dyn Follower) -> BitcoinResult<()> {
        self.read(|connection| self.look(connection, follower))
    }

    fn broadcast(&self, transaction: &Transaction) -> BitcoinResult<Txid> {
        let here = Operation::BroadcastTransaction;
        let txid = transaction.compute_txid();
        // A kept connection may be gone without our knowing.
        let connection = self.place.open().map_err(|error| error.during(here))?;
        let answer = connection.client.transaction_broadcast(transaction);
        match answer {
            Ok(answer) if answer == txid => Ok(txid),
            Ok(_) => Err(connection.lied("txid of the broadcast").during(here)),
            Err(Error::Protocol(answer)) => {
                let reason = reason(&answer);
                let lower = reason.to_lowercase();
                if KNOWN.iter().any(|known| lower.contains(known)) {
                    return Ok(txid);
                }
                let message = "the node refuses the transaction";
                Err(BitcoinError::new(ErrorKind::Rejected, here, message)
                    .with_context("reason", reason)
                    .with_context("txid", txid))
            }
            Err(cause) => {
                let error = self.place.tell(cause);
                if error.kind() != ErrorKind::Unavailable {
                    return Err(error.during(here));
                }
                let message = "the connection was lost before the answer; the outcome is \
                               unknown, look for the transaction before sending it again";
                Err(BitcoinError::new(ErrorKind::Timeout, here, message)
                    .with_context("txid", txid)
                    .with_source(error))
            }
        }
    }

    fn peers(&self) -> BitcoinResult<Vec<Peer>> {
        self.read(|connection| {
            let tip = connection.tip(&self.place)?;
            Ok(vec![Peer {
                address: self.place.address.clone(),
                user_agent: Some(connection.software.clone()),
                start_height: i32::try_from(tip.height).ok(),
                services: format!("{:016x}", 0),
                is_inbound: Some(false),
            }])
        })
    }
}

/// Whether each transaction is proven to be in a block, or said to be in the mempool.
fn is_complete(findings: &Findings) -> bool {
    let placed: HashSet<Txid> = findings
        .anchors
        .iter()
        .map(|(_, txid)| *txid)
        .chain(findings.seen_ats.iter().map(|(txid, _)| *txid))
        .collect();
    findings
        .txs
        .iter()
        .all(|transaction| placed.contains(&transaction.compute_txid()))
}

/// Without what was confirmed before the birthday, which the wallet leaves out whatever the
/// source.
fn since(mut findings: Findings, birthday: u32) -> Findings {
    let before: HashSet<Txid> = findings
        .anchors
        .iter()
        .filter(|(anchor, _)| anchor.block_id.height < birthday)
        .map(|(_, txid)| *txid)
        .collect();
    findings.anchors.retain(|(_, txid)| !before.contains(txid));
    findings
        .txs
        .retain(|transaction| !before.contains(&transaction.compute_txid()));
    findings
}
