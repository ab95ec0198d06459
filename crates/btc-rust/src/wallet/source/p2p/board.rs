//! `Board`: what a running node has told, for the thread that waits for it.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::future::pending;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bip157::chain::BlockHeaderChanges;
use bip157::{Client, Event, HashCheckpoint, Header, IndexedFilter, Warning};
use bitcoin::bip158::BlockFilter;
use bitcoin::{Block, BlockHash, Wtxid};
use btc_iface::BlockRef;

/// Filters that wait to be looked at. More are dropped and asked for again: about 400 MB of
/// mainnet's filters.
const MAX_FILTERS: usize = 20_000;

/// What the node has told so far.
#[derive(Default)]
pub(super) struct News {
    pub(super) filters: VecDeque<Sieve>,
    pub(super) blocks: HashMap<BlockHash, Fetched>,
    pub(super) rejected: HashMap<Wtxid, String>,
    /// The tip when the node last had everything.
    pub(super) synced: Option<BlockRef>,
    /// How often it had everything.
    pub(super) syncs: u64,
    pub(super) reorganisations: u64,
    /// Counts everything that shows that peers answer.
    pub(super) activity: u64,
    pub(super) wants_filters: bool,
    pub(super) is_over: bool,
    /// The last thing that went wrong, for the error's context.
    pub(super) trouble: Option<String>,
}

/// A block that was asked for.
pub(super) enum Fetched {
    /// It.
    Block(Arc<Block>),
    /// It is not in the active chain any more, or the node has ended.
    Lost,
}

/// The news, and a bell.
#[derive(Default)]
pub(super) struct Board {
    pub(super) news: Mutex<News>,
    pub(super) changed: Condvar,
}

/// The filter of a block (BIP158), as announced by as many peers as are required.
pub(super) struct Sieve {
    pub(super) block: BlockRef,
    filter: BlockFilter,
}

impl Board {
    pub(super) fn tell(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.news());
        self.changed.notify_all();
    }

    pub(super) fn news(&self) -> MutexGuard<'_, News> {
        // Each change is one assignment or insertion, so that the state is sound after a panic.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sieve {
    /// Whether the block may spend or pay one of the scripts. A filter that cannot be read lets
    /// the block through, which then speaks for itself.
    pub(super) fn lets_through<S: AsRef<[u8]>>(&self, scripts: &[S]) -> bool {
        self.is_malformed()
            || self
                .filter
                .match_any(&self.block.hash, scripts.iter().map(AsRef::as_ref))
                .unwrap_or(true)
    }

    /// Whether it claims more elements than its bytes can hold, at 20 bits or more each, which
    /// would overflow the library's arithmetic.
    fn is_malformed(&self) -> bool {
        const MIN_BITS: u64 = 20;
        let content = self.filter.content.as_slice();
        let bits = 8 * content.len() as u64;
        match bitcoin::consensus::deserialize_partial::<bitcoin::VarInt>(content) {
            Ok((count, _)) => count.0 > bits / MIN_BITS,
            Err(_) => true,
        }
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
        Event::ChainUpdate(BlockHeaderChanges::Reorganized { .. }) => news.reorganisations += 1,
        Event::ChainUpdate(_) => {}
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

fn warn(board: &Board, warning: &Warning) {
    match warning {
        // Said every 10 ms while it lasts.
        Warning::NeedConnections { .. } => {}
        Warning::TransactionRejected { payload } => {
            let reason = payload
                .reason
                .map_or_else(|| "not said".to_owned(), |reason| format!("{reason:?}"));
            board.tell(|news| {
                news.rejected.insert(payload.wtxid, reason);
            });
        }
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
    let (header, filter): (Header, BlockFilter) = filter.into_parts();
    let hash = header.block_hash();
    Sieve {
        block: BlockRef { height, hash },
        filter,
    }
}

pub(super) fn block_ref(checkpoint: HashCheckpoint) -> BlockRef {
    BlockRef {
        height: checkpoint.height,
        hash: checkpoint.hash,
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use proptest::prelude::*;

    use super::*;

    fn sieve(content: &[u8]) -> Sieve {
        Sieve {
            block: BlockRef {
                height: 1,
                hash: BlockHash::all_zeros(),
            },
            filter: BlockFilter::new(content),
        }
    }

    #[test]
    fn a_filter_that_claims_too_much_lets_the_block_through() {
        let scripts = [vec![1_u8; 22]];
        // 2^64 - 1 elements in no bytes, one in too few, and no count at all.
        for content in [[0xff; 9].as_slice(), &[1, 0xff], &[]] {
            assert!(sieve(content).lets_through(&scripts), "{content:?}");
        }
        assert!(!sieve(&[0]).lets_through(&scripts));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_filter(content: Vec<u8>) {
            let _ = sieve(&content).lets_through(&[vec![1_u8; 22], vec![2; 34]]);
        }
    }
}
