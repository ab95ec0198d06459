//! What nodes ask of a replacement, worked out the long way: every set of transactions is tried.

use std::cmp::Ordering;

use bitcoin::Txid;
use btc_rust::wallet::build::{MempoolEntry, RelayRules};

/// A fee in satoshi and a weight in WU.
pub(crate) type Part = (u64, u64);

/// Whether nodes take a replacement of this fee and weight for `old` and its descendants.
pub(crate) fn are_met(
    new: Part,
    (txid, old): (Txid, Part),
    descendants: &[MempoolEntry],
    relay: RelayRules,
) -> bool {
    let (fee, weight) = new;
    let vsize = weight.div_ceil(4);
    let replaced: u64 = old.0 + descendants.iter().map(|it| it.fee_sat).sum::<u64>();
    let relay_fee = |rate: btc_iface::FeeRate| (rate.sat_per_kvb() * vsize).div_ceil(1_000);
    let per_kvb = |(fee, weight): Part| fee * 1_000 / weight.div_ceil(4);
    fee >= replaced + relay_fee(relay.incremental)
        && fee >= relay_fee(relay.min_rate)
        && per_kvb(new) > per_kvb(old)
        && is_above(&[new], &chunks(txid, old, descendants))
}

/// The transactions in the order in which a miner with all the time in the world takes them: each
/// time the set, with all that it needs, that pays most for its weight.
fn chunks(txid: Txid, old: Part, descendants: &[MempoolEntry]) -> Vec<Part> {
    let count = descendants.len() + 1;
    let number = |wanted: Txid| {
        let place = descendants.iter().position(|it| it.txid == wanted);
        place.map_or(usize::from(wanted != txid) * usize::MAX, |it| it + 1)
    };
    let parts: Vec<Part> = [old]
        .into_iter()
        .chain(descendants.iter().map(|it| (it.fee_sat, it.weight_wu)))
        .collect();
    let needs: Vec<u32> = [0]
        .into_iter()
        .chain(descendants.iter().map(|it| {
            let parents = it.spends.iter().map(|txid| number(*txid));
            parents
                .filter(|it| *it < count)
                .fold(0, |set, it| set | 1 << it)
        }))
        .collect();
    let mut done = 0_u32;
    let mut chunks = Vec::new();
    while done != (1 << count) - 1 {
        let best = (1..1_u32 << count)
            .filter(|set| set & done == 0)
            .filter(|set| {
                let members = (0..count).filter(|it| set >> it & 1 == 1);
                members.into_iter().all(|it| needs[it] & !(set | done) == 0)
            })
            .map(|set| {
                let members = (0..count).filter(|it| set >> it & 1 == 1);
                let part = members.fold((0, 0), |sum: Part, it| {
                    (sum.0 + parts[it].0, sum.1 + parts[it].1)
                });
                (set, part)
            })
            .reduce(|best, other| match cmp_rate(other.1, best.1) {
                Ordering::Greater => other,
                Ordering::Equal if other.1.1 > best.1.1 => other,
                _ => best,
            });
        let (set, part) = best.expect("something is left");
        done |= set;
        chunks.push(part);
    }
    chunks
}

fn cmp_rate(a: Part, b: Part) -> Ordering {
    let wide = |fee: u64, weight: u64| u128::from(fee) * u128::from(weight);
    wide(a.0, b.1).cmp(&wide(b.0, a.1))
}

/// Whether the fees of `new` are nowhere below those of `old`, and somewhere above, however much
/// weight a miner takes of each.
fn is_above(new: &[Part], old: &[Part]) -> bool {
    let mut somewhere = false;
    let ends = |chunks: &[Part]| {
        let sums = chunks.iter().scan(0, |sum, it| {
            *sum += it.1;
            Some(*sum)
        });
        sums.collect::<Vec<u64>>()
    };
    for weight in ends(new).into_iter().chain(ends(old)) {
        match cmp_at(new, old, weight) {
            Ordering::Less => return false,
            Ordering::Greater => somewhere = true,
            Ordering::Equal => {}
        }
    }
    somewhere
}

fn cmp_at(new: &[Part], old: &[Part], weight: u64) -> Ordering {
    let (a, over) = earned(new, weight);
    let (b, under) = earned(old, weight);
    (a * under).cmp(&(b * over))
}

/// What this much weight earns, as a fraction.
fn earned(chunks: &[Part], weight: u64) -> (u128, u128) {
    let (mut fee, mut taken) = (0_u128, 0);
    for it in chunks {
        if taken + it.1 > weight {
            let part = u128::from(it.0) * u128::from(weight - taken);
            return (fee * u128::from(it.1) + part, it.1.into());
        }
        fee += u128::from(it.0);
        taken += it.1;
    }
    (fee, 1)
}
