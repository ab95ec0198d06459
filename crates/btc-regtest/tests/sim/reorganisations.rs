//! Blocks that are taken back: what waits again, and what does not.

use bitcoin::{Amount, OutPoint, Txid};
use btc_regtest::sim::{OpenCoin, coins};
use serde_json::json;

use crate::pair::Pair;

fn output_of(txid: Txid, vout: u32, number: u32, value_sat: u64) -> OpenCoin {
    OpenCoin {
        outpoint: OutPoint { txid, vout },
        value: Amount::from_sat(value_sat),
        number,
    }
}

#[test]
fn what_was_undone_waits_again() {
    let pair = Pair::start();
    let coin = pair.coin();
    let value = coin.value.to_sat();
    let first = coins::spend(&[coin], vec![coins::output(1, value - 1_000)], 2);
    let first_id = pair.taken(&first);
    pair.mine();
    let second = coins::spend(
        &[output_of(first_id, 0, 1, value - 1_000)],
        vec![coins::output(2, value - 2_000)],
        2,
    );
    let second_id = pair.taken(&second);
    pair.mine();
    let third = coins::spend(
        &[output_of(second_id, 0, 2, value - 2_000)],
        vec![coins::output(3, value - 3_000)],
        2,
    );
    pair.taken(&third);
    let stale = pair.sim.tip().1;
    // Two empty blocks take the place of one: what was in it waits, and so does what spends it.
    pair.sim.reorganise(1, vec![], &coins::script(0)).unwrap();
    pair.mirror();
    pair.assert_same_state();
    assert_eq!(pair.sim.mempool().len(), 2);
    pair.same("getrawtransaction", json!([second_id, 1]))
        .unwrap();
    pair.same("getblockheader", json!([stale])).unwrap();
    pair.same("getblock", json!([stale, 0])).unwrap();
    let (height, _) = pair.sim.tip();
    pair.same_rest(&format!("/rest/headers/5/{stale}.bin"));
    pair.same_rest(&format!("/rest/block/{stale}.bin"));
    pair.same_rest(&format!("/rest/blockfilter/basic/{stale}.bin"));
    pair.same("getblockhash", json!([height])).unwrap();
    // A rival in the new branch ends the whole family.
    let rival = coins::spend(&[coin], vec![coins::output(7, value - 9_000)], 2);
    pair.sim
        .reorganise(4, vec![vec![rival]], &coins::script(0))
        .unwrap();
    pair.mirror();
    pair.assert_same_state();
    assert!(pair.sim.mempool().is_empty());
    // What was mined in the undone branch only is known to the index, and not confirmed.
    pair.same("getrawtransaction", json!([first_id, 1]))
        .unwrap();
    pair.same("getrawtransaction", json!([second_id, 1]))
        .unwrap();
    pair.send(&second).unwrap_err();
}

#[test]
fn of_two_branches_with_the_same_work_the_first_stays() {
    let pair = Pair::start();
    let (_, fork) = pair.sim.tip();
    let coin = pair.coin();
    let value = coin.value.to_sat();
    let payment = coins::spend(&[coin], vec![coins::output(1, value - 1_000)], 2);
    pair.taken(&payment);
    pair.mine();
    let tip = pair.sim.tip();
    let rival = pair.sim.assemble(fork, vec![], coins::script(5)).unwrap();
    let rival_hash = pair.sim.submit_block(rival).unwrap();
    pair.mirror();
    assert_eq!(pair.sim.tip(), tip);
    pair.assert_same_state();
    pair.same("getblockheader", json!([rival_hash])).unwrap();
    pair.same_rest(&format!("/rest/blockfilter/basic/{rival_hash}.bin"));
    pair.same("getblockfilter", json!([rival_hash]))
        .unwrap_err();
    let next = pair
        .sim
        .assemble(rival_hash, vec![], coins::script(5))
        .unwrap();
    pair.sim.submit_block(next).unwrap();
    pair.mirror();
    pair.assert_same_state();
    assert!(pair.sim.is_waiting(payment.compute_txid()));
}

#[test]
fn invalidated_blocks_come_back() {
    let pair = Pair::start();
    let coin = pair.coin();
    let value = coin.value.to_sat();
    let mut spent = coin;
    for number in 1..=12 {
        let payment = coins::spend(
            &[spent],
            vec![coins::output(number, spent.value.to_sat() - 1_000)],
            2,
        );
        let txid = pair.taken(&payment);
        spent = output_of(txid, 0, number, value - u64::from(number) * 1_000);
        pair.mine();
    }
    let (height, _) = pair.sim.tip();
    let three = pair.sim.hash_at(height - 2).unwrap();
    pair.sim.invalidate(three).unwrap();
    pair.mirror();
    pair.assert_same_state();
    assert_eq!(pair.sim.mempool().len(), 3);
    pair.sim.reconsider(three).unwrap();
    pair.mirror();
    pair.assert_same_state();
    assert!(pair.sim.mempool().is_empty());
    // From the eleventh on, Core lets them go.
    let twelve = pair.sim.hash_at(height - 11).unwrap();
    pair.sim.invalidate(twelve).unwrap();
    pair.mirror();
    pair.assert_same_state();
    pair.sim.reconsider(twelve).unwrap();
    pair.mirror();
    pair.assert_same_state();
}

#[test]
fn a_reward_that_is_young_again_takes_its_spenders_along() {
    let pair = Pair::start();
    let coins_now = pair.sim.open_coins();
    let newest = *coins_now.last().unwrap();
    let value = newest.value.to_sat();
    let payment = coins::spend(&[newest], vec![coins::output(1, value - 1_000)], 2);
    pair.taken(&payment);
    let (height, _) = pair.sim.tip();
    let below = pair.sim.hash_at(height).unwrap();
    pair.sim.invalidate(below).unwrap();
    pair.mirror();
    pair.assert_same_state();
    assert!(pair.sim.mempool().is_empty(), "the reward is young again");
}
