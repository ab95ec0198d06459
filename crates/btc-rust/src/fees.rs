//! The rule that makes a fee rate of what the node says: its estimate, its mempool, its minimum.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU32;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, FeeEstimate, FeeSource, Operation};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::amount::BtcAmount;
use crate::core::Core;

/// What a block takes: 4,000,000 WU (BIP141).
const BLOCK_VB: u64 = 1_000_000;
const VB_PER_KVB: u64 = 1000;

/// The fee rate for this target, by the rule of [`FeeEstimate`].
pub(crate) fn explain(core: &Core, target_blocks: u8) -> BitcoinResult<FeeEstimate> {
    if target_blocks == 0 {
        let message = "a target of 0 blocks is in the past; use 1 to 255";
        return Err(BitcoinError::new(
            ErrorKind::InvalidInput,
            Operation::EstimateFee,
            message,
        ));
    }
    let estimate = core.fee_rate_sat_per_kvb(target_blocks)?;
    let info = core.mempool_info()?;
    let room_vb = u64::from(target_blocks) * BLOCK_VB;
    let found = match estimate {
        Some(sat_per_kvb) => Some((sat_per_kvb.div_ceil(VB_PER_KVB), FeeSource::Core)),
        // The entries are many, and would only say the same.
        None if info.total_vb <= room_vb => None,
        None => mempool_rate(core.waiting()?, room_vb)
            .map(|sat_per_vb| (sat_per_vb, FeeSource::Mempool)),
    };
    let floor_sat_per_vb = info.min_sat_per_kvb().div_ceil(VB_PER_KVB).max(1);
    let (sat_per_vb, source) = found
        .filter(|(sat_per_vb, _)| *sat_per_vb >= floor_sat_per_vb)
        .unwrap_or((floor_sat_per_vb, FeeSource::MinimumRelay));
    Ok(FeeEstimate {
        sat_per_vb,
        source,
        floor_sat_per_vb,
        target_blocks,
    })
}

/// A transaction that waits in the mempool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    fee_sat: u64,
    size_vb: NonZeroU32,
}

impl Waiting {
    /// Which one pays more for its size, without division and so without rounding.
    fn cmp_rate(&self, other: &Self) -> Ordering {
        let ours = u128::from(self.fee_sat) * u128::from(other.size_vb.get());
        let theirs = u128::from(other.fee_sat) * u128::from(self.size_vb.get());
        ours.cmp(&theirs)
    }
}

/// The fee rate in sat/vB, rounded up, of the first transaction that no longer fits into the room
/// when those with the highest rates go first; nothing when all of them fit.
fn mempool_rate(mut waiting: Vec<Waiting>, room_vb: u64) -> Option<u64> {
    waiting.sort_unstable_by(|one, other| other.cmp_rate(one));
    let mut used_vb = 0_u64;
    for entry in waiting {
        let size_vb = u64::from(entry.size_vb.get());
        used_vb = used_vb.saturating_add(size_vb);
        if used_vb > room_vb {
            return Some(entry.fee_sat.div_ceil(size_vb));
        }
    }
    None
}

/// The answer to `getrawmempool true`, of which only fees and sizes are kept: a mempool of 100,000
/// transactions is 53 MB of JSON, and 1.6 MB of these.
pub(crate) struct Mempool(pub(crate) Vec<Waiting>);

impl<'de> Deserialize<'de> for Mempool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Mempool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mempool's entries by txid")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Mempool, A::Error> {
        let mut waiting = Vec::new();
        while let Some((IgnoredAny, entry)) = map.next_entry::<_, Entry>()? {
            waiting.push(Waiting {
                fee_sat: entry.fees.base.sat,
                size_vb: entry.vsize,
            });
        }
        Ok(Mempool(waiting))
    }
}

#[derive(Deserialize)]
struct Entry {
    vsize: NonZeroU32,
    fees: EntryFees,
}

#[derive(Deserialize)]
struct EntryFees {
    /// What the transaction itself pays, without what `prioritisetransaction` adds.
    base: BtcAmount,
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn waiting(fee_sat: u64, size_vb: u32) -> Waiting {
        let size_vb = NonZeroU32::new(size_vb).expect("no test has one without size");
        Waiting { fee_sat, size_vb }
    }

