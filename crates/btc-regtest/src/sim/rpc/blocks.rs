//! Calls about blocks.

use bitcoin::consensus::encode;
use bitcoin::{BlockHash, OutPoint};

use super::Params;
use crate::sim::chain::Stored;
use crate::sim::json::{Answer, Btc, Object, RpcError, answer, code, hex};
use crate::sim::world::World;

/// The only index of filters.
const FILTER_INDEX: &str = "basic block filter index";

pub(super) fn chain_info(world: &World) -> Answer {
    let tip = world.blocks.tip();
    let age = world.now_secs.saturating_sub(u64::from(tip.header().time));
    answer(
        Object::default()
            .with("chain", "regtest")
            .with("blocks", tip.height)
            .with("headers", tip.height)
            .with("bestblockhash", tip.hash)
            .with("time", tip.header().time)
            .with("mediantime", world.blocks.median_time(tip))
            .with("verificationprogress", 1)
            .with("initialblockdownload", age > 24 * 3600)
            .with("pruned", false),
    )
}

pub(super) fn hash(world: &World, params: &Params<'_>) -> Answer {
    let height = params.number(0, "height")?;
    let stored = u32::try_from(height)
        .ok()
        .and_then(|height| world.blocks.at(height));
    let stored = stored
        .ok_or_else(|| RpcError::new(code::INVALID_PARAMETER, "Block height out of range"))?;
    answer(stored.hash)
}

pub(super) fn block(world: &World, params: &Params<'_>) -> Answer {
    let stored = known(world, params.hash(0, "blockhash")?)?;
    match params.verbosity(1, 1)? {
        0 => answer(hex(&stored.bytes)),
        _ => answer(described(world, stored).with("tx", &stored.txids)),
    }
}

pub(super) fn header(world: &World, params: &Params<'_>) -> Answer {
    let hash = params.hash(0, "hash")?;
    let is_verbose = params.flag(1, "verbose", true)?;
    let stored = known(world, hash)?;
    if is_verbose {
        return answer(described(world, stored));
    }
    answer(encode::serialize_hex(stored.header()))
}

pub(super) fn filter(world: &World, params: &Params<'_>) -> Answer {
    let hash = params.hash(0, "blockhash")?;
    if !world.options.filters {
        let message = "Index is not enabled for filtertype basic";
        return Err(RpcError::new(code::MISC, message));
    }
    let stored = known(world, hash)?;
    let filter = stored.filter().ok_or_else(|| {
        RpcError::new(
            code::NOT_FOUND,
            "Filter not found. Block was not connected to active chain.",
        )
    })?;
    answer(Object::default().with("filter", hex(filter)))
}

pub(super) fn index_info(world: &World, params: &Params<'_>) -> Answer {
    let wanted = match params.get(0) {
        None => None,
        Some(_) => Some(params.text(0, "index_name")?),
    };
    let mut indices = Vec::new();
    if world.options.transaction_index {
        indices.push("txindex");
    }
    if world.options.filters {
        indices.push(FILTER_INDEX);
    }
    let height = world.blocks.height();
    let mut all = Object::default();
    for name in indices {
        if wanted.is_none_or(|wanted| wanted == name) {
            let index = Object::default()
                .with("synced", true)
                .with("best_block_height", height);
            all = all.with(name, index);
        }
    }
    answer(all)
}

pub(super) fn tx_out(world: &World, params: &Params<'_>) -> Answer {
    let txid = params.txid(0, "txid")?;
    let vout = u32::try_from(params.number(1, "n")?).unwrap_or(u32::MAX);
    let sees_pool = params.flag(2, "include_mempool", true)?;
    let outpoint = OutPoint { txid, vout };
    let tip = world.blocks.tip();
    let shown = |value: bitcoin::Amount, script: &bitcoin::ScriptBuf, confirmations: u32| {
        Object::default()
            .with("bestblock", tip.hash)
            .with("confirmations", confirmations)
            .with("value", Btc(value.to_sat()))
            .with(
                "scriptPubKey",
                Object::default().with("hex", hex(script.as_bytes())),
            )
    };
    if sees_pool && world.pool.spender(&outpoint).is_some() {
        return answer(());
    }
    if let Some(coin) = world.blocks.coin(&outpoint) {
        let confirmations = tip.height - coin.height + 1;
        let output = &coin.output;
        return answer(
            shown(output.value, &output.script_pubkey, confirmations)
                .with("coinbase", coin.is_coinbase),
        );
    }
    let entry = world.pool.get(&txid).filter(|_| sees_pool);
    let output = entry.and_then(|entry| entry.transaction.output.get(vout as usize));
    match output {
        Some(output) => {
            answer(shown(output.value, &output.script_pubkey, 0).with("coinbase", false))
        }
        None => answer(()),
    }
}

fn known<'w>(world: &'w World, hash: &str) -> Result<&'w Stored, RpcError> {
    let hash: BlockHash = hash.parse().expect("64 hexadecimal digits are a hash");
    world
        .blocks
        .get(&hash)
        .map(|stored| &**stored)
        .ok_or_else(|| RpcError::new(code::NOT_FOUND, "Block not found"))
}

fn described(world: &World, stored: &Stored) -> Object {
    let tip = world.blocks.height();
    let is_active = world.blocks.is_active(stored);
    let confirmations = if is_active {
        i64::from(tip - stored.height) + 1
    } else {
        -1
    };
    let header = stored.header();
    let mut object = Object::default()
        .with("hash", stored.hash)
        .with("confirmations", confirmations)
        .with("height", stored.height)
        .with("version", header.version.to_consensus())
        .with("merkleroot", header.merkle_root)
        .with("time", header.time)
        .with("mediantime", world.blocks.median_time(stored))
        .with("nonce", header.nonce)
        .with("bits", format!("{:08x}", header.bits.to_consensus()))
        .with("nTx", stored.txids.len());
    if stored.height > 0 {
        object = object.with("previousblockhash", header.prev_blockhash);
    }
    let next = world.blocks.at(stored.height + 1).filter(|_| is_active);
    if let Some(next) = next {
        object = object.with("nextblockhash", next.hash);
    }
    object
}
