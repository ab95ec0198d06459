//! The fast way to understand a line: comparisons without differences, spelled as shadow mode
//! spells them.
//!
//! What is spelled otherwise is left to serde. What is understood here means the same as serde
//! makes of it, to the last field; nothing is allocated for a match.

use btc_iface::{BitcoinImplementationType, ErrorKind, Operation};

use crate::compare::Verdict;
use crate::record::wire::{Both, Sides};
use crate::record::{Comparison, Digest, Event, Line, OLDEST_VERSION, RunId, Side, VERSION};

/// A comparison, if the text is exactly one without differences.
pub(super) fn comparison(text: &[u8]) -> Option<Line> {
    let mut rest = Cursor(text);
    rest.skip(b"{\"version\":")?;
    let version = u32::try_from(rest.number()?).ok()?;
    (OLDEST_VERSION..=VERSION)
        .contains(&version)
        .then_some(())?;
    rest.skip(b",\"run\":\"")?;
    let run = RunId(u32::try_from(rest.hexadecimal(8)?).ok()?);
    rest.skip(b"\",\"kind\":\"comparison\",\"sequence\":")?;
    let sequence = rest.number()?;
    rest.skip(b",\"time_ms\":")?;
    let time_ms = rest.number()?;
    rest.skip(b",\"operation\":\"")?;
    let operation = operation(rest.word()?)?;
    rest.skip(b",\"verdict\":\"")?;
    let verdict = verdict(rest.word()?)?;
    rest.skip(b",\"input\":\"")?;
    let input = Digest(rest.hexadecimal(16)?);
    rest.skip(b"\",\"primary\":")?;
    let (primary, secondary) = match rest.skip(b"\"") {
        Some(()) => rest.sides()?,
        None => rest.sides_of_version_2()?,
    };
    let rechecks = match rest.skip(b",\"rechecks\":") {
        Some(()) => u32::try_from(rest.number()?).ok()?,
        None => 0,
    };
    let reason = match rest.skip(b",\"reason\":\"") {
        Some(()) => Some(str::from_utf8(rest.word()?).ok()?.to_owned().into()),
        None => None,
    };
    (rest.0 == b"}").then_some(Line {
        version,
        run,
        event: Event::Comparison(Comparison {
            sequence,
            time_ms,
            operation,
            verdict,
            input,
            primary,
            secondary,
            rechecks,
            differences: Vec::new(),
            reason,
        }),
    })
}

