//! Calls about blocks, over RPC and REST.

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Txid};
use btc_regtest::sim::coins;
use serde_json::json;

use crate::pair::Pair;

#[test]
pub(crate) fn blocks_are_told_as_core_tells_them() {
    let pair = Pair::start();
    let coin = pair.coin();
    let change = coin.value.to_sat() - 41_000;
    let payment = coins::spend(
        &[coin],
        vec![coins::output(1, 40_000), coins::output(0, change)],
        2,
    );
    let txid = pair.taken(&payment);
    pair.same("gettxout", json!([txid, 0])).unwrap();
    pair.same("gettxout", json!([coin.outpoint.txid, 0]))
        .unwrap();
    pair.same("gettxout", json!([coin.outpoint.txid, 0, false]))
        .unwrap();
    pair.mine();
    let (height, tip) = pair.sim.tip();
    pair.same("getblockchaininfo", json!([])).unwrap();
    pair.same("getblockcount", json!([])).unwrap();
    pair.same("getblockhash", json!([height])).unwrap();
    pair.same("getblockhash", json!([0])).unwrap();
    pair.same("getblock", json!([tip, 0])).unwrap();
    pair.same("getblock", json!([tip])).unwrap();
    pair.same("getblockheader", json!([tip])).unwrap();
    pair.same("getblockheader", json!([tip, false])).unwrap();
    let middle = pair.sim.hash_at(height / 2).unwrap();
    pair.same("getblockheader", json!([middle])).unwrap();
    let genesis = pair.sim.hash_at(0).unwrap();
    pair.same("getblockheader", json!([genesis])).unwrap();
    pair.same("getblockfilter", json!([tip])).unwrap();
    pair.same("getblockfilter", json!([genesis])).unwrap();
    pair.same("getrawtransaction", json!([txid])).unwrap();
    pair.same("getrawtransaction", json!([txid, 1])).unwrap();
    pair.same("getrawtransaction", json!([txid, true])).unwrap();
    pair.same("gettxout", json!([txid, 0])).unwrap();
    pair.same("gettxout", json!([txid, 9])).unwrap();
    pair.same("getindexinfo", json!([])).unwrap();
    pair.same("getindexinfo", json!(["basic block filter index"]))
        .unwrap();
    pair.same("getpeerinfo", json!([])).unwrap();
    pair.same("getnetworkinfo", json!([])).unwrap();
    pair.same_rest(&format!("/rest/block/{tip}.bin"));
    pair.same_rest(&format!("/rest/headers/5/{middle}.bin"));
    pair.same_rest(&format!("/rest/headers/2000/{genesis}.bin"));
    pair.same_rest(&format!("/rest/blockfilter/basic/{tip}.bin"));
    pair.same_rest(&format!("/rest/blockfilter/basic/{genesis}.bin"));
    pair.same_rest(&format!("/rest/tx/{txid}.bin"));
}

#[test]
pub(crate) fn what_is_not_there_is_refused_as_core_refuses_it() {
    let pair = Pair::start();
    let nowhere = BlockHash::all_zeros();
    let nothing = Txid::all_zeros();
    let (height, tip) = pair.sim.tip();
    let refused = [
        ("getblockhash", json!([height + 1])),
        ("getblockhash", json!([-1])),
        ("getblockhash", json!(["1"])),
        ("getblock", json!([nowhere, 0])),
        ("getblock", json!(["abc", 0])),
        ("getblock", json!([&"zz".repeat(32), 0])),
        ("getblock", json!([5, 0])),
        ("getblockheader", json!([nowhere])),
        ("getblockheader", json!(["12"])),
        ("getblockheader", json!([tip, 1])),
        ("getblockfilter", json!([nowhere])),
        ("getrawtransaction", json!([nothing])),
        ("getrawtransaction", json!([nothing, 1])),
        ("getrawtransaction", json!(["00"])),
        ("gettxout", json!(["00", 0])),
        ("nosuchmethod", json!([])),
    ];
    for (method, params) in refused {
        pair.same(method, params).unwrap_err();
    }
    for path in [
        format!("/rest/block/{nowhere}.bin"),
        "/rest/block/zz.bin".to_owned(),
        format!("/rest/headers/0/{tip}.bin"),
        format!("/rest/headers/2001/{tip}.bin"),
        format!("/rest/headers/5/{nowhere}.bin"),
        "/rest/headers/5/zz.bin".to_owned(),
        format!("/rest/blockfilter/basic/{nowhere}.bin"),
        "/rest/blockfilter/basic/zz.bin".to_owned(),
        format!("/rest/tx/{nothing}.bin"),
        "/rest/tx/zz.bin".to_owned(),
    ] {
        pair.same_rest(&path);
    }
}

#[test]
pub(crate) fn both_versions_of_json_rpc_are_answered_as_core_answers_them() {
    let pair = Pair::start();
    for version in [
        json!({"jsonrpc": "2.0"}),
        json!({"version": "1.1"}),
        json!({}),
    ] {
        for (method, params) in [
            ("getblockcount", json!([])),
            ("getblockhash", json!([99_999])),
            ("nosuchmethod", json!([])),
        ] {
            let mut body = json!({"id": 7, "method": method, "params": params});
            for (name, value) in version.as_object().unwrap() {
                body[name] = value.clone();
            }
            pair.same_raw(&body);
        }
    }
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "getblockcount", "params": []},
        {"jsonrpc": "2.0", "id": 2, "method": "getblockhash", "params": [0]},
        {"jsonrpc": "2.0", "id": 3, "method": "getblockhash", "params": [99_999]}
    ]);
    pair.same_raw(&batch);
}
