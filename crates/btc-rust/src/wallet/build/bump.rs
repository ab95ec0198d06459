//! Replacing an unconfirmed transaction by one that pays more (BIP125).

use std::collections::HashSet;

use bitcoin::{OutPoint, Transaction, TxOut};
use btc_iface::{BitcoinError, BitcoinResult, Chain, CoinState, FeeRate, Operation, SnapshotCoin};

use super::cover::{Needs, Rest};
use super::deterministic::{check_distinct, deterministic_order};
use super::draft::{Change, ChangePlace, Draft, lock_time_at, output, unsigned};
use super::request::{Candidate, check_rate};
use super::select::is_economic;
use super::{internal, wrong};
use crate::wallet::keys::Keyring;

/// The highest sequence number that allows replacement (BIP125).
const MAX_REPLACEABLE_SEQUENCE: u32 = 0xffff_fffd;

/// An unconfirmed transaction of the wallet.
#[derive(Debug, Clone, Copy)]
pub struct Original<'a> {
    /// As it was sent.
    pub transaction: &'a Transaction,
    /// The coin of each of its inputs, in their order.
    pub inputs: &'a [SnapshotCoin],
    /// Its change, when it has some: what may be lowered or dropped.
    pub change: Option<Change>,
    /// What its descendants in the mempool pay, in satoshi. They go when it is replaced.
    pub descendants_fee_sat: u64,
}

/// What a replacement shall pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewFee {
    /// The fee rate.
    pub rate: FeeRate,
    /// What nodes want for relaying a replacement besides what the original paid
    /// (Bitcoin Core RPC `getnetworkinfo`, `incrementalfee`).
    pub incremental: FeeRate,
    /// Accept a rate above 1,000 sat/vB.
    pub allow_high_fee: bool,
}

/// Drafts the replacement of `original`.
///
/// # Behavior
/// - The recipients, the inputs and the order stay. Change is lowered, or dropped when it would
///   be dust; where that is not enough, confirmed coins of `further` that nobody holds are added,
///   the largest first, and `change` is where change goes that was not there before.
/// - It pays what the original and its descendants paid and the incremental rate for its own size
///   at least, and a higher rate than the original (BIP125, rules 3 and 4; Bitcoin Core).
///
/// # Errors
/// `InvalidInput`: the original cannot be replaced, or not all its inputs are the wallet's; a fee
/// rate of 0 or above 1,000 sat/vB, or one that is too low, with `min_fee_rate_sat_per_vb` in the
/// context. `Rejected`: not enough coins, with `missing_sat` in the context; too heavy.
pub fn bump(
    keyring: &Keyring,
    original: &Original<'_>,
    further: &[Candidate],
    tip_height: u32,
    change: ChangePlace,
    fee: NewFee,
) -> BitcoinResult<Draft> {
    let rate = fee.rate;
    check_rate(rate, fee.allow_high_fee)?;
    let old_fee_sat = old_fee_sat(original)?;
    check_change(keyring, original)?;
    let transaction = original.transaction;
    let old_place = original.change.map(|it| it.vout as usize);
    let outputs = transaction.output.iter().enumerate();
    let mut paid: Vec<TxOut> = outputs
        .filter(|(vout, _)| Some(*vout) != old_place)
        .map(|(_, it)| it.clone())
        .collect();

    let needs = Needs::new(&paid, rate);
    let optional = usable(original, further, rate);
    let taken = needs.take(original.inputs, &optional)?;
    let mut inputs = original.inputs.to_vec();
    inputs.extend_from_slice(&optional[..taken.count]);
    check_distinct(&inputs)?;
    let place = original.change.map_or(change, |it| ChangePlace {
        address_type: it.address_type,
        index: it.index,
    });
    let split = needs.split(&taken, Rest::change(place.address_type))?;
    check_rules(original, old_fee_sat, split.fee_sat, split.weight_wu, fee)?;

    let mut new_change = None;
    if let Some(value_sat) = split.rest_sat {
        let vout = old_place.unwrap_or(paid.len());
        new_change = Some(place.at(vout, value_sat));
        let script = place.output(keyring, value_sat)?.script_pubkey;
        paid.insert(vout, output(script, value_sat));
    }
    let outpoints = inputs.iter().map(|coin| coin.outpoint);
    let mut replacement = unsigned(outpoints, paid, lock_time_at(tip_height)?);
    replacement.version = transaction.version;
    Ok(Draft {
        transaction: replacement,
        inputs,
        change: new_change,
        fee_sat: split.fee_sat,
        weight: split.weight_wu,
    })
}

