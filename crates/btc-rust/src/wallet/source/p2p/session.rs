//! `Session`: a running node of the library `bip157` on its own thread, and what it has told.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bip157::chain::ChainState;
use bip157::{Builder, Client, ClientError, HashCheckpoint, Requester, TrustedPeer};
use bitcoin::{BlockHash, Transaction};
use btc_iface::{BlockRef, Network};
use tokio::runtime::{Builder as RuntimeBuilder, Handle, Runtime};
use tokio::sync::oneshot;

use super::board::{Board, Fetched, News, Sieve, block_ref, listen, note};

/// How long the thread may take to end; it is left alone then.
const SHUTDOWN: Duration = Duration::from_secs(3);
/// Longer than any process runs: configured peers are kept.
const FOREVER: Duration = Duration::from_hours(24 * 365);

/// Why a session gave no answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loss {
    /// The node ended: it has no peer left that answers.
    Ended,
    /// Nothing happened for the time allowed.
    Silent,
}

/// How a node is to be started.
pub(super) struct Setup {
    pub(super) network: Network,
    /// Empty: found by DNS.
    pub(super) peers: Vec<SocketAddr>,
    pub(super) required_peers: u8,
    /// The block above which it looks at the chain.
    pub(super) base: BlockRef,
    pub(super) timeout: Duration,
}

/// A running node.
pub(super) struct Session {
    pub(super) base: BlockRef,
    requester: Requester,
    handle: Handle,
    board: Arc<Board>,
    stop: Option<oneshot::Sender<()>>,
    ended: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    /// Starts a node.
    ///
    /// # Errors
    /// The machine refuses a thread or the sockets' poll.
    pub(super) fn start(setup: Setup) -> std::io::Result<Self> {
        let base = setup.base;
        let checkpoint = HashCheckpoint::new(base.height, base.hash);
        let has_own_peers = !setup.peers.is_empty();
        // The library takes the last one first.
        let peers = setup.peers.into_iter().rev();
        let mut builder = Builder::new(setup.network)
            .chain_state(ChainState::Checkpoint(checkpoint))
            .add_peers(peers.map(TrustedPeer::from_socket_addr))
            .required_peers(setup.required_peers)
            .handshake_timeout(setup.timeout)
            .response_timeout(setup.timeout)
            // Filters are asked for when the wallet says from where.
            .headers_only_sync()
            .fetch_witness_data();
        if has_own_peers {
            builder = builder.whitelist_only().maximum_connection_time(FOREVER);
        }
        let (node, client) = builder.build();
        let runtime = RuntimeBuilder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let requester = client.requester.clone();
        let board = Arc::new(Board::default());
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = mpsc::channel();
        let shared = Arc::clone(&board);
        let thread = std::thread::Builder::new()
            .name("btc-p2p".to_owned())
            .spawn(move || {
                run(&runtime, node, client, &shared, stopped);
                // Name look-ups that hang are left behind.
                runtime.shutdown_timeout(SHUTDOWN / 3);
                // The receiver may be gone.
                let _ = end.send(());
            })?;
        Ok(Self {
            base,
            requester,
            handle,
            board,
            stop: Some(stop),
            ended,
            thread: Some(thread),
        })
    }

    /// Whether the node has never had everything.
    pub(super) fn is_new(&self) -> bool {
        self.news().syncs == 0
    }

    pub(super) fn is_over(&self) -> bool {
        self.news().is_over
    }

    /// What went wrong last, in the library's words.
    pub(super) fn trouble(&self) -> Option<String> {
        self.news().trouble.clone()
    }

    pub(super) fn reorganisations(&self) -> u64 {
        self.news().reorganisations
    }

    /// The tip of the chain of headers.
    pub(super) fn tip(&self, limit: Duration) -> Result<BlockRef, Loss> {
        let requester = self.requester.clone();
        let tip = self.ask(limit, async move { requester.chain_tip().await })?;
        Ok(block_ref(tip))
    }

    /// The block of the active chain at this height, which is above the base.
    pub(super) fn block_at(&self, height: u32, limit: Duration) -> Result<Option<BlockRef>, Loss> {
        let requester = self.requester.clone();
        let found = self.ask(limit, async move { requester.get_header(height).await })?;
        Ok(found.map(|found| BlockRef {
            height,
            hash: found.block_hash(),
        }))
    }

    /// Waits until the node has all headers and is at this height at least.
    pub(super) fn settle(&self, height: u32, limit: Duration) -> Result<BlockRef, Loss> {
        loop {
            let tip = self.tip(limit)?;
            let is_settled = |news: &News| news.synced == Some(tip) && tip.height >= height;
            if is_settled(&self.news()) {
                return Ok(tip);
            }
            let seen = self.news().activity;
            self.wait(limit, |news| {
                (news.activity != seen || is_settled(news)).then_some(())
            })?;
        }
    }

