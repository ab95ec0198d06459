//! The peers that the user named: who of them serves, who does not and why.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bitcoin::p2p::ServiceFlags;
use bitcoin::{BlockHash, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Network, Operation};

use super::failure::{Failure, name};
use super::wire::{Conversation, Hello};
use crate::wallet::source::Peer;

/// The protocol version of BIP339, which the library insists on.
const MIN_VERSION: u32 = 70016;
/// How often peers are asked whether they have built a filter.
const POLL: Duration = Duration::from_millis(20);

/// The configured peers.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    pub(super) network: Network,
    pub(super) addresses: Vec<String>,
    pub(super) timeout: Duration,
    /// The one that answered last, to be asked first.
    pub(super) preferred: Arc<AtomicUsize>,
}

/// How a peer's chain compares to known blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comparison {
    /// The last of the blocks that is in the peer's chain.
    pub(super) shared: BlockRef,
    /// The end of the peer's chain, or a block 2,000 above the shared one.
    pub(super) tip: BlockRef,
    /// How long one answer took.
    pub(super) took: Duration,
}

/// What a peer is to us.
enum Verdict {
    Serves(SocketAddr),
    WithoutFilters(Hello),
    Failed(Failure),
}

impl Peers {
    /// The addresses of those that can serve.
    ///
    /// # Errors
    /// Fewer than required. `Configuration`: a peer is on another network, or all that answer
    /// serve no filters. `Unavailable`: none can be reached. `Timeout`: they connect and are
    /// silent. `InvalidResponse`: they do not speak the protocol.
    pub(super) fn survey(&self, required: u8) -> BitcoinResult<Vec<SocketAddr>> {
        let verdicts = self.each(|address| match self.open(address) {
            Ok(open) if serves_filters(&open.hello) => Verdict::Serves(open.address),
            Ok(open) => Verdict::WithoutFilters(open.hello),
            Err(failure) => Verdict::Failed(failure),
        });
        let serving: Vec<_> = verdicts
            .iter()
            .filter_map(|verdict| match verdict {
                Verdict::Serves(address) => Some(*address),
                _ => None,
            })
            .collect();
        if serving.len() >= usize::from(required) {
            Ok(serving)
        } else {
            Err(self.shortage(&verdicts, serving.len(), required))
        }
    }

    /// Where the chain of a peer parts from these blocks, and where it ends. One peer that
    /// answers suffices; `None` when none gives an answer that fits.
    pub(super) fn compare(&self, known: &[BlockRef]) -> Option<Comparison> {
        let mut known = known.to_vec();
        known.sort_by_key(|block| Reverse(block.height));
        known.dedup();
        self.in_order()
            .find_map(|address| compare(&mut self.open(address).ok()?, &known))
    }

