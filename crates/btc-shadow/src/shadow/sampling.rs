//! `Sampling`: which share of each operation's calls is compared.

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

const OPERATIONS: usize = Operation::CALLS.len();
const MILLION: u32 = 1_000_000;

/// The share of calls that are compared, for each operation; all of them unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sampling {
    ppm: [u32; OPERATIONS],
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            ppm: [MILLION; OPERATIONS],
        }
    }
}

impl Sampling {
    /// Sets an operation's share in millionths, at most one million.
    #[must_use]
    pub fn with(mut self, operation: Operation, ppm: u32) -> Self {
        if let Some(share) = self.ppm.get_mut(operation as usize) {
            *share = ppm.min(MILLION);
        }
        self
    }

    /// Reads `get_block=10%,get_transaction=0.5%`; a number without a name holds for all.
    ///
    /// # Errors
    /// `InvalidInput`: no such operation, or not a share from 0 % to 100 %.
    pub fn parse(text: &str) -> BitcoinResult<Self> {
        let mut sampling = Self::default();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (name, share) = match part.split_once('=') {
                Some((name, share)) => (Some(name.trim()), share.trim()),
                None => (None, part),
            };
            let ppm = parse_share(share).ok_or_else(|| refuse(part))?;
            match name {
                None => sampling.ppm = [ppm; OPERATIONS],
                Some(name) => {
                    let mut calls = Operation::CALLS.into_iter();
                    let operation = calls
                        .find(|operation| operation.as_str() == name)
                        .ok_or_else(|| refuse(part))?;
                    sampling = sampling.with(operation, ppm);
                }
            }
        }
        Ok(sampling)
    }

    /// Whether the call with this number among those of its operation is compared. Spreads the
    /// sample evenly, and not in step with a caller who asks in turns.
    pub(crate) fn takes(&self, operation: Operation, number: u64) -> bool {
        let ppm = self.ppm.get(operation as usize).copied().unwrap_or(MILLION);
        // The fractional parts of multiples of the golden ratio fill the unit evenly.
        let place = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        ppm == MILLION || place * u64::from(MILLION) < u64::from(ppm) << 32
    }
}

/// `10%` or `0.0001%` as millionths.
fn parse_share(text: &str) -> Option<u32> {
    let percent = text.strip_suffix('%')?.trim_end();
    let (whole, fraction) = percent.split_once('.').unwrap_or((percent, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 4 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    let fraction: u32 = format!("{fraction:0<4}").parse().ok()?;
    let ppm = whole.checked_mul(10_000)?.checked_add(fraction)?;
    (ppm <= MILLION).then_some(ppm)
}

fn refuse(part: &str) -> BitcoinError {
    BitcoinError::new(
        ErrorKind::InvalidInput,
        Operation::Configure,
        "not a share of an operation; write get_block=10%, or 10% for all operations",
    )
    .with_context("part", part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_size_that_was_asked_for() {
        for ppm in [0, 1, 500, 10_000, 250_000, 999_999, MILLION] {
            let sampling = Sampling::default().with(Operation::GetBlock, ppm);
            let taken = (0..u64::from(MILLION))
                .filter(|number| sampling.takes(Operation::GetBlock, *number))
                .count();
            let taken = u32::try_from(taken).expect("at most a million");
            assert!(taken.abs_diff(ppm) <= 10, "{ppm}: {taken}");
            assert!(sampling.takes(Operation::EstimateFee, 7));
        }
    }

    #[test]
    fn shares_are_read_and_nonsense_is_refused() {
        let sampling = Sampling::parse("5%, get_block=0.25%").expect("shares");
        assert_eq!(sampling.ppm[Operation::GetBlock as usize], 2_500);
        assert_eq!(sampling.ppm[Operation::GetBalance as usize], 50_000);
        assert_eq!(Sampling::parse("").expect("all"), Sampling::default());
        for text in [
            "get_block",
            "nothing=1%",
            "101%",
            "-1%",
            "0.00001%",
            "%",
            "1",
            "1e2%",
        ] {
            let error = Sampling::parse(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        }
    }
}
