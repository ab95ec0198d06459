//! Behaviour of broadcasting: once is enough, twice is no harm, and nothing wrong gets through.

use bitcoin::consensus::encode;
use bitcoin::{Amount, ScriptBuf, Transaction};
use btc::{BitcoinError, BitcoinInterface, BitcoinResult, BitcoinTransaction, ErrorKind};
use btc_regtest::Chain;
use btc_tests::{Change, Outcome, failure};
use serde_json::json;

pub(crate) const CASES: &[(&str, Change)] = &[
    ("broadcast_returns_the_txid_and_the_node_has_it", accepted),
    ("broadcast_again_is_success", again),
    ("broadcast_after_it_was_mined_is_success", after_mined),
    (
        "broadcast_after_it_was_mined_and_spent_is_success",
        after_mined_and_spent,
    ),
    (
        "broadcast_of_what_only_the_index_knows_is_rejected",
        after_abandoned,
    ),
    ("broadcast_of_a_double_spend_is_rejected", double_spend),
    ("broadcast_with_another_txid_is_invalid_input", tampered),
    (
        "broadcast_with_a_wrong_signature_is_rejected",
        bad_signature,
    ),
    ("broadcast_of_unknown_coins_is_rejected", unknown_coins),
    ("broadcast_keeps_the_nodes_limits", limits),
    ("broadcast_of_a_shapeless_transaction", shapeless),
    ("broadcast_of_an_oversized_transaction", oversized),
];

/// On a node that only knows its mempool.
pub(crate) const CASES_WITHOUT_INDEX: &[(&str, Change)] = &[
    ("broadcast_again_without_index_is_success", again),
    (
        "broadcast_after_it_was_mined_without_index_is_success",
        after_mined,
    ),
    (
        "broadcast_of_a_double_spend_without_index_is_rejected",
        double_spend,
    ),
];

/// Enough that most of it as a fee is absurd.
const ANCHOR_VALUE: Amount = Amount::from_sat(90_000_000);

/// The interface's form of a transaction, by the decoder that callers use.
pub(crate) fn plain(transaction: &Transaction) -> BitcoinTransaction {
    btc::rust::decode_transaction(&encode::serialize(transaction))
        .expect("rust-bitcoin's own bytes are canonical")
}

fn accepted(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let transaction = plain(&chain.spend_one()?);
    let txid = bitcoin.broadcast_transaction(&transaction)?;
    assert_eq!(txid, transaction.txid.to_string());
    assert!(is_in_mempool(chain, &transaction)?);
    Ok(())
}

fn again(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let transaction = plain(&chain.spend_one()?);
    let first = bitcoin.broadcast_transaction(&transaction)?;
    assert_eq!(bitcoin.broadcast_transaction(&transaction)?, first);
    assert!(is_in_mempool(chain, &transaction)?);
    Ok(())
}

fn after_mined(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let transaction = plain(&chain.spend_one()?);
    let first = bitcoin.broadcast_transaction(&transaction)?;
    chain.mine(1)?;
    assert_eq!(bitcoin.broadcast_transaction(&transaction)?, first);
    assert!(!is_in_mempool(chain, &transaction)?);
    Ok(())
}

/// Without coins left to recognise it by, Core calls it a spend of coins that are not there.
fn after_mined_and_spent(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let (parent, vout) = anchor(chain, bitcoin)?;
    let mut spend = anchor_spend(&parent, vout);
    spend.output[0].script_pubkey = ScriptBuf::new_op_return([0; 40]);
    chain.mine_transactions(std::slice::from_ref(&spend))?;
    // One has change left and the other nothing: two ways for Core to refuse.
    for mined in [parent, plain(&spend)] {
        let txid = bitcoin.broadcast_transaction(&mined)?;
        assert_eq!(txid, mined.txid.to_string());
    }
    Ok(())
}