    /// Waits until so many peers have built the filter of this block: one that is asked too early
    /// does not answer at all.
    ///
    /// # Errors
    /// `Timeout`: not within the time allowed, as while a node builds its filters for the first
    /// time.
    pub(super) fn await_filter(&self, block: BlockRef, required: u8) -> BitcoinResult<()> {
        let deadline = Instant::now() + self.timeout;
        let mut missing = usize::from(required);
        let mut ready = vec![false; self.addresses.len()];
        loop {
            for (address, is_ready) in self.addresses.iter().zip(&mut ready) {
                let answer = |_: &Self| self.open(address).ok()?.has_filter(block).ok();
                if missing > 0 && !*is_ready && answer(self) == Some(true) {
                    *is_ready = true;
                    missing -= 1;
                }
            }
            if missing == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let message = "the peers have not built their compact filters up to the tip; \
                               wait until getindexinfo says that they are synced";
                return Err(
                    BitcoinError::new(ErrorKind::Timeout, Operation::Sync, message)
                        .with_context("height", block.height),
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Those of the transactions that no peer has any more. When none can be asked, nothing is
    /// missing.
    pub(super) fn lacking(&self, txids: &[Txid]) -> Vec<Txid> {
        let mut lacking = txids.to_vec();
        let mut answers = 0;
        for address in self.in_order() {
            if lacking.is_empty() {
                break;
            }
            let answer = self
                .open(address)
                .ok()
                .filter(|open| open.hello.relays)
                .and_then(|mut open| open.lacking(&lacking).ok());
            if let Some(answer) = answer {
                answers += 1;
                lacking = answer;
            }
        }
        if answers == 0 { Vec::new() } else { lacking }
    }

    /// Those that answer a handshake.
    pub(super) fn list(&self) -> Vec<Peer> {
        let found = self.each(|address| {
            let open = self.open(address).ok()?;
            Some(peer(address, &open.hello))
        });
        found.into_iter().flatten().collect()
    }

    /// The addresses, beginning with the one that answered last.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &str> {
        let first = self.preferred.load(Ordering::Relaxed);
        let (before, after) = self.addresses.split_at(first.min(self.addresses.len()));
        after.iter().chain(before).map(String::as_str)
    }

    pub(super) fn open(&self, address: &str) -> Result<Conversation, Failure> {
        let open = Conversation::open(address, self.network, self.timeout)?;
        if let Some(at) = self.addresses.iter().position(|other| other == address) {
            self.preferred.store(at, Ordering::Relaxed);
        }
        Ok(open)
    }

    /// Asks all at once, since each may take the whole timeout.
    fn each<T: Send>(&self, ask: impl Fn(&str) -> T + Sync) -> Vec<T> {
        let ask = &ask;
        thread::scope(|scope| {
            let asked: Vec<_> = self
                .addresses
                .iter()
                .map(|address| scope.spawn(move || ask(address)))
                .collect();
            // `ask` does not panic; if it does, so may we.
            asked
                .into_iter()
                .filter_map(|thread| thread.join().ok())
                .collect()
        })
    }

    fn shortage(&self, verdicts: &[Verdict], serving: usize, required: u8) -> BitcoinError {
        let is = |test: fn(&Verdict) -> bool| verdicts.iter().any(test);
        let network = name(self.network);
        let (kind, what) =
            if is(|verdict| matches!(verdict, Verdict::Failed(Failure::OtherNetwork(_)))) {
                let text = format!("a peer is on another network than the wallet, {network}");
                (ErrorKind::Configuration, text)
            } else if is(|verdict| matches!(verdict, Verdict::WithoutFilters(_))) {
                let text = "a peer serves no compact filters; start the node with \
                        -blockfilterindex=1 -peerblockfilters=1 and without -prune, or name \
                        another one";
                (ErrorKind::Configuration, text.to_owned())
            } else if is(|verdict| matches!(verdict, Verdict::Failed(Failure::Nonsense(_)))) {
                let text = "a peer does not speak Bitcoin's protocol; give the node's peer-to-peer \
                        port, not that of its RPC";
                (ErrorKind::InvalidResponse, text.to_owned())
            } else if is(|verdict| matches!(verdict, Verdict::Failed(Failure::Silent))) {
                let text = "a peer takes the connection and does not answer; give the node's \
                        peer-to-peer port, not that of its RPC, or allow more time";
                (ErrorKind::Timeout, text.to_owned())
            } else {
                let text = "a peer cannot be reached; start the node with -listen=1 \
                        -blockfilterindex=1 -peerblockfilters=1, or name another one";
                (ErrorKind::Unavailable, text.to_owned())
            };
        let message = format!("{serving} of {required} required peers serve: {what}");
        let error = BitcoinError::new(kind, Operation::Sync, message);
        self.addresses
            .iter()
            .zip(verdicts)
            .fold(error, |error, (address, verdict)| {
                error.with_context(address.clone(), describe(verdict))
            })
    }
}

/// Connects to a peer, shakes hands and says good-bye.
///
/// # Errors
/// Within the timeout, twice that for a peer on another network. `Unavailable`: it cannot be
/// reached or hangs up. `Timeout`: it does not answer. `Configuration`: it is on another network.
/// `InvalidResponse`: it does not speak the protocol.
pub fn handshake(address: &str, network: Network, timeout: Duration) -> BitcoinResult<Peer> {
    let open = Conversation::open(address, network, timeout)
        .map_err(|failure| failed(address, failure))?;
    Ok(peer(address, &open.hello))
}

/// The error for a peer that a conversation failed with.
pub(super) fn failed(address: &str, failure: Failure) -> BitcoinError {
    let kind = match &failure {
        Failure::Unreachable(_) | Failure::Closed => ErrorKind::Unavailable,
        Failure::Silent => ErrorKind::Timeout,
        Failure::OtherNetwork(_) => ErrorKind::Configuration,
        Failure::Nonsense(_) => ErrorKind::InvalidResponse,
    };
    let message = format!("the peer {failure}; check its address and the network");
    BitcoinError::new(kind, Operation::Connect, message)
        .with_context("peer", address)
        .with_source(failure)
}

/// Asks a peer for what is above the newest known block. When that is nothing, the block may be
/// its tip or unknown to it: what is above the one before tells.
fn compare(open: &mut Conversation, known: &[BlockRef]) -> Option<Comparison> {
    let begun = Instant::now();
    let locator: Vec<BlockHash> = known.iter().map(|block| block.hash).collect();
    for (at, newest) in known.iter().enumerate() {
        let headers = open.headers_after(&locator[at..]).ok()?;
        let took = begun.elapsed();
        let Some((first, last)) = headers.first().zip(headers.last()) else {
            // Nothing is above the oldest one, the genesis block.
            if at + 1 == known.len() {
                let (shared, tip) = (*newest, *newest);
                return Some(Comparison { shared, tip, took });
            }
            continue;
        };
        let is_above = |block: &&BlockRef| {
            let hash = block.hash;
            headers.iter().any(|header| header.block_hash() == hash)
        };
        let parent = |block: &&BlockRef| block.hash == first.prev_blockhash;
        let below = known.iter().find(parent)?;
        let above = u32::try_from(headers.len()).ok()?;
        let tip = BlockRef {
            height: below.height.checked_add(above)?,
            hash: last.block_hash(),
        };
        let shared = *known.iter().find(is_above).unwrap_or(below);
        return Some(Comparison { shared, tip, took });
    }
    None
}

fn peer(address: &str, hello: &Hello) -> Peer {
    Peer {
        address: address.to_owned(),
        user_agent: Some(hello.user_agent.clone()),
        start_height: Some(hello.start_height),
        services: services(hello.services.to_u64()),
        is_inbound: Some(false),
    }
}

/// As `getpeerinfo` writes them.
pub(super) fn services(flags: u64) -> String {
    format!("{flags:016x}")
}

fn serves_filters(hello: &Hello) -> bool {
    hello.version >= MIN_VERSION
        && hello
            .services
            .has(ServiceFlags::COMPACT_FILTERS | ServiceFlags::NETWORK)
}

fn describe(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Serves(_) => "serves".to_owned(),
        Verdict::WithoutFilters(hello) => {
            format!("has the services {}", services(hello.services.to_u64()))
        }
        Verdict::Failed(failure) => failure.to_string(),
    }
}
