//! Amounts for people: shown in satoshi and BTC, read with their unit, without floats.

use btc::bitcoin::{Amount, Denomination};

/// As in `1,234 sat (0.00001234 BTC)`.
pub(crate) fn show_sat(value_sat: u64) -> String {
    const SAT_PER_BTC: u64 = 100_000_000;
    let (whole, part) = (value_sat / SAT_PER_BTC, value_sat % SAT_PER_BTC);
    format!("{} sat ({whole}.{part:08} BTC)", grouped(value_sat))
}

/// With its sign, as in `+1,234 sat`.
pub(crate) fn show_net_sat(net_sat: i128) -> String {
    let sign = if net_sat < 0 { '-' } else { '+' };
    let size = u64::try_from(net_sat.unsigned_abs()).unwrap_or(u64::MAX);
    format!("{sign}{} sat", grouped(size))
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Reads `1500sat`, `1,500 sat` or `0.000015BTC`. A number without its unit is refused, since
/// the two differ by a factor of 100 million.
pub(crate) fn parse_sat(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or_else(|| format!("`{text}` has no unit; write {text}sat or {text}BTC"))?;
    let (number, unit) = (text[..split].trim(), text[split..].trim());
    let (denomination, digits) = match unit.to_ascii_lowercase().as_str() {
        // Thousands may be grouped in satoshi only: in BTC a comma may stand for the point.
        "sat" | "sats" => (Denomination::Satoshi, ungrouped(number)),
        "btc" => (Denomination::Bitcoin, Some(number.to_owned())),
        _ => return Err(format!("`{unit}` is not a unit; use sat or BTC")),
    };
    digits
        .filter(|digits| {
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        })
        .and_then(|digits| Amount::from_str_in(&digits, denomination).ok())
        .filter(|amount| *amount <= Amount::MAX_MONEY)
        .map(Amount::to_sat)
        .ok_or_else(|| {
            format!(
                "`{text}` is not an amount; write whole satoshi, or BTC with at most 8 decimals"
            )
        })
}

/// The digits of `1,234,567`, or nothing when the groups are not of three.
fn ungrouped(number: &str) -> Option<String> {
    let mut groups = number.split(',');
    let first = groups.next()?;
    let is_grouped = number.contains(',');
    if is_grouped && !(1..=3).contains(&first.len()) {
        return None;
    }
    let mut digits = first.to_owned();
    for group in groups {
        if group.len() != 3 {
            return None;
        }
        digits.push_str(group);
    }
    Some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_to_the_last_satoshi() {
        assert_eq!(show_sat(0), "0 sat (0.00000000 BTC)");
        assert_eq!(show_sat(999), "999 sat (0.00000999 BTC)");
        assert_eq!(
            show_sat(2_100_000_000_000_001),
            "2,100,000,000,000,001 sat (21000000.00000001 BTC)"
        );
        assert_eq!(
            show_sat(u64::MAX),
            "18,446,744,073,709,551,615 sat (184467440737.09551615 BTC)"
        );
        assert_eq!(show_net_sat(-1234), "-1,234 sat");
    }

    #[test]
    fn what_is_shown_reads_back() {
        for value_sat in [0, 1, 999, 1000, 123_456_789, 2_100_000_000_000_000] {
            let sat = format!("{} sat", grouped(value_sat));
            assert_eq!(parse_sat(&sat), Ok(value_sat));
            let shown = show_sat(value_sat);
            let btc = shown.split(['(', ')']).nth(1).expect("in parentheses");
            assert_eq!(parse_sat(btc), Ok(value_sat));
        }
        assert_eq!(parse_sat("1500sat"), Ok(1500));
        assert_eq!(parse_sat("1SATS"), Ok(1));
        assert_eq!(parse_sat("0.5btc"), Ok(50_000_000));
        assert_eq!(parse_sat("21000000 BTC"), Ok(2_100_000_000_000_000));
    }

    #[test]
    fn what_is_not_surely_an_amount_is_refused() {
        for wrong in [
            "1500",
            "0.5",
            "",
            "sat",
            "BTC",
            "1,5 BTC",
            "1.5 sat",
            "1e3 sat",
            "-1 sat",
            "+1 sat",
            "0.000000001 BTC",
            "21000000.00000001 BTC",
            "1 mBTC",
            "1 sat sat",
            "1,23 sat",
            "1234,567 sat",
            ",123 sat",
            "0x10 sat",
            "٣ sat",
            "1 000 sat",
            "NaN BTC",
        ] {
            assert!(parse_sat(wrong).is_err(), "{wrong}");
        }
    }
}
