//! The REST interface of a simulated node.

use bitcoin::consensus::encode;
use bitcoin::{BlockHash, Txid, VarInt};

use super::rpc;
use super::server::Reply;
use super::world::World;

/// The most headers at once.
const MAX_HEADERS: usize = 2_000;
/// The type of the basic filters (BIP158).
const BASIC_FILTER: u8 = 0;

/// Answers a request for this path.
pub(super) fn answer(world: &mut World, path: &str) -> Reply {
    if !world.options.rest {
        return Reply {
            status: 404,
            kind: "text/plain",
            body: Vec::new(),
        };
    }
    if world.warm_up_calls > 0 {
        world.warm_up_calls -= 1;
        let text = "Service temporarily unavailable: Loading block index…";
        return Reply::text(503, text);
    }
    let path = path.strip_prefix("/rest/").unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let (path, format) = path.rsplit_once('.').unwrap_or((path, ""));
    let parts: Vec<&str> = path.split('/').collect();
    match (parts.as_slice(), format) {
        (["block", hash], "bin") => block(world, hash),
        (["headers", count, hash], "bin") => headers(world, count, hash),
        (["blockfilter", "basic", hash], "bin") => filter(world, hash),
        (["tx", txid], "bin") => transaction(world, txid),
        (["chaininfo"], "json") => match rpc::call(world, "getblockchaininfo", &[]) {
            Ok(info) => Reply::json(200, format!("{info}\n")),
            Err(error) => Reply::text(503, error.message),
        },
        _ => Reply {
            status: 404,
            kind: "text/plain",
            body: Vec::new(),
        },
    }
}

fn block(world: &World, text: &str) -> Reply {
    let Ok(hash) = text.parse::<BlockHash>() else {
        return Reply::text(400, format!("Invalid hash: {text}"));
    };
    match world.blocks.get(&hash) {
        Some(stored) => Reply::bytes(stored.bytes.clone()),
        None => Reply::text(404, format!("{text} not found")),
    }
}

fn headers(world: &World, count: &str, text: &str) -> Reply {
    let wanted = count.parse::<usize>().ok();
    let wanted = wanted.filter(|count| (1..=MAX_HEADERS).contains(count));
    let Some(wanted) = wanted else {
        let message = format!(
            "Header count is invalid or out of acceptable range (1-{MAX_HEADERS}): {count}"
        );
        return Reply::text(400, message);
    };
    let Ok(hash) = text.parse::<BlockHash>() else {
        return Reply::text(400, format!("Invalid hash: {text}"));
    };
    let mut bytes = Vec::new();
    let first = world.blocks.get(&hash);
    let first = first.filter(|stored| world.blocks.is_active(stored));
    if let Some(first) = first {
        let active = (first.height..).map_while(|height| world.blocks.at(height));
        for stored in active.take(wanted) {
            bytes.extend(encode::serialize(stored.header()));
        }
    }
    Reply::bytes(bytes)
}

fn filter(world: &World, text: &str) -> Reply {
    let Ok(hash) = text.parse::<BlockHash>() else {
        return Reply::text(400, format!("Invalid hash: {text}"));
    };
    if !world.options.filters {
        return Reply::text(400, "Index is not enabled for filtertype basic");
    }
    let Some(stored) = world.blocks.get(&hash) else {
        return Reply::text(404, format!("{text} not found"));
    };
    let Some(content) = stored.filter() else {
        let message = "Filter not found. Block was not connected to active chain.";
        return Reply::text(404, message);
    };
    let mut bytes = vec![BASIC_FILTER];
    bytes.extend(encode::serialize(&hash));
    bytes.extend(encode::serialize(&VarInt::from(content.len())));
    bytes.extend_from_slice(content);
    Reply::bytes(bytes)
}

fn transaction(world: &World, text: &str) -> Reply {
    let Ok(txid) = text.parse::<Txid>() else {
        return Reply::text(400, format!("Invalid hash: {text}"));
    };
    match world.find(&txid) {
        Some((transaction, _)) => Reply::bytes(encode::serialize(&transaction)),
        None => Reply::text(404, format!("{text} not found")),
    }
}
