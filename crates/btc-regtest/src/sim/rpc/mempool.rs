//! Calls about the mempool and its transactions.

use bitcoin::consensus::encode;
use bitcoin::{OutPoint, Txid};
use serde_json::Value;

use super::Params;
use crate::sim::json::{Answer, Btc, Object, RpcError, answer, code, hex};
use crate::sim::pool::{Entry, Pool, chunks_of};
use crate::sim::world::World;

/// The most blocks that Core estimates for.
const MAX_TARGET: i64 = 1008;
/// The version that the node names.
const VERSION: u32 = 319_900;

/// Which relatives of a transaction are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Ancestors,
    Descendants,
}

pub(super) fn info(world: &mut World) -> Answer {
    let is_loaded = world.unloaded_calls == 0 && world.unloaded.is_none();
    world.unloaded_calls = world.unloaded_calls.saturating_sub(1);
    let pool = &world.pool;
    answer(
        Object::default()
            .with("loaded", is_loaded)
            .with("size", pool.len())
            .with("bytes", pool.total_vb())
            .with("total_fee", Btc(pool.total_fee_sat()))
            .with("maxmempool", 300_000_000)
            .with("mempoolminfee", Btc(pool.min_sat_per_kvb()))
            .with("minrelaytxfee", Btc(pool.limits.min_relay_sat_per_kvb))
            .with(
                "incrementalrelayfee",
                Btc(pool.limits.incremental_sat_per_kvb),
            )
            .with("unbroadcastcount", pool.len())
            .with("permitbaremultisig", true)
            .with("maxdatacarriersize", 100_000)
            .with("limitclustercount", pool.limits.cluster_count)
            .with("limitclustersize", pool.limits.cluster_vb),
    )
}

pub(super) fn network_info(world: &World) -> Answer {
    let limits = &world.pool.limits;
    answer(
        Object::default()
            .with("version", VERSION)
            .with("subversion", "/Satoshi:31.99.0/")
            .with("connections", 0)
            .with("networkactive", true)
            .with("relayfee", Btc(limits.min_relay_sat_per_kvb))
            .with("incrementalfee", Btc(limits.incremental_sat_per_kvb)),
    )
}

pub(super) fn estimate_smart_fee(world: &World, params: &Params<'_>) -> Answer {
    let target = params.number(0, "conf_target")?;
    if !(1..=MAX_TARGET).contains(&target) {
        let message = format!("Invalid conf_target, must be between 1 and {MAX_TARGET}");
        return Err(RpcError::new(code::INVALID_PARAMETER, message));
    }
    let blocks = target.max(2);
    match world.estimate_sat_per_kvb {
        Some(rate) => {
            let rate = rate.max(world.pool.min_sat_per_kvb());
            answer(
                Object::default()
                    .with("feerate", Btc(rate))
                    .with("blocks", blocks),
            )
        }
        None => answer(
            Object::default()
                .with("errors", ["Insufficient data or no feerate found"])
                .with("blocks", 0),
        ),
    }
}

pub(super) fn raw_mempool(world: &World, params: &Params<'_>) -> Answer {
    let entries = world.pool.in_order();
    if params.flag(0, "verbose", false)? {
        let mut all = Object::default();
        for entry in entries {
            all = all.with(entry.txid.to_string(), described(&world.pool, entry));
        }
        return answer(all);
    }
    let txids: Vec<Txid> = entries.iter().map(|entry| entry.txid).collect();
    if params.flag(1, "mempool_sequence", false)? {
        return answer(
            Object::default()
                .with("txids", txids)
                .with("mempool_sequence", world.pool.len()),
        );
    }
    answer(txids)
}

pub(super) fn entry(world: &World, params: &Params<'_>) -> Answer {
    let txid = params.txid(0, "txid")?;
    answer(described(&world.pool, waiting(world, txid)?))
}

pub(super) fn relatives(world: &World, params: &Params<'_>, side: Side) -> Answer {
    let txid = params.txid(0, "txid")?;
    let is_verbose = params.flag(1, "verbose", false)?;
    waiting(world, txid)?;
    let pool = &world.pool;
    let mut found = match side {
        Side::Ancestors => pool.with_ancestors([txid]),
        Side::Descendants => pool.with_descendants([txid]),
    };
    found.remove(&txid);
    if !is_verbose {
        return answer(found);
    }
    let mut all = Object::default();
    for entry in found.iter().filter_map(|txid| pool.get(txid)) {
        all = all.with(entry.txid.to_string(), described(pool, entry));
    }
    answer(all)
}

pub(super) fn cluster(world: &World, params: &Params<'_>) -> Answer {
    let txid = params.txid(0, "txid")?;
    waiting(world, txid)?;
    let nodes = world.pool.nodes(world.pool.cluster([txid]));
    let weight: u64 = nodes.iter().map(|node| node.weight).sum();
    let chunks: Vec<Object> = chunks_of(&nodes)
        .into_iter()
        .map(|chunk| {
            Object::default()
                .with("chunkfee", Btc(chunk.fee_sat))
                .with("chunkweight", chunk.weight)
                .with("txs", chunk.txids)
        })
        .collect();
    answer(
        Object::default()
            .with("clusterweight", weight)
            .with("txcount", nodes.len())
            .with("chunks", chunks),
    )
}

