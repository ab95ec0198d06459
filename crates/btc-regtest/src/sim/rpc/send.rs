//! Calls that hand transactions over, or ask whether they would be taken.

use bitcoin::consensus::encode;
use bitcoin::hex::FromHex;
use bitcoin::{Transaction, Txid};
use serde_json::Value;

use super::{Params, mempool};
use crate::sim::journal::Deed;
use crate::sim::json::{Answer, Btc, Object, RpcError, answer, code};
use crate::sim::pool::{Judge, RefusalKind, TxResult, submit};
use crate::sim::world::World;

/// The rate above which Core refuses unless told otherwise: 0.10 BTC/kvB.
const MAX_SAT_PER_KVB: u64 = 10_000_000;
/// How many transactions a package may have.
const MAX_PACKAGE: usize = 25;

pub(super) fn send(world: &mut World, params: &Params<'_>) -> Answer {
    let text = params.text(0, "hexstring")?;
    let max_rate = mempool::rate(params, 1, MAX_SAT_PER_KVB)?;
    let max_burnt = mempool::rate(params, 2, 0)?;
    let transaction = decode(text).ok_or_else(|| {
        let message = "TX decode failed. Make sure the tx has at least one input.";
        RpcError::new(code::DESERIALIZATION, message)
    })?;
    let sent = hand_over(world, &transaction, max_rate, max_burnt);
    let refusal = sent.as_ref().err();
    let refusal = refusal.map(|error| (error.code, error.message.clone()));
    let deed = Deed::Sent(Box::new(transaction), refusal);
    world.journal.push(deed);
    answer(sent?)
}

/// What `sendrawtransaction` does with a transaction.
pub(in crate::sim) fn hand_over(
    world: &mut World,
    transaction: &Transaction,
    max_rate: u64,
    max_burnt: u64,
) -> Result<Txid, RpcError> {
    check_burnt(transaction, max_burnt)?;
    let txid = transaction.compute_txid();
    if world.blocks.has_output_of(txid, transaction.output.len()) {
        let message = "Transaction outputs already in utxo set";
        return Err(RpcError::new(code::ALREADY_IN_CHAIN, message));
    }
    if world.pool.get(&txid).is_some() {
        return Ok(txid);
    }
    let judge = Judge::new(&world.pool, &world.blocks, world.now_secs);
    let accepted = judge.judge(transaction).map_err(|refusal| {
        let code = match refusal.kind {
            RefusalKind::MissingInputs => code::TRANSACTION,
            _ => code::REJECTED,
        };
        RpcError::new(code, refusal.to_string())
    })?;
    let size_vb = transaction.vsize() as u64;
    let max_fee = max_rate.saturating_mul(size_vb).div_ceil(1_000);
    if max_fee > 0 && accepted.entry.fee_sat > max_fee {
        let message = "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)";
        return Err(RpcError::new(code::TRANSACTION, message));
    }
    world
        .accept(transaction)
        .map(|_| txid)
        .map_err(|refusal| RpcError::new(code::REJECTED, refusal.to_string()))
}

fn check_burnt(transaction: &Transaction, max_burnt: u64) -> Result<(), RpcError> {
    let is_burnt = transaction
        .output
        .iter()
        .any(|output| output.script_pubkey.is_op_return() && output.value.to_sat() > max_burnt);
    if is_burnt {
        let message = "Unspendable output exceeds maximum configured by user (maxburnamount)";
        return Err(RpcError::new(code::TRANSACTION, message));
    }
    Ok(())
}

pub(super) fn test(world: &World, params: &Params<'_>) -> Answer {
    let package = package(params, "rawtxs")?;
    let max_rate = mempool::rate(params, 1, MAX_SAT_PER_KVB)?;
    let [transaction] = package.as_slice() else {
        let message = "the simulated node tests one transaction at a time";
        return Err(RpcError::new(code::INVALID_PARAMETER, message));
    };
    let shown = Object::default()
        .with("txid", transaction.compute_txid())
        .with("wtxid", transaction.compute_wtxid());
    let judged = Judge::new(&world.pool, &world.blocks, world.now_secs).judge(transaction);
    let shown = match judged {
        Ok(accepted) => {
            let entry = accepted.entry;
            let max_fee = max_rate.saturating_mul(entry.size_vb).div_ceil(1_000);
            if max_fee > 0 && entry.fee_sat > max_fee {
                shown
                    .with("allowed", false)
                    .with("reject-reason", "max-fee-exceeded")
            } else {
                let fees = Object::default()
                    .with("base", Btc(entry.fee_sat))
                    .with(
                        "effective-feerate",
                        Btc(entry.fee_sat * 1_000 / entry.size_vb),
                    )
                    .with("effective-includes", [entry.wtxid]);
                shown
                    .with("allowed", true)
                    .with("vsize", entry.size_vb)
                    .with("fees", fees)
            }
        }
        Err(refusal) if refusal.kind == RefusalKind::MissingInputs => shown
            .with("allowed", false)
            .with("reject-reason", "missing-inputs"),
        Err(refusal) => shown
            .with("allowed", false)
            .with("reject-reason", &refusal.reason)
            .with("reject-details", refusal.to_string()),
    };
    answer([shown])
}

