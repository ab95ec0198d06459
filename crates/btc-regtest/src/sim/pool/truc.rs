//! The rules of version 3 transactions (BIP431).

use std::collections::{BTreeSet, HashSet};

use bitcoin::{Transaction, Txid, Wtxid};

use super::Pool;

/// The version that asks for these rules.
const TRUC_VERSION: i32 = 3;
/// The largest such transaction, and the largest with an unconfirmed parent, in vB.
const MAX_VB: u64 = 10_000;
const CHILD_MAX_VB: u64 = 1_000;

/// What a transaction breaks, and the sibling that could go in its stead.
pub(super) struct Violation {
    pub(super) details: String,
    pub(super) sibling: Option<Txid>,
}

impl Violation {
    fn new(details: String) -> Self {
        Self {
            details,
            sibling: None,
        }
    }
}

/// Judges a transaction by its parents in the pool.
pub(super) fn check(
    pool: &Pool,
    transaction: &Transaction,
    parents: &BTreeSet<Txid>,
    conflicts: &HashSet<Txid>,
    size_vb: u64,
) -> Result<(), Violation> {
    let (txid, wtxid) = (transaction.compute_txid(), transaction.compute_wtxid());
    let is_truc = transaction.version.0 == TRUC_VERSION;
    for parent in parents.iter().filter_map(|txid| pool.get(txid)) {
        let parent_is = parent.transaction.version.0 == TRUC_VERSION;
        if is_truc != parent_is {
            let (ours, theirs) = if is_truc {
                ("version=3", "non-version=3")
            } else {
                ("non-version=3", "version=3")
            };
            return Err(Violation::new(format!(
                "{ours} tx {txid} (wtxid={wtxid}) cannot spend from {theirs} tx {} (wtxid={})",
                parent.txid, parent.wtxid
            )));
        }
    }
    if !is_truc {
        return Ok(());
    }
    if size_vb > MAX_VB {
        return Err(Violation::new(format!(
            "version=3 tx {txid} (wtxid={wtxid}) is too big: {size_vb} > {MAX_VB} virtual bytes"
        )));
    }
    let too_many = || format!("tx {txid} (wtxid={wtxid}) would have too many ancestors");
    let Some(parent) = parents.first().copied() else {
        return Ok(());
    };
    if parents.len() > 1 || pool.with_ancestors([parent]).len() > 1 {
        return Err(Violation::new(too_many()));
    }
    if size_vb > CHILD_MAX_VB {
        return Err(Violation::new(format!(
            "version=3 child tx {txid} (wtxid={wtxid}) is too big: {size_vb} > {CHILD_MAX_VB} \
             virtual bytes"
        )));
    }
    let family = pool.with_descendants([parent]);
    let siblings: Vec<Txid> = family.into_iter().filter(|it| *it != parent).collect();
    if siblings.is_empty() || siblings.iter().any(|it| conflicts.contains(it)) {
        return Ok(());
    }
    let sibling = match siblings.as_slice() {
        [only] if pool.with_ancestors([*only]).len() == 2 => Some(*only),
        _ => None,
    };
    Err(Violation {
        details: format!(
            "tx {parent} (wtxid={}) would exceed descendant count limit",
            wtxid_of(pool, parent)
        ),
        sibling,
    })
}

/// Judges the transactions of a package among each other: one parent, one child, one version.
pub(super) fn check_package(pool: &Pool, package: &[Transaction]) -> Result<(), String> {
    for (number, transaction) in package.iter().enumerate() {
        let (txid, wtxid) = (transaction.compute_txid(), transaction.compute_wtxid());
        let is_truc = transaction.version.0 == TRUC_VERSION;
        let spends = |other: &Transaction, txid: Txid| {
            let mut inputs = other.input.iter();
            inputs.any(|input| input.previous_output.txid == txid)
        };
        let inside: Vec<&Transaction> = package[..number]
            .iter()
            .filter(|other| spends(transaction, other.compute_txid()))
            .collect();
        for parent in &inside {
            let parent_is = parent.version.0 == TRUC_VERSION;
            if parent_is != is_truc {
                let (ours, theirs) = if is_truc {
                    ("version=3", "non-version=3")
                } else {
                    ("non-version=3", "version=3")
                };
                return Err(format!(
                    "{ours} tx {txid} (wtxid={wtxid}) cannot spend from {theirs} tx {} (wtxid={})",
                    parent.compute_txid(),
                    parent.compute_wtxid()
                ));
            }
        }
        let outside = pool.parents_of(transaction).len();
        let has_child = package[number + 1..]
            .iter()
            .any(|other| spends(other, txid));
        if is_truc && (inside.len() + outside > 1 || (outside + inside.len() > 0 && has_child)) {
            return Err(format!(
                "tx {txid} (wtxid={wtxid}) would have too many ancestors"
            ));
        }
    }
    Ok(())
}

fn wtxid_of(pool: &Pool, txid: Txid) -> Wtxid {
    pool.get(&txid)
        .map(|entry| entry.wtxid)
        .expect("the parent was found in the pool")
}
