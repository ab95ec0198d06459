//! Packages: a parent that pays too little comes with its child.

use bitcoin::consensus::encode;
use bitcoin::{Amount, OutPoint, Transaction, Txid};
use btc_regtest::sim::{OpenCoin, SimNode, coins};
use serde_json::json;

use crate::pair::{Pair, builder};

fn output_of(txid: Txid, vout: u32, number: u32, value_sat: u64) -> OpenCoin {
    OpenCoin {
        outpoint: OutPoint { txid, vout },
        value: Amount::from_sat(value_sat),
        number,
    }
}

#[track_caller]
fn submit(pair: &Pair, package: &[&Transaction]) -> serde_json::Value {
    let hex: Vec<String> = package
        .iter()
        .map(|it| encode::serialize_hex(*it))
        .collect();
    pair.same("submitpackage", json!([hex])).unwrap()
}

fn family(coin: OpenCoin, parent_fee: u64, child_fee: u64) -> (Transaction, Transaction) {
    let value = coin.value.to_sat();
    let parent = coins::spend(&[coin], vec![coins::output(1, value - parent_fee)], 2);
    let child = coins::spend(
        &[output_of(parent.compute_txid(), 0, 1, value - parent_fee)],
        vec![coins::output(2, value - parent_fee - child_fee)],
        2,
    );
    (parent, child)
}

#[test]
pub(crate) fn a_child_pays_for_its_parent() {
    let options = SimNode::builder().min_relay(1_000);
    let core = builder().arg("-minrelaytxfee=0.00001");
    let pair = Pair::with(options, core);
    let (parent, child) = family(pair.coin(), 10, 2_000);
    pair.send(&parent).unwrap_err();
    let said = submit(&pair, &[&parent, &child]);
    assert_eq!(said["package_msg"], "success");
    pair.assert_same_state();
    // The same again, and each alone.
    submit(&pair, &[&parent, &child]);
    submit(&pair, &[&child]);
    // Too little together.
    let (parent, child) = family(pair.coin(), 10, 20);
    let said = submit(&pair, &[&parent, &child]);
    assert_ne!(said["package_msg"], "success");
    // A parent that stands on its own, and a child that does not.
    let (parent, child) = family(pair.coin(), 2_000, 10);
    submit(&pair, &[&parent, &child]);
    pair.assert_same_state();
    // One that is alone and pays too little; one that is invalid.
    let (parent, child) = family(pair.coin(), 10, 2_000);
    submit(&pair, &[&parent]);
    submit(&pair, &[&child]);
    let mut wrong = parent.clone();
    wrong.version.0 = 9;
    submit(&pair, &[&wrong]);
    // Two that are no family.
    let (other, _) = family(pair.coin(), 3_000, 10);
    let hex = [&other, &child].map(encode::serialize_hex);
    pair.same("submitpackage", json!([hex])).unwrap_err();
    pair.same("submitpackage", json!([[]])).unwrap_err();
    pair.same("submitpackage", json!([["00"]])).unwrap_err();
    pair.assert_same_state();
}

#[test]
pub(crate) fn a_package_replaces_what_pays_less() {
    let options = SimNode::builder().min_relay(1_000);
    let core = builder().arg("-minrelaytxfee=0.00001");
    let pair = Pair::with(options, core);
    let coin = pair.coin();
    let value = coin.value.to_sat();
    let first = coins::spend(&[coin], vec![coins::output(7, value - 1_000)], 2);
    pair.taken(&first);
    let (parent, child) = family(coin, 10, 500);
    let said = submit(&pair, &[&parent, &child]);
    assert_ne!(said["package_msg"], "success");
    let (parent, child) = family(coin, 10, 5_000);
    let said = submit(&pair, &[&parent, &child]);
    assert_eq!(said["package_msg"], "success", "{said}");
    pair.assert_same_state();
}
