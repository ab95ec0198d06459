//! A node that lies, in this process: what it sends is refused, and the books stay as they were.

use std::sync::Arc;

use bitcoin::bip158::BlockFilter;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Witness, absolute, transaction,
};
use btc_iface::{ErrorKind, Network};
use btc_rust::wallet::ledger::Ledger;
use btc_rust::wallet::source::core::CoreSource;
use btc_rust::wallet::source::{ChainSource, Follower};
use serde_json::json;

use crate::server::{Reply, Request, Server};
use crate::wallet::{GAP, keyring, receive, stranger};

/// Paid to the wallet in one of the blocks, in satoshi.
const PAID_SAT: u64 = 123_000;

fn coinbase(height: u32, script: ScriptBuf) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: bitcoin::script::Builder::new()
                .push_int(i64::from(height))
                .push_int(0)
                .into_script(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(PAID_SAT),
            script_pubkey: script,
        }],
    }
}

/// A block with one transaction; `has_work` says whether it keeps its target.
fn block(previous: BlockHash, transaction: Transaction, has_work: bool) -> Block {
    let mut block = Block {
        header: Header {
            version: Version::TWO,
            prev_blockhash: previous,
            merkle_root: TxMerkleNode::all_zeros(),
            time: 1_600_000_000,
            bits: CompactTarget::from_consensus(0x207f_ffff),
            nonce: 0,
        },
        txdata: vec![transaction],
    };
    block.header.merkle_root = block.compute_merkle_root().expect("a transaction");
    while block.header.validate_pow(block.header.target()).is_ok() != has_work {
        block.header.nonce += 1;
    }
    block
}

/// Six blocks above the genesis block; the third pays the wallet.
fn chain() -> Vec<Block> {
    let mut blocks = vec![bitcoin::constants::genesis_block(Network::Regtest)];
    for height in 1..=6 {
        let script = if height == 3 { receive(0) } else { stranger() };
        let previous = blocks.last().expect("the genesis block").block_hash();
        blocks.push(block(previous, coinbase(height, script), true));
    }
    blocks
}

fn filter(block: &Block, claimed: BlockHash) -> Vec<u8> {
    let filter = BlockFilter::new_script_filter(block, |_| Ok::<_, _>(ScriptBuf::new()));
    let content = filter.expect("only coinbases").content;
    serialize(&(0_u8, claimed, content))
}

/// What an honest node with these blocks says.
fn honest(blocks: &[Block], request: &Request, has_filters: bool) -> Option<Reply> {
    let by_text = |text: &str| {
        let found = blocks
            .iter()
            .position(|block| text.contains(&block.block_hash().to_string()));
        found.map(|height| (height, &blocks[height]))
    };
    let tip = blocks.len() - 1;
    let name = request.name.as_str();
    if name.starts_with("/rest/headers/") {
        let (height, _) = by_text(name)?;
        let count = name.split('/').nth(3)?.parse().ok()?;
        let headers = blocks[height..].iter().take(count);
        let body = headers.flat_map(|block| serialize(&block.header)).collect();
        return Some(Reply::Http(200, body));
    }
    if name.starts_with("/rest/block/") {
        return Some(Reply::Http(200, serialize(by_text(name)?.1)));
    }
    if name.starts_with("/rest/blockfilter/") {
        let (_, block) = by_text(name)?;
        return Some(Reply::Http(200, filter(block, block.block_hash())));
    }
    Some(Reply::Result(match name {
        "getblockchaininfo" => json!({
            "chain": "regtest",
            "blocks": tip,
            "bestblockhash": blocks[tip].block_hash(),
        }),
        "getblockhash" => {
            let height = usize::try_from(request.params[0].as_u64()?).ok()?;
            json!(blocks.get(height)?.block_hash())
        }
        "getblockheader" => {
            let (height, _) = by_text(request.params[0].as_str()?)?;
            json!({ "confirmations": tip - height + 1, "height": height })
        }
        "getindexinfo" if has_filters => {
            json!({ "basic block filter index": { "synced": true, "best_block_height": tip } })
        }
        "getindexinfo" => json!({}),
        "getrawmempool" => json!([]),
        _ => return None,
    }))
}

