//! `BtcAmount`: an amount as Bitcoin Core writes it, a decimal number of BTC, read without floats.

use bitcoin::Amount;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::value::RawValue;

/// An amount of 0 to 21,000,000 BTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BtcAmount {
    pub(crate) sat: u64,
}

impl<'de> Deserialize<'de> for BtcAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Enough of a wrong value to recognise it by.
        const SHOWN_CHARS: usize = 40;
        // The number's text, before anything has made a float of it.
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let sat = sat_from_btc(raw.get()).ok_or_else(|| {
            let shown: String = raw.get().chars().take(SHOWN_CHARS).collect();
            D::Error::custom(format!("`{shown}` is not an amount in BTC"))
        })?;
        Ok(Self { sat })
    }
}

/// Reads an amount that may be below 0, which counts as 0.
#[cfg(feature = "wallet")]
pub(crate) fn at_least_0<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BtcAmount, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    if raw.get().starts_with('-') {
        return Ok(BtcAmount { sat: 0 });
    }
    BtcAmount::deserialize(raw.as_ref()).map_err(D::Error::custom)
}

/// The satoshi in a JSON number of BTC; nothing if it is below 0, above the supply, or has a
/// fraction of a satoshi. An exponent is read too: Bitcoin Core writes none, but a proxy that
/// writes its answers anew may.
fn sat_from_btc(text: &str) -> Option<u64> {
    const DECIMALS: i64 = 8;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (is_negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let shift = i64::try_from(zeros)
        .ok()?
        .checked_sub(i64::try_from(part.len()).ok()?)?
        .checked_add(DECIMALS)?
        .checked_add(exponent.parse::<i64>().ok()?)?;
    // Below 0 there is a fraction: the last significant digit is not 0.
    let scale = 10_u64.checked_pow(u32::try_from(shift).ok()?)?;
    let sat = significant.parse::<u64>().ok()?.checked_mul(scale)?;
    (!is_negative && sat <= Amount::MAX_MONEY.to_sat()).then_some(sat)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_way_to_write_a_number_is_read_and_nothing_else() {
        for (text, sat) in [
            ("0", Some(0)),
            ("0.00000000", Some(0)),
            ("-0.0", Some(0)),
            ("0e99", Some(0)),
            ("0.00000001", Some(1)),
            ("1e-8", Some(1)),
            ("1E-08", Some(1)),
            ("10e-9", Some(1)),
            ("0.000000010", Some(1)),
            ("1", Some(100_000_000)),
            ("0.1e+1", Some(100_000_000)),
            ("21000000", Some(2_100_000_000_000_000)),
            ("21000000.00000000", Some(2_100_000_000_000_000)),
            ("21000000.00000001", None),
            ("0.000000001", None),
            ("1e-9", None),
            ("-0.00000001", None),
            ("-1", None),
            ("1e400", None),
            ("1e99999999999999999999", None),
            ("1e-99999999999999999999", None),
            ("184467440737.09551616", None),
            ("\"1\"", None),
            ("true", None),
            ("null", None),
            ("{}", None),
            ("[1]", None),
            ("", None),
            ("e5", None),
            (".", None),
        ] {
            assert_eq!(sat_from_btc(text), sat, "{text}");
        }
        let long = format!("0.{}1", "0".repeat(1_000_000));
        assert_eq!(sat_from_btc(&long), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_core_writes_is_read_back(sat in 0..=Amount::MAX_MONEY.to_sat()) {
            let text = format!("{}.{:08}", sat / 100_000_000, sat % 100_000_000);
            prop_assert_eq!(sat_from_btc(&text), Some(sat));
            let with_exponent = format!("{sat}e-8");
            prop_assert_eq!(sat_from_btc(&with_exponent), Some(sat));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9eE.+-]{0,20}") {
            let sat = sat_from_btc(&text);
            prop_assert!(sat.is_none_or(|sat| sat <= Amount::MAX_MONEY.to_sat()));
        }
    }
}