/// The index remembers it, but it is neither in the chain nor in the mempool: that is not success.
fn after_abandoned(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let original = chain.spend_one()?;
    chain.mine_transactions(std::slice::from_ref(&original))?;
    let conflict = chain.double_spend(&original)?;
    chain.disconnect(1)?;
    chain.mine_transactions(&[conflict])?;
    chain.mine_empty(1)?;
    let txid = original.compute_txid().to_string();
    assert_eq!(bitcoin.get_transaction(&txid)?.block_hash, None);
    let refused = bitcoin.broadcast_transaction(&plain(&original));
    failure(
        refused,
        ErrorKind::Rejected,
        "its coin is spent by another, whatever the index says",
    );
    Ok(())
}

fn double_spend(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let cheap = chain.spend_one()?;
    let dear = chain.double_spend(&cheap)?;
    bitcoin.broadcast_transaction(&plain(&dear))?;
    // It pays less than what it would replace.
    let error = rejected(bitcoin.broadcast_transaction(&plain(&cheap)));
    assert!(error.message().contains("insufficient fee"), "{error}");
    chain.mine(1)?;
    let error = rejected(bitcoin.broadcast_transaction(&plain(&cheap)));
    assert!(error.message().contains("missingorspent"), "{error}");
    assert!(
        error
            .to_string()
            .contains(&cheap.compute_txid().to_string())
            || bitcoin.implementation_type() == btc::BitcoinImplementationType::Python
    );
    Ok(())
}

fn tampered(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let (honest, other) = (plain(&chain.spend_one()?), plain(&chain.spend_one()?));
    let other_txid = BitcoinTransaction {
        txid: other.txid,
        ..honest.clone()
    };
    let other_witness = BitcoinTransaction {
        wtxid: other.wtxid,
        ..honest.clone()
    };
    let mut with_amount = honest.clone();
    with_amount.outputs[0].value_sat -= 1;
    let mut without_witness = honest.clone();
    for input in &mut without_witness.inputs {
        input.script_sig = ScriptBuf::new();
        input.witness = bitcoin::Witness::new();
    }
    for (what, tampered) in [
        ("another txid", other_txid),
        ("another wtxid", other_witness),
        ("another amount", with_amount),
        ("no signature", without_witness),
    ] {
        let error = failure(
            bitcoin.broadcast_transaction(&tampered),
            ErrorKind::InvalidInput,
            what,
        );
        assert!(error.message().contains("does not belong"), "{error}");
    }
    assert!(!is_in_mempool(chain, &honest)?, "nothing may be sent");
    // Only the two identifiers are claims that must hold; the sizes are facts for the reader.
    let with_size = BitcoinTransaction {
        size: 1,
        weight: 1,
        ..honest.clone()
    };
    bitcoin.broadcast_transaction(&with_size)?;
    assert!(is_in_mempool(chain, &honest)?);
    Ok(())
}

fn bad_signature(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let mut transaction = chain.spend_one()?;
    transaction.output[0].value -= Amount::ONE_SAT;
    let broken = plain(&transaction);
    rejected(bitcoin.broadcast_transaction(&broken));
    assert!(!is_in_mempool(chain, &broken)?);
    Ok(())
}

fn unknown_coins(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let mut transaction = chain.spend_one()?;
    transaction.input[0].previous_output.vout = 77;
    let error = rejected(bitcoin.broadcast_transaction(&plain(&transaction)));
    assert!(error.message().contains("missingorspent"), "{error}");
    Ok(())
}

/// An absurd fee, and money burnt: Core refuses both unless told otherwise, and nobody tells it.
fn limits(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let (parent, vout) = anchor(chain, bitcoin)?;
    let mut absurd = anchor_spend(&parent, vout);
    absurd.output[0].value = Amount::from_sat(10_000);
    let error = rejected(bitcoin.broadcast_transaction(&plain(&absurd)));
    assert!(error.message().contains("Fee exceeds"), "{error}");
    let mut burning = anchor_spend(&parent, vout);
    burning.output[0].script_pubkey = ScriptBuf::new_op_return([7; 32]);
    let error = rejected(bitcoin.broadcast_transaction(&plain(&burning)));
    assert!(error.message().contains("Unspendable"), "{error}");
    // With neither, it is taken.
    bitcoin.broadcast_transaction(&plain(&anchor_spend(&parent, vout)))?;
    Ok(())
}

