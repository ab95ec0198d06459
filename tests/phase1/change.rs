//! Behaviour while the chain changes: new blocks, and blocks taken back.

use btc::BitcoinInterface;
use btc_regtest::Chain;
use btc_tests::{Change, Outcome};
use serde_json::json;

use crate::broadcast::plain;

pub(crate) const CASES: &[(&str, Change)] = &[
    ("height_follows_new_blocks", height_follows),
    ("transaction_gets_its_block_when_mined", gets_its_block),
    ("block_off_the_active_chain", abandoned_block),
];

fn height_follows(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let before = bitcoin.get_block_height()?;
    chain.mine(1)?;
    assert_eq!(bitcoin.get_block_height()?, before + 1);
    chain.mine(3)?;
    assert_eq!(bitcoin.get_block_height()?, before + 4);
    chain.disconnect(2)?;
    assert_eq!(bitcoin.get_block_height()?, before + 2);
    chain.mine_empty(1)?;
    Ok(())
}

fn gets_its_block(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let transaction = plain(&chain.spend_one()?);
    let txid = bitcoin.broadcast_transaction(&transaction)?;
    assert_eq!(bitcoin.get_transaction(&txid)?.block_hash, None);
    let block = chain.mine(1)?[0];
    assert_eq!(bitcoin.get_transaction(&txid)?.block_hash, Some(block));
    let listed = bitcoin.get_block(&block.to_string())?;
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[1].txid, transaction.txid);
    Ok(())
}

/// Core still has the block, and the index still names it; neither makes it confirmed.
fn abandoned_block(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let transaction = chain.spend_one()?;
    let txid = transaction.compute_txid().to_string();
    let abandoned = chain.mine_transactions(std::slice::from_ref(&transaction))?;
    assert_eq!(bitcoin.get_transaction(&txid)?.block_hash, Some(abandoned));
    chain.reorg_empty(1)?;
    let stored = bitcoin.get_block(&abandoned.to_string())?;
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|t| t.block_hash == Some(abandoned)));
    assert_eq!(bitcoin.get_transaction(&txid)?.block_hash, None);
    // Only the index knows the coinbase still.
    let coinbase = stored[0].txid.to_string();
    assert_eq!(bitcoin.get_transaction(&coinbase)?.block_hash, None);

    // Sent again, it is mined in another block.
    bitcoin.broadcast_transaction(&plain(&transaction))?;
    let block = chain.mine(1)?[0];
    assert_eq!(bitcoin.get_transaction(&txid)?.block_hash, Some(block));
    let tip: u32 = chain.node().call("getblockcount", &[])?;
    let best: String = chain.node().call("getblockhash", &[json!(tip)])?;
    assert_eq!(best, block.to_string());
    Ok(())
}
