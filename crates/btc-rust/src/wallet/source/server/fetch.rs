//! Fetching the transactions of histories, as far as they concern the wallet.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bitcoin::secp256k1::Secp256k1;
use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};

use super::{HistoryServer, Memory, Trouble, ask, signed};
use crate::wallet::source::Follower;

/// The most bytes of transactions that are fetched in one look.
const MAX_BYTES: usize = 1 << 30;
/// How many unconfirmed transactions that the wallet does not have are fetched in one look, and how
/// many bytes of them. Anyone can make them up; others are fetched in the next one.
const MAX_UNCONFIRMED: usize = 2_000;
const MAX_UNCONFIRMED_BYTES: usize = 32 << 20;
/// Transactions fetched at once.
const BATCH: usize = 50;
/// How many transactions are remembered that do not concern the wallet.
const MAX_FOREIGN: usize = 100_000;

/// Fetches the transactions that the wallet does not have, and takes those out that have nothing
/// to do with it: such as spend what was paid before the birthday, or were made up. None of those
/// is kept. Of too many unconfirmed ones, some are left out for this time.
pub(super) fn fetch<S: HistoryServer>(
    server: &S,
    memory: &mut Memory,
    wanted: &mut Vec<(Txid, Option<u32>)>,
    follower: &dyn Follower,
) -> Result<(), Trouble> {
    let counted: HashSet<Txid> = follower.unconfirmed().into_iter().collect();
    let is_missing =
        |txid: &Txid| !counted.contains(txid) && !memory.transactions.contains_key(txid);
    let (confirmed, unconfirmed): (Vec<_>, Vec<_>) = wanted
        .iter()
        .filter(|(txid, _)| is_missing(txid))
        .partition(|(_, height)| height.is_some());
    let txids = |some: Vec<(Txid, Option<u32>)>| some.into_iter().map(|(txid, _)| txid);
    let confirmed: Vec<Txid> = txids(confirmed).collect();
    let some: Vec<Txid> = txids(unconfirmed).collect();
    let mut fetched = fetch_missing(server, memory, &confirmed, MAX_BYTES)?;
    if fetched.len() < confirmed.len() {
        return Err(server.lied("transactions without end").into());
    }
    let some_now = &some[..some.len().min(MAX_UNCONFIRMED)];
    fetched.extend(fetch_missing(
        server,
        memory,
        some_now,
        MAX_UNCONFIRMED_BYTES,
    )?);
    let left_out: HashSet<Txid> = some
        .into_iter()
        .filter(|txid| !memory.transactions.contains_key(txid))
        .collect();
    if !left_out.is_empty() {
        let left_out = left_out.len();
        tracing::warn!(
            left_out,
            server = S::KIND,
            "more is unconfirmed than is looked at"
        );
    }
    wanted.retain(|(txid, _)| !left_out.contains(txid));
    let watched: HashSet<&ScriptBuf> = follower.watched().iter().collect();
    let mut owned: HashSet<OutPoint> = follower.owned().into_iter().collect();
    for (txid, _) in &*wanted {
        let transaction = memory.transactions.get(txid);
        let outputs = transaction.iter().flat_map(|it| (0..).zip(&it.output));
        let paid = outputs.filter(|(_, output)| watched.contains(&output.script_pubkey));
        owned.extend(paid.map(|(vout, _)| OutPoint { txid: *txid, vout }));
    }
    let concerns = |transaction: &Transaction| {
        let mut outputs = transaction.output.iter();
        outputs.any(|output| watched.contains(&output.script_pubkey)) || spends(transaction, &owned)
    };
    wanted.retain(|(txid, _)| memory.transactions.get(txid).is_none_or(|it| concerns(it)));
    leave_out_unsigned(server, memory, wanted, &owned)?;
    let kept: HashSet<Txid> = wanted.iter().map(|(txid, _)| *txid).collect();
    let sizes = (watched.len(), owned.len());
    if memory.foreign_for != sizes || memory.foreign.len() + fetched.len() > MAX_FOREIGN {
        memory.foreign.clear();
        memory.foreign_for = sizes;
    }
    for txid in fetched.into_iter().filter(|txid| !kept.contains(txid)) {
        memory.transactions.remove(&txid);
        memory.foreign.insert(txid);
    }
    Ok(())
}

