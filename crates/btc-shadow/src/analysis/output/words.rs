//! Numbers, durations and sizes as people read them.

/// Text from a log without what would command a terminal, break the line or turn it around.
pub(in crate::analysis) fn plain(text: &str) -> String {
    let is_command = |c: char| {
        let turns_around = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        c.is_control() || turns_around || matches!(c, '\u{2028}' | '\u{2029}')
    };
    text.replace(is_command, "\u{fffd}")
}

/// `50750` as `50,750`.
pub(in crate::analysis) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things.
pub(in crate::analysis) fn plural(number: u64, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        grouped(number),
        if number == 1 { one } else { many }
    )
}

/// Millionths as a percentage with four digits, exact.
pub(in crate::analysis) fn percent(ppm: u64) -> String {
    format!("{}.{:04} %", ppm / 10_000, ppm % 10_000)
}

/// A percentage with as many digits as it takes, up to two.
pub(in crate::analysis) fn percent_of(percent: f64) -> String {
    let text = format!("{percent:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "0" && percent > 0.0 {
        return "less than 0.01 %".to_owned();
    }
    format!("{text} %")
}

/// A probability as a percentage, rounded up to three significant digits: it is a bound.
pub(in crate::analysis) fn rate(rate: f64) -> String {
    let percent = 100.0 * rate;
    if percent <= 0.0 {
        return "0 %".to_owned();
    }
    let digits = (2.0 - percent.log10().floor()).clamp(0.0, 9.0);
    let scale = 10_f64.powf(digits);
    // Less than a part in a million over a round number is the round number.
    let rounded = (percent * scale - 1e-6).ceil() / scale;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 9"
    )]
    let digits = digits as usize;
    let text = format!("{rounded:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text} %")
}

/// Nanoseconds in the unit that suits them.
pub(in crate::analysis) fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{}.{} µs", ns / 1_000, ns % 1_000 / 100),
        1_000_000..1_000_000_000 => format!("{}.{} ms", ns / 1_000_000, ns % 1_000_000 / 100_000),
        _ => format!(
            "{}.{} s",
            ns / 1_000_000_000,
            ns % 1_000_000_000 / 100_000_000
        ),
    }
}

/// Bytes in the unit that suits them, in powers of 1024.
pub(in crate::analysis) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut rest, mut unit) = (bytes, 0);
    while rest >= 1024 * 1024 && unit + 1 < UNITS.len() {
        rest /= 1024;
        unit += 1;
    }
    format!(
        "{}.{} {}",
        rest / 1024,
        rest % 1024 * 10 / 1024,
        UNITS[unit]
    )
}

/// Milliseconds since 1970 as `2026-01-31 13:05:09`, in UTC.
pub(in crate::analysis) fn time(time_ms: u64) -> String {
    let (seconds, days) = (time_ms / 1000 % 86_400, time_ms / 86_400_000);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// The date so many days after the first of January 1970. The year is counted from March, so that
/// the day that leap years have is its last.
fn date(days: u64) -> (u64, u64, u64) {
    // 400 years have 146,097 days; 719,468 lie between the first of March of the year 0 and 1970.
    let since = days.saturating_add(719_468);
    let (era, day) = (since / 146_097, since % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (50_750, "50,750"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_bound_is_rounded_up_and_never_down() {
        for (value, text) in [
            (0.0, "0 %"),
            (9.9998e-5, "0.01 %"),
            (1e-4, "0.01 %"),
            (1.0001e-4, "0.0101 %"),
            (1e-3, "0.1 %"),
            (0.123_41, "12.4 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(rate(value), text);
        }
        assert_eq!(percent_of(0.1), "0.1 %");
        assert_eq!(percent_of(0.001), "less than 0.01 %");
    }

    #[test]
    fn sizes_and_durations_take_the_unit_that_suits_them() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(300 << 20), "300.0 MiB");
        assert_eq!(bytes(u64::MAX), "15.9 EiB");
        assert_eq!(duration(1_234), "1.2 µs");
        assert_eq!(duration(12_345_678), "12.3 ms");
    }

    #[test]
    fn times_are_dates() {
        for (time_ms, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399_000, "2000-02-28 23:59:59"),
            (951_782_400_000, "2000-02-29 00:00:00"),
            (1_769_864_709_000, "2026-01-31 13:05:09"),
            (4_107_542_400_000, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(time(time_ms), text);
        }
    }

    #[test]
    fn text_from_a_log_stays_on_its_line() {
        assert_eq!(
            plain("a\u{1b}[2J\nb\u{202e}c\u{9b}"),
            "a\u{fffd}[2J\u{fffd}b\u{fffd}c\u{fffd}"
        );
    }
}