/// What is left of the line.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// A number without a sign, a fraction or leading zeros. What follows shows that it is over.
    fn number(&mut self) -> Option<u64> {
        let (first, mut rest) = self.0.split_first()?;
        let digit = |byte: u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
        let mut number = digit(*first)?;
        while let Some((next, after)) = rest.split_first() {
            let Some(next) = digit(*next) else { break };
            if number == 0 {
                return None;
            }
            number = number.checked_mul(10)?.checked_add(next)?;
            rest = after;
        }
        self.0 = rest;
        Some(number)
    }

    fn hexadecimal(&mut self, digits: usize) -> Option<u64> {
        let (text, rest) = self.0.split_at_checked(digits)?;
        let mut number = 0;
        for byte in text {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            number = number << 4 | u64::from(digit);
        }
        self.0 = rest;
        Some(number)
    }

    /// The text up to the closing quotation mark, which is taken too. Text with an escape is left
    /// to serde.
    fn word(&mut self) -> Option<&'a [u8]> {
        let is_end = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < b' ';
        let end = self.0.iter().position(is_end)?;
        let (word, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(b"\"")?;
        Some(word)
    }

    /// Both sides, after the quotation mark of the primary's name.
    fn sides(&mut self) -> Option<(Side, Option<Side>)> {
        let primary = implementation(self.word()?)?;
        let secondary = match self.skip(b",\"secondary\":\"") {
            Some(()) => Some(implementation(self.word()?)?),
            None => None,
        };
        self.skip(b",\"duration_ns\":[")?;
        let mut durations = [self.number()?, 0];
        let mut asked = 1;
        if self.skip(b",").is_some() {
            durations[1] = self.number()?;
            asked = 2;
        }
        self.skip(b"]")?;
        let error = match self.skip(b",\"error\":") {
            Some(()) => Some(self.both(|rest| {
                rest.skip(b"\"")?;
                error(rest.word()?)
            })?),
            None => None,
        };
        let tips = match self.skip(b",\"tips\":") {
            Some(()) => Some(self.both(Self::tips)?),
            None => None,
        };
        let sides = Sides {
            primary,
            secondary,
            duration_ns: &durations[..asked],
            error,
            tips,
        };
        sides.split()
    }

    /// What is said once, or of each side.
    fn both<T: Copy>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Both<T>> {
        let start = self.0;
        if let Some(it) = read(self) {
            return Some(Both::Same(it));
        }
        self.0 = start;
        let mut each = [None; 2];
        for (sign, place) in [b"[", b","].into_iter().zip(&mut each) {
            self.skip(sign)?;
            *place = match self.skip(b"null") {
                Some(()) => None,
                None => Some(read(self)?),
            };
        }
        self.skip(b"]")?;
        Some(Both::Each(each))
    }

    fn tips(&mut self) -> Option<[u32; 2]> {
        self.skip(b"[")?;
        let before = u32::try_from(self.number()?).ok()?;
        self.skip(b",")?;
        let after = u32::try_from(self.number()?).ok()?;
        self.skip(b"]")?;
        Some([before, after])
    }

    fn sides_of_version_2(&mut self) -> Option<(Side, Option<Side>)> {
        let primary = self.side_of_version_2()?;
        let secondary = match self.skip(b",\"secondary\":") {
            Some(()) => Some(self.side_of_version_2()?),
            None => None,
        };
        Some((primary, secondary))
    }

    fn side_of_version_2(&mut self) -> Option<Side> {
        self.skip(b"{\"implementation\":\"")?;
        let implementation = implementation(self.word()?)?;
        self.skip(b",\"duration_ns\":")?;
        let duration_ns = self.number()?;
        let error = match self.skip(b",\"error\":\"") {
            Some(()) => Some(error(self.word()?)?),
            None => None,
        };
        let tips = match self.skip(b",\"tips\":") {
            Some(()) => Some(self.tips()?),
            None => None,
        };
        self.skip(b"}")?;
        Some(Side {
            implementation,
            duration_ns,
            error,
            tips,
        })
    }
}

fn operation(name: &[u8]) -> Option<Operation> {
    let mut known = Operation::CALLS.into_iter();
    known.find(|operation| operation.as_str().as_bytes() == name)
}

fn verdict(name: &[u8]) -> Option<Verdict> {
    let mut known = Verdict::ALL.into_iter();
    known.find(|verdict| verdict.as_str().as_bytes() == name)
}

fn implementation(name: &[u8]) -> Option<BitcoinImplementationType> {
    use BitcoinImplementationType::{Python, Rust};
    let mut known = [Python, Rust].into_iter();
    known.find(|implementation| implementation.as_str().as_bytes() == name)
}

