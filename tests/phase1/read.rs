//! Behaviour of the reads: what comes back is what the node has, to the last field.

use std::collections::BTreeMap;
use std::thread;

use bitcoin::{BlockHash, Txid};
use btc::{AddressType, BitcoinInterface, ErrorKind};
use btc_regtest::{Kind, Plan};
use btc_tests::{Fixture, Outcome, assert_same, failure, to_plain};
use serde_json::json;

/// A case that only reads.
pub(crate) type Case = fn(&Fixture, &dyn BitcoinInterface) -> Outcome;

pub(crate) const CASES: &[(&str, Case)] = &[
    ("transaction_of_every_kind", transaction_of_every_kind),
    ("coinbase_transaction", coinbase_transaction),
    ("mempool_transaction_has_no_block", mempool_transaction),
    ("hashes_in_upper_and_mixed_case", other_case),
    ("every_block", every_block),
    ("odd_block_holds_every_oddity", odd_block),
    ("genesis_block", genesis_block),
    ("height_is_the_nodes", height),
    ("fee_estimate_is_the_floor_without_history", fee_estimate),
    ("wallet_operations_are_unsupported", no_wallet),
    ("eight_threads_at_once", eight_threads),
];

fn transaction_of_every_kind(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let places = places(fixture)?;
    let mut seen = 0;
    for (kind, txids) in &fixture.summary.kinds {
        for txid in txids {
            let place = places.get(txid).copied();
            let expected = to_plain(&fixture.raw_transaction(txid)?, place);
            let answer = bitcoin.get_transaction(&txid.to_string())?;
            assert_same(answer, &expected, kind.label());
            seen += 1;
        }
    }
    for kind in Kind::ALL {
        // These two are made on demand only.
        let is_planned = !matches!(kind, Kind::FullBlock | Kind::Payment);
        assert_eq!(
            !fixture.summary.of(*kind).is_empty(),
            is_planned,
            "the chain's transactions of the kind {kind}"
        );
    }
    assert!(seen > 40, "only {seen} transactions");
    Ok(())
}

fn coinbase_transaction(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let (_, hash) = fixture.summary.blocks[5];
    let block = fixture.raw_block(&hash)?;
    let expected = to_plain(&block.txdata[0], Some(hash));
    let answer = bitcoin.get_transaction(&expected.txid.to_string())?;
    assert!(answer.inputs[0].previous_output.is_null());
    assert_same(answer, &expected, "a coinbase");
    // Core serves genesis as a block only: its coinbase was never added to the coins.
    let genesis = fixture.raw_block(&fixture.block_hashes()?[0])?;
    let txid = genesis.txdata[0].compute_txid().to_string();
    failure(
        bitcoin.get_transaction(&txid),
        ErrorKind::NotFound,
        "the coinbase of genesis",
    );
    Ok(())
}

fn mempool_transaction(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let mempool = &fixture.summary.mempool;
    assert_eq!(mempool.len(), Plan::small().mempool as usize);
    for txid in mempool {
        let answer = bitcoin.get_transaction(&txid.to_string())?;
        assert_eq!((answer.block_hash, answer.block_height), (None, None));
        assert_same(
            answer,
            &to_plain(&fixture.raw_transaction(txid)?, None),
            "in the mempool",
        );
    }
    Ok(())
}

fn other_case(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let txid = fixture.summary.of(Kind::P2trKeyPath)[0].to_string();
    let block = fixture.summary.odd_block.expect("in the plan").to_string();
    let mixed = |hash: &str| -> String {
        let flip = |(index, c): (usize, char)| {
            if index % 2 == 0 {
                c.to_ascii_uppercase()
            } else {
                c
            }
        };
        hash.chars().enumerate().map(flip).collect()
    };
    let plain = (bitcoin.get_transaction(&txid)?, bitcoin.get_block(&block)?);
    for (txid, block) in [
        (txid.to_uppercase(), block.to_uppercase()),
        (mixed(&txid), mixed(&block)),
    ] {
        assert_eq!(bitcoin.get_transaction(&txid)?, plain.0, "{txid}");
        assert_eq!(bitcoin.get_block(&block)?, plain.1, "{block}");
    }
    Ok(())
}

fn every_block(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let hashes = fixture.block_hashes()?;
    assert!(hashes.len() > 100);
    for hash in hashes {
        assert_block(fixture, bitcoin, hash)?;
    }
    Ok(())
}

