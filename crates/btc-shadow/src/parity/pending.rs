//! Random sets of unconfirmed transactions that coins come from: chains, trees and single ones, with
//! what decides about their coins (ancestors, clusters, versions, fees) around its limits.

use std::collections::BTreeSet;

use btc_iface::rust_bitcoin::Txid;
use btc_iface::rust_bitcoin::hashes::Hash;
use btc_iface::{PendingTransaction, SnapshotCoin};

use super::Random;

/// How the transactions of a set spend each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Each spends the one before.
    Chain,
    /// All spend the first.
    Star,
    /// Each spends some of those before.
    Web,
    /// None spends another.
    Apart,
}

/// Lets some of the coins come from unconfirmed transactions, and returns these, ascending.
pub(super) fn unconfirmed(
    random: &mut Random,
    coins: &mut [SnapshotCoin],
    fee_rate: u64,
) -> Vec<PendingTransaction> {
    let mut all: Vec<PendingTransaction> = Vec::new();
    for _ in 0..random.between(1, 3) {
        add_set(random, fee_rate, &mut all);
    }
    // Confirmed coins are taken first, so that many must not be.
    let share = random.pick(&[3, 7, 9, 10]);
    let one = random.once_in(4);
    for coin in coins {
        if random.between(1, 10) > share {
            continue;
        }
        // All of the last one, whose ancestors are the most, or of any.
        let number = random.word() % (all.len() as u64);
        let number = if one { all.len() as u64 - 1 } else { number };
        let transaction = &all[usize::try_from(number).unwrap_or_default()];
        coin.outpoint.txid = transaction.txid;
    }
    all.sort_by_key(|it| it.txid.to_byte_array());
    all
}

/// Transactions that are connected with each other and with none of those before.
fn add_set(random: &mut Random, fee_rate: u64, all: &mut Vec<PendingTransaction>) {
    let first = all.len();
    let shape = random.pick(&[Shape::Chain, Shape::Star, Shape::Web, Shape::Apart]);
    let count = match random.between(0, 9) {
        // Around the limits of ancestors and of clusters.
        0 => random.between(23, 27),
        1 => random.between(61, 66),
        _ => random.between(1, 9),
    };
    let version = match random.between(0, 11) {
        0..=1 => 3,
        2 => 1,
        _ => 2,
    };
    // Some sets fill a cluster by their size.
    let is_bulky = random.once_in(6);
    let alike = random.once_in(4);
    for number in 0..count {
        let before = &all[first..];
        let mut spends: BTreeSet<[u8; 32]> = BTreeSet::new();
        let parents = match shape {
            _ if before.is_empty() => 0,
            Shape::Apart => 0,
            Shape::Chain | Shape::Star => 1,
            Shape::Web => random.between(0, 3),
        };
        for _ in 0..parents {
            let parent = match shape {
                Shape::Chain => number - 1,
                Shape::Star => 0,
                _ => random.word() % number,
            };
            let parent = &before[usize::try_from(parent).unwrap_or_default()];
            spends.insert(parent.txid.to_byte_array());
        }
        let size_vb = match random.between(0, 5) {
            0 if is_bulky => random.between(30_000, 100_500),
            1 if is_bulky => 101_000_u64.saturating_sub(random.between(0, 600)) / count,
            _ if alike => 150,
            _ => random.between(85, 900),
        };
        // Below, at and above the rate; in sets of one size also with the same fee.
        let rate = fee_rate.min(100_000);
        let fee_sat = match random.between(0, 5) {
            0 => size_vb.saturating_mul(rate),
            1 => size_vb.saturating_mul(rate).saturating_sub(1),
            2 => size_vb.saturating_mul(rate).saturating_mul(2),
            3 => size_vb,
            _ => random.between(0, size_vb.saturating_mul(rate).max(1)),
        };
        all.push(PendingTransaction {
            txid: Txid::from_byte_array(random.bytes()),
            version,
            size_vb: size_vb.max(61),
            fee_sat,
            spends: spends.into_iter().map(Txid::from_byte_array).collect(),
        });
    }
}