/// Follows a node that is honest but for what `lie` says; returns the outcome and the books.
fn follow(
    has_filters: bool,
    lie: impl Fn(&Request, &[Block]) -> Option<Reply> + Send + Sync + 'static,
) -> (Result<(), (ErrorKind, String)>, Ledger, tempfile::TempDir) {
    let blocks = Arc::new(chain());
    let server = Server::start(move |request, _| {
        lie(request, &blocks).or_else(|| honest(&blocks, request, has_filters))
    });
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rust.sqlite");
    let mut ledger = Ledger::open(&path, keyring(), 0, GAP).expect("new books");
    let source = CoreSource::connect(&server.config()).expect("it lets in");
    let outcome = source.follow(&mut ledger);
    let outcome = outcome.map_err(|error| (error.kind(), error.to_string()));
    (outcome, ledger, folder)
}

#[track_caller]
fn refused(
    has_filters: bool,
    lie: impl Fn(&Request, &[Block]) -> Option<Reply> + Send + Sync + 'static,
) {
    let (outcome, ledger, _folder) = follow(has_filters, lie);
    let (kind, text) = outcome.expect_err("it lied");
    assert_eq!(kind, ErrorKind::InvalidResponse, "{text}");
    assert_eq!(ledger.view().coins, []);
    assert_eq!(ledger.scanned(), None);
}

fn header_at(height: usize) -> Header {
    chain()[height].header
}

fn asks(request: &Request, prefix: &str, block: &Block) -> bool {
    let hash = block.block_hash().to_string();
    request.name.starts_with(prefix) && request.name.contains(&hash)
}

#[test]
fn an_honest_script_is_believed() {
    for has_filters in [false, true] {
        let (outcome, ledger, _folder) = follow(has_filters, |_, _| None);
        assert_eq!(outcome, Ok(()));
        assert_eq!(ledger.view().tip.height, 6);
        assert_eq!(ledger.view().balance.immature_sat, PAID_SAT);
    }
}

#[test]
fn headers_that_are_no_chain_are_refused() {
    let bent = |bend: fn(&mut Vec<Header>)| {
        refused(false, move |request, blocks| {
            request.name.starts_with("/rest/headers/").then(|| {
                let mut headers: Vec<_> = blocks.iter().map(|block| block.header).collect();
                bend(&mut headers);
                let body = headers.iter().flat_map(serialize).collect();
                Reply::Http(200, body)
            })
        });
    };
    bent(|headers| headers.swap(2, 3));
    bent(|headers| headers.retain(|header| *header != header_at(2)));
    bent(|headers| headers.retain(|header| *header != header_at(0)));
    bent(|headers| headers[4].nonce += 1);
    bent(|headers| {
        let other = block(headers[3].block_hash(), coinbase(4, stranger()), false);
        headers[4] = other.header;
        headers.truncate(5);
    });
    bent(|headers| {
        let more = headers.repeat(400);
        *headers = more;
    });
    refused(false, |request, _| {
        let is_it = request.name.starts_with("/rest/headers/");
        is_it.then(|| Reply::Http(200, vec![1; 81]))
    });
}

