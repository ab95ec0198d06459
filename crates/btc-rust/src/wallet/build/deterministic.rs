//! The deterministic mode: the same coins in the same order give the same transaction everywhere.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use bitcoin::hashes::Hash;
use btc_iface::{BitcoinResult, FeeRate, SnapshotCoin, WalletSnapshot};

use super::cover::{Needs, Rest};
use super::draft::{ChangePlace, Draft, lock_time_at, unsigned};
use super::outputs::parse_outputs;
use super::pending::Pending;
use super::wrong;
use crate::wallet::keys::Keyring;

/// Plans the transaction that pays `outputs`, each an address and an amount in satoshi, at
/// `fee_rate` in sat/vB from the coins of `snapshot`. A rate above `max_rate` is refused.
///
/// # Behavior
/// - Follows "Building" in `docs/wallet.md`: the same arguments give the same draft, whatever the
///   order of the coins.
/// - Fastest when the coins are in [`deterministic_order`] already.
///
/// # Errors
/// `InvalidInput`: no outputs; a fee rate of 0 or above `max_rate`; not an address, or of another
/// network; dust; more than 21,000,000 BTC; a coin twice. `Rejected`: not enough coins, with
/// `missing_sat` in the context; a transaction too heavy for nodes to relay. `Unsupported`: no
/// account of the change type.
pub fn plan(
    keyring: &Keyring,
    snapshot: &WalletSnapshot,
    outputs: &[(String, u64)],
    fee_rate: u64,
    max_rate: FeeRate,
) -> BitcoinResult<Draft> {
    if outputs.is_empty() {
        return Err(wrong("no outputs; name one address and amount at least"));
    }
    check_plain_rate(fee_rate, max_rate)?;
    let pairs = outputs.iter().map(|(text, value)| (text.as_str(), *value));
    let mut paid = parse_outputs(keyring.network(), pairs)?;
    let lock_time = lock_time_at(snapshot.tip.height)?;

    let pending = Pending::new(&snapshot.pending);
    let coins = in_order(&snapshot.coins, &pending);
    let place = ChangePlace {
        address_type: snapshot.change_type,
        index: snapshot.change_index,
    };
    let rest = Rest::change(place.address_type);
    let needs = Needs::new(&paid, FeeRate::from_sat_per_vb(fee_rate), rest, &pending);
    let taken = needs.take(&[], &coins)?;
    check_distinct(&taken.coins)?;

    let split = needs.split(&taken)?;
    let mut change = None;
    if let Some(value_sat) = split.rest_sat {
        change = Some(place.at(paid.len(), value_sat));
        paid.push(place.output(keyring, value_sat)?);
    }
    let outpoints = taken.coins.iter().map(|coin| coin.outpoint);
    Ok(Draft {
        transaction: unsigned(outpoints, paid, lock_time),
        inputs: taken.coins,
        change,
        fee_sat: split.fee_sat,
        weight: split.weight_wu,
    })
}

/// Refuses a rate in sat/vB that is 0 or above the highest.
///
/// # Errors
/// `InvalidInput`; the message names the setting `MAX_FEE_RATE`.
pub fn check_plain_rate(fee_rate: u64, max_rate: FeeRate) -> BitcoinResult<()> {
    if fee_rate == 0 {
        return Err(wrong("a fee rate of 0 sat/vB; give 1 at least"));
    }
    // The rate in sat/kvB may not fit where the one in sat/vB does.
    if u128::from(fee_rate) * 1_000 <= u128::from(max_rate.sat_per_kvb()) {
        return Ok(());
    }
    let message = format!(
        "a fee rate of {fee_rate} sat/vB is above MAX_FEE_RATE ({max_rate}); check its unit, or \
         raise MAX_FEE_RATE"
    );
    Err(wrong(message))
}

/// The order in which coins of one kind, confirmed or pending, are taken: the largest first, then
/// by txid as it is serialised, then by output number.
pub fn deterministic_order(a: &SnapshotCoin, b: &SnapshotCoin) -> Ordering {
    let place = |coin: &SnapshotCoin| (coin.outpoint.txid.to_byte_array(), coin.outpoint.vout);
    b.value_sat
        .cmp(&a.value_sat)
        .then_with(|| place(a).cmp(&place(b)))
}

/// The coins in the order in which they are taken, confirmed ones first.
pub(super) fn in_order<'a>(
    coins: &'a [SnapshotCoin],
    pending: &Pending<'_>,
) -> Cow<'a, [SnapshotCoin]> {
    let is_pending = |coin: &&SnapshotCoin| pending.contains(coin.outpoint.txid);
    let sorted = if coins.is_sorted_by(|a, b| deterministic_order(a, b).is_le()) {
        Cow::Borrowed(coins)
    } else {
        let mut coins = coins.to_vec();
        coins.sort_unstable_by(deterministic_order);
        Cow::Owned(coins)
    };
    if pending.is_empty() {
        return sorted;
    }
    #[cfg(feature = "planted")]
    if crate::planted::is(crate::planted::Planted::PendingFirst) {
        let pending_first = sorted.iter().filter(is_pending);
        let all = pending_first.chain(sorted.iter().filter(|coin| !is_pending(coin)));
        return Cow::Owned(all.copied().collect());
    }
    let confirmed = sorted.iter().filter(|coin| !is_pending(coin));
    let confirmed_first = confirmed.chain(sorted.iter().filter(is_pending));
    Cow::Owned(confirmed_first.copied().collect())
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
