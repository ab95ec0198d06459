//! `Session`: a running node of the library `bip157` on its own thread, connected to one peer, and
//! what it has told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bip157::chain::ChainState;
use bip157::{Builder, Client, HashCheckpoint, Requester, TrustedPeer};
use bitcoin::BlockHash;
use btc_iface::{BlockRef, Network};
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};
use tokio::sync::oneshot;

use super::board::{Board, Fetched, News, listen, note};
use super::headers::Headers;
use super::sieve::Sieve;
use crate::wallet::source::work::Flaw;

/// How long the thread may take to end; it is left alone then.
const SHUTDOWN: Duration = Duration::from_secs(3);
/// Longer than any process runs: configured peers are kept.
const FOREVER: Duration = Duration::from_hours(24 * 365);

/// Why a session gave no answer.
#[derive(Debug, Clone)]
pub(super) enum Loss {
    /// The node ended: its peer is gone, or the node has hung up on it.
    Ended,
    /// Nothing happened for the time allowed.
    Silent,
    /// The headers are not worth what they claim.
    Flawed(Flaw),
    /// No peer hands out the block of this height.
    NoBlock(u32),
    /// A filter is not the one that the peer has announced to us.
    TwoTongues,
}

/// How a node is to be started.
pub(super) struct Setup {
    pub(super) network: Network,
    /// The peer as it was named, and where it is.
    pub(super) peer: (String, SocketAddr),
    /// The block above which it looks at the chain.
    pub(super) headers: Headers,
    pub(super) timeout: Duration,
}

/// A running node.
pub(super) struct Session {
    pub(super) base: BlockRef,
    /// The peer as it was named.
    pub(super) peer: String,
    requester: Requester,
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
        let base = setup.headers.base();
        let checkpoint = HashCheckpoint::new(base.height, base.hash);
        let (peer, address) = setup.peer;
        // With one peer it is known who said what. What others say is compared with it.
        let (node, client) = Builder::new(setup.network)
            .chain_state(ChainState::Checkpoint(checkpoint))
            .add_peer(TrustedPeer::from_socket_addr(address))
            .whitelist_only()
            .required_peers(1)
            .handshake_timeout(setup.timeout)
            .response_timeout(setup.timeout)
            .maximum_connection_time(FOREVER)
            // Filters are asked for when the wallet says from where.
            .headers_only_sync()
            .build();
        let runtime = RuntimeBuilder::new_current_thread().enable_all().build()?;
        let requester = client.requester.clone();
        let board = Arc::new(Board::new(setup.headers));
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
            peer,
            requester,
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

    pub(super) fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Looks at the chain of headers.
    pub(super) fn headers<T>(&self, look: impl FnOnce(&Headers) -> T) -> T {
        look(&self.news().headers)
    }

    /// Waits until the node has all headers of its peer, this one among them.
    pub(super) fn settle(&self, target: BlockRef, limit: Duration) -> Result<BlockRef, Loss> {
        self.wait(limit, |news| {
            let tip = news.headers.tip();
            // A target below the base was known before.
            let has_it = target.height <= news.headers.base().height || news.headers.has(target);
            // An empty chain is never told.
            let is_synced = news.synced == Some(tip);
            (is_synced && has_it).then_some(tip)
        })
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
                return Err(news.flaw.map_or(Loss::Ended, Loss::Flawed));
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
