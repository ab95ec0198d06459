//! `Mix`: how often each operation is called.

use std::fmt;
use std::str::FromStr;

use btc::Operation;
use btc::shadow::parity::Random;

const OPERATIONS: usize = Operation::CALLS.len();

/// The operations without an effect that need no wallet.
const READS: [Operation; 4] = [
    Operation::GetTransaction,
    Operation::GetBlock,
    Operation::GetBlockHeight,
    Operation::EstimateFee,
];

/// Parts of each operation in a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mix([u32; OPERATIONS]);

impl Default for Mix {
    /// Mostly what costs a node one answer. Blocks are the dearest read by far; payments wait for
    /// the disk and for coins; and each address is one more to be watched from then on.
    fn default() -> Self {
        Self(Operation::CALLS.map(|operation| match operation {
            Operation::GetTransaction => 44,
            Operation::GetBlockHeight => 23,
            Operation::EstimateFee => 17,
            Operation::GetBalance => 7,
            Operation::GetBlock | Operation::BroadcastTransaction => 3,
            Operation::CreateTransaction => 2,
            Operation::GenerateAddress => 1,
            _ => 0,
        }))
    }
}

impl Mix {
    /// The same without these operations.
    #[must_use]
    pub(crate) fn without(mut self, left_out: &[Operation]) -> Self {
        for operation in left_out {
            self.0[*operation as usize] = 0;
        }
        self
    }

    /// The reads of it that need no wallet; those of the default where there are none.
    #[must_use]
    pub(crate) fn reads(self) -> Self {
        let others: Vec<_> = Operation::CALLS
            .into_iter()
            .filter(|operation| !READS.contains(operation))
            .collect();
        let reads = self.without(&others);
        if reads.is_empty() {
            Self::default().without(&others)
        } else {
            reads
        }
    }

    pub(crate) fn has(&self, operation: Operation) -> bool {
        self.0[operation as usize] > 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|parts| *parts == 0)
    }

    /// One operation by chance; the height of the tip in a mix of nothing.
    pub(crate) fn draw(&self, random: &mut Random) -> Operation {
        let sum: u64 = self.0.iter().map(|parts| u64::from(*parts)).sum();
        let mut place = random.between(0, sum.saturating_sub(1));
        for (operation, parts) in Operation::CALLS.into_iter().zip(self.0) {
            match place.checked_sub(u64::from(parts)) {
                Some(rest) => place = rest,
                None => return operation,
            }
        }
        Operation::GetBlockHeight
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = Operation::CALLS
            .into_iter()
            .zip(self.0)
            .filter(|(_, parts)| *parts > 0)
            .map(|(operation, parts)| format!("{operation}={parts}"))
            .collect();
        f.write_str(&parts.join(","))
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mix = Self([0; OPERATIONS]);
        for part in text.split(',').map(str::trim) {
            let (name, parts) = part.split_once('=').ok_or_else(|| {
                format!("`{part}` is not an operation with its parts; write get_block=1")
            })?;
            let operation = Operation::CALLS
                .into_iter()
                .find(|operation| operation.as_str() == name.trim())
                .ok_or_else(|| {
                    format!("there is no operation `{}`; use {}", name.trim(), names())
                })?;
            mix.0[operation as usize] = parts
                .trim()
                .parse()
                .map_err(|_| format!("`{}` is no number of parts", parts.trim()))?;
        }
        if mix.is_empty() {
            return Err("nothing would be called; give an operation a part above 0".to_owned());
        }
        Ok(mix)
    }
}

fn names() -> String {
    Operation::CALLS.map(Operation::as_str).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_read_and_written() {
        let mix: Mix = "get_block=1, get_transaction=5".parse().expect("a mix");
        assert_eq!(mix.to_string(), "get_transaction=5,get_block=1");
        let default = Mix::default();
        assert_eq!(default.to_string().parse(), Ok(default));
        for text in [
            "",
            "get_block",
            "get_block=x",
            "nothing=1",
            "get_block=0",
            "get_block=-1",
        ] {
            assert!(text.parse::<Mix>().is_err(), "{text}");
        }
    }

    #[test]
    fn operations_are_drawn_by_their_parts() {
        let mix: Mix = "get_transaction=3,estimate_fee=1".parse().expect("a mix");
        let mut random = Random::new(7);
        let mut counts = [0_u32; OPERATIONS];
        for _ in 0..40_000 {
            counts[mix.draw(&mut random) as usize] += 1;
        }
        let fees = counts[Operation::EstimateFee as usize];
        assert!((9_500..10_500).contains(&fees), "{fees}");
        assert_eq!(counts[Operation::GetTransaction as usize], 40_000 - fees);
    }

    #[test]
    fn reads_remain_where_there_were_none() {
        let reads = Mix::default().reads();
        assert!(!reads.has(Operation::GetBalance) && reads.has(Operation::GetBlock));
        let wallet: Mix = "get_balance=1".parse().expect("a mix");
        assert_eq!(wallet.reads(), reads);
        let blocks: Mix = "get_balance=1,get_block=4".parse().expect("a mix");
        assert_eq!(blocks.reads().to_string(), "get_block=4");
    }
}