fn shapeless(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let honest = chain.spend_one()?;
    let mut no_inputs = honest.clone();
    no_inputs.input.clear();
    let mut no_outputs = honest.clone();
    no_outputs.output.clear();
    let mut too_much = honest.clone();
    too_much.output[0].value = Amount::MAX_MONEY + Amount::ONE_SAT;
    let mut twice = honest;
    twice.input.push(twice.input[0].clone());

    let answer = bitcoin.broadcast_transaction(&expected(&no_inputs));
    failure(answer, ErrorKind::InvalidInput, "no inputs");
    for (what, transaction) in [
        ("no outputs", no_outputs),
        ("more than there is", too_much),
        ("the same coin twice", twice),
    ] {
        let answer = bitcoin.broadcast_transaction(&expected(&transaction));
        failure(answer, ErrorKind::Rejected, what);
    }
    Ok(())
}

fn oversized(chain: &mut Chain<'_>, bitcoin: &dyn BitcoinInterface) -> Outcome {
    let mut transaction = chain.spend_one()?;
    transaction.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x51; 4_000_000]);
    let answer = bitcoin.broadcast_transaction(&expected(&transaction));
    let error = failure(answer, ErrorKind::InvalidInput, "more than 4,000,000 bytes");
    assert!(error.message().contains("4,000,000"), "{error}");
    // Within that, the node decides.
    transaction.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x51; 900_000]);
    rejected(bitcoin.broadcast_transaction(&expected(&transaction)));
    Ok(())
}

/// The interface's form of what no decoder would take.
fn expected(transaction: &Transaction) -> BitcoinTransaction {
    btc_tests::to_plain(transaction, None)
}

/// A confirmed transaction with an output that anyone may spend, and that output's number.
fn anchor(
    chain: &mut Chain<'_>,
    bitcoin: &dyn BitcoinInterface,
) -> Result<(BitcoinTransaction, u32), Box<dyn std::error::Error + Send + Sync>> {
    let script = ScriptBuf::new_p2a();
    let txid = chain.pay(&[(script.clone(), ANCHOR_VALUE)], 2)?;
    chain.mine(1)?;
    let parent = bitcoin.get_transaction(&txid.to_string())?;
    let mut outputs = parent.outputs.iter();
    let place = outputs.position(|output| output.script_pubkey == script);
    Ok((parent.clone(), u32::try_from(place.ok_or("no anchor")?)?))
}

/// Pays it on, at a common fee.
fn anchor_spend(parent: &BitcoinTransaction, vout: u32) -> Transaction {
    const FEE: Amount = Amount::from_sat(1_000);
    Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![bitcoin::TxIn {
            previous_output: bitcoin::OutPoint {
                txid: parent.txid,
                vout,
            },
            ..Default::default()
        }],
        output: vec![bitcoin::TxOut {
            value: ANCHOR_VALUE - FEE,
            script_pubkey: ScriptBuf::new_p2wsh(&ScriptBuf::new().wscript_hash()),
        }],
    }
}

fn is_in_mempool(
    chain: &Chain<'_>,
    transaction: &BitcoinTransaction,
) -> Result<bool, btc_regtest::NodeError> {
    let mempool: Vec<String> = chain.node().call("getrawmempool", &[json!(false)])?;
    Ok(mempool.contains(&transaction.txid.to_string()))
}

#[track_caller]
fn rejected(result: BitcoinResult<String>) -> BitcoinError {
    failure(result, ErrorKind::Rejected, "the node's refusal")
}
