//! A lying Esplora server: the honest one, with other answers in between.

use std::sync::{Arc, Mutex, PoisonError};

use bitcoin::block::Header;
use bitcoin::consensus::encode::{deserialize_hex, serialize};
use bitcoin::hashes::{Hash, sha256};
use bitcoin::{BlockHash, ScriptBuf, Transaction, Txid};
use btc_regtest::esplora::Answer;
use btc_regtest::{EsploraServer, Node};
use serde_json::{Value, json};

use super::forge::{Lies, Swallow};

/// A server that says what `lies` hold at the time.
pub(crate) fn liar(node: &Node, lies: Arc<Mutex<Lies>>) -> EsploraServer {
    let kept = Arc::clone(&lies);
    let keep = move |path: &str, body: &[u8]| {
        let swallows = kept.lock().unwrap_or_else(PoisonError::into_inner).swallows;
        (path == "/tx").then(|| swallow(swallows?, body)).flatten()
    };
    let server = EsploraServer::start_keeping(node, keep, move |path, honest| {
        let lies = lies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if path.starts_with("/scripthash") && !lies.hidden.is_empty() {
            return without(&lies, &honest).unwrap_or(honest);
        }
        tell(&lies, path).unwrap_or(honest)
    });
    server.expect("a server")
}

/// The answer to a transaction that is handed over, if the server keeps such to itself.
fn swallow(how: Swallow, body: &[u8]) -> Option<Answer> {
    if how == Swallow::AsKnown {
        let text =
            "sendrawtransaction RPC error: {\"code\":-27,\"message\":\"txn-already-in-mempool\"}";
        return Some(Answer::refusal(400, text));
    }
    let transaction: Transaction = deserialize_hex(std::str::from_utf8(body).ok()?).ok()?;
    Some(Answer::ok(transaction.compute_txid().to_string()))
}

/// A history without what is hidden.
fn without(lies: &Lies, honest: &Answer) -> Option<Answer> {
    let history: Vec<Value> = serde_json::from_slice(&honest.body).ok()?;
    let is_told = |entry: &Value| {
        let txid = entry["txid"].as_str().and_then(|it| it.parse().ok());
        let is_hidden = txid.is_some_and(|txid: Txid| lies.hidden.contains(&txid));
        entry["status"]["confirmed"] == true || !is_hidden
    };
    let told: Vec<Value> = history.into_iter().filter(is_told).collect();
    Some(Answer::ok(json!(told).to_string()))
}

/// The answer instead of the honest one, if it is another.
fn tell(lies: &Lies, path: &str) -> Option<Answer> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let told = match parts.as_slice() {
        ["blocks"] => {
            let (height, header) = lies.tip?;
            json!([block(height, &header)])
        }
        ["blocks", top] => {
            let top: u32 = top.parse().ok()?;
            let told = (0..=top).rev().take(10).map_while(|height| {
                let honest = lies.honest.get(height as usize);
                let header = lies.headers.get(&height).or(honest)?;
                Some(block(height, header))
            });
            let told: Vec<Value> = told.collect();
            if lies.headers.is_empty() || told.is_empty() {
                return None;
            }
            json!(told)
        }
        ["scripthash", name, "txs", rest @ ..] => {
            let mut histories = lies.histories.iter();
            let asked =
                |script: &ScriptBuf| sha256::Hash::hash(script.as_bytes()).to_string() == *name;
            let (_, history) = histories.find(|(script, _)| asked(script))?;
            let history: &[(Txid, u32)] = if rest.is_empty() { history } else { &[] };
            let entry = |(txid, height): &(Txid, u32)| {
                let status = if *height > 0 {
                    json!({"confirmed": true, "block_height": height})
                } else {
                    json!({"confirmed": false})
                };
                json!({"txid": txid, "status": status})
            };
            history.iter().map(entry).collect()
        }
        ["tx", txid, "raw"] => {
            let transaction = lies.transactions.get(&txid.parse::<Txid>().ok()?)?;
            return Some(Answer::ok(serialize(transaction)));
        }
        ["tx", txid, "merkle-proof"] => {
            let (merkle, position) = lies.proofs.get(&txid.parse::<Txid>().ok()?)?;
            json!({"merkle": merkle, "pos": position, "block_height": 1})
        }
        _ => return None,
    };
    Some(Answer::ok(told.to_string()))
}

fn block(height: u32, header: &Header) -> Value {
    let previous = Some(header.prev_blockhash).filter(|hash| *hash != BlockHash::all_zeros());
    json!({
        "id": header.block_hash(),
        "height": height,
        "version": header.version.to_consensus(),
        "timestamp": header.time,
        "bits": header.bits.to_consensus(),
        "nonce": header.nonce,
        "merkle_root": header.merkle_root,
        "previousblockhash": previous,
    })
}
