//! What a server told, true or not, once blocks are read: only what is in blocks is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use bdk_chain::bdk_core::spk_client::FullScanResponse;
use bdk_chain::local_chain::CheckPoint;
use bdk_chain::{BlockId, ConfirmationBlockTime, TxUpdate};
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    absolute, transaction,
};
use btc_iface::BlockRef;
use btc_regtest::{Chain, Node};
use btc_rust::wallet::ledger::Ledger;
use btc_rust::wallet::source::{Follower, Piece};
use serde_json::json;

use crate::wallet::{GAP, Wallet, keyring, nodes, pay, receive};

const FORGED_SAT: u64 = 777_000;

fn real(node: &Node, height: u32) -> BlockId {
    let hash = node
        .call("getblockhash", &[json!(height)])
        .expect("the node has it");
    BlockId { height, hash }
}

fn forged(height: u32) -> BlockId {
    let mut bytes = [9; 32];
    bytes[..4].copy_from_slice(&height.to_le_bytes());
    BlockId {
        height,
        hash: BlockHash::from_byte_array(bytes),
    }
}

fn invented(seed: u8, script_pubkey: ScriptBuf) -> Transaction {
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
            value: Amount::from_sat(FORGED_SAT),
            script_pubkey,
        }],
    }
}

/// The chain of the books with these blocks in it.
fn with(ledger: &Ledger, blocks: &[BlockId]) -> Vec<BlockId> {
    let known = ledger.checkpoints().into_iter();
    let known = known.map(|BlockRef { height, hash }| (height, hash));
    let mut chain: BTreeMap<u32, BlockHash> = known.collect();
    chain.extend(blocks.iter().map(|block| (block.height, block.hash)));
    let chain = chain.into_iter();
    chain
        .map(|(height, hash)| BlockId { height, hash })
        .collect()
}

/// What a server tells: a chain, a transaction in one of its blocks, another in its mempool.
fn tell(
    ledger: &mut Ledger,
    chain: impl IntoIterator<Item = BlockId>,
    confirmed: Option<(&Transaction, BlockId)>,
    seen: Option<&Transaction>,
) {
    let mut tx_update = TxUpdate::default();
    if let Some((transaction, block_id)) = confirmed {
        let anchor = ConfirmationBlockTime {
            block_id,
            confirmation_time: 7,
        };
        tx_update
            .anchors
            .insert((anchor, transaction.compute_txid()));
    }
    if let Some(seen) = seen {
        tx_update
            .seen_ats
            .insert((seen.compute_txid(), 1_900_000_000));
    }
    let told = confirmed.map(|(it, _)| it).into_iter().chain(seen);
    tx_update.txs = told.cloned().map(Arc::new).collect();
    let update = FullScanResponse {
        tx_update,
        chain_update: Some(CheckPoint::from_block_ids(chain).expect("ascending heights")),
        ..FullScanResponse::default()
    };
    let taken = ledger.take(Piece::Update(Box::new(update)));
    taken.expect("the books cannot know that it is false");
}

/// A node with some payments to the wallet in its chain, and the wallet, which knows of none.
fn payments(node: &Node, seed: u64, birthday: u32) -> (Chain<'_>, Wallet) {
    let mut chain = Chain::new(node, seed).expect("regtest");
    chain.mine(110).expect("blocks");
    for index in [0, 3, 1] {
        pay(&mut chain, receive(index), 100_000 + u64::from(index));
        chain.mine(2).expect("blocks");
    }
    (chain, Wallet::new(node, birthday))
}

#[test]
fn a_forged_chain_with_forged_payments_is_gone() {
    for (name, node) in nodes() {
        let (mut chain, mut wallet) = payments(&node, 1, 50);
        let honest = wallet.sync_right(&node);
        let tip = honest.tip.height;
        // Above the blocks that were read, and in the midst of them.
        for height in [tip + 9, tip, 77] {
            let blocks = with(&wallet.ledger, &[forged(height), forged(tip + 9)]);
            let payment = invented(1, receive(5));
            let pending = invented(2, receive(6));
            tell(
                &mut wallet.ledger,
                blocks,
                Some((&payment, forged(height))),
                Some(&pending),
            );
            let believed = wallet.ledger.view().balance.confirmed_sat;
            assert!(
                believed >= FORGED_SAT,
                "{name}, height {height}: {believed}"
            );
            let again = wallet.sync_right(&node);
            assert_eq!(again.balance, honest.balance, "{name}, height {height}");
        }
        pay(&mut chain, receive(2), 5_000);
        chain.mine(1).expect("a block");
        let after = wallet.sync_right(&node);
        let expected = honest.balance.confirmed_sat + 5_000;
        assert_eq!(after.balance.confirmed_sat, expected, "{name}");
    }
}

