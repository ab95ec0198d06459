//! Where two answers differ: the paths, the values shown, and how many.

use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::rust_bitcoin::{BlockHash, OutPoint, ScriptBuf, Txid, Witness, Wtxid};
use btc_iface::{BitcoinTransaction, TransactionOutput};
use btc_shadow::compare::{Balance, Compare, Difference, Differences, FeeRate, Height};

use crate::samples::transaction;

fn differences<T: Compare>(primary: &T, secondary: &T) -> Vec<Difference> {
    let mut found = Differences::default();
    primary.compare(secondary, &mut found);
    found.into_vec()
}

/// The only difference between the sample and a changed copy of it.
fn only(change: impl FnOnce(&mut BitcoinTransaction)) -> Difference {
    let mut changed = transaction();
    change(&mut changed);
    let mut found = differences(&transaction(), &changed);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn every_field_of_a_transaction_has_its_path_and_shows_both_values() {
    type Change = fn(&mut BitcoinTransaction);
    let other_id = "09".repeat(32);
    let cases: [(&str, &str, &str, Change); 13] = [
        ("txid", &"07".repeat(32), &other_id, |t| {
            t.txid = Txid::from_byte_array([9; 32]);
        }),
        ("wtxid", &"08".repeat(32), &other_id, |t| {
            t.wtxid = Wtxid::from_byte_array([9; 32]);
        }),
        ("version", "2", "-1", |t| t.version = -1),
        ("lock_time", "0", "5", |t| t.lock_time = 5),
        (
            "inputs[1].previous_output",
            &format!("{}:2", "02".repeat(32)),
            &format!("{other_id}:3"),
            |t| {
                t.inputs[1].previous_output = OutPoint::new(Txid::from_byte_array([9; 32]), 3);
            },
        ),
        ("inputs[1].script_sig", "02", "00ff", |t| {
            t.inputs[1].script_sig = ScriptBuf::from_bytes(vec![0, 255]);
        }),
        ("inputs[0].sequence", "4294967295", "0", |t| {
            t.inputs[0].sequence = 0;
        }),
        ("inputs[0].witness[1]", "0101", "0102", |t| {
            t.inputs[0].witness = Witness::from_slice(&[vec![1], vec![1, 2]]);
        }),
        ("outputs[1].value_sat", "2000", "2001", |t| {
            t.outputs[1].value_sat = 2_001;
        }),
        ("outputs[0].script_pubkey", "51", "", |t| {
            t.outputs[0].script_pubkey = ScriptBuf::new();
        }),
        ("size", "200", "201", |t| t.size = 201),
        ("weight", "600", "601", |t| t.weight = 601),
        ("block_hash", "none", &other_id, |t| {
            t.block_hash = Some(BlockHash::from_byte_array([9; 32]));
        }),
    ];
    for (path, primary, secondary, change) in cases {
        let expected = Difference {
            path: path.to_owned(),
            primary: primary.to_owned(),
            secondary: secondary.to_owned(),
            // Only the place in the chain changes with the tip.
            tip: path == "block_hash",
        };
        assert_eq!(only(change), expected);
    }
}

#[test]
fn lists_of_other_lengths_are_compared_as_far_as_both_go() {
    let mut changed = transaction();
    changed.outputs[0].value_sat = 9;
    changed.outputs.pop();
    changed.inputs[1].witness.push([0]);
    let found = differences(&transaction(), &changed);
    let shown: Vec<_> = found
        .iter()
        .map(|found| {
            (
                found.path.as_str(),
                found.primary.as_str(),
                found.secondary.as_str(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("inputs[1].witness.length", "2", "3"),
            ("outputs.length", "2", "1"),
            ("outputs[0].value_sat", "1000", "9"),
        ]
    );
}

#[test]
fn a_path_in_a_block_begins_with_the_transactions_place() {
    let mut changed = transaction();
    changed.outputs[0].value_sat = 9;
    let block = vec![transaction(), transaction(), changed];
    let twin = vec![transaction(); 3];
    let found = differences(&twin, &block);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, "[2].outputs[0].value_sat");
    let shorter = differences(&twin, &twin[..1].to_vec());
    assert_eq!(shorter[0].path, "length");
    assert_eq!(
        (shorter[0].primary.as_str(), shorter[0].secondary.as_str()),
        ("3", "1")
    );
}

#[test]
fn facts_that_one_side_did_not_learn_are_no_difference() {
    let with = |fee_sat, block_height| BitcoinTransaction {
        fee_sat,
        block_height,
        ..transaction()
    };
    let unknown = with(None, None);
    let known = with(Some(10), Some(100));
    assert_eq!(differences(&unknown, &known), []);
    assert_eq!(differences(&known, &unknown), []);
    let fee = differences(&known, &with(Some(11), Some(100)));
    assert_eq!((fee[0].path.as_str(), fee[0].tip), ("fee_sat", false));
    let height = differences(&known, &with(Some(10), Some(101)));
    assert_eq!(
        (height[0].path.as_str(), height[0].tip),
        ("block_height", true)
    );
}

#[test]
fn numbers_that_follow_the_tip_say_so() {
    let found = [
        differences(&Height(1), &Height(2)),
        differences(&FeeRate(1), &FeeRate(2)),
        differences(&Balance(1), &Balance(2)),
    ];
    let paths = found.map(|found| {
        assert_eq!(found.len(), 1);
        assert!(found[0].tip);
        (found[0].path.clone(), found[0].primary.clone())
    });
    let path = |name: &str| (name.to_owned(), "1".to_owned());
    assert_eq!(
        paths,
        [path("height"), path("sat_per_vb"), path("balance_sat")]
    );
    assert_eq!(differences(&Height(3), &Height(3)), []);
}

#[test]
fn a_long_value_is_cut_after_120_characters_and_says_how_long_it_was() {
    let script = |bytes: usize| {
        only(|t| t.outputs[0].script_pubkey = ScriptBuf::from_bytes(vec![0xab; bytes])).secondary
    };
    assert_eq!(script(60), "ab".repeat(60));
    assert_eq!(script(61), format!("{}… (122 bytes)", "ab".repeat(60)));
    assert_eq!(
        script(10_000),
        format!("{}… (20000 bytes)", "ab".repeat(60))
    );
}

#[test]
fn no_more_than_16_differences_are_kept_and_they_are_the_first() {
    let with = |value_sat| BitcoinTransaction {
        outputs: vec![
            TransactionOutput {
                value_sat,
                script_pubkey: ScriptBuf::new(),
            };
            40
        ],
        ..transaction()
    };
    let paths: Vec<_> = differences(&with(1), &with(2))
        .into_iter()
        .map(|found| found.path)
        .collect();
    let first: Vec<_> = (0..16)
        .map(|index| format!("outputs[{index}].value_sat"))
        .collect();
    assert_eq!(paths, first);
}