/// Which transactions of the mempool spend these outputs.
pub(super) fn spending(world: &World, params: &Params<'_>) -> Answer {
    let asked = params.needed(0, "outputs", "array")?;
    let mut all = Vec::new();
    for output in asked.as_array().into_iter().flatten() {
        let txid: Option<Txid> = output["txid"].as_str().and_then(|text| text.parse().ok());
        let vout = output["vout"]
            .as_u64()
            .and_then(|vout| u32::try_from(vout).ok());
        let (Some(txid), Some(vout)) = (txid, vout) else {
            let message = "Invalid parameter, vout cannot be negative";
            return Err(RpcError::new(code::INVALID_PARAMETER, message));
        };
        let mut shown = Object::default().with("txid", txid).with("vout", vout);
        if let Some(spender) = world.pool.spender(&OutPoint { txid, vout }) {
            shown = shown.with("spendingtxid", spender);
        }
        all.push(shown);
    }
    answer(all)
}

pub(super) fn raw_transaction(world: &World, params: &Params<'_>) -> Answer {
    let txid = params.txid(0, "parameter 1")?;
    let verbosity = params.verbosity(1, 0)?;
    if params.get(2).is_some() {
        let message = "the simulated node looks a transaction up by its txid alone";
        return Err(RpcError::new(code::INVALID_PARAMETER, message));
    }
    let is_indexed = world.options.transaction_index;
    let found = world.find(&txid);
    let Some((transaction, stored)) = found.filter(|(_, stored)| is_indexed || stored.is_none())
    else {
        let message = if is_indexed {
            "No such mempool or blockchain transaction. Use gettransaction for wallet transactions."
        } else {
            "No such mempool transaction. Use -txindex or provide a block hash to enable blockchain \
             transaction queries. Use gettransaction for wallet transactions."
        };
        return Err(RpcError::new(code::NOT_FOUND, message));
    };
    let bytes = encode::serialize(&transaction);
    if verbosity <= 0 {
        return answer(hex(&bytes));
    }
    let mut shown = Object::default()
        .with("txid", txid)
        .with("hash", transaction.compute_wtxid())
        .with("version", transaction.version.0)
        .with("size", bytes.len())
        .with("vsize", transaction.vsize())
        .with("weight", transaction.weight().to_wu())
        .with("locktime", transaction.lock_time.to_consensus_u32())
        .with("hex", hex(&bytes));
    if let Some(stored) = stored {
        shown = shown.with("blockhash", stored.hash);
        if world.blocks.is_active(&stored) {
            let confirmations = world.blocks.height() - stored.height + 1;
            let time = stored.header().time;
            shown = shown
                .with("confirmations", confirmations)
                .with("time", time)
                .with("blocktime", time);
        } else {
            shown = shown.with("confirmations", 0);
        }
    }
    answer(shown)
}

fn waiting(world: &World, txid: Txid) -> Result<&Entry, RpcError> {
    let entry = world.pool.get(&txid);
    entry.ok_or_else(|| RpcError::new(code::NOT_FOUND, "Transaction not in mempool"))
}

fn described(pool: &Pool, entry: &Entry) -> Object {
    let family = |txids: std::collections::HashSet<Txid>| {
        let entries: Vec<&Entry> = txids.iter().filter_map(|txid| pool.get(txid)).collect();
        let size_vb: u64 = entries.iter().map(|entry| entry.size_vb).sum();
        let fee_sat: u64 = entries.iter().map(|entry| entry.fee_sat).sum();
        (entries.len(), size_vb, fee_sat)
    };
    let (above, above_vb, above_sat) = family(pool.with_ancestors([entry.txid]));
    let (below, below_vb, below_sat) = family(pool.with_descendants([entry.txid]));
    let cluster = pool.nodes(pool.cluster([entry.txid]));
    let chunk = chunks_of(&cluster)
        .into_iter()
        .find(|chunk| chunk.txids.contains(&entry.txid))
        .expect("each transaction of a cluster is in one of its chunks");
    let fees = Object::default()
        .with("base", Btc(entry.fee_sat))
        .with("modified", Btc(entry.fee_sat))
        .with("ancestor", Btc(above_sat))
        .with("descendant", Btc(below_sat))
        .with("chunk", Btc(chunk.fee_sat));
    Object::default()
        .with("vsize", entry.size_vb)
        .with("weight", entry.weight)
        .with("time", entry.time_secs)
        .with("height", entry.height)
        .with("descendantcount", below)
        .with("descendantsize", below_vb)
        .with("ancestorcount", above)
        .with("ancestorsize", above_vb)
        .with("wtxid", entry.wtxid)
        .with("chunkweight", chunk.weight)
        .with("fees", fees)
        .with("depends", pool.parents_of(&entry.transaction))
        .with("spentby", pool.children_of(entry.txid))
        .with("unbroadcast", entry.is_unbroadcast)
}

/// An amount in BTC as a rate in satoshi, or the default.
pub(super) fn rate(params: &Params<'_>, at: usize, default: u64) -> Result<u64, RpcError> {
    let text = match params.get(at) {
        None => return Ok(default),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let amount = bitcoin::Amount::from_str_in(&text, bitcoin::Denomination::Bitcoin);
    let amount = amount.map_err(|_| RpcError::new(code::TYPE, "Invalid amount"))?;
    Ok(amount.to_sat())
}