#[test]
fn a_block_of_the_chain_at_a_height_that_is_not_its_own_is_undone() {
    for (name, node) in nodes() {
        let (_, mut wallet) = payments(&node, 2, 0);
        let payment = invented(1, receive(5));
        for claimed in [40, 5_000] {
            let misplaced = BlockId {
                height: claimed,
                ..real(&node, 100)
            };
            let blocks = with(&wallet.ledger, &[misplaced]);
            tell(
                &mut wallet.ledger,
                blocks,
                Some((&payment, misplaced)),
                None,
            );
            assert!(wallet.ledger.view().balance.confirmed_sat >= FORGED_SAT);
            let view = wallet.sync_right(&node);
            assert_eq!(view.balance.confirmed_sat, 300_004, "{name}, {claimed}");
        }
    }
}

#[test]
fn a_payment_that_was_withheld_is_found() {
    for (name, node) in nodes() {
        let (mut chain, mut wallet) = payments(&node, 3, 20);
        let tip = |node: &Node| -> u32 { node.call("getblockcount", &[]).expect("a number") };
        // Nothing was read in blocks yet.
        let blocks = [real(&node, 0), real(&node, tip(&node))];
        tell(&mut wallet.ledger, blocks, None, None);
        assert_eq!(wallet.reopen().balance.confirmed_sat, 0);
        assert!(!wallet.ledger.is_first_scan());
        let view = wallet.sync_right(&node);
        assert_eq!(view.balance.confirmed_sat, 300_004, "{name}");

        // Blocks were read up to here.
        pay(&mut chain, receive(4), 50_000);
        chain.mine(3).expect("blocks");
        let blocks = with(&wallet.ledger, &[real(&node, tip(&node))]);
        tell(&mut wallet.ledger, blocks, None, None);
        assert_eq!(wallet.reopen().balance.confirmed_sat, 300_004, "{name}");
        let view = wallet.sync_right(&node);
        assert_eq!(view.balance.confirmed_sat, 350_004, "{name}");
    }
}

#[test]
fn blocks_that_were_read_are_not_read_again_after_a_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rust.sqlite");
    let mut ledger = Ledger::open(&path, keyring(), 10, GAP).expect("new books");
    let genesis = *ledger.checkpoints().last().expect("the genesis block");
    let block = |height| {
        let BlockId { height, hash } = forged(height);
        BlockRef { height, hash }
    };
    ledger.take(Piece::Scanned(block(50))).expect("good news");
    while ledger.at_tip().expect("it is written") {
        ledger.take(Piece::Scanned(block(50))).expect("good news");
    }
    assert!(
        !ledger.begin_blocks().expect("it is written"),
        "no server yet"
    );
    for tip in [60, 70] {
        let chain = with(&ledger, &[forged(tip)]);
        tell(&mut ledger, chain, None, None);
        assert_eq!(ledger.scanned(), Some(block(tip)));
    }
    drop(ledger);
    let mut ledger = Ledger::open(&path, keyring(), 10, GAP).expect("books");
    assert!(
        ledger.begin_blocks().expect("it is written"),
        "a server has told"
    );
    assert_eq!(ledger.scanned(), Some(block(50)));
    assert!(!ledger.is_first_scan());
    assert_eq!(ledger.checkpoints(), [block(50), genesis]);
    assert!(
        !ledger.begin_blocks().expect("it is written"),
        "it is forgotten"
    );

    // A server that tells of a reorganisation takes the place down with it.
    let other = BlockId {
        hash: BlockHash::from_byte_array([4; 32]),
        height: 50,
    };
    ledger.take(Piece::Scanned(block(55))).expect("good news");
    for block in [forged(60), other] {
        let chain = with(&ledger, &[block]);
        tell(&mut ledger, chain, None, None);
    }
    ledger.begin_blocks().expect("it is written");
    assert_eq!(
        (ledger.scanned(), ledger.checkpoints()),
        (None, vec![genesis])
    );
}
