//! Chains of servers in this process, true and false.

use std::cell::Cell;

use bitcoin::block::Version;
use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash;
use bitcoin::pow::CompactTarget;
use bitcoin::{ScriptBuf, Transaction, TxMerkleNode, Txid};
use btc_iface::{BitcoinError, BitcoinResult, Operation};

use super::*;
use crate::wallet::source::server::{Entry, Pace, Proof};

/// A server with these headers.
struct Server {
    network: Network,
    headers: Vec<Header>,
    /// How many headers an answer has at most.
    most: usize,
    /// How many headers it was asked for.
    told: Cell<usize>,
    pace: Pace,
}

impl HistoryServer for Server {
    const KIND: &'static str = "server";
    const HEADERS: u32 = 10;
    const HISTORIES: usize = 10;

    fn network(&self) -> Network {
        self.network
    }

    fn tip(&self) -> BitcoinResult<(u32, Header)> {
        let height = u32::try_from(self.headers.len() - 1).expect("few");
        Ok((height, self.headers[self.headers.len() - 1]))
    }

    fn headers(&self, start: u32, count: u32) -> BitcoinResult<Vec<Header>> {
        let from = self.headers.get(start as usize..).unwrap_or_default();
        let headers: Vec<_> = from
            .iter()
            .take(self.most.min(count as usize))
            .copied()
            .collect();
        self.told.set(self.told.get() + headers.len());
        Ok(headers)
    }

    fn headers_at(&self, heights: &[u32]) -> BitcoinResult<Vec<Header>> {
        self.told.set(self.told.get() + heights.len());
        let headers = heights.iter().map(|height| {
            let header = self.headers.get(*height as usize);
            header
                .copied()
                .ok_or_else(|| self.error(ErrorKind::NotFound, "no such block".into()))
        });
        headers.collect()
    }

    fn histories(
        &self,
        _scripts: &[ScriptBuf],
        _progress: &mut dyn FnMut(usize),
    ) -> BitcoinResult<Vec<Vec<Entry>>> {
        Ok(Vec::new())
    }

    fn transactions(&self, _txids: &[Txid]) -> BitcoinResult<Vec<Transaction>> {
        Ok(Vec::new())
    }

    fn proofs(&self, _confirmed: &[(Txid, u32)]) -> BitcoinResult<Vec<Proof>> {
        Ok(Vec::new())
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    fn error(&self, kind: ErrorKind, message: String) -> BitcoinError {
        BitcoinError::new(kind, Operation::Sync, message)
    }
}

fn server(headers: &[Header]) -> Server {
    Server {
        network: Network::Regtest,
        headers: headers.to_vec(),
        most: 10,
        told: Cell::new(0),
        pace: Pace::default(),
    }
}

/// Headers with work above the last of these; `mark` tells branches apart.
fn extend(below: &[Header], count: usize, mark: u8) -> Vec<Header> {
    let mut headers = below.to_vec();
    for _ in 0..count {
        let last = headers[headers.len() - 1];
        let mut next = Header {
            version: Version::TWO,
            prev_blockhash: last.block_hash(),
            merkle_root: TxMerkleNode::from_byte_array([mark; 32]),
            time: last.time + 600,
            bits: last.bits,
            nonce: 0,
        };
        while !next.target().is_met_by(next.block_hash()) {
            next.nonce += 1;
        }
        headers.push(next);
    }
    headers
}

fn chain(count: usize) -> Vec<Header> {
    extend(&[genesis_block(Network::Regtest).header], count, 1)
}

/// The blocks of this chain at these heights, the newest first.
fn blocks(headers: &[Header], heights: impl IntoIterator<Item = usize>) -> Vec<BlockRef> {
    let blocks = heights.into_iter().map(|height| BlockRef {
        height: u32::try_from(height).expect("few"),
        hash: headers[height].block_hash(),
    });
    blocks.collect()
}

fn follow(server: &Server, memory: &mut Memory, wallet: &[BlockRef]) -> Result<Chain, Trouble> {
    Chain::follow(server, memory, wallet, &mut |done, total| {
        assert!(done <= total);
    })
}

fn is_lie(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Failed(error) if error.kind() == ErrorKind::InvalidResponse)
}

