//! A child that pays for its parent.

use bitcoin::Transaction;
use bitcoin::transaction::Version;
use btc_iface::{BitcoinResult, FeeRate, SnapshotCoin};

use super::cover::{Needs, Rest};
use super::deterministic::{check_distinct, deterministic_order};
use super::draft::{Draft, lock_time_at, unsigned};
use super::pending::{Below, MAX_TRUC_CHILD_WEIGHT_WU, Pending, TRUC_VERSION};
use super::request::{Funds, check_rate};
use super::weight::MAX_STANDARD_WEIGHT_WU;
use super::{internal, wrong};
use crate::wallet::keys::Keyring;

/// An unconfirmed transaction that pays the wallet.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// As it is in the mempool.
    pub transaction: &'a Transaction,
    /// Those of its outputs that the wallet can spend.
    pub coins: &'a [SnapshotCoin],
    /// Whether a transaction in the mempool spends one of its outputs already.
    pub has_child: bool,
}

/// Drafts a transaction that spends the wallet's outputs of `parent` to the wallet itself, with a
/// fee that makes up for what the parent and its ancestors lack at `fee_rate`. `funds.pending` has
/// the parent and all its unconfirmed ancestors.
///
/// # Behavior
/// - The largest output is spent, and further ones while that is not enough. What is left goes to
///   `funds.change`.
/// - What parent and ancestors lack is their deficit ("Building" in `docs/wallet.md`): what is
///   mined without help does not count, and what one of them pays beyond the rate counts for those
///   before it.
/// - The child of a transaction of version 3 is of version 3 (BIP431).
///
/// # Errors
/// `InvalidInput`: a fee rate of 0, or above `funds.max_rate` without `allow_high_fee`; the parent
/// and its ancestors pay the rate already; no output of the parent is the wallet's; nodes take no
/// child of it. `Rejected`: the outputs are not worth the fee, with `missing_sat` in the context;
/// the child is too heavy. `Unsupported`: no account of the change type.
pub fn accelerate(
    keyring: &Keyring,
    parent: &Parent<'_>,
    funds: &Funds<'_>,
    fee_rate: FeeRate,
    allow_high_fee: bool,
) -> BitcoinResult<Draft> {
    check_rate(fee_rate, funds.max_rate, allow_high_fee)?;
    check_coins(parent)?;
    let pending = Pending::new(funds.pending);
    let txid = parent.transaction.compute_txid();
    if !pending.contains(txid) {
        return Err(internal("what the parent pays is not known"));
    }
    let below = pending.with(&Below::default(), txid);
    let mut version = Version::TWO;
    let mut max_weight_wu = MAX_STANDARD_WEIGHT_WU;
    if parent.transaction.version.0 == TRUC_VERSION {
        check_truc(parent, &below)?;
        version = parent.transaction.version;
        max_weight_wu = MAX_TRUC_CHILD_WEIGHT_WU;
    }
    if pending.deficit_sat(&below, fee_rate) == 0 {
        return Err(wrong(format!(
            "the transaction and its ancestors pay {fee_rate} already; give a higher rate"
        )));
    }

    let rest = Rest::change(funds.change.address_type);
    let needs = Needs::new(&[], fee_rate, rest, &pending)
        .keeping_rest(true)
        .of_version(version.0, max_weight_wu);
    let mut coins = parent.coins.to_vec();
    coins.sort_unstable_by(deterministic_order);
    needs.check_limits(&coins[..1])?;
    let taken = needs.take(&coins[..1], &coins[1..])?;
    let split = needs.split(&taken)?;
    let value_sat = split
        .rest_sat
        .ok_or_else(|| internal("the child has an output, or is none"))?;
    let output = funds.change.output(keyring, value_sat)?;
    let outpoints = taken.coins.iter().map(|coin| coin.outpoint);
    let mut child = unsigned(outpoints, vec![output], lock_time_at(funds.tip_height)?);
    child.version = version;
    Ok(Draft {
        transaction: child,
        inputs: taken.coins,
        change: Some(funds.change.at(0, value_sat)),
        fee_sat: split.fee_sat,
        weight: split.weight_wu,
    })
}

fn check_coins(parent: &Parent<'_>) -> BitcoinResult<()> {
    if parent.coins.is_empty() {
        return Err(wrong(
            "no output of the transaction is the wallet's to spend; ask its sender to replace it",
        ));
    }
    let txid = parent.transaction.compute_txid();
    let is_its = |coin: &SnapshotCoin| {
        let output = parent.transaction.output.get(coin.outpoint.vout as usize);
        coin.outpoint.txid == txid && output.is_some_and(|it| it.value.to_sat() == coin.value_sat)
    };
    if !parent.coins.iter().all(is_its) {
        return Err(internal("the coins are not outputs of the transaction"));
    }
    check_distinct(parent.coins)
}

/// Nodes take one child of a transaction of version 3, and none of that child (BIP431).
fn check_truc(parent: &Parent<'_>, below: &Below) -> BitcoinResult<()> {
    if parent.has_child {
        return Err(wrong(
            "the transaction is of version 3 (BIP431) and has a child already, and nodes take \
             one; raise the fee of that child",
        ));
    }
    if below.ancestors() > 1 {
        return Err(wrong(
            "the transaction is of version 3 (BIP431) and spends an unconfirmed one, and nodes \
             take no child of it; replace it instead",
        ));
    }
    Ok(())
}