fn error(name: &[u8]) -> Option<ErrorKind> {
    let mut known = ErrorKind::ALL.into_iter();
    known.find(|kind| kind.as_str().as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::*;

    fn sides() -> impl Strategy<Value = Side> {
        use BitcoinImplementationType::{Python, Rust};
        (
            select(vec![Python, Rust]),
            any::<u64>(),
            proptest::option::of(select(ErrorKind::ALL.to_vec())),
            any::<Option<[u32; 2]>>(),
        )
            .prop_map(|(implementation, duration_ns, error, tips)| Side {
                implementation,
                duration_ns,
                error,
                tips,
            })
    }

    fn lines() -> impl Strategy<Value = Line> {
        let numbers = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>());
        let names = (
            select(Operation::CALLS.to_vec()),
            select(Verdict::ALL.to_vec()),
            any::<Option<String>>(),
        );
        let answers = (sides(), proptest::option::of(sides()), any::<u32>());
        (numbers, names, answers).prop_map(
            |(
                (run, sequence, time_ms, input),
                (operation, verdict, reason),
                (primary, secondary, rechecks),
            )| Line {
                version: VERSION,
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
                    reason: reason.map(Into::into),
                }),
            },
        )
    }

    /// A line as version 2 wrote it.
    fn of_version_2(line: &Line) -> Vec<u8> {
        let Event::Comparison(comparison) = &line.event else {
            unreachable!("it is one");
        };
        let json = |side: &Side| serde_json::to_string(side).expect("plain data");
        let part = |name: &str, value: Option<String>| {
            value.map_or_else(String::new, |value| format!(",\"{name}\":{value}"))
        };
        let rechecks = comparison.rechecks;
        let reason = comparison.reason.as_ref();
        let text = format!(
            "{{\"version\":2,\"run\":\"{}\",\"kind\":\"comparison\",\"sequence\":{},\"time_ms\":{},\
             \"operation\":\"{}\",\"verdict\":\"{}\",\"input\":\"{}\",\"primary\":{}{}{}{}}}",
            line.run,
            comparison.sequence,
            comparison.time_ms,
            comparison.operation,
            comparison.verdict.as_str(),
            comparison.input,
            json(&comparison.primary),
            part("secondary", comparison.secondary.as_ref().map(json)),
            part("rechecks", (rechecks > 0).then(|| rechecks.to_string())),
            part("reason", reason.map(|it| serde_json::json!(it).to_string())),
        );
        text.into_bytes()
    }

    proptest! {
        #[test]
        fn lines_of_version_2_are_understood_as_serde_does(line in lines()) {
            let text = of_version_2(&line);
            let expected = Line { version: 2, ..line };
            let read: Line = serde_json::from_slice(&text).expect("serde understands it");
            prop_assert_eq!(&read, &expected);
            if !text.contains(&b'\\') {
                prop_assert_eq!(comparison(&text), Some(expected));
            }
        }

        #[test]
        fn what_shadow_mode_writes_is_understood_as_serde_does(line in lines()) {
            let text = serde_json::to_vec(&line).expect("a line is plain data");
            let understood = comparison(&text);
            let has_escape = text.contains(&b'\\');
            prop_assert!(understood.is_some() || has_escape, "{}", String::from_utf8_lossy(&text));
            if let Some(understood) = understood {
                prop_assert_eq!(&understood, &line);
            }
        }

        #[test]
        fn what_is_understood_of_a_changed_line_is_what_serde_makes_of_it(
            (line, is_old) in (lines(), any::<bool>()),
            changes in proptest::collection::vec((any::<Index>(), any::<u8>(), 0..4), 1..3),
        ) {
            let mut text = if is_old {
                of_version_2(&line)
            } else {
                serde_json::to_vec(&line).expect("a line is plain data")
            };
            for (place, byte, change) in changes {
                let place = place.index(text.len());
                match change {
                    0 => text[place] = byte,
                    1 => text.insert(place, byte),
                    2 => text.insert(place, b'0' + byte % 10),
                    _ if text.len() > 1 => { text.remove(place); }
                    _ => {}
                }
            }
            if let Some(understood) = comparison(&text) {
                let read: Line = serde_json::from_slice(&text).expect("serde understands it too");
                prop_assert_eq!(understood, read);
            }
        }
    }

    #[test]
    fn numbers_that_json_does_not_have_are_left_to_serde() {
        let number = |text: &[u8]| {
            let mut rest = Cursor(text);
            (rest.number(), rest.0.len())
        };
        assert_eq!(number(b"0,"), (Some(0), 1));
        assert_eq!(number(b"18446744073709551615}"), (Some(u64::MAX), 1));
        for other in [&b"18446744073709551616"[..], b"01", b"-1", b"", b"x"] {
            assert_eq!(number(other).0, None);
        }
    }
}
