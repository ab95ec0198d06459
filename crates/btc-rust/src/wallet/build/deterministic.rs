//! The deterministic mode: the same coins in the same order give the same transaction everywhere.

use std::cmp::Ordering;
use std::collections::HashSet;

use bitcoin::hashes::Hash;
use btc_iface::{BitcoinResult, FeeRate, SnapshotCoin, WalletSnapshot};

use super::cover::{Needs, Rest};
use super::draft::{ChangePlace, Draft, lock_time_at, unsigned};
use super::outputs::parse_outputs;
use super::wrong;
use crate::wallet::keys::Keyring;

/// Plans the transaction that pays `outputs`, each an address and an amount in satoshi, at
/// `fee_rate` in sat/vB from the coins of `snapshot`.
///
/// # Behavior
/// - Follows "Building" in `docs/wallet.md`: the same arguments give the same draft, whatever the
///   order of the coins.
/// - Fastest when the coins are in [`deterministic_order`] already.
///
/// # Errors
/// `InvalidInput`: no outputs; a fee rate of 0; not an address, or of another network; dust; more
/// than 21,000,000 BTC; a coin twice. `Rejected`: not enough coins, with `missing_sat` in the
/// context; a transaction too heavy for nodes to relay. `Unsupported`: no account of the change
/// type.
pub fn plan(
    keyring: &Keyring,
    snapshot: &WalletSnapshot,
    outputs: &[(String, u64)],
    fee_rate: u64,
) -> BitcoinResult<Draft> {
    if outputs.is_empty() {
        return Err(wrong("no outputs; name one address and amount at least"));
    }
    if fee_rate == 0 {
        return Err(wrong("a fee rate of 0 sat/vB; give 1 at least"));
    }
    let pairs = outputs.iter().map(|(text, value)| (text.as_str(), *value));
    let mut paid = parse_outputs(keyring.network(), pairs)?;
    let lock_time = lock_time_at(snapshot.tip.height)?;

    let sorted;
    let coins = if is_in_order(&snapshot.coins) {
        &snapshot.coins
    } else {
        let mut copy = snapshot.coins.clone();
        copy.sort_unstable_by(deterministic_order);
        sorted = copy;
        &sorted
    };
    let needs = Needs::new(&paid, FeeRate::from_sat_per_vb(fee_rate));
    let taken = needs.take(&[], coins)?;
    check_distinct(&coins[..taken.count])?;

    let place = ChangePlace {
        address_type: snapshot.change_type,
        index: snapshot.change_index,
    };
    let split = needs.split(&taken, Rest::change(place.address_type))?;
    let mut change = None;
    if let Some(value_sat) = split.rest_sat {
        change = Some(place.at(paid.len(), value_sat));
        paid.push(place.output(keyring, value_sat)?);
    }
    let inputs = coins[..taken.count].to_vec();
    let outpoints = inputs.iter().map(|coin| coin.outpoint);
    Ok(Draft {
        transaction: unsigned(outpoints, paid, lock_time),
        inputs,
        change,
        fee_sat: split.fee_sat,
        weight: split.weight_wu,
    })
}

/// The order in which coins are taken: the largest first, then by txid as it is serialised, then
/// by output number.
pub fn deterministic_order(a: &SnapshotCoin, b: &SnapshotCoin) -> Ordering {
    let place = |coin: &SnapshotCoin| (coin.outpoint.txid.to_byte_array(), coin.outpoint.vout);
    b.value_sat
        .cmp(&a.value_sat)
        .then_with(|| place(a).cmp(&place(b)))
}

fn is_in_order(coins: &[SnapshotCoin]) -> bool {
    coins.is_sorted_by(|a, b| deterministic_order(a, b).is_le())
}

/// Refuses a coin that is spent twice.
pub(super) fn check_distinct(coins: &[SnapshotCoin]) -> BitcoinResult<()> {
    let mut seen = HashSet::with_capacity(coins.len());
    match coins.iter().find(|coin| !seen.insert(coin.outpoint)) {
        None => Ok(()),
        Some(coin) => {
            Err(wrong("a coin is given twice; give each once")
                .with_context("outpoint", coin.outpoint))
        }
    }
}