/// Takes out unconfirmed transactions that spend coins of the wallet's without their signatures.
fn leave_out_unsigned<S: HistoryServer>(
    server: &S,
    memory: &mut Memory,
    wanted: &mut Vec<(Txid, Option<u32>)>,
    owned: &HashSet<OutPoint>,
) -> Result<(), Trouble> {
    let unconfirmed = wanted.iter().filter(|(_, height)| height.is_none());
    let spending: Vec<Arc<Transaction>> = unconfirmed
        .filter_map(|(txid, _)| memory.transactions.get(txid))
        .filter(|transaction| spends(transaction, owned))
        .map(Arc::clone)
        .collect();
    if spending.is_empty() {
        return Ok(());
    }
    let inputs = spending.iter().flat_map(|it| &it.input);
    let parents: BTreeSet<Txid> = inputs.map(|input| input.previous_output.txid).collect();
    let is_missing = |txid: &Txid| !memory.transactions.contains_key(txid);
    let parents: Vec<Txid> = parents.into_iter().filter(is_missing).collect();
    // What is left out here has no signature that could be checked.
    let parents = parents.get(..MAX_UNCONFIRMED).unwrap_or(&parents);
    let fetched = fetch_missing(server, memory, parents, MAX_UNCONFIRMED_BYTES)?;
    let secp = Secp256k1::verification_only();
    let mut unsigned = HashSet::new();
    for transaction in spending {
        let spent = transaction.input.iter().map(|input| {
            let OutPoint { txid, vout } = input.previous_output;
            let parent = memory.transactions.get(&txid)?;
            parent.output.get(vout as usize).cloned()
        });
        let spent: Option<Vec<_>> = spent.collect();
        let is_signed =
            spent.is_some_and(|spent| signed::is_signed(&secp, &transaction, &spent, owned));
        if !is_signed {
            let txid = transaction.compute_txid();
            tracing::warn!(%txid, server = S::KIND, "a spend that the wallet's keys did not sign");
            unsigned.insert(txid);
        }
    }
    for parent in fetched {
        // They were fetched for the signatures alone, unless they are listed.
        if wanted.iter().all(|(txid, _)| *txid != parent) {
            memory.transactions.remove(&parent);
        }
    }
    wanted.retain(|(txid, _)| !unsigned.contains(txid));
    Ok(())
}

fn spends(transaction: &Transaction, owned: &HashSet<OutPoint>) -> bool {
    let mut inputs = transaction.input.iter();
    inputs.any(|input| owned.contains(&input.previous_output))
}

/// Fetches these transactions, which are not in memory, as long as they have fewer bytes than that
/// together. Returns those that were.
fn fetch_missing<S: HistoryServer>(
    server: &S,
    memory: &mut Memory,
    missing: &[Txid],
    max_bytes: usize,
) -> Result<Vec<Txid>, Trouble> {
    let mut bytes = 0;
    let mut all = Vec::with_capacity(missing.len());
    for some in missing.chunks(BATCH) {
        let fetched = ask(server, server.transactions(some))?;
        if fetched.len() != some.len() {
            return Err(server.lied("another number of transactions").into());
        }
        for (txid, transaction) in some.iter().zip(fetched) {
            if transaction.compute_txid() != *txid {
                return Err(server
                    .lied("another transaction than the one asked for")
                    .into());
            }
            bytes += transaction.total_size();
            memory.transactions.insert(*txid, Arc::new(transaction));
            all.push(*txid);
        }
        if bytes > max_bytes {
            break;
        }
    }
    Ok(all)
}