    /// Asks for the filters above this height, up to the tip.
    pub(super) fn request_filters(&self, above: u32) -> Result<(), Loss> {
        self.news().wants_filters = true;
        self.requester.rescan_from(above).map_err(|_| Loss::Ended)
    }

    /// Lets go of what was asked for and not taken.
    pub(super) fn forget_requests(&self) {
        let mut news = self.news();
        news.wants_filters = false;
        news.filters.clear();
        news.blocks.clear();
    }

    /// Asks for a block; it arrives in the news.
    pub(super) fn request_block(&self, hash: BlockHash) {
        let requester = self.requester.clone();
        let board = Arc::clone(&self.board);
        self.handle.spawn(async move {
            let block = requester.get_block(hash).await;
            board.tell(|news| {
                news.activity += 1;
                let fetched = block.map_or(Fetched::Lost, |it| Fetched::Block(Arc::new(it.block)));
                news.blocks.insert(hash, fetched);
            });
        });
    }

    /// The filters that have arrived, in order.
    pub(super) fn take_filters(&self) -> VecDeque<Sieve> {
        std::mem::take(&mut self.news().filters)
    }

    /// A block that was asked for; `None` while it is on its way.
    pub(super) fn take_block(&self, hash: BlockHash) -> Option<Fetched> {
        self.news().blocks.remove(&hash)
    }

    /// How much has happened, and how often the node had everything.
    pub(super) fn pulse(&self) -> (u64, u64) {
        let news = self.news();
        (news.activity, news.syncs)
    }

    /// Waits until more has happened than that.
    pub(super) fn wait_beyond(&self, activity: u64, limit: Duration) -> Result<(), Loss> {
        self.wait(limit, |news| (news.activity != activity).then_some(()))
    }

    /// Addresses and services of the connected peers.
    pub(super) fn peers(&self, limit: Duration) -> Result<Vec<(bip157::AddrV2, u64)>, Loss> {
        let requester = self.requester.clone();
        let peers = self.ask(limit, async move { requester.peer_info().await })?;
        Ok(peers
            .into_iter()
            .map(|(address, services)| (address, services.to_u64()))
            .collect())
    }

    /// Hands a transaction to a peer that asks for it; answers with the reason if it is refused.
    pub(super) fn submit(
        &self,
        transaction: &Transaction,
        limit: Duration,
    ) -> Result<Result<(), String>, Loss> {
        let wtxid = transaction.compute_wtxid();
        let requester = self.requester.clone();
        let transaction = transaction.clone();
        self.ask(
            limit,
            async move { requester.submit_package(transaction).await },
        )?;
        // Peers of today say nothing when they refuse; old ones do, at once.
        Ok(match self.news().rejected.remove(&wtxid) {
            Some(reason) => Err(reason),
            None => Ok(()),
        })
    }

    /// Runs a request on the node's thread.
    fn ask<T: Send + 'static>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T, ClientError>> + Send + 'static,
    ) -> Result<T, Loss> {
        let (answer, answered) = mpsc::channel();
        self.handle.spawn(async move {
            // The caller may have given up.
            let _ = answer.send(request.await);
        });
        match answered.recv_timeout(limit) {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(Loss::Ended),
            Err(RecvTimeoutError::Timeout) => Err(Loss::Silent),
        }
    }

    /// Waits for news; the limit begins anew whenever a peer has answered something.
    fn wait<T>(
        &self,
        limit: Duration,
        mut pick: impl FnMut(&News) -> Option<T>,
    ) -> Result<T, Loss> {
        let mut news = self.news();
        let mut seen = news.activity;
        let mut deadline = Instant::now() + limit;
        loop {
            if let Some(found) = pick(&news) {
                return Ok(found);
            }
            if news.is_over {
                return Err(Loss::Ended);
            }
            let now = Instant::now();
            if news.activity != seen {
                seen = news.activity;
                deadline = now + limit;
            }
            let left = deadline.saturating_duration_since(now);
            if left.is_zero() {
                return Err(Loss::Silent);
            }
            news = self
                .board
                .changed
                .wait_timeout(news, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.board.news()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The node may have ended by itself.
            let _ = stop.send(());
        }
        let is_over = self.ended.recv_timeout(SHUTDOWN) != Err(RecvTimeoutError::Timeout);
        if let Some(thread) = self.thread.take()
            && is_over
        {
            // A panic there was told as the end of the session.
            let _ = thread.join();
        }
    }
}

/// Tells the end of the session also when the library panics.
struct TellEnd<'a>(&'a Board);

impl Drop for TellEnd<'_> {
    fn drop(&mut self) {
        self.0.tell(|news| news.is_over = true);
    }
}

fn run(
    runtime: &Runtime,
    node: bip157::Node,
    client: Client,
    board: &Board,
    stopped: oneshot::Receiver<()>,
) {
    let _end = TellEnd(board);
    runtime.block_on(async {
        tokio::select! {
            result = node.run() => {
                if let Err(cause) = result {
                    note(board, &cause);
                }
            }
            () = listen(client, board) => {}
            _ = stopped => {}
        }
    });
}
