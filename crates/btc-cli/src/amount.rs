//! Amounts for people: satoshi grouped by thousands, and the same in BTC, without floats.

/// As in `1,234 sat (0.00001234 BTC)`.
pub(crate) fn show_sat(value_sat: u64) -> String {
    const SAT_PER_BTC: u64 = 100_000_000;
    let (whole, part) = (value_sat / SAT_PER_BTC, value_sat % SAT_PER_BTC);
    format!("{} sat ({whole}.{part:08} BTC)", grouped(value_sat))
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
    }
}
