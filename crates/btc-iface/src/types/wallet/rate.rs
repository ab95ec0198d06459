//! `FeeRate`: satoshi per thousand virtual bytes, so that rates below 1 sat/vB are exact.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A fee rate in sat/kvB, the unit of Bitcoin Core's `CFeeRate`.
///
/// ```
/// use btc_iface::FeeRate;
///
/// let rate: FeeRate = "0.2".parse().unwrap();
/// assert_eq!(rate, FeeRate::from_sat_per_kvb(200));
/// assert_eq!(rate.fee_sat(141), 29);
/// assert_eq!(FeeRate::from_sat_per_vb(3).to_string(), "3 sat/vB");
/// assert_eq!(rate.to_string(), "0.2 sat/vB");
/// ```
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct FeeRate(u64);

impl FeeRate {
    /// A rate in sat/kvB.
    pub const fn from_sat_per_kvb(sat_per_kvb: u64) -> Self {
        Self(sat_per_kvb)
    }

    /// A rate in sat/vB; one beyond 64 bits of sat/kvB becomes the largest there is.
    pub const fn from_sat_per_vb(sat_per_vb: u64) -> Self {
        Self(sat_per_vb.saturating_mul(1_000))
    }

    /// In sat/kvB.
    pub const fn sat_per_kvb(self) -> u64 {
        self.0
    }

    /// In sat/vB, rounded up.
    pub const fn sat_per_vb_ceil(self) -> u64 {
        self.0.div_ceil(1_000)
    }

    /// The fee in satoshi for this many vB, rounded up. No rate and no size overflows it.
    pub fn fee_sat(self, size_vb: u64) -> u128 {
        (u128::from(self.0) * u128::from(size_vb)).div_ceil(1_000)
    }
}

impl fmt::Display for FeeRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1_000, self.0 % 1_000);
        if rest == 0 {
            return write!(f, "{whole} sat/vB");
        }
        let digits = format!("{rest:03}");
        write!(f, "{whole}.{} sat/vB", digits.trim_end_matches('0'))
    }
}

/// The text is no fee rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a fee rate; give sat/vB with at most three decimals, as in 2 or 0.25")]
pub struct WrongFeeRate(String);

impl FromStr for FeeRate {
    type Err = WrongFeeRate;

    /// Reads sat/vB with at most three decimals, without a float.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const DECIMALS: usize = 3;
        const SHOWN_CHARS: usize = 40;
        let wrong = || WrongFeeRate(text.chars().take(SHOWN_CHARS).collect());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > DECIMALS {
            return Err(wrong());
        }
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let thousandths: u64 = format!("{decimals:0<DECIMALS$}")
            .parse()
            .map_err(|_| wrong())?;
        whole
            .checked_mul(1_000)
            .and_then(|whole| whole.checked_add(thousandths))
            .map(Self)
            .ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        for sat_per_kvb in [0, 1, 100, 250, 999, 1_000, 1_001, 12_340, u64::MAX] {
            let rate = FeeRate::from_sat_per_kvb(sat_per_kvb);
            let text = rate.to_string();
            let number = text.strip_suffix(" sat/vB").expect("the unit");
            assert_eq!(number.parse(), Ok(rate));
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "0.0001",
            "1,5",
            "2 ",
            "99999999999999999999",
        ] {
            assert!(text.parse::<FeeRate>().is_err(), "{text}");
        }
    }

    #[test]
    fn fees_are_rounded_up() {
        assert_eq!(FeeRate::from_sat_per_kvb(100).fee_sat(141), 15);
        assert_eq!(FeeRate::from_sat_per_vb(2).fee_sat(141), 282);
        let most = FeeRate::from_sat_per_kvb(u64::MAX);
        assert_eq!(most.fee_sat(1_000), u128::from(u64::MAX));
    }
}
