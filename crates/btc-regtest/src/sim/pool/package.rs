//! Packages: parents and a child that are judged together (`submitpackage`).

use std::collections::HashSet;

use bitcoin::{OutPoint, Transaction, Txid, Wtxid};

use super::accept::{Accepted, Judge, Refusal, RefusalKind};
use super::{Entry, Pool, replace, truc};
use crate::sim::chain::{Blocks, Coin};

/// What became of one transaction of a package.
#[derive(Debug, Clone)]
pub(in crate::sim) enum TxResult {
    /// Taken, with the fee and size of all that were judged together with it.
    Taken {
        entry: Box<Entry>,
        effective: (u64, u64),
        includes: Vec<Wtxid>,
    },
    /// It was there already.
    Known { size_vb: u64, fee_sat: u64 },
    /// It was there with another witness.
    OtherWitness(Wtxid),
    /// Refused.
    Refused(Refusal),
}

/// What became of a package.
#[derive(Debug, Clone)]
pub(in crate::sim) struct PackageResult {
    /// `success`, or what is wrong with all of it.
    pub(in crate::sim) message: String,
    /// In the order given; empty when it was not looked at one by one.
    pub(in crate::sim) results: Vec<TxResult>,
    pub(in crate::sim) replaced: Vec<Txid>,
}

/// Judges a package and takes what can be taken.
pub(in crate::sim) fn submit(
    pool: &mut Pool,
    blocks: &Blocks,
    now_secs: u64,
    package: &[Transaction],
    max_sat_per_kvb: u64,
) -> PackageResult {
    let mut outcome = PackageResult {
        message: "success".to_owned(),
        results: Vec::new(),
        replaced: Vec::new(),
    };
    let mut waiting: Vec<usize> = Vec::new();
    let mut is_over = false;
    for transaction in package {
        let txid = transaction.compute_txid();
        let known = pool
            .get(&txid)
            .map(|entry| (entry.wtxid, entry.size_vb, entry.fee_sat));
        let result = match known {
            Some((wtxid, size_vb, fee_sat)) if wtxid == transaction.compute_wtxid() => {
                TxResult::Known { size_vb, fee_sat }
            }
            Some((wtxid, ..)) => TxResult::OtherWitness(wtxid),
            None => {
                let judged = Judge::new(pool, blocks, now_secs)
                    .judge(transaction)
                    .and_then(|accepted| within(accepted, max_sat_per_kvb));
                match judged {
                    Ok(accepted) => {
                        outcome.replaced.extend(&accepted.replaced);
                        taken_alone(pool, accepted)
                    }
                    Err(refusal) => {
                        if package.len() > 1 && refusal.kind != RefusalKind::Other {
                            waiting.push(outcome.results.len());
                        } else {
                            is_over = true;
                        }
                        TxResult::Refused(refusal)
                    }
                }
            }
        };
        outcome.results.push(result);
    }
    if is_over {
        "transaction failed".clone_into(&mut outcome.message);
    } else if !waiting.is_empty() {
        together(pool, blocks, now_secs, package, &waiting, &mut outcome);
    }
    outcome
}

fn within(accepted: Accepted, max_sat_per_kvb: u64) -> Result<Accepted, Refusal> {
    let entry = &accepted.entry;
    let fee = u128::from(entry.fee_sat) * 1_000;
    if max_sat_per_kvb > 0 && fee > u128::from(max_sat_per_kvb) * u128::from(entry.size_vb) {
        return Err(Refusal::other("max feerate exceeded"));
    }
    Ok(accepted)
}

fn taken_alone(pool: &mut Pool, accepted: Accepted) -> TxResult {
    let entry = accepted.entry;
    pool.remove(&accepted.replaced);
    pool.insert(entry.clone());
    TxResult::Taken {
        effective: (entry.fee_sat, entry.size_vb),
        includes: vec![entry.wtxid],
        entry: Box::new(entry),
    }
}

