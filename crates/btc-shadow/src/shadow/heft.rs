//! `Heft`: how much memory an answer takes in the queue, roughly.

use btc_iface::{BitcoinAddress, BitcoinTransaction, WalletSnapshot};

use crate::compare::{Balance, FeeRate, Height};

/// An input or output with what the allocator adds.
const PART_BYTES: usize = 192;
/// A coin of a snapshot.
const COIN_BYTES: usize = 96;

/// An answer that waits to be compared.
pub(crate) trait Heft {
    /// About how many bytes it takes beyond its own size.
    fn bytes(&self) -> usize {
        0
    }
}

impl Heft for Height {}
impl Heft for FeeRate {}
impl Heft for Balance {}
impl Heft for String {}
impl Heft for BitcoinAddress {}

impl Heft for BitcoinTransaction {
    fn bytes(&self) -> usize {
        let parts = self.inputs.len() + self.outputs.len();
        usize::try_from(self.size).unwrap_or(usize::MAX / 4) + parts * PART_BYTES
    }
}

impl Heft for Vec<BitcoinTransaction> {
    fn bytes(&self) -> usize {
        self.iter()
            .map(|transaction| size_of::<BitcoinTransaction>() + transaction.bytes())
            .fold(0, usize::saturating_add)
    }
}

impl Heft for (BitcoinTransaction, Option<WalletSnapshot>) {
    fn bytes(&self) -> usize {
        let coins = self.1.as_ref().map_or(0, |snapshot| snapshot.coins.len());
        self.0.bytes() + coins * COIN_BYTES
    }
}
