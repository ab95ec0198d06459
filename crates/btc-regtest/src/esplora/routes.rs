//! The answers to paths.

use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::hex::FromHex;
use bitcoin::{TxMerkleNode, Txid};
use bitcoincore_rpc::Client;
use serde_json::{Value, json};

use super::Answer;
use super::index::{Index, Indexed};
use crate::{NodeError, rpc};

/// Blocks, and confirmed transactions, in one answer.
const BLOCKS: usize = 10;
const TRANSACTIONS: usize = 25;

pub(super) fn answer(
    index: &Index,
    client: &Client,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<Answer, NodeError> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let known = match (method, parts.as_slice()) {
        ("GET", ["blocks"]) => blocks(index, index.blocks.len().saturating_sub(1)),
        ("GET", ["blocks", height]) => height.parse().ok().and_then(|it| blocks(index, it)),
        ("GET", ["block-height", height]) => {
            let block = height
                .parse()
                .ok()
                .and_then(|it: usize| index.blocks.get(it));
            block.map(|block| Answer::ok(block.hash.to_string()))
        }
        ("GET", ["scripthash", script, "txs"]) => history(index, script, None),
        ("GET", ["scripthash", script, "txs", "chain", last]) => last
            .parse()
            .ok()
            .and_then(|last| history(index, script, Some(last))),
        ("GET", ["tx", txid, "raw"]) => raw(index, client, txid)?,
        ("GET", ["tx", txid, "merkle-proof"]) => proof(index, txid),
        ("POST", ["tx"]) => Some(send(client, body)),
        _ => None,
    };
    Ok(known.unwrap_or_else(|| Answer::refusal(404, "not found")))
}

/// A block and those below it.
fn blocks(index: &Index, height: usize) -> Option<Answer> {
    index.blocks.get(height)?;
    let told = (0..=height).rev().take(BLOCKS).map(|height| {
        let Indexed { header, hash, .. } = &index.blocks[height];
        let previous = (height > 0).then_some(header.prev_blockhash);
        json!({
            "id": hash,
            "height": height,
            "version": header.version.to_consensus(),
            "timestamp": header.time,
            "bits": header.bits.to_consensus(),
            "nonce": header.nonce,
            "merkle_root": header.merkle_root,
            "previousblockhash": previous,
        })
    });
    Some(Answer::ok(told.collect::<Value>().to_string()))
}

/// The transactions of a script: those of the mempool and the newest confirmed ones, or the
/// confirmed ones below one of them.
fn history(index: &Index, script: &str, last: Option<Txid>) -> Option<Answer> {
    let script = script.parse().ok()?;
    let waiting = if last.is_none() {
        index.waiting_for(script)
    } else {
        Vec::new()
    };
    let waiting = waiting
        .into_iter()
        .map(|txid| json!({"txid": txid, "status": {"confirmed": false}}));
    let all = index.confirmed(script);
    let from = match last {
        None => 0,
        Some(last) => all.iter().position(|(_, txid)| *txid == last)? + 1,
    };
    let confirmed = all[from..].iter().take(TRANSACTIONS).map(|(height, txid)| {
        let hash = index.blocks[*height].hash;
        let status = json!({"confirmed": true, "block_height": height, "block_hash": hash});
        json!({"txid": txid, "status": status})
    });
    Some(Answer::ok(
        waiting.chain(confirmed).collect::<Value>().to_string(),
    ))
}

fn raw(index: &Index, client: &Client, txid: &str) -> Result<Option<Answer>, NodeError> {
    let Ok(txid) = txid.parse::<Txid>() else {
        return Ok(None);
    };
    if let Some(transaction) = index.waiting.get(&txid) {
        return Ok(Some(Answer::ok(serialize(transaction))));
    }
    let Some((height, _)) = index.place(txid) else {
        return Ok(None);
    };
    let block = index.blocks[height].hash;
    let params = [json!(txid), json!(0), json!(block)];
    let hex: String = rpc::call(client, "getrawtransaction", &params)?;
    Ok(Vec::from_hex(&hex).ok().map(Answer::ok))
}

/// A Merkle branch, as Electrum tells it.
fn proof(index: &Index, txid: &str) -> Option<Answer> {
    let (height, position) = index.place(txid.parse().ok()?)?;
    let txids = index.blocks[height].txids.iter();
    let mut level: Vec<_> = txids.map(|txid| txid.to_raw_hash()).collect();
    let (mut branch, mut at) = (Vec::new(), position);
    while level.len() > 1 {
        if level.len() % 2 == 1 {
            level.extend(level.last().copied());
        }
        branch.push(TxMerkleNode::from_raw_hash(level[at ^ 1]));
        let pairs = level.chunks(2);
        let pairs = pairs.map(|pair| [pair[0].to_byte_array(), pair[1].to_byte_array()].concat());
        level = pairs.map(|pair| sha256d::Hash::hash(&pair)).collect();
        at /= 2;
    }
    let told = json!({"block_height": height, "merkle": branch, "pos": position});
    Some(Answer::ok(told.to_string()))
}

fn send(client: &Client, body: &[u8]) -> Answer {
    let hex = String::from_utf8_lossy(body);
    let sent: Result<Txid, _> = rpc::call(client, "sendrawtransaction", &[json!(hex.trim())]);
    match sent {
        Ok(txid) => Answer::ok(txid.to_string()),
        Err(error) => {
            let reason = std::error::Error::source(&error).map(ToString::to_string);
            let reason = reason.unwrap_or_else(|| error.to_string());
            Answer::refusal(400, &format!("sendrawtransaction RPC error: {reason}"))
        }
    }
}
