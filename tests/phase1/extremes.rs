//! Transactions with values at both ends of every field, which no chain of ours holds, read and sent.

use bitcoin::consensus::encode;
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, absolute,
    transaction,
};
use btc_tests::{Backend, FakeNode, Outcome, Reply, Suite, assert_same, healthy, only, to_plain};
use serde_json::json;

pub(crate) fn add(suite: &mut Suite) {
    for backend in Backend::REAL {
        suite.add(
            format!("extremes::are_read_and_sent::{}", backend.name()),
            move || read_and_sent(backend),
        );
    }
}

fn read_and_sent(backend: Backend) -> Outcome {
    let node = FakeNode::start(healthy);
    let bitcoin = backend.connect(&node.config())?;
    for (what, transaction) in extremes() {
        let expected = to_plain(&transaction, None);
        let hex = encode::serialize_hex(&transaction);
        node.set(only(
            "getrawtransaction",
            Reply::Result(json!({"hex": hex})),
        ));
        let answer = bitcoin.get_transaction(&expected.txid.to_string())?;
        assert_same(answer.clone(), &expected, what);

        let txid = expected.txid.to_string();
        node.set(only("sendrawtransaction", Reply::Result(json!(txid))));
        assert_eq!(bitcoin.broadcast_transaction(&answer)?, txid, "{what}");
        let sent = node.requests().pop().ok_or("it was asked")?;
        assert_eq!(sent.params[0], *hex, "{what}: other bytes were sent");
    }
    Ok(())
}

fn extremes() -> Vec<(&'static str, Transaction)> {
    let plain = plain();
    let with = |change: &dyn Fn(&mut Transaction)| {
        let mut transaction = plain.clone();
        change(&mut transaction);
        transaction
    };
    let lock_time = |value| {
        with(&|t: &mut Transaction| t.lock_time = absolute::LockTime::from_consensus(value))
    };
    let version = |value| with(&|t: &mut Transaction| t.version = transaction::Version(value));
    let sequence = |value| with(&|t: &mut Transaction| t.input[0].sequence = Sequence(value));
    let value = |sat| with(&|t: &mut Transaction| t.output[0].value = Amount::from_sat(sat));
    let vout = |n| with(&|t: &mut Transaction| t.input[0].previous_output.vout = n);
    let script = |bytes: usize| {
        with(&|t: &mut Transaction| {
            t.input[0].script_sig = ScriptBuf::from_bytes(vec![0x6a; bytes]);
            t.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0xff; bytes]);
        })
    };
    let counts = |count: usize| {
        with(&|t: &mut Transaction| {
            t.input = vec![t.input[0].clone(); count];
            t.output = vec![t.output[0].clone(); count];
        })
    };
    let witness = |items: &[Vec<u8>]| {
        with(&|t: &mut Transaction| t.input[0].witness = Witness::from_slice(items))
    };
    vec![
        ("plain", plain.clone()),
        ("lock time 0", lock_time(0)),
        ("lock time below the border", lock_time(499_999_999)),
        ("lock time 2^31", lock_time(1 << 31)),
        ("lock time 2^32 - 1", lock_time(u32::MAX)),
        ("version 0", version(0)),
        ("version -1", version(-1)),
        ("version 2^31 - 1", version(i32::MAX)),
        ("version -2^31", version(i32::MIN)),
        ("sequence 0", sequence(0)),
        ("sequence 2^31", sequence(1 << 31)),
        ("sequence 2^32 - 1", sequence(u32::MAX)),
        ("value 0", value(0)),
        ("value 2^53 + 1", value((1 << 53) + 1)),
        ("value of all coins", value(Amount::MAX_MONEY.to_sat())),
        ("value 2^63 - 1", value(i64::MAX.unsigned_abs())),
        ("value 2^63", value(1 << 63)),
        ("value 2^64 - 1", value(u64::MAX)),
        ("output 2^31", vout(1 << 31)),
        ("output 2^32 - 1", vout(u32::MAX)),
        ("scripts of 0 bytes", script(0)),
        ("scripts of 252 bytes", script(252)),
        ("scripts of 253 bytes", script(253)),
        ("scripts of 65,536 bytes", script(65_536)),
        ("252 of each", counts(252)),
        ("253 of each", counts(253)),
        ("an empty witness item", witness(&[vec![]])),
        ("300 witness items", witness(&vec![vec![1, 2]; 300])),
        ("a long witness item", witness(&[vec![9; 70_000], vec![]])),
        (
            "a witness on the second input only",
            with(&|t: &mut Transaction| {
                t.input.push(t.input[0].clone());
                t.input[1].witness = Witness::from_slice(&[[7; 64]]);
            }),
        ),
        ("no outputs", with(&|t: &mut Transaction| t.output.clear())),
    ]
}

fn plain() -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint {
                // All different, so that an order of bytes cannot hide.
                txid: Txid::from_byte_array(std::array::from_fn(|n| n.to_le_bytes()[0])),
                vout: 1,
            },
            ..Default::default()
        }],
        output: vec![TxOut {
            value: Amount::from_sat(1),
            script_pubkey: ScriptBuf::new_p2a(),
        }],
    }
}
