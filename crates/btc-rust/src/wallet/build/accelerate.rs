//! A child that pays for its parent.

use bitcoin::Transaction;
use btc_iface::{BitcoinResult, FeeRate, SnapshotCoin};

use super::cover::{Needs, Rest};
use super::deterministic::{check_distinct, deterministic_order};
use super::draft::{ChangePlace, Draft, lock_time_at, unsigned};
use super::request::check_rate;
use super::{internal, wrong};
use crate::wallet::keys::Keyring;

/// An unconfirmed transaction that pays the wallet.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// As it is in the mempool.
    pub transaction: &'a Transaction,
    /// Its fee in satoshi.
    pub fee_sat: u64,
    /// Its unconfirmed ancestors.
    pub ancestors: &'a [Ancestor],
    /// Those of its outputs that the wallet can spend.
    pub coins: &'a [SnapshotCoin],
}

/// An unconfirmed transaction by what miners look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ancestor {
    /// Its weight in WU.
    pub weight_wu: u64,
    /// Its fee in satoshi.
    pub fee_sat: u64,
}

/// Drafts a transaction that spends the wallet's outputs of `parent` to the wallet itself, with a
/// fee that makes up for what the parent and its ancestors lack at `fee_rate`.
///
/// # Behavior
/// - The largest output is spent, and further ones while that is not enough. What is left goes to
///   `change`.
/// - Of parent and ancestors, those that pay the rate already are mined without help and do not
///   count. The others and the child have the rate together, each in whole vB.
///
/// # Errors
/// `InvalidInput`: a fee rate of 0, or above 1,000 sat/vB without `allow_high_fee`; the parent and
/// its ancestors pay the rate already; no output of the parent is the wallet's. `Rejected`: the
/// outputs are not worth the fee, with `missing_sat` in the context. `Unsupported`: no account of
/// the change type.
pub fn accelerate(
    keyring: &Keyring,
    parent: &Parent<'_>,
    tip_height: u32,
    change: ChangePlace,
    fee_rate: FeeRate,
    allow_high_fee: bool,
) -> BitcoinResult<Draft> {
    check_rate(fee_rate, allow_high_fee)?;
    check_coins(parent)?;
    let lacking_sat = lacking_sat(parent, fee_rate);
    if lacking_sat == 0 {
        return Err(wrong(format!(
            "the transaction and its ancestors pay {fee_rate} already; give a higher rate"
        )));
    }
    // Nodes count whole vB: one more than the child's weight may say.
    let extra_sat = lacking_sat + fee_rate.fee_sat(1);
    let needs = Needs::fee_only(extra_sat, fee_rate)?;
    let mut coins = parent.coins.to_vec();
    coins.sort_unstable_by(deterministic_order);
    let rest = Rest::change(change.address_type);
    let mut count = 1;
    let split = loop {
        match needs.drain(&coins[..count], rest) {
            Err(_) if count < coins.len() => count += 1,
            done => break done?,
        }
    };
    coins.truncate(count);
    let value_sat = split
        .rest_sat
        .ok_or_else(|| internal("the child has an output, or is none"))?;
    let output = change.output(keyring, value_sat)?;
    let outpoints = coins.iter().map(|coin| coin.outpoint);
    let mut child = unsigned(outpoints, vec![output], lock_time_at(tip_height)?);
    if parent.transaction.version.0 == TRUC_VERSION {
        child.version = parent.transaction.version;
    }
    Ok(Draft {
        transaction: child,
        fee_sat: coins.iter().map(|coin| coin.value_sat).sum::<u64>() - value_sat,
        inputs: coins,
        change: Some(change.at(0, value_sat)),
        weight: split.weight_wu,
    })
}

/// Nodes want children of this version to be of it too (BIP431).
const TRUC_VERSION: i32 = 3;

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

/// What parent and ancestors lack to have the rate, in satoshi.
fn lacking_sat(parent: &Parent<'_>, fee_rate: FeeRate) -> u128 {
    let itself = Ancestor {
        weight_wu: parent.transaction.weight().to_wu(),
        fee_sat: parent.fee_sat,
    };
    let all = parent.ancestors.iter().chain([&itself]);
    all.map(|it| {
        let wanted_sat = fee_rate.fee_sat(it.weight_wu.div_ceil(4));
        wanted_sat.saturating_sub(u128::from(it.fee_sat))
    })
    .fold(0, u128::saturating_add)
}
