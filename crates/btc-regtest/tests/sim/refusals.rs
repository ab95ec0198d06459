//! Transactions that are refused: the same code and the same words, one rule after the other.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode;
use bitcoin::hashes::Hash;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::Builder;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Txid};
use btc_regtest::sim::{OpenCoin, coins};
use serde_json::json;

use crate::pair::{Pair, note};

fn output_of(txid: Txid, vout: u32, number: u32, value_sat: u64) -> OpenCoin {
    OpenCoin {
        outpoint: OutPoint { txid, vout },
        value: Amount::from_sat(value_sat),
        number,
    }
}

/// Both `testmempoolaccept` and `sendrawtransaction` refuse it alike; returns Core's words.
#[track_caller]
fn refused(pair: &Pair, transaction: &Transaction) -> (i64, String) {
    let hex = encode::serialize_hex(transaction);
    let tested = pair.same("testmempoolaccept", json!([[hex]])).unwrap();
    assert_eq!(tested[0]["allowed"], false, "{tested}");
    note(format!("testmempoolaccept: {}", tested[0]["reject-reason"]));
    pair.send(transaction).unwrap_err()
}

fn paying(coin: OpenCoin, fee_sat: u64) -> Transaction {
    let rest = coin.value.to_sat() - fee_sat;
    coins::spend(&[coin], vec![coins::output(1, rest)], 2)
}

#[test]
pub(crate) fn what_is_wrong_with_a_transaction_alone() {
    let pair = Pair::start();
    let coin = pair.coin();
    let good = paying(coin, 1_000);
    let second = pair.sim.open_coins()[1];
    let changed = |change: &dyn Fn(&mut Transaction)| {
        let mut other = good.clone();
        change(&mut other);
        other
    };
    let data = |length: usize| TxOut {
        value: Amount::ZERO,
        script_pubkey: Builder::new()
            .push_opcode(OP_RETURN)
            .push_slice(bitcoin::script::PushBytesBuf::try_from(vec![1; length]).unwrap())
            .into_script(),
    };
    let cases: [(&str, Transaction); 14] = [
        ("version 0", changed(&|it| it.version.0 = 0)),
        ("version 4", changed(&|it| it.version.0 = 4)),
        ("no outputs", changed(&|it| it.output.clear())),
        (
            "the same input twice",
            changed(&|it| it.input.push(it.input[0].clone())),
        ),
        (
            "an unknown input",
            changed(&|it| it.input[0].previous_output.txid = Txid::all_zeros()),
        ),
        (
            "an output that does not exist",
            changed(&|it| it.input[0].previous_output.vout = 7),
        ),
        (
            "more out than in",
            changed(&|it| it.output[0].value += Amount::from_sat(1_001)),
        ),
        (
            "more than there is",
            changed(&|it| it.output[0].value = Amount::from_sat(2_100_000_000_000_001)),
        ),
        (
            "not final",
            changed(&|it| it.lock_time = LockTime::from_height(500).unwrap()),
        ),
        (
            "too young an input",
            changed(&|it| it.input[0].sequence = Sequence::from_height(500)),
        ),
        (
            "an input too young by time",
            changed(&|it| {
                it.input[0].previous_output = second.outpoint;
                it.input[0].sequence = Sequence::from_512_second_intervals(4_000);
            }),
        ),
        ("dust", changed(&|it| it.output.push(coins::output(2, 329)))),
        (
            "a script that is not standard",
            changed(&|it| it.output[0].script_pubkey = ScriptBuf::from(vec![0x51])),
        ),
        (
            "too small",
            changed(&|it| {
                it.output = vec![data(1)];
            }),
        ),
    ];
    for (what, transaction) in &cases {
        let said = refused(&pair, transaction);
        println!("{what}: {said:?}");
    }
    // What is below the minimum, and what is above the caller's own limit.
    refused(&pair, &paying(coin, 5));
    let dear = paying(coin, 20_000_000);
    let tested = pair
        .same("testmempoolaccept", json!([[encode::serialize_hex(&dear)]]))
        .unwrap();
    assert_eq!(tested[0]["reject-reason"], "max-fee-exceeded");
    pair.send(&dear).unwrap_err();
    // Burnt money, unless the caller says so.
    let mut burnt = good.clone();
    burnt.output.push(TxOut {
        value: Amount::from_sat(5),
        ..data(20)
    });
    burnt.output[0].value -= Amount::from_sat(5);
    pair.send(&burnt).unwrap_err();
    // A young coinbase.
    let young = pair.sim.blocks_from(pair.sim.tip().0)[0].block.txdata[0].clone();
    let reward = output_of(young.compute_txid(), 0, 0, young.output[0].value.to_sat());
    refused(&pair, &paying(reward, 1_000));
    // And the good one is taken.
    let tested = pair
        .same("testmempoolaccept", json!([[encode::serialize_hex(&good)]]))
        .unwrap();
    assert_eq!(tested[0]["allowed"], true);
    pair.taken(&good);
    pair.assert_same_state();
}