#[test]
fn headers_are_followed_once() {
    let headers = chain(95);
    let mut memory = Memory::default();
    let genesis = blocks(&headers, [0]);
    let mut honest = server(&headers);
    let found = follow(&honest, &mut memory, &genesis).expect("a chain");
    assert_eq!(found.tip, blocks(&headers, [95])[0]);
    assert_eq!(found.agreed, genesis);
    assert_eq!(honest.told.replace(0), 96);
    // Nothing new, from a wallet that has taken over the tip and from one that has not.
    follow(&honest, &mut memory, &blocks(&headers, [95, 94, 60, 0])).expect("a chain");
    assert_eq!(honest.told.replace(0), 1);
    follow(&honest, &mut memory, &genesis).expect("a chain");
    assert_eq!(honest.told.replace(0), 2);
    // A few blocks more, and a server that gives fewer than wanted.
    honest.headers = extend(&headers, 7, 1);
    honest.most = 3;
    follow(&honest, &mut memory, &blocks(&headers, [95, 0])).expect("a chain");
    assert_eq!(honest.told.replace(0), 8);
    // Another process has what the wallet has stored.
    follow(&honest, &mut Memory::default(), &blocks(&headers, [95, 0])).expect("a chain");
    assert_eq!(honest.told.get(), 8);
}

#[test]
fn what_was_followed_before_an_interruption_is_not_followed_again() {
    let headers = chain(64);
    let mut memory = Memory::default();
    let genesis = blocks(&headers, [0]);
    let mut broken = headers.clone();
    broken[50].nonce ^= 1;
    let liar = server(&broken);
    let trouble = follow(&liar, &mut memory, &genesis).expect_err("a broken chain");
    assert!(is_lie(&trouble), "{trouble:?}");
    let honest = server(&headers);
    follow(&honest, &mut memory, &genesis).expect("a chain");
    assert!(honest.told.get() < 20, "{}", honest.told.get());
}

#[test]
fn every_false_header_on_the_way_is_found() {
    let headers = chain(30);
    let genesis = blocks(&headers, [0]);
    for at in [1, 10, 11, 29, 30] {
        let without_work = |header: &mut Header| {
            while header.target().is_met_by(header.block_hash()) {
                header.nonce += 1;
            }
        };
        let elsewhere = |header: &mut Header| {
            header.prev_blockhash = BlockHash::from_byte_array([5; 32]);
            while !header.target().is_met_by(header.block_hash()) {
                header.nonce += 1;
            }
        };
        let harder = |header: &mut Header| {
            header.bits = CompactTarget::from_consensus(0x200f_ffff);
            while !header.target().is_met_by(header.block_hash()) {
                header.nonce += 1;
            }
        };
        for change in [&without_work as &dyn Fn(&mut Header), &elsewhere, &harder] {
            let mut forged = headers[..at].to_vec();
            let mut header = headers[at];
            change(&mut header);
            forged.push(header);
            // The rest is honest work on top of the lie.
            let forged = extend(&forged, 30 - at, 1);
            let mut memory = Memory::default();
            let trouble = follow(&server(&forged), &mut memory, &genesis).expect_err("a lie");
            assert!(is_lie(&trouble), "at {at}: {trouble:?}");
        }
    }
    // Right headers, and a tip that says to be higher than it is.
    let mut short = server(&headers);
    short.headers.push(headers[30]);
    let trouble = follow(&short, &mut Memory::default(), &genesis).expect_err("a lie");
    assert!(is_lie(&trouble), "{trouble:?}");
    // Another network.
    let other = [genesis_block(Network::Signet).header];
    let trouble = follow(&server(&other), &mut Memory::default(), &genesis).expect_err("a lie");
    assert!(is_lie(&trouble), "{trouble:?}");
}

#[test]
fn a_branch_replaces_blocks_of_the_wallet_only_with_more_work() {
    let old = chain(100);
    let wallet = blocks(&old, [100, 99, 98, 97, 96, 92, 80, 0]);
    let fork = |depth: usize, length: usize| extend(&old[..=100 - depth], length, 2);
    for (depth, length, agreed) in [
        (1, 1, None),
        (1, 2, Some(99)),
        (4, 4, None),
        (4, 5, Some(96)),
    ] {
        for remembers in [false, true] {
            let mut memory = Memory::default();
            if remembers {
                follow(&server(&old), &mut memory, &wallet).expect("a chain");
            }
            let branch = server(&fork(depth, length));
            let found = follow(&branch, &mut memory, &wallet);
            let Some(agreed) = agreed else {
                let trouble = found.expect_err("no more work");
                assert!(matches!(trouble, Trouble::Behind(_)), "{trouble:?}");
                // The wallet's chain goes on.
                let longer = server(&extend(&old, 1, 1));
                follow(&longer, &mut memory, &wallet).expect("a chain");
                continue;
            };
            let chain = found.expect("more work");
            let (stale, kept): (Vec<_>, Vec<_>) =
                wallet.iter().partition(|block| block.height > agreed);
            assert_eq!(chain.agreed, kept);
            let replaced = stale.iter().map(|block| block.height);
            assert!(chain.replaced().eq(replaced), "{chain:?}");
        }
    }
}

