//! News from a source that keeps histories by script.

use std::sync::Arc;

use bdk_chain::bdk_core::spk_client::FullScanResponse;
use bdk_chain::local_chain::CheckPoint;
use bdk_chain::{BlockId, ConfirmationBlockTime, TxUpdate};
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid,
    Witness, absolute, transaction,
};
use btc_iface::{BlockRef, Network};
use btc_rust::wallet::keys::Keychain;
use btc_rust::wallet::ledger::Ledger;
use btc_rust::wallet::source::{Follower, Piece};

use crate::wallet::{GAP, RECEIVE, keyring, receive};

fn block(height: u32, branch: u8) -> BlockId {
    let hash = if height == 0 {
        bitcoin::constants::genesis_block(Network::Regtest).block_hash()
    } else {
        let mut bytes = [branch; 32];
        bytes[..4].copy_from_slice(&height.to_le_bytes());
        BlockHash::from_byte_array(bytes)
    };
    BlockId { height, hash }
}

fn payment(seed: u8, script_pubkey: ScriptBuf) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::new(Txid::from_byte_array([seed; 32]), 0),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(1_000 + u64::from(seed)),
            script_pubkey,
        }],
    }
}

/// An update with these blocks; `confirmed` gives transactions with their blocks, `seen` others
/// with the second they were seen at.
fn update(
    blocks: &[BlockId],
    confirmed: &[(&Transaction, BlockId)],
    seen: &[(&Transaction, u64)],
    evicted: &[(Txid, u64)],
) -> Piece {
    let mut news = TxUpdate::default();
    for (transaction, block_id) in confirmed {
        news.txs.push(Arc::new((*transaction).clone()));
        let anchor = ConfirmationBlockTime {
            block_id: *block_id,
            confirmation_time: 7,
        };
        news.anchors.insert((anchor, transaction.compute_txid()));
    }
    for (transaction, at) in seen {
        news.txs.push(Arc::new((*transaction).clone()));
        news.seen_ats.insert((transaction.compute_txid(), *at));
    }
    news.evicted_ats.extend(evicted.iter().copied());
    let response: FullScanResponse<Keychain> = FullScanResponse {
        tx_update: news,
        last_active_indices: [(RECEIVE, 3)].into(),
        chain_update: CheckPoint::from_block_ids(blocks.iter().copied()).ok(),
    };
    Piece::Update(Box::new(response))
}

/// A block that nobody has mined: only a source that scans would know.
fn mined(transactions: &[&Transaction]) -> Arc<Block> {
    let mut block = bitcoin::constants::genesis_block(Network::Regtest);
    block.txdata = transactions.iter().copied().cloned().collect();
    block.header.nonce += 1;
    Arc::new(block)
}

#[test]
fn a_block_taken_back_leaves_nothing_until_the_mempool_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rust.sqlite");
    let mut ledger = Ledger::open(&path, keyring(), 100, GAP).expect("new books");
    let (early, late) = (payment(1, receive(0)), payment(2, receive(1)));
    let seen = |transaction: &Transaction| Piece::Mempool {
        arrived: vec![(transaction.clone(), 1_900_000_000)],
        gone: Vec::new(),
        kept: Vec::new(),
    };
    let found = |height, transaction: &Transaction| Piece::Block {
        height,
        block: mined(&[transaction]),
    };
    ledger.take(found(99, &early)).expect("good news");
    assert_eq!(ledger.view().coins, [], "before the birthday");
    ledger.take(seen(&late)).expect("good news");
    ledger.take(found(120, &late)).expect("good news");
    assert_eq!(ledger.view().balance.confirmed_sat, 1_002);
    let fork = *ledger.checkpoints().last().expect("the genesis block");
    ledger.take(Piece::Disconnect { fork }).expect("good news");
    assert_eq!(ledger.view().coins, []);
    assert_eq!(ledger.unconfirmed(), []);
    ledger.take(seen(&late)).expect("good news");
    assert_eq!(ledger.view().balance.untrusted_pending_sat, 1_002);
    // Another block at a height that is taken, without a word about the first.
    ledger.take(found(120, &late)).expect("good news");
    let other = Piece::Scanned(BlockRef {
        height: 120,
        hash: BlockHash::all_zeros(),
    });
    let error = ledger.take(other).expect_err("two blocks at one height");
    assert_eq!(error.kind(), btc_iface::ErrorKind::InvalidResponse);
}