#[test]
pub(crate) fn bytes_that_are_no_transaction() {
    let pair = Pair::start();
    for hex in ["", "00", "zz", "0200000000", &"00".repeat(40)] {
        pair.same("sendrawtransaction", json!([hex])).unwrap_err();
        pair.same("testmempoolaccept", json!([[hex]])).unwrap_err();
    }
    pair.same("sendrawtransaction", json!([5])).unwrap_err();
    pair.same("testmempoolaccept", json!([[]])).unwrap_err();
    pair.same("testmempoolaccept", json!(["00"])).unwrap_err();
}

#[test]
pub(crate) fn what_is_known_already() {
    let pair = Pair::start();
    let payment = paying(pair.coin(), 1_000);
    pair.taken(&payment);
    let hex = encode::serialize_hex(&payment);
    let tested = pair.same("testmempoolaccept", json!([[hex]])).unwrap();
    assert_eq!(tested[0]["reject-reason"], "txn-already-in-mempool");
    pair.taken(&payment);
    // The same with another witness.
    let mut other = payment.clone();
    other.input[0].witness.push([1]);
    let hex = encode::serialize_hex(&other);
    let tested = pair.same("testmempoolaccept", json!([[hex]])).unwrap();
    let reason = "txn-same-nonwitness-data-in-mempool";
    assert_eq!(tested[0]["reject-reason"], reason);
    pair.taken(&other);
    pair.mine();
    let said = pair.send(&payment).unwrap_err();
    assert_eq!(said.0, -27);
    let hex = encode::serialize_hex(&payment);
    let tested = pair.same("testmempoolaccept", json!([[hex]])).unwrap();
    assert_eq!(tested[0]["reject-reason"], "txn-already-known");
    // Mined, and its output spent again: only its inputs are missed.
    let spent = output_of(
        payment.compute_txid(),
        0,
        1,
        payment.output[0].value.to_sat(),
    );
    pair.taken(&paying(spent, 1_000));
    pair.mine();
    assert_eq!(refused(&pair, &payment).0, -25);
}

