//! `Board`: what a running node has told, for the thread that waits for it.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::future::pending;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bip157::chain::BlockHeaderChanges;
use bip157::{Client, Event, HashCheckpoint, Header, IndexedFilter, Warning};
use bitcoin::{Block, BlockHash};
use btc_iface::BlockRef;

use super::headers::Headers;
use super::sieve::Sieve;
use crate::wallet::source::work::Flaw;

/// Filters that wait to be looked at. More are dropped and asked for again: about 400 MB of
/// mainnet's filters.
const MAX_FILTERS: usize = 20_000;

/// What the node has told so far.
pub(super) struct News {
    pub(super) headers: Headers,
    pub(super) filters: VecDeque<Sieve>,
    pub(super) blocks: HashMap<BlockHash, Fetched>,
    /// The tip when the node last had everything.
    pub(super) synced: Option<BlockRef>,
    /// How often it had everything.
    pub(super) syncs: u64,
    pub(super) reorganisations: u64,
    /// Counts everything that shows that peers answer.
    pub(super) activity: u64,
    pub(super) wants_filters: bool,
    pub(super) is_over: bool,
    /// What is wrong with the headers; the node is of no use then.
    pub(super) flaw: Option<Flaw>,
    /// The last thing that went wrong, for the error's context.
    pub(super) trouble: Option<String>,
}

/// A block that was asked for.
pub(super) enum Fetched {
    /// It.
    Block(Arc<Block>),
    /// No peer hands it out.
    Lost,
}

/// The news, and a bell.
pub(super) struct Board {
    pub(super) news: Mutex<News>,
    pub(super) changed: Condvar,
}

impl Board {
    pub(super) fn new(headers: Headers) -> Self {
        Self {
            news: Mutex::new(News {
                headers,
                filters: VecDeque::new(),
                blocks: HashMap::new(),
                synced: None,
                syncs: 0,
                reorganisations: 0,
                activity: 0,
                wants_filters: false,
                is_over: false,
                flaw: None,
                trouble: None,
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.news());
        self.changed.notify_all();
    }

    pub(super) fn news(&self) -> MutexGuard<'_, News> {
        // Each change is one assignment or insertion, so that the state is sound after a panic.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes down what the node tells, and never ends by itself.
pub(super) async fn listen(client: Client, board: &Board) {
    let Client {
        mut info_rx,
        mut warn_rx,
        mut event_rx,
        requester: _requester,
    } = client;
    loop {
        tokio::select! {
            Some(event) = event_rx.recv() => board.tell(|news| write_down(news, event)),
            Some(warning) = warn_rx.recv() => warn(board, &warning),
            Some(_) = info_rx.recv() => {}
            else => break,
        }
    }
    pending::<()>().await;
}

fn write_down(news: &mut News, event: Event) {
    news.activity += 1;
    match event {
        Event::ChainUpdate(changes) => {
            if let Err(flaw) = follow(news, &changes) {
                news.flaw.get_or_insert(flaw);
                news.is_over = true;
            }
        }
        Event::FiltersSynced(update) => {
            news.syncs += 1;
            news.synced = Some(block_ref(update.tip()));
        }
        Event::IndexedFilter(filter) => {
            if news.wants_filters && news.filters.len() < MAX_FILTERS {
                news.filters.push_back(sieve(filter));
            }
        }
    }
}

fn follow(news: &mut News, changes: &BlockHeaderChanges) -> Result<(), Flaw> {
    match changes {
        BlockHeaderChanges::Connected(header) => news.headers.connect(&header.header),
        BlockHeaderChanges::Reorganized {
            accepted,
            reorganized,
        } => {
            news.reorganisations += 1;
            news.headers.reorganise(accepted, reorganized)
        }
        BlockHeaderChanges::ForkAdded(_) => Ok(()),
    }
}

fn warn(board: &Board, warning: &Warning) {
    match warning {
        // Said every 10 ms while it lasts.
        Warning::NeedConnections { .. } => {}
        other => note(board, other),
    }
}

pub(super) fn note(board: &Board, trouble: &impl Display) {
    let trouble = trouble.to_string();
    tracing::debug!(%trouble, "peer-to-peer");
    board.tell(|news| news.trouble = Some(trouble));
}

fn sieve(filter: IndexedFilter) -> Sieve {
    let height = filter.height();
    let (header, filter): (Header, _) = filter.into_parts();
    let hash = header.block_hash();
    Sieve::new(BlockRef { height, hash }, filter.content)
}

pub(super) fn block_ref(checkpoint: HashCheckpoint) -> BlockRef {
    BlockRef {
        height: checkpoint.height,
        hash: checkpoint.hash,
    }
}