/// Judges those that failed on their own for their fee or for a parent that failed.
fn together(
    pool: &mut Pool,
    blocks: &Blocks,
    now_secs: u64,
    package: &[Transaction],
    waiting: &[usize],
    outcome: &mut PackageResult,
) {
    if let [_] = waiting {
        "transaction failed".clone_into(&mut outcome.message);
        return;
    }
    let mut judge = Judge::new(pool, blocks, now_secs);
    judge.is_package = true;
    let mut accepted: Vec<Accepted> = Vec::new();
    for number in waiting {
        let transaction = &package[*number];
        match judge.judge(transaction) {
            Ok(taken) => {
                let txid = taken.entry.txid;
                for (vout, output) in (0..).zip(&transaction.output) {
                    let coin = Coin {
                        output: output.clone(),
                        height: blocks.height() + 1,
                        is_coinbase: false,
                    };
                    judge.made.insert(OutPoint { txid, vout }, coin);
                }
                accepted.push(taken);
            }
            Err(refusal) => {
                "transaction failed".clone_into(&mut outcome.message);
                outcome.results[*number] = TxResult::Refused(refusal);
                return;
            }
        }
    }
    let inside: Vec<Transaction> = waiting.iter().map(|it| package[*it].clone()).collect();
    if let Err(details) = truc::check_package(pool, &inside) {
        outcome.message = format!("TRUC-violation, {details}");
        return;
    }
    let fee_sat: u64 = accepted.iter().map(|it| it.entry.fee_sat).sum();
    let size_vb: u64 = accepted.iter().map(|it| it.entry.size_vb).sum();
    let last = *waiting.last().expect("there are two or more");
    if let Err(refusal) = judge.check_minimum(fee_sat, size_vb) {
        "transaction failed".clone_into(&mut outcome.message);
        outcome.results[last] = TxResult::Refused(refusal);
        return;
    }
    let going: HashSet<Txid> = accepted
        .iter()
        .flat_map(|it| it.replaced.iter().copied())
        .collect();
    let entries: Vec<&Entry> = accepted.iter().map(|it| &it.entry).collect();
    if !going.is_empty()
        && let Err(message) = check_replacement(pool, &judge, &entries, &going, (fee_sat, size_vb))
    {
        outcome.message = message;
        return;
    }
    if judge.check_cluster(&entries, &going).is_err() {
        "too-large-cluster".clone_into(&mut outcome.message);
        return;
    }
    let includes: Vec<Wtxid> = entries.iter().map(|entry| entry.wtxid).collect();
    pool.remove(&going);
    outcome.replaced.extend(going);
    for (number, taken) in waiting.iter().zip(accepted) {
        pool.insert(taken.entry.clone());
        outcome.results[*number] = TxResult::Taken {
            entry: Box::new(taken.entry),
            effective: (fee_sat, size_vb),
            includes: includes.clone(),
        };
    }
}

/// The rules of a package that replaces something: one parent, one child, nothing above them.
fn check_replacement(
    pool: &Pool,
    judge: &Judge<'_>,
    entries: &[&Entry],
    going: &HashSet<Txid>,
    (fee_sat, size_vb): (u64, u64),
) -> Result<(), String> {
    let [parent, child] = entries else {
        return Err("package RBF failed: package must be 1-parent-1-child".to_owned());
    };
    let has_ancestors = |entry: &Entry| !pool.parents_of(&entry.transaction).is_empty();
    if has_ancestors(parent) || has_ancestors(child) {
        let message = "package RBF failed: new transaction cannot have mempool ancestors";
        return Err(message.to_owned());
    }
    replace::pays_for(pool, child.txid, (fee_sat, size_vb), going)
        .map_err(|details| format!("package RBF failed: insufficient anti-DoS fees, {details}"))?;
    let package = u128::from(fee_sat) * u128::from(parent.size_vb);
    if package <= u128::from(parent.fee_sat) * u128::from(size_vb) {
        return Err(
            "package RBF failed: package feerate is less than or equal to parent feerate"
                .to_owned(),
        );
    }
    judge
        .check_diagram(entries, going)
        .map_err(|details| format!("package RBF failed: {details}"))
}