#[test]
pub(crate) fn a_replacement_pays_for_what_it_replaces() {
    let pair = Pair::start();
    let coin = pair.coin();
    let first = paying(coin, 1_000);
    let first_id = pair.taken(&first);
    let child = coins::spend(
        &[output_of(first_id, 0, 1, first.output[0].value.to_sat())],
        vec![coins::output(9, first.output[0].value.to_sat() - 5_000)],
        2,
    );
    pair.taken(&child);
    pair.assert_same_state();
    let size_vb = first.vsize() as u64;
    let relay = size_vb.div_ceil(10);
    let with_fee = |fee_sat: u64| {
        let rest = coin.value.to_sat() - fee_sat;
        coins::spend(&[coin], vec![coins::output(2, rest)], 2)
    };
    // Less than both, as much as both, one short of the relay.
    refused(&pair, &with_fee(5_999));
    refused(&pair, &with_fee(6_000));
    refused(&pair, &with_fee(6_000 + relay - 1));
    pair.taken(&with_fee(6_000 + relay));
    assert_eq!(pair.sim.mempool().len(), 1);
    pair.assert_same_state();
    // A large one pays more in all and less for its size.
    let mut outputs: Vec<TxOut> = (0..40)
        .map(|number| coins::output(number, 10_000))
        .collect();
    outputs.push(coins::output(50, coin.value.to_sat() - 400_000 - 8_000));
    refused(&pair, &coins::spend(&[coin], outputs, 2));
    // Without signalling, a transaction is replaced all the same.
    let other = pair.coin();
    let mut silent = paying(other, 1_000);
    silent.input[0].sequence = Sequence::MAX;
    pair.taken(&silent);
    pair.taken(&paying(other, 2_000));
    pair.assert_same_state();
    // What spends an output of what it replaces.
    let waiting = with_fee(6_000 + relay);
    let from = output_of(
        waiting.compute_txid(),
        0,
        2,
        waiting.output[0].value.to_sat(),
    );
    let both = coins::spend(
        &[coin, from],
        vec![coins::output(3, coin.value.to_sat())],
        2,
    );
    refused(&pair, &both);
}

#[test]
pub(crate) fn chains_end_at_sixty_four() {
    let pair = Pair::start();
    let mut coin = pair.coin();
    for number in 0..64 {
        let next = coins::spend(
            &[coin],
            vec![coins::output(number, coin.value.to_sat() - 1_000)],
            2,
        );
        let txid = pair.taken(&next);
        coin = output_of(txid, 0, number, coin.value.to_sat() - 1_000);
    }
    let said = refused(&pair, &paying(coin, 1_000));
    assert!(said.1.contains("too-large-cluster"), "{said:?}");
    pair.assert_same_state();
}

#[test]
pub(crate) fn version_three_keeps_its_rules() {
    let pair = Pair::start();
    let coin = pair.coin();
    let half = coin.value.to_sat() / 2;
    let parent = coins::spend(
        &[coin],
        vec![coins::output(1, half), coins::output(2, half - 1_000)],
        3,
    );
    let parent_id = pair.taken(&parent);
    let [one, two] = [
        output_of(parent_id, 0, 1, half),
        output_of(parent_id, 1, 2, half - 1_000),
    ];
    // A child of another version, and the reverse.
    refused(
        &pair,
        &coins::spend(&[one], vec![coins::output(3, half - 1_000)], 2),
    );
    let plain = paying(pair.coin(), 1_000);
    let plain_id = pair.taken(&plain);
    let of_plain = output_of(plain_id, 0, 1, plain.output[0].value.to_sat());
    refused(
        &pair,
        &coins::spend(&[of_plain], vec![coins::output(3, half)], 3),
    );
    // Both parents.
    refused(
        &pair,
        &coins::spend(&[one, of_plain], vec![coins::output(3, half)], 3),
    );
    // A child that is too large.
    let many: Vec<TxOut> = (0..40)
        .map(|number| coins::output(number, 10_000))
        .collect();
    let mut large = coins::spend(&[one], many, 3);
    large
        .output
        .push(coins::output(60, half - 400_000 - 20_000));
    refused(&pair, &large);
    // One child; its sibling goes if the other one pays for it; a grandchild never comes.
    let child = coins::spend(&[one], vec![coins::output(3, half - 1_000)], 3);
    let child_id = pair.taken(&child);
    refused(
        &pair,
        &coins::spend(&[two], vec![coins::output(4, half - 2_000)], 3),
    );
    let sibling = coins::spend(&[two], vec![coins::output(4, half - 4_000)], 3);
    let grandchild = coins::spend(
        &[output_of(child_id, 0, 3, half - 1_000)],
        vec![coins::output(5, half - 3_000)],
        3,
    );
    refused(&pair, &grandchild);
    pair.taken(&sibling);
    pair.assert_same_state();
}