/// What the original paid, once it is clear that it may be replaced.
fn old_fee_sat(original: &Original<'_>) -> BitcoinResult<u64> {
    let transaction = original.transaction;
    let mut sequences = transaction.input.iter().map(|input| input.sequence.0);
    if !sequences.any(|it| it <= MAX_REPLACEABLE_SEQUENCE) {
        return Err(wrong(
            "the transaction does not allow its replacement; accelerate it with a child",
        ));
    }
    let spent = transaction.input.iter().map(|input| input.previous_output);
    if !spent.eq(original.inputs.iter().map(|coin| coin.outpoint)) {
        return Err(wrong(
            "not all inputs of the transaction are the wallet's; replace it where it was made",
        ));
    }
    let mut worth = original.inputs.iter();
    let worth = worth.try_fold(0_u64, |sum, coin| sum.checked_add(coin.value_sat));
    let mut outputs = transaction.output.iter();
    worth
        .and_then(|worth| outputs.try_fold(worth, |left, it| left.checked_sub(it.value.to_sat())))
        .ok_or_else(|| internal("the coins of the transaction are not worth what it pays"))
}

fn check_change(keyring: &Keyring, original: &Original<'_>) -> BitcoinResult<()> {
    let Some(change) = original.change else {
        return Ok(());
    };
    let script = keyring
        .script((change.address_type, Chain::Change), change.index)
        .map_err(|error| error.during(Operation::CreateTransaction))?;
    let output = original.transaction.output.get(change.vout as usize);
    if output.is_some_and(|it| it.script_pubkey == script) {
        return Ok(());
    }
    Err(internal("the transaction has no such change"))
}

/// A replacement may add confirmed coins only (BIP125, rule 2), which no descendant's output is.
fn usable(original: &Original<'_>, further: &[Candidate], rate: FeeRate) -> Vec<SnapshotCoin> {
    let spent: HashSet<OutPoint> = original.inputs.iter().map(|it| it.outpoint).collect();
    let mut coins: Vec<SnapshotCoin> = further
        .iter()
        .filter(|it| it.state == CoinState::Confirmed && it.hold.is_none())
        .map(|it| it.coin)
        .filter(|coin| is_economic(coin, rate) && !spent.contains(&coin.outpoint))
        .collect();
    coins.sort_unstable_by(deterministic_order);
    coins
}

/// Whether nodes take the replacement for its fee.
fn check_rules(
    original: &Original<'_>,
    old_fee_sat: u64,
    fee_sat: u64,
    weight_wu: u64,
    fee: NewFee,
) -> BitcoinResult<()> {
    let old_vb = u128::from(original.transaction.weight().to_wu().div_ceil(4));
    let size_vb = weight_wu.div_ceil(4);
    let least_sat = u128::from(old_fee_sat)
        + u128::from(original.descendants_fee_sat)
        + fee.incremental.fee_sat(size_vb);
    // The next rate above that of the original.
    let above_old = u128::from(old_fee_sat) * 1_000 / old_vb + 1;
    if u128::from(fee_sat) >= least_sat && u128::from(fee.rate.sat_per_kvb()) >= above_old {
        return Ok(());
    }
    let min_sat_per_kvb = (least_sat * 1_000)
        .div_ceil(u128::from(size_vb))
        .max(above_old);
    let min_rate = FeeRate::from_sat_per_kvb(u64::try_from(min_sat_per_kvb).unwrap_or(u64::MAX));
    Err(too_low(fee.rate, min_rate))
}

fn too_low(rate: FeeRate, min_rate: FeeRate) -> BitcoinError {
    let message = format!(
        "nodes do not take a replacement at {rate} for this transaction; pay {min_rate} at least"
    );
    wrong(message).with_context("min_fee_rate_sat_per_kvb", min_rate.sat_per_kvb())
}