#[test]
fn histories_by_script_are_taken_over_with_their_reorganisations() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rust.sqlite");
    let mut ledger = Ledger::open(&path, keyring(), 0, GAP).expect("new books");
    let balance = |ledger: &Ledger| {
        let balance = ledger.view().balance;
        (balance.confirmed_sat, balance.untrusted_pending_sat)
    };
    let (old, kept, lost) = (
        payment(1, receive(0)),
        payment(2, receive(1)),
        payment(3, receive(2)),
    );
    let blocks = [block(0, 0), block(10, 1), block(11, 1), block(12, 1)];
    let confirmed = [
        (&old, block(10, 1)),
        (&kept, block(11, 1)),
        (&lost, block(12, 1)),
    ];
    ledger
        .take(update(&blocks, &confirmed, &[], &[]))
        .expect("good news");
    assert_eq!(balance(&ledger), (3_006, 0));
    assert!(!ledger.is_first_scan());
    assert_eq!(ledger.scanned().map(|block| block.height), Some(12));
    assert_eq!(ledger.watched().len(), 8 * 2 * GAP as usize);

    // Two blocks are replaced; one payment is in the mempool again, the other nowhere.
    let blocks = [block(10, 1), block(11, 2), block(13, 2)];
    ledger
        .take(update(&blocks, &[], &[(&kept, 500)], &[]))
        .expect("good news");
    assert_eq!(balance(&ledger), (1_001, 1_002));
    let again = [(kept.compute_txid(), 500)];
    ledger
        .take(update(&[block(13, 2)], &[], &[], &again))
        .expect("good news");
    assert_eq!(balance(&ledger), (1_001, 0));
    ledger
        .take(update(
            &[block(13, 2)],
            &[],
            &[(&kept, 500), (&lost, 400)],
            &[],
        ))
        .expect("good news");
    assert_eq!(balance(&ledger), (1_001, 2_005));
    ledger
        .take(update(
            &[block(13, 2), block(14, 2)],
            &[(&lost, block(14, 2))],
            &[],
            &[],
        ))
        .expect("good news");
    assert_eq!(balance(&ledger), (2_004, 1_002));

    let view = ledger.view();
    drop(ledger);
    let again = Ledger::open(&path, keyring(), 0, GAP).expect("books");
    assert_eq!(again.view(), view);
    assert_eq!(again.first_seen(kept.compute_txid()), Some(500));
    assert_eq!(again.highest_used(RECEIVE), Some(2));

    let mut again = again;
    let unknown = [block(20, 9), block(21, 9)];
    let error = again
        .take(update(&unknown, &[], &[], &[]))
        .expect_err("another chain");
    assert_eq!(error.kind(), btc_iface::ErrorKind::InvalidResponse);
}

/// The newest blocks of a chain that ends at `tip`, as a source tells them, with the genesis block.
fn newest(tip: u32) -> Vec<BlockId> {
    let newest = (tip.saturating_sub(7)..=tip).filter(|height| *height > 0);
    std::iter::once(block(0, 0))
        .chain(newest.map(|height| block(height, 1)))
        .collect()
}

#[test]
fn a_block_whose_payment_is_found_later_stays_however_long_the_chain_grows() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rust.sqlite");
    let mut ledger = Ledger::open(&path, keyring(), 0, GAP).expect("new books");
    // A block is told before its payment is: its address was not watched yet.
    ledger
        .take(update(&newest(15), &[], &[], &[]))
        .expect("good news");
    let payment = payment(1, receive(0));
    ledger
        .take(update(&newest(15), &[(&payment, block(9, 1))], &[], &[]))
        .expect("good news");
    assert_eq!(ledger.view().balance.confirmed_sat, 1_001);
    for tip in 16..200 {
        ledger
            .take(update(&newest(tip), &[], &[], &[]))
            .expect("good news");
        let confirmed = ledger.view().balance.confirmed_sat;
        assert_eq!(confirmed, 1_001, "at height {tip}");
    }
    drop(ledger);
    let again = Ledger::open(&path, keyring(), 0, GAP).expect("books");
    assert_eq!(again.view().balance.confirmed_sat, 1_001);
}

#[test]
fn few_blocks_are_kept_however_long_histories_by_script_are_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rust.sqlite");
    let mut ledger = Ledger::open(&path, keyring(), 0, GAP).expect("new books");
    for tip in (8..4_000).step_by(3) {
        ledger
            .take(update(&newest(tip), &[], &[], &[]))
            .expect("good news");
    }
    let kept = ledger.checkpoints().len();
    assert!(kept < 130, "{kept} blocks");
    drop(ledger);
    let again = Ledger::open(&path, keyring(), 0, GAP).expect("books");
    assert_eq!(again.checkpoints().len(), kept);
}
