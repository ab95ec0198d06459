//! Places in the chain: where the wallet is, and where a node may begin.

use bip157::HashCheckpoint;
use bitcoin::constants::genesis_block;
use btc_iface::{BlockRef, Network};

use crate::wallet::source::Follower;

/// Blocks below the newest one of the wallet at which a node starts, so that it sees a
/// reorganisation as such. A deeper one makes it start again.
const MARGIN: u32 = 144;
/// The port of a network, for peers found by DNS.
const PORTS: [(Network, u16); 5] = [
    (Network::Bitcoin, 8333),
    (Network::Testnet, 18333),
    (Network::Testnet4, 48333),
    (Network::Signet, 38333),
    (Network::Regtest, 18444),
];

/// The newest block from which a node sees everything above that a scan from `start` needs. The
/// known blocks, given the newest first, are the wallet's; up to `shared`, they are in the chain
/// of all peers.
pub(super) fn base(network: Network, known: &[BlockRef], start: u32, shared: BlockRef) -> BlockRef {
    let mut highest = start.saturating_sub(1).min(shared.height);
    if let Some(newest) = known.first() {
        highest = highest.min(newest.height.saturating_sub(MARGIN));
    }
    let fixed = fixed(network, start);
    known
        .iter()
        .copied()
        .filter(|block| block.height <= highest)
        .max_by_key(|block| block.height)
        .filter(|block| block.height > fixed.height)
        .unwrap_or(fixed)
}

/// The same among the blocks that no reorganisation touches.
pub(super) fn fixed(network: Network, start: u32) -> BlockRef {
    let genesis = genesis(network);
    if network != Network::Bitcoin {
        return genesis;
    }
    milestones()
        .into_iter()
        .filter(|block| block.height < start)
        .max_by_key(|block| block.height)
        .unwrap_or(genesis)
}

/// The first block that matters; the genesis block pays nobody.
pub(super) fn first_block(follower: &dyn Follower) -> u32 {
    follower.birthday().max(1)
}

/// The block after the last one examined.
pub(super) fn next_block(follower: &dyn Follower) -> u32 {
    follower
        .scanned()
        .map_or(0, |scanned| scanned.height + 1)
        .max(first_block(follower))
}

/// The lowest block that may have to be examined, without a reorganisation.
pub(super) fn lowest_block(follower: &dyn Follower) -> u32 {
    if follower.is_first_scan() {
        first_block(follower)
    } else {
        next_block(follower)
    }
}

pub(super) fn genesis(network: Network) -> BlockRef {
    BlockRef {
        height: 0,
        hash: genesis_block(network).block_hash(),
    }
}

/// Blocks of mainnet that need not be synced to again.
fn milestones() -> [BlockRef; 2] {
    [
        HashCheckpoint::segwit_activation(),
        HashCheckpoint::taproot_activation(),
    ]
    .map(|HashCheckpoint { height, hash }| BlockRef { height, hash })
}

pub(super) fn port(network: Network) -> u16 {
    PORTS
        .iter()
        .find(|(other, _)| *other == network)
        .map_or(0, |(_, port)| *port)
}
