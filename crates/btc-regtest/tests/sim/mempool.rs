//! Calls about the mempool: entries, relatives, summaries, estimates.

use bitcoin::{OutPoint, Txid};
use btc_regtest::sim::{OpenCoin, coins};
use serde_json::json;

use crate::pair::Pair;

fn output_of(txid: Txid, vout: u32, number: u32, value_sat: u64) -> OpenCoin {
    OpenCoin {
        outpoint: OutPoint { txid, vout },
        value: bitcoin::Amount::from_sat(value_sat),
        number,
    }
}

#[test]
pub(crate) fn a_family_of_transactions_is_told_as_core_tells_it() {
    let pair = Pair::start();
    let coin = pair.coin();
    // A parent that pays little, two children of which one pays much, and a grandchild of both.
    let parent = coins::spend(
        &[coin],
        vec![
            coins::output(1, 1_000_000),
            coins::output(2, 1_000_000),
            coins::output(3, coin.value.to_sat() - 2_000_100),
        ],
        2,
    );
    let parent_id = pair.taken(&parent);
    let first = coins::spend(
        &[output_of(parent_id, 0, 1, 1_000_000)],
        vec![coins::output(4, 990_000)],
        2,
    );
    let first_id = pair.taken(&first);
    let second = coins::spend(
        &[output_of(parent_id, 1, 2, 1_000_000)],
        vec![coins::output(5, 999_900)],
        2,
    );
    let second_id = pair.taken(&second);
    let last = coins::spend(
        &[
            output_of(first_id, 0, 4, 990_000),
            output_of(second_id, 0, 5, 999_900),
        ],
        vec![coins::output(6, 1_980_000)],
        2,
    );
    let last_id = pair.taken(&last);
    pair.assert_same_state();
    for txid in [parent_id, first_id, second_id, last_id] {
        pair.same("getmempoolentry", json!([txid])).unwrap();
        pair.same("getmempoolancestors", json!([txid])).unwrap();
        pair.same("getmempoolancestors", json!([txid, true]))
            .unwrap();
        pair.same("getmempooldescendants", json!([txid])).unwrap();
        pair.same("getmempooldescendants", json!([txid, true]))
            .unwrap();
        pair.same("getrawtransaction", json!([txid, 1])).unwrap();
        pair.same_rest(&format!("/rest/tx/{txid}.bin"));
        pair.same("gettxout", json!([txid, 0])).unwrap();
    }
    let cluster = pair.same("getmempoolcluster", json!([parent_id])).unwrap();
    assert_eq!(cluster["txcount"], 4);
    pair.same(
        "gettxspendingprevout",
        json!([[{"txid": parent_id, "vout": 0}, {"txid": last_id, "vout": 0}]]),
    )
    .unwrap();
    pair.same("getrawmempool", json!([])).unwrap();
    pair.same("getrawmempool", json!([false, true])).unwrap();
    let info = pair.same("getmempoolinfo", json!([])).unwrap();
    for name in [
        "loaded",
        "bytes",
        "mempoolminfee",
        "minrelaytxfee",
        "incrementalrelayfee",
    ] {
        assert!(!info[name].is_null(), "{name} is read by the wallets");
    }
    let unknown = Txid::from_raw_hash(bitcoin::hashes::Hash::all_zeros());
    pair.same("getmempoolentry", json!([unknown])).unwrap_err();
    pair.same("getmempoolancestors", json!([unknown]))
        .unwrap_err();
    pair.same("getmempooldescendants", json!([unknown]))
        .unwrap_err();
    pair.same("getmempoolcluster", json!([unknown]))
        .unwrap_err();
    pair.same("getmempoolentry", json!(["ff"])).unwrap_err();
    pair.mine();
    pair.same("getmempoolentry", json!([last_id])).unwrap_err();
}

#[test]
pub(crate) fn estimates_are_those_of_a_node_that_knows_nothing() {
    let pair = Pair::start();
    pair.same("estimatesmartfee", json!([6, "economical"]))
        .unwrap();
    pair.same("estimatesmartfee", json!([1])).unwrap();
    pair.same("estimatesmartfee", json!([0])).unwrap_err();
    pair.same("estimatesmartfee", json!([1009])).unwrap_err();
    pair.same("estimatesmartfee", json!(["6"])).unwrap_err();
}

#[test]
pub(crate) fn transactions_wait_for_fourteen_days() {
    let pair = Pair::start();
    let coin = pair.coin();
    let value = coin.value.to_sat();
    let parent = coins::spend(&[coin], vec![coins::output(1, value - 1_000)], 2);
    let parent_id = pair.taken(&parent);
    pair.sim.advance(14 * 24 * 3600 - 60);
    pair.mirror();
    let other = pair.coin();
    let later = coins::spend(&[other], vec![coins::output(2, value - 1_000)], 2);
    pair.taken(&later);
    let child = coins::spend(
        &[output_of(parent_id, 0, 1, value - 1_000)],
        vec![coins::output(3, value - 3_000)],
        2,
    );
    pair.taken(&child);
    pair.assert_same_state();
    pair.sim.advance(120);
    pair.mirror();
    assert_eq!(
        pair.sim.mempool().len(),
        3,
        "ages are looked at when something comes"
    );
    pair.assert_same_state();
    let last = coins::spend(&[pair.coin()], vec![coins::output(4, value - 1_000)], 2);
    pair.taken(&last);
    assert_eq!(
        pair.sim.mempool().len(),
        2,
        "the child went with its parent"
    );
    pair.assert_same_state();
}
