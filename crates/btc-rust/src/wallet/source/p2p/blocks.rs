//! `Fetcher`: blocks from the peers that serve, on a thread of its own, each checked.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::thread;

use bitcoin::{Block, BlockHash};

use super::board::{Board, Fetched};
use super::claim::Serving;
use super::failure::Failure;
use super::peers::Peers;

/// Asks one peer after the other for blocks. A peer that does not hand one out, or hands out
/// something else, is not asked any more.
pub(super) struct Fetcher {
    wanted: mpsc::Sender<BlockHash>,
}

impl Fetcher {
    /// Fetched blocks go to the board.
    ///
    /// # Errors
    /// The machine refuses a thread.
    pub(super) fn start(
        serving: Vec<Serving>,
        peers: Arc<Peers>,
        board: Arc<Board>,
    ) -> std::io::Result<Self> {
        let (wanted, hashes) = mpsc::channel();
        let mut serving = VecDeque::from(serving);
        // Ends by itself when the sender is gone, within one timeout.
        thread::Builder::new()
            .name("btc-p2p-blocks".to_owned())
            .spawn(move || {
                for hash in hashes {
                    // The next one may take as long again.
                    let on_failure = || board.tell(|news| news.activity += 1);
                    let fetched = fetch(hash, &mut serving, &peers, on_failure);
                    let fetched = fetched.map_or(Fetched::Lost, |it| Fetched::Block(Arc::new(it)));
                    board.tell(|news| {
                        news.activity += 1;
                        news.blocks.insert(hash, fetched);
                    });
                }
            })?;
        Ok(Self { wanted })
    }

    /// Asks for a block; it arrives in the news.
    pub(super) fn request(&self, hash: BlockHash) {
        // The thread lives as long as this sender does.
        let _ = self.wanted.send(hash);
    }
}

fn fetch(
    hash: BlockHash,
    serving: &mut VecDeque<Serving>,
    peers: &Peers,
    on_failure: impl Fn(),
) -> Option<Block> {
    while let Some(peer) = serving.front_mut() {
        peer.open.renew();
        let failure = match peer.open.block(hash) {
            Ok(block) => return Some(block),
            // It may have hung up because nothing was asked for a while.
            Err(Failure::Closed) => match again(peer, hash, peers) {
                Ok(block) => return Some(block),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        peers.blame(&peer.address, failure);
        serving.pop_front();
        on_failure();
    }
    None
}

fn again(peer: &mut Serving, hash: BlockHash, peers: &Peers) -> Result<Block, Failure> {
    peer.open = peers.open(&peer.address)?;
    peer.open.block(hash)
}
