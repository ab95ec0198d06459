//! A line as it stands in the log: JSON and a line feed.

use btc_iface::Operation;

use super::bounds;
use crate::compare::Verdict;
use crate::record::{Comparison, Event, Line, Side};

/// Appends a line, with secrets blacked out and long values shortened.
///
/// # Errors
/// None that is known: lines are plain data. `out` may have a part of the line then.
pub(super) fn append(out: &mut Vec<u8>, line: &Line) -> serde_json::Result<()> {
    match &line.event {
        Event::Comparison(comparison) if is_plain(comparison) => {
            append_plain(out, line, comparison);
        }
        _ => bounds::append(out, line)?,
    }
    out.push(b'\n');
    Ok(())
}

/// Whether a comparison has nothing but numbers and names: matches, which are nearly all of them.
fn is_plain(comparison: &Comparison) -> bool {
    comparison.differences.is_empty() && comparison.reason.is_none()
}

/// What serde would write, at a fraction of its time. No name in it needs an escape.
fn append_plain(out: &mut Vec<u8>, line: &Line, comparison: &Comparison) {
    let Line {
        version,
        run,
        event: _,
    } = line;
    // All fields by name: one that is added does not get lost here.
    let Comparison {
        sequence,
        time_ms,
        operation,
        verdict,
        input,
        primary,
        secondary,
        rechecks,
        differences: _,
        reason: _,
    } = comparison;
    out.extend_from_slice(b"{\"version\":");
    decimal(out, u64::from(*version));
    out.extend_from_slice(b",\"run\":\"");
    hexadecimal::<8>(out, u64::from(run.0));
    out.extend_from_slice(b"\",\"kind\":\"comparison\",\"sequence\":");
    decimal(out, *sequence);
    out.extend_from_slice(b",\"time_ms\":");
    decimal(out, *time_ms);
    out.extend_from_slice(b",\"operation\":\"");
    out.extend_from_slice(Operation::as_str(*operation).as_bytes());
    out.extend_from_slice(b"\",\"verdict\":\"");
    out.extend_from_slice(Verdict::as_str(*verdict).as_bytes());
    out.extend_from_slice(b"\",\"input\":\"");
    hexadecimal::<16>(out, input.0);
    out.extend_from_slice(b"\",\"primary\":");
    append_side(out, primary);
    if let Some(secondary) = secondary {
        out.extend_from_slice(b",\"secondary\":");
        append_side(out, secondary);
    }
    if *rechecks > 0 {
        out.extend_from_slice(b",\"rechecks\":");
        decimal(out, u64::from(*rechecks));
    }
    out.push(b'}');
}

fn append_side(out: &mut Vec<u8>, side: &Side) {
    let Side {
        implementation,
        duration_ns,
        error,
        tips,
    } = side;
    out.extend_from_slice(b"{\"implementation\":\"");
    out.extend_from_slice(implementation.as_str().as_bytes());
    out.extend_from_slice(b"\",\"duration_ns\":");
    decimal(out, *duration_ns);
    if let Some(error) = error {
        out.extend_from_slice(b",\"error\":\"");
        out.extend_from_slice(error.as_str().as_bytes());
        out.push(b'"');
    }
    if let Some([before, after]) = tips {
        out.extend_from_slice(b",\"tips\":[");
        decimal(out, u64::from(*before));
        out.push(b',');
        decimal(out, u64::from(*after));
        out.push(b']');
    }
    out.push(b'}');
}

fn decimal(out: &mut Vec<u8>, mut number: u64) {
    // The longest of them has twenty digits.
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = digit(number % 10);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

fn hexadecimal<const DIGITS: usize>(out: &mut Vec<u8>, number: u64) {
    let mut digits = [b'0'; DIGITS];
    for (index, place) in digits.iter_mut().rev().enumerate() {
        *place = digit((number >> (4 * index)) & 0xf);
    }
    out.extend_from_slice(&digits);
}

/// The digit of a number below sixteen.
fn digit(number: u64) -> u8 {
    b"0123456789abcdef"[usize::try_from(number & 0xf).unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use btc_iface::{BitcoinImplementationType, ErrorKind};
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::record::{Digest, RunId, VERSION};

    fn number() -> impl Strategy<Value = u64> {
        // Those at the edges of a digit, too, which come rarely by chance.
        let power = (0_u32..20).prop_map(|power| 10_u64.pow(power));
        prop_oneof![
            any::<u64>(),
            0..1000_u64,
            power.clone(),
            power.prop_map(|it| it - 1)
        ]
    }

    fn side() -> impl Strategy<Value = Side> {
        let implementation = select(vec![
            BitcoinImplementationType::Python,
            BitcoinImplementationType::Rust,
        ]);
        let error = option::of(select(ErrorKind::ALL.to_vec()));
        let sides = (
            implementation,
            number(),
            error,
            option::of(any::<[u32; 2]>()),
        );
        sides.prop_map(|(implementation, duration_ns, error, tips)| Side {
            implementation,
            duration_ns,
            error,
            tips,
        })
    }

    prop_compose! {
        fn plain_line()(
            (version, run) in (any::<u32>(), any::<u32>()),
            (sequence, time_ms) in (number(), number()),
            operation in select(Operation::CALLS.to_vec()),
            verdict in select(Verdict::ALL.to_vec()),
            input in any::<u64>(),
            (primary, secondary) in (side(), option::of(side())),
            rechecks in prop_oneof![Just(0_u32), any::<u32>()],
        ) -> Line {
            Line {
                version,
                run: RunId(run),
                event: Event::Comparison(Comparison {
                    sequence,
                    time_ms,
                    operation,
                    verdict,
                    input: Digest(input),
                    primary,
                    secondary,
                    rechecks,
                    differences: Vec::new(),
                    reason: None,
                }),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn plain_lines_are_what_serde_would_write(line in plain_line()) {
            let mut expected = serde_json::to_vec(&line).expect("plain data");
            expected.push(b'\n');
            let mut out = b"before\n".to_vec();
            append(&mut out, &line).expect("plain data");
            prop_assert_eq!(
                String::from_utf8_lossy(&out[7..]),
                String::from_utf8_lossy(&expected)
            );
        }
    }

    /// A match of the largest numbers that a run of years meets.
    fn largest_match(tips: Option<[u32; 2]>) -> usize {
        let side = |implementation| Side {
            implementation,
            duration_ns: 60_000_000_000,
            error: Some(ErrorKind::NotFound),
            tips,
        };
        let line = Line {
            version: VERSION,
            run: RunId(u32::MAX),
            event: Event::Comparison(Comparison {
                sequence: 1_000_000_000_000,
                time_ms: 4_000_000_000_000,
                operation: Operation::BroadcastTransaction,
                verdict: Verdict::Match,
                input: Digest(u64::MAX),
                primary: side(BitcoinImplementationType::Python),
                secondary: Some(side(BitcoinImplementationType::Rust)),
                rechecks: 0,
                differences: Vec::new(),
                reason: None,
            }),
        };
        let mut out = Vec::new();
        append(&mut out, &line).expect("plain data");
        out.len()
    }

    #[test]
    fn a_match_is_short() {
        let without_tips = largest_match(None);
        assert!(without_tips <= 350, "{without_tips}");
        let with_tips = largest_match(Some([9_999_999, 9_999_999]));
        assert!(with_tips <= 400, "{with_tips}");
    }
}