pub(super) fn submit_package(world: &mut World, params: &Params<'_>) -> Answer {
    let package = package(params, "package")?;
    let max_rate = mempool::rate(params, 1, MAX_SAT_PER_KVB)?;
    let max_burnt = mempool::rate(params, 2, 0)?;
    for transaction in &package {
        check_burnt(transaction, max_burnt)?;
    }
    if package.len() > 1 && !is_child_with_parents(&package) {
        let message = "package topology disallowed. not child-with-parents or parents depend on \
                       each other.";
        return Err(RpcError::new(code::TRANSACTION, message));
    }
    let outcome = submit(
        &mut world.pool,
        &world.blocks,
        world.now_secs,
        &package,
        max_rate,
    );
    world.pool.expire(world.now_secs);
    let is_taken = outcome.message == "success";
    let mut results = Object::default();
    for (transaction, result) in package.iter().zip(&outcome.results) {
        let shown = Object::default().with("txid", transaction.compute_txid());
        let shown = match result {
            TxResult::Taken {
                entry,
                effective: (fee_sat, size_vb),
                includes,
            } => shown.with("vsize", entry.size_vb).with(
                "fees",
                Object::default()
                    .with("base", Btc(entry.fee_sat))
                    .with("effective-feerate", Btc(fee_sat * 1_000 / size_vb))
                    .with("effective-includes", includes),
            ),
            TxResult::Known { size_vb, fee_sat } => shown
                .with("vsize", size_vb)
                .with("fees", Object::default().with("base", Btc(*fee_sat))),
            TxResult::OtherWitness(wtxid) => shown.with("other-wtxid", wtxid),
            TxResult::Refused(refusal) => shown.with("error", refusal.to_string()),
        };
        results = results.with(transaction.compute_wtxid().to_string(), shown);
    }
    world.journal.push(Deed::Package(package, is_taken));
    answer(
        Object::default()
            .with("package_msg", outcome.message)
            .with("tx-results", results)
            .with("replaced-transactions", outcome.replaced),
    )
}

fn package(params: &Params<'_>, name: &str) -> Result<Vec<Transaction>, RpcError> {
    let count = params.get(0).and_then(Value::as_array).map_or(1, Vec::len);
    if !(1..=MAX_PACKAGE).contains(&count) {
        let message = format!("Array must contain between 1 and {MAX_PACKAGE} transactions.");
        return Err(RpcError::new(code::INVALID_PARAMETER, message));
    }
    let texts = params.texts(0, name)?;
    let decoded = texts.into_iter().map(|text| {
        decode(text).ok_or_else(|| {
            let message =
                format!("TX decode failed: {text} Make sure the tx has at least one input.");
            RpcError::new(code::DESERIALIZATION, message)
        })
    });
    decoded.collect()
}

/// Whether the last one spends each of the others, and none of these another.
fn is_child_with_parents(package: &[Transaction]) -> bool {
    let Some((child, parents)) = package.split_last() else {
        return false;
    };
    let txids: Vec<Txid> = parents.iter().map(Transaction::compute_txid).collect();
    let spends = |transaction: &Transaction, txid: &Txid| {
        let mut inputs = transaction.input.iter();
        inputs.any(|input| input.previous_output.txid == *txid)
    };
    txids.iter().all(|txid| spends(child, txid))
        && parents
            .iter()
            .all(|parent| !txids.iter().any(|txid| spends(parent, txid)))
}

fn decode(text: &str) -> Option<Transaction> {
    let bytes = Vec::from_hex(text).ok()?;
    let transaction: Transaction = encode::deserialize(&bytes).ok()?;
    (!transaction.input.is_empty()).then_some(transaction)
}