#[test]
fn blocks_that_are_not_the_ones_asked_for_are_refused() {
    for has_filters in [false, true] {
        // Another block, rubbish, nothing, one that is cut short or has something behind it.
        refused(has_filters, |request, blocks| {
            asks(request, "/rest/block/", &blocks[3])
                .then(|| Reply::Http(200, serialize(&blocks[2])))
        });
        for bytes in [vec![], vec![0xff; 200], vec![0; 5_000_000]] {
            refused(has_filters, move |request, blocks| {
                let bytes = bytes.clone();
                asks(request, "/rest/block/", &blocks[3]).then_some(Reply::Http(200, bytes))
            });
        }
        for length in [81, 90, 140] {
            refused(has_filters, move |request, blocks| {
                asks(request, "/rest/block/", &blocks[3]).then(|| {
                    let mut bytes = serialize(&blocks[3]);
                    bytes.truncate(length);
                    Reply::Http(200, bytes)
                })
            });
        }
        // The right header over a transaction that pays the wallet more.
        refused(has_filters, |request, blocks| {
            asks(request, "/rest/block/", &blocks[3]).then(|| {
                let mut block = blocks[3].clone();
                block.txdata[0].output[0].value = Amount::from_sat(21_000_000);
                Reply::Http(200, serialize(&block))
            })
        });
    }
}

#[test]
fn filters_that_are_none_are_refused_and_missing_ones_replaced_by_the_block() {
    refused(true, |request, blocks| {
        asks(request, "/rest/blockfilter/", &blocks[3])
            .then(|| Reply::Http(200, filter(&blocks[3], blocks[4].block_hash())))
    });
    // A count that overflows, and one that the bytes do not fill.
    for content in [vec![0xff_u8; 9], vec![0xfd, 0xff, 0xff, 0], vec![]] {
        refused(true, move |request, blocks| {
            let content = content.clone();
            asks(request, "/rest/blockfilter/", &blocks[3]).then(|| {
                let body = serialize(&(0_u8, blocks[3].block_hash(), content));
                Reply::Http(200, body)
            })
        });
    }
    let (outcome, ledger, _folder) = follow(true, |request, blocks| {
        asks(request, "/rest/blockfilter/", &blocks[3])
            .then(|| Reply::Http(404, b"Filter not found.".to_vec()))
    });
    assert_eq!(outcome, Ok(()));
    assert_eq!(ledger.view().balance.immature_sat, PAID_SAT);
}

#[test]
fn a_mempool_that_makes_no_sense_is_refused_and_a_gone_transaction_is_not() {
    let payment = coinbase(9, receive(1));
    let listed = |reply: fn(&Transaction) -> Reply| {
        let payment = payment.clone();
        move |request: &Request, _: &[Block]| {
            let txid = payment.compute_txid();
            match request.name.as_str() {
                "getrawmempool" => Some(Reply::Result(json!([txid]))),
                name if name.starts_with("/rest/tx/") => Some(reply(&payment)),
                _ => None,
            }
        }
    };
    for reply in [
        (|_| Reply::Http(200, vec![1, 2, 3])) as fn(&Transaction) -> Reply,
        |_| Reply::Http(200, serialize(&coinbase(8, receive(1)))),
    ] {
        let (outcome, ..) = follow(false, listed(reply));
        let (kind, text) = outcome.expect_err("it lied");
        assert_eq!(kind, ErrorKind::InvalidResponse, "{text}");
    }
    // A coinbase cannot be unconfirmed, whatever a node says.
    for reply in [
        (|payment| Reply::Http(200, serialize(payment))) as fn(&Transaction) -> Reply,
        |_| Reply::Http(404, b"not found".to_vec()),
    ] {
        let (outcome, ledger, _folder) = follow(false, listed(reply));
        assert_eq!(outcome, Ok(()));
        assert_eq!(ledger.view().coins.len(), 1);
    }
    let (outcome, ..) = follow(false, |request, _| {
        (request.name == "getrawmempool").then(|| Reply::Result(json!({ "a": 1 })))
    });
    assert!(outcome.is_err());
}

#[test]
fn a_chain_that_never_stands_still_ends_in_an_error() {
    let (outcome, ..) = follow(false, |request, _| {
        // A tip that no header leads to.
        (request.name == "getblockchaininfo").then(|| {
            Reply::Result(json!({
                "chain": "regtest",
                "blocks": 6,
                "bestblockhash": BlockHash::all_zeros(),
            }))
        })
    });
    assert_eq!(outcome.expect_err("no such tip").0, ErrorKind::Unavailable);
}
