//! A line as it stands in the log: JSON and a line feed.

use btc_iface::Operation;

use super::bounds;
use crate::compare::Verdict;
use crate::record::wire::{Both, other};
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
    out.push(b'"');
    append_sides(out, primary, secondary.as_ref());
    if *rechecks > 0 {
        out.extend_from_slice(b",\"rechecks\":");
        decimal(out, u64::from(*rechecks));
    }
    out.push(b'}');
}

fn append_sides(out: &mut Vec<u8>, primary: &Side, secondary: Option<&Side>) {
    let Side {
        implementation,
        duration_ns,
        error: _,
        tips: _,
    } = primary;
    out.extend_from_slice(b",\"primary\":\"");
    out.extend_from_slice(implementation.as_str().as_bytes());
    out.push(b'"');
    if let Some(side) = secondary
        && side.implementation != other(*implementation)
    {
        out.extend_from_slice(b",\"secondary\":\"");
        out.extend_from_slice(side.implementation.as_str().as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b",\"duration_ns\":[");
    decimal(out, *duration_ns);
    if let Some(side) = secondary {
        out.push(b',');
        decimal(out, side.duration_ns);
    }
    out.push(b']');
    if let Some(error) = Both::sides(primary, secondary, |side| side.error) {
        out.extend_from_slice(b",\"error\":");
        append_both(out, error, |out, error| {
            out.push(b'"');
            out.extend_from_slice(error.as_str().as_bytes());
            out.push(b'"');
        });
    }
    if let Some(tips) = Both::sides(primary, secondary, |side| side.tips) {
        out.extend_from_slice(b",\"tips\":");
        append_both(out, tips, |out, [before, after]| {
            out.push(b'[');
            decimal(out, u64::from(before));
            out.push(b',');
            decimal(out, u64::from(after));
            out.push(b']');
        });
    }
}

fn append_both<T>(out: &mut Vec<u8>, both: Both<T>, mut append: impl FnMut(&mut Vec<u8>, T)) {
    match both {
        Both::Same(it) => append(out, it),
        Both::Each(each) => {
            for (sign, it) in [b'[', b','].into_iter().zip(each) {
                out.push(sign);
                match it {
                    Some(it) => append(out, it),
                    None => out.extend_from_slice(b"null"),
                }
            }
            out.push(b']');
        }
    }
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

    /// The longest line of a match in an operation: the largest numbers that a run of years meets,
    /// and the longest name of an error that both may have. The tip may rise by so many blocks
    /// before the secondary is asked.
    fn longest_match(operation: Operation, blocks_between: u32) -> usize {
        let side = |implementation, error, blocks| Side {
            implementation,
            duration_ns: 3_600_000_000_000,
            error,
            tips: Some([9_000_000 + blocks; 2]),
        };
        let line = |error| Line {
            version: VERSION,
            run: RunId(u32::MAX),
            event: Event::Comparison(Comparison {
                sequence: 1_000_000_000_000,
                time_ms: 4_000_000_000_000,
                operation,
                verdict: Verdict::Match,
                input: Digest(u64::MAX),
                primary: side(BitcoinImplementationType::Python, error, 0),
                secondary: Some(side(BitcoinImplementationType::Rust, error, blocks_between)),
                rechecks: 0,
                differences: Vec::new(),
                reason: None,
            }),
        };
        let length = |error| {
            let mut out = Vec::new();
            append(&mut out, &line(error)).expect("plain data");
            out.len()
        };
        let errors = ErrorKind::ALL.into_iter().map(Some);
        errors.chain([None]).map(length).max().unwrap_or_default()
    }

    #[test]
    fn a_match_takes_no_more_than_300_bytes_in_any_operation() {
        for operation in Operation::CALLS {
            let length = longest_match(operation, 0);
            assert!((200..=300).contains(&length), "{operation}: {length}");
            // Both have tips of their own then.
            assert_eq!(longest_match(operation, 1), length + 20);
        }
    }
}