fn odd_block(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let hash = fixture.summary.odd_block.expect("in the plan");
    assert_block(fixture, bitcoin, hash)?;
    let transactions = bitcoin.get_block(&hash.to_string())?;
    let versions: Vec<_> = transactions.iter().map(|t| t.version).collect();
    for odd in [0, 4, i32::MAX, i32::MIN] {
        assert!(versions.contains(&odd), "no version {odd}: {versions:?}");
    }
    let mut scripts = transactions
        .iter()
        .flat_map(|t| &t.outputs)
        .map(|output| output.script_pubkey.len());
    assert!(scripts.clone().any(|len| len == 0) && scripts.any(|len| len > 10_000));
    Ok(())
}

fn genesis_block(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let hash = fixture.block_hashes()?[0];
    let expected = bitcoin::blockdata::constants::genesis_block(bitcoin::Network::Regtest);
    assert_eq!(hash, expected.block_hash());
    let transactions = bitcoin.get_block(&hash.to_string())?;
    assert_eq!(transactions.len(), 1);
    assert_eq!(transactions[0], to_plain(&expected.txdata[0], Some(hash)));
    Ok(())
}

fn height(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let expected: u32 = fixture.node.call("getblockcount", &[])?;
    assert_eq!(bitcoin.get_block_height()?, expected);
    assert_eq!(Some(expected), fixture.summary.tip_height());
    Ok(())
}

/// Too little has happened on this chain for an estimate, and its mempool holds next to nothing.
fn fee_estimate(_: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    for target in [1, 2, 6, 144, 255] {
        assert_eq!(bitcoin.estimate_fee(target)?, 1, "{target} blocks");
    }
    Ok(())
}

fn no_wallet(_: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let unsupported = |error: btc::BitcoinError| {
        assert_eq!(error.message(), "no wallet is configured");
    };
    let kind = ErrorKind::Unsupported;
    for address_type in AddressType::ALL {
        unsupported(failure(
            bitcoin.generate_address(address_type),
            kind,
            address_type.as_str(),
        ));
    }
    let payment = vec![(
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080".to_owned(),
        1_000,
    )];
    unsupported(failure(
        bitcoin.create_transaction(payment, 1),
        kind,
        "create",
    ));
    unsupported(failure(bitcoin.get_balance(), kind, "balance"));
    Ok(())
}

fn eight_threads(fixture: &Fixture, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let odd = fixture.summary.odd_block.expect("in the plan");
    let txids: Vec<Txid> = fixture.summary.kinds.values().flatten().copied().collect();
    let places = places(fixture)?;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|first| {
                let (txids, places) = (&txids, &places);
                scope.spawn(move || -> Outcome {
                    for txid in txids.iter().skip(first).step_by(8) {
                        let answer = bitcoin.get_transaction(&txid.to_string())?;
                        assert_eq!(answer.txid, *txid);
                        assert_eq!(answer.block_hash.as_ref(), places.get(txid));
                        let height = bitcoin.get_block_height()?;
                        assert_eq!(Some(height), fixture.summary.tip_height());
                    }
                    assert_block(fixture, bitcoin, odd)
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })
}

/// In which block each confirmed transaction is, as the node tells it.
fn places(fixture: &Fixture) -> Result<BTreeMap<Txid, BlockHash>, btc_regtest::NodeError> {
    let mut places = BTreeMap::new();
    for (_, hash) in &fixture.summary.blocks {
        let block: serde_json::Value = fixture.node.call("getblock", &[json!(hash), json!(1)])?;
        let txids = block["tx"].as_array().into_iter().flatten();
        let parsed = txids.filter_map(|txid| txid.as_str()?.parse().ok());
        places.extend(parsed.map(|txid| (txid, *hash)));
    }
    Ok(places)
}

fn assert_block(fixture: &Fixture, bitcoin: &dyn BitcoinInterface, hash: BlockHash) -> Outcome {
    let block = fixture.raw_block(&hash)?;
    let answer = bitcoin.get_block(&hash.to_string())?;
    assert_eq!(answer.len(), block.txdata.len(), "transactions of {hash}");
    assert!(answer[0].inputs[0].previous_output.is_null());
    for (index, (answer, raw)) in answer.into_iter().zip(&block.txdata).enumerate() {
        let what = format!("transaction {index} of block {hash}");
        assert_same(answer, &to_plain(raw, Some(hash)), &what);
    }
    Ok(())
}