#[test]
fn a_chain_that_ends_below_the_wallet_is_behind_and_undoes_nothing() {
    let headers = chain(100);
    let wallet = blocks(&headers, [100, 99, 98, 90, 0]);
    for length in [99, 95, 1] {
        let late = server(&headers[..=length]);
        let trouble = follow(&late, &mut Memory::default(), &wallet).expect_err("behind");
        let is_behind = matches!(&trouble, Trouble::Behind(error)
            if error.kind() == ErrorKind::Unavailable && error.message().contains("is behind"));
        assert!(is_behind, "{trouble:?}");
    }
}

#[test]
fn a_reorganisation_below_the_birthday_counts_with_more_work_alone() {
    let (mine, other) = (chain(50), extend(&chain(0), 51, 3));
    let wallet = blocks(&mine, [50, 49, 45, 40, 0]);
    for (length, replaced) in [(40, None), (50, None), (51, Some([50, 49, 45, 40]))] {
        let found = follow(&server(&other[..=length]), &mut Memory::default(), &wallet);
        if let Some(replaced) = replaced {
            let chain = found.expect("more work");
            assert_eq!(chain.agreed, wallet[4..]);
            assert!(chain.replaced().eq(replaced));
        } else {
            assert!(
                matches!(found, Err(Trouble::Behind(_))),
                "{length}: {found:?}"
            );
        }
    }
}

#[test]
fn a_height_far_below_is_proven_up_to_the_next_known_block() {
    let headers = chain(100);
    let wallet = blocks(&headers, [100, 99, 70, 40, 0]);
    let heights = BTreeSet::from([100, 71, 69, 40, 38, 12, 3]);
    let honest = server(&headers);
    let mut memory = Memory::default();
    let chain = follow(&honest, &mut memory, &wallet).expect("a chain");
    honest.told.set(0);
    let found = chain.headers(&honest, &memory, &heights, &mut |_, _| {});
    let found = found.expect("the headers");
    assert!(
        heights
            .iter()
            .all(|height| found[height] == headers[*height as usize])
    );
    // From 71 to 99, 69 and 70, 38 to 40 with both, 3 to 40.
    assert_eq!(honest.told.get(), 29 + 2 + 38, "headers");

    // The right header of another height, and one that was made up, each with all its work.
    let mut shifted = headers.clone();
    shifted.remove(20);
    let made_up = extend(&headers[..12], 40, 9);
    let made_up = [&made_up[..40], &headers[40..]].concat();
    for forged in [shifted, made_up] {
        let mut liar = server(&forged);
        // It tells the tip as it is.
        liar.headers.resize(101, headers[100]);
        liar.headers[100] = headers[100];
        let low = BTreeSet::from([12]);
        let trouble = chain
            .headers(&liar, &memory, &low, &mut |_, _| {})
            .expect_err("a lie");
        assert!(is_lie(&trouble), "{trouble:?}");
    }
    let above = BTreeSet::from([101]);
    let trouble = chain.headers(&honest, &memory, &above, &mut |_, _| {});
    assert!(is_lie(&trouble.expect_err("a lie")));
}

mod work;

#[test]
fn a_server_that_takes_long_over_many_answers_is_too_slow() {
    let server = server(&[genesis_block(Network::Regtest).header]);
    // Outside a look there is no hurry.
    server.pace.count(&server, 1).expect("no look");
    let timeout = std::time::Duration::from_millis(200);
    let look = server.pace.begin(timeout);
    for _ in 0..50 {
        std::thread::sleep(timeout / 100);
        server.pace.count(&server, 1).expect("fast enough");
    }
    let slow = (0..50).find_map(|_| {
        std::thread::sleep(timeout / 4);
        server.pace.count(&server, 1).err()
    });
    let error = slow.expect("it is too slow");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.message().contains("so slowly"), "{error}");
    drop(look);
    server.pace.count(&server, 1).expect("no look");
}
