//! `Gate`: the share and the salt in one number, which is all that a call reads.

use std::sync::atomic::{AtomicU64, Ordering};

use super::key::{BUCKETS, Salt};

/// Salt and share together, so that a call never sees one without the other: the lower 16 bits
/// count the buckets that Rust answers for, the upper 48 are the salt.
pub(super) struct Gate(AtomicU64);

/// Who answers, as one look at the gate says.
pub(super) enum Share {
    /// Rust, nothing.
    None,
    /// Rust, what falls into the lower buckets, so many of them, with this salt.
    Some(Salt, u16),
    /// Rust, everything.
    All,
}

const SHARE_BITS: u32 = 16;
const SHARE_MASK: u64 = (1 << SHARE_BITS) - 1;
const BUCKETS_PER_PERCENT: u16 = BUCKETS / 100;

impl Gate {
    pub(super) fn new(salt: Salt, percent: u8) -> Self {
        Self(AtomicU64::new(pack(salt, percent)))
    }

    pub(super) fn set(&self, salt: Salt, percent: u8) {
        self.0.store(pack(salt, percent), Ordering::Release);
    }

    /// Leaves Rust nothing.
    pub(super) fn close(&self) {
        self.0.fetch_and(!SHARE_MASK, Ordering::AcqRel);
    }

    pub(super) fn share(&self) -> Share {
        let (salt, buckets) = self.look();
        match buckets {
            0 => Share::None,
            BUCKETS.. => Share::All,
            some => Share::Some(salt, some),
        }
    }

    pub(super) fn salt(&self) -> Salt {
        self.look().0
    }

    pub(super) fn percent(&self) -> u8 {
        u8::try_from(self.look().1 / BUCKETS_PER_PERCENT).unwrap_or(100)
    }

    fn look(&self) -> (Salt, u16) {
        let packed = self.0.load(Ordering::Acquire);
        let buckets = u16::try_from(packed & SHARE_MASK).unwrap_or_default();
        (Salt::of(packed >> SHARE_BITS), buckets)
    }
}

fn pack(salt: Salt, percent: u8) -> u64 {
    let buckets = u64::from(percent.min(100)) * u64::from(BUCKETS_PER_PERCENT);
    salt.number() << SHARE_BITS | buckets
}