    /// Of all rates in the mempool, the highest at which what pays as much or more exceeds the
    /// room. Sizes up to 16 make every rate a whole number of 720720ths.
    fn reference(entries: &[Waiting], room_vb: u64) -> Option<u64> {
        const PARTS: u64 = 720_720;
        let rate = |entry: &Waiting| entry.fee_sat * (PARTS / u64::from(entry.size_vb.get()));
        let exceeds = |least: u64| {
            let paying = entries.iter().filter(|entry| rate(entry) >= least);
            paying
                .map(|entry| u64::from(entry.size_vb.get()))
                .sum::<u64>()
                > room_vb
        };
        let rates = entries.iter().map(rate);
        let highest = rates.filter(|least| exceeds(*least)).max()?;
        Some((highest / PARTS) + u64::from(!highest.is_multiple_of(PARTS)))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_rate_is_the_highest_that_fills_the_room(
            // Few different fees and sizes, so that rates are often the same or close.
            entries in vec((0_u64..50, 1_u32..=16).prop_map(|(fee, size)| waiting(fee, size)), 0..40),
            room_vb in 0_u64..300,
        ) {
            let expected = reference(&entries, room_vb);
            prop_assert_eq!(mempool_rate(entries, room_vb), expected);
        }

        #[test]
        fn no_mempool_overflows(
            entries in vec((0..=u64::MAX, 1..=u32::MAX).prop_map(|(fee, size)| waiting(fee, size)), 0..40),
            room_vb in 0..=255 * BLOCK_VB,
        ) {
            let _ = mempool_rate(entries, room_vb);
        }
    }

    #[test]
    fn the_room_is_exceeded_and_not_only_filled() {
        let entries = || vec![waiting(30, 3), waiting(50, 4), waiting(41, 5)];
        assert_eq!(mempool_rate(entries(), 12), None);
        assert_eq!(mempool_rate(entries(), 11), Some(9));
        assert_eq!(mempool_rate(entries(), 7), Some(9));
        assert_eq!(mempool_rate(entries(), 6), Some(10));
        assert_eq!(mempool_rate(entries(), 3), Some(13));
        assert_eq!(mempool_rate(Vec::new(), 0), None);
    }

    #[test]
    fn rates_too_close_for_floats_keep_their_order() {
        // 400,000 sat/vB less 1 / 4,294,967,295 and less 1 / 4,294,967,294.
        let high = waiting(400_000 * 4_294_967_295 - 1, 4_294_967_295);
        let low = waiting(400_000 * 4_294_967_294 - 1, 4_294_967_294);
        assert!(low.cmp_rate(&high).is_lt());
        assert!(high.cmp_rate(&low).is_gt() && low.cmp_rate(&low).is_eq());
    }

    #[test]
    fn entries_are_read_without_what_is_not_needed() {
        let read = |text: &str| serde_json::from_str::<Mempool>(text).map(|mempool| mempool.0);
        let entry = r#"{"vsize": 141, "weight": 561, "fees": {"base": 0.00000282, "modified":
            0.5}, "depends": ["aa"], "unbroadcast": false}"#;
        let two = format!(r#"{{"aa": {entry}, "bb": {entry}}}"#);
        assert_eq!(read(&two).expect("entries"), [waiting(282, 141); 2]);
        assert_eq!(read("{}").expect("empty"), []);
        for wrong in [
            "[]",
            "7",
            "null",
            r#"{"aa": {}}"#,
            r#"{"aa": {"vsize": 0, "fees": {"base": 0.1}}}"#,
            r#"{"aa": {"vsize": -1, "fees": {"base": 0.1}}}"#,
            r#"{"aa": {"vsize": 4294967296, "fees": {"base": 0.1}}}"#,
            r#"{"aa": {"vsize": 1.5, "fees": {"base": 0.1}}}"#,
            r#"{"aa": {"vsize": 1, "fees": {}}}"#,
            r#"{"aa": {"vsize": 1, "fees": {"base": null}}}"#,
            r#"{"aa": {"vsize": 1, "fees": {"base": "0.1"}}}"#,
            r#"{"aa": {"vsize": 1, "fees": {"base": -0.1}}}"#,
            r#"{"aa": {"vsize": 1, "fees": {"base": 0.1}}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
