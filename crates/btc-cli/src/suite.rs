//! The compare suite: calls of every read operation, with good and bad inputs.

use btc::BitcoinInterface;
use indicatif::ProgressBar;

/// Targets that a user asks for, and two at the ends.
const FEE_TARGETS: [u8; 9] = [1, 2, 3, 6, 12, 25, 144, 255, 0];
/// Inputs that no node knows.
const UNKNOWN: [&str; 2] = [
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0000000000000000000000000000000000000000000000000000000000000000",
];
/// Inputs that are no hash at all.
pub(crate) const MALFORMED: [&str; 6] = [
    "",
    "tx",
    "0x00000000000000000000000000000000000000000000000000000000000000",
    "00000000000000000000000000000000000000000000000000000000000000g0",
    "000000000000000000000000000000000000000000000000000000000000000",
    "00000000000000000000000000000000000000000000000000000000000000000",
];

/// What the suite asks about.
pub(crate) struct Inputs {
    /// Blocks to read.
    pub(crate) blocks: Vec<String>,
    /// How many transactions of each block are read on their own.
    pub(crate) transactions_per_block: usize,
    /// More transactions to read, such as those of the mempool.
    pub(crate) txids: Vec<String>,
}

/// Makes all calls. The answers are compared by the decorator that stands behind the interface.
pub(crate) fn run(bitcoin: &dyn BitcoinInterface, inputs: &Inputs, bar: &ProgressBar) {
    bar.set_length(inputs.blocks.len() as u64);
    let _ = bitcoin.get_block_height();
    for target in FEE_TARGETS {
        let _ = bitcoin.estimate_fee(target);
    }
    for hash in &inputs.blocks {
        if let Ok(transactions) = bitcoin.get_block(hash) {
            for index in spread(transactions.len(), inputs.transactions_per_block) {
                let _ = bitcoin.get_transaction(&transactions[index].txid.to_string());
            }
        }
        let _ = bitcoin.get_block_height();
        bar.inc(1);
    }
    for txid in &inputs.txids {
        let _ = bitcoin.get_transaction(txid);
        let _ = bitcoin.get_transaction(&txid.to_uppercase());
    }
    for hash in UNKNOWN.into_iter().chain(MALFORMED) {
        let _ = bitcoin.get_transaction(hash);
        let _ = bitcoin.get_block(hash);
    }
    let _ = bitcoin.get_balance();
    bar.finish_and_clear();
}

/// Up to `wanted` indices spread evenly over `count`, the first and the last among them.
fn spread(count: usize, wanted: usize) -> Vec<usize> {
    if count <= wanted {
        return (0..count).collect();
    }
    match wanted {
        0 => Vec::new(),
        1 => vec![0],
        _ => (0..wanted)
            .map(|step| step * (count - 1) / (wanted - 1))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn a_spread_has_both_ends_and_no_index_twice() {
        assert_eq!(spread(3, 20), [0, 1, 2]);
        assert_eq!(spread(101, 3), [0, 50, 100]);
        assert_eq!(spread(10, 1), [0]);
        assert!(spread(10, 0).is_empty() && spread(0, 5).is_empty());
        let many = spread(2001, 200);
        assert!(many.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((many[0], many[199]), (0, 2000));
    }
}
