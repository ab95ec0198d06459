//! What a test can do to the simulated node and not to Bitcoin Core.

use std::sync::{Arc, Mutex};

use bitcoin::consensus::encode;
use btc_regtest::sim::{Fate, Moment, SimNode, coins};
use serde_json::{Value, json};

use crate::pair::{exchange, get, login, post};

fn call(node: &SimNode, method: &str, params: &Value) -> Option<Value> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: node\r\nAuthorization: {}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        login(&node.cookie_file()),
        body.len()
    );
    let (_, bytes) = exchange(&node.rpc_url(), &request)?;
    serde_json::from_slice(&bytes).ok()
}

#[test]
fn an_answer_is_lost_before_or_after_the_effect() {
    let node = SimNode::builder().start().unwrap();
    for (lost, arrives) in [(Moment::Before, false), (Moment::After, true)] {
        let coin = node.open_coins()[0];
        let rest = coin.value.to_sat() - 1_000;
        let payment = coins::spend(&[coin], vec![coins::output(1, rest)], 2);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        node.set_tap(Some(Box::new(move |call, moment| {
            log.lock().unwrap().push((call.name.clone(), moment));
            let is_it = call.name == "sendrawtransaction" && moment == lost;
            if is_it { Fate::Drop } else { Fate::Proceed }
        })));
        let params = json!([encode::serialize_hex(&payment)]);
        assert_eq!(call(&node, "sendrawtransaction", &params), None);
        assert_eq!(node.is_waiting(payment.compute_txid()), arrives);
        let asked = seen.lock().unwrap().len();
        assert_eq!(asked, if arrives { 2 } else { 1 });
        node.set_tap(None);
    }
}

#[test]
fn a_node_warms_up_and_its_mempool_loads() {
    let node = SimNode::builder().start().unwrap();
    node.warm_up(2);
    for _ in 0..2 {
        let said = call(&node, "getblockcount", &json!([])).unwrap();
        assert_eq!(said["error"]["code"], -28);
    }
    assert_eq!(
        call(&node, "getblockcount", &json!([])).unwrap()["result"],
        110
    );
    node.warm_up(1);
    let (_, tip) = node.tip();
    let path = format!("/rest/block/{tip}.bin");
    assert_eq!(get(&node.rpc_url(), &path).0, 503);
    assert_eq!(get(&node.rpc_url(), &path).0, 200);
    node.unload(1);
    for is_loaded in [false, true] {
        let said = call(&node, "getmempoolinfo", &json!([])).unwrap();
        assert_eq!(said["result"]["loaded"], is_loaded);
    }
}

#[test]
fn a_restart_changes_the_cookie_and_may_forget_the_mempool() {
    let node = SimNode::builder().start().unwrap();
    let coin = node.open_coins()[0];
    let rest = coin.value.to_sat() - 1_000;
    let payment = coins::spend(&[coin], vec![coins::output(1, rest)], 2);
    node.submit(&payment).unwrap();
    let before = login(&node.cookie_file());
    node.restart(true).unwrap();
    let body = json!({"id": 1, "method": "getblockcount", "params": []});
    assert_eq!(post(&node.rpc_url(), &before, &body).0, 401);
    let after = login(&node.cookie_file());
    assert_eq!(post(&node.rpc_url(), &after, &body).0, 200);
    assert_eq!(node.mempool().len(), 1);
    node.restart(false).unwrap();
    assert!(node.mempool().is_empty());
    node.set_down(true);
    assert_eq!(call(&node, "getblockcount", &json!([])), None);
    node.set_down(false);
    assert!(call(&node, "getblockcount", &json!([])).is_some());
}

#[test]
fn eviction_takes_families_and_a_raised_minimum_what_pays_less() {
    let node = SimNode::builder().start().unwrap();
    let mut spent = node.open_coins()[0];
    let mut family = Vec::new();
    for number in 1..=3 {
        let rest = spent.value.to_sat() - 500;
        let payment = coins::spend(&[spent], vec![coins::output(number, rest)], 2);
        let txid = node.submit(&payment).unwrap();
        family.push(payment);
        spent = coins::OpenCoin {
            outpoint: bitcoin::OutPoint { txid, vout: 0 },
            value: bitcoin::Amount::from_sat(rest),
            number,
        };
    }
    let second = family[1].compute_txid();
    assert_eq!(node.evict(&[second]), 2);
    assert_eq!(node.mempool().len(), 1);
    for payment in &family {
        node.submit(payment).unwrap();
    }
    let dear = node.open_coins()[0];
    let rest = dear.value.to_sat() - 100_000;
    let dear = coins::spend(&[dear], vec![coins::output(9, rest)], 2);
    node.submit(&dear).unwrap();
    let gone = node.raise_minimum(10_000);
    assert_eq!(gone.len(), 3);
    assert!(node.is_waiting(dear.compute_txid()));
    assert_eq!(node.min_sat_per_kvb(), 10_000);
    let refused = node.submit(&family[0]).unwrap_err().to_string();
    assert!(refused.contains("mempool min fee not met"), "{refused}");
    node.lower_minimum();
    node.submit(&family[0]).unwrap();
}

#[test]
fn thousands_of_nodes_start_in_a_minute() {
    let begun = std::time::Instant::now();
    let count = 300;
    for _ in 0..count {
        let node = SimNode::builder().start().unwrap();
        assert!(call(&node, "getblockcount", &json!([])).is_some());
        node.mine(coins::script(0)).unwrap();
    }
    let each = begun.elapsed() / count;
    println!("{each:?} for a node with one call and one block");
    assert!(each.as_millis() < 20, "{each:?} each");
}
