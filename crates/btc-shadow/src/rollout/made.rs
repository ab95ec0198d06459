//! `Made`: the buckets of the transactions that were built last, for sending them on the same route.

use std::sync::atomic::{AtomicU64, Ordering};

use btc_iface::rust_bitcoin::Txid;
use btc_iface::rust_bitcoin::hashes::Hash;

/// Remembers the buckets of some hundred transactions without a lock; a newer one may take an older
/// one's place, which then is routed by its txid.
pub(super) struct Made([AtomicU64; 256]);

const BUCKET_BITS: u32 = 16;
const BUCKET_MASK: u64 = (1 << BUCKET_BITS) - 1;

impl Default for Made {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; 256])
    }
}

impl Made {
    pub(super) fn remember(&self, txid: Txid, bucket: u16) {
        let (slot, tag) = place(txid);
        // Zero stands for nothing.
        let packed = tag | (u64::from(bucket) + 1);
        self.0[slot].store(packed, Ordering::Relaxed);
    }

    pub(super) fn bucket(&self, txid: Txid) -> Option<u16> {
        let (slot, tag) = place(txid);
        let packed = self.0[slot].load(Ordering::Relaxed);
        let bucket = u16::try_from(packed & BUCKET_MASK).ok()?.checked_sub(1)?;
        (packed & !BUCKET_MASK == tag).then_some(bucket)
    }
}

/// The slot, and the 48 bits that tell transactions of one slot apart.
fn place(txid: Txid) -> (usize, u64) {
    let bytes = txid.to_byte_array();
    let tag = bytes[1..7]
        .iter()
        .fold(0, |tag, byte| tag << 8 | u64::from(*byte));
    (usize::from(bytes[0]), tag << BUCKET_BITS)
}
