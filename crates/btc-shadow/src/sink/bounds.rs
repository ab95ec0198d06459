//! Lines with free text in them: secrets are blacked out, and what is too long is shortened.

use std::borrow::Cow;
use std::fmt::Write;

use super::redact::redact;
use crate::record::{Comparison, Event, Line};

/// The longest line of a comparison, with its line feed.
pub(super) const MAX_COMPARISON_BYTES: usize = 2048;
/// The longest values, in characters, tried one after the other until the line fits.
const VALUE_LIMITS: [usize; 4] = [120, 48, 24, 12];
/// The longest path that is kept while values get shorter, in characters.
const MIN_PATH_CHARS: usize = 64;
/// The longest reason, in characters.
const MAX_REASON_CHARS: usize = 160;

/// Appends a line without its line feed.
pub(super) fn append(out: &mut Vec<u8>, line: &Line) -> serde_json::Result<()> {
    let mut line = line.clone();
    let comparison = match &mut line.event {
        Event::Comparison(_) => return append_comparison(out, line),
        Event::Breaker(breaker) => &mut breaker.reason,
        Event::Gap(gap) => &mut gap.reason,
        Event::Rollout(rollout) => {
            let mut reason = Cow::Owned(std::mem::take(&mut rollout.reason));
            clean_reason(&mut reason);
            rollout.reason = reason.into_owned();
            return serde_json::to_writer(out, &line);
        }
        _ => return serde_json::to_writer(out, &line),
    };
    clean_reason(comparison);
    serde_json::to_writer(out, &line)
}

fn append_comparison(out: &mut Vec<u8>, mut line: Line) -> serde_json::Result<()> {
    let begin = out.len();
    each_text(&mut line, |text, _| {
        if let Cow::Owned(clean) = redact(text) {
            *text = clean;
        }
    });
    let mut left_out = 0_usize;
    for limit in VALUE_LIMITS {
        each_text(&mut line, |text, place| {
            let limit = match place {
                Place::Value => limit,
                Place::Path => limit.max(MIN_PATH_CHARS),
            };
            shorten(text, limit);
        });
        serde_json::to_writer(&mut *out, &line)?;
        if out.len() - begin < MAX_COMPARISON_BYTES {
            return Ok(());
        }
        out.truncate(begin);
    }
    // The first fields say most.
    loop {
        let Event::Comparison(comparison) = &mut line.event else {
            return Ok(());
        };
        let is_last = comparison.differences.pop().is_none();
        left_out += 1;
        comparison.reason = Some(format!("{left_out} more differences are left out").into());
        serde_json::to_writer(&mut *out, &line)?;
        if is_last || out.len() - begin < MAX_COMPARISON_BYTES {
            return Ok(());
        }
        out.truncate(begin);
    }
}

#[derive(Clone, Copy)]
enum Place {
    Path,
    Value,
}

fn each_text(line: &mut Line, mut change: impl FnMut(&mut String, Place)) {
    let Event::Comparison(Comparison {
        differences,
        reason,
        ..
    }) = &mut line.event
    else {
        return;
    };
    for difference in differences {
        change(&mut difference.path, Place::Path);
        change(&mut difference.primary, Place::Value);
        change(&mut difference.secondary, Place::Value);
    }
    if let Some(reason) = reason {
        clean_reason(reason);
    }
}

fn clean_reason(reason: &mut Cow<'static, str>) {
    if let Cow::Owned(mut clean) = redact(reason) {
        shorten(&mut clean, MAX_REASON_CHARS);
        *reason = Cow::Owned(clean);
    } else if reason.len() > MAX_REASON_CHARS {
        shorten(reason.to_mut(), MAX_REASON_CHARS);
    }
}

/// Keeps so many characters, and says how many bytes there were. A text that was shortened before
/// keeps its number.
fn shorten(text: &mut String, limit: usize) {
    let (shown, bytes) = match cut(text) {
        Some(cut) => (cut.place, cut.bytes),
        None => (text.len(), text.len()),
    };
    if let Some((end, _)) = text[..shown].char_indices().nth(limit) {
        text.truncate(end);
        // Writing to a string cannot fail.
        let _ = write!(text, "… ({bytes} bytes)");
    }
}

/// Where a text was shortened, and how long it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) place: usize,
    pub(super) bytes: usize,
}

pub(super) fn cut(text: &str) -> Option<Cut> {
    let (shown, rest) = text.rsplit_once('…')?;
    let bytes = rest.strip_prefix(" (")?.strip_suffix(" bytes)")?;
    Some(Cut {
        place: shown.len(),
        bytes: bytes.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use btc_iface::{BitcoinImplementationType, Operation};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::compare::{Difference, Verdict};
    use crate::record::{Digest, RunId, Side, VERSION};

    fn mismatch(differences: Vec<Difference>, reason: Option<String>) -> Line {
        let side = Side {
            implementation: BitcoinImplementationType::Python,
            duration_ns: u64::MAX,
            error: None,
            tips: Some([u32::MAX; 2]),
        };
        Line {
            version: VERSION,
            run: RunId(1),
            event: Event::Comparison(Comparison {
                sequence: u64::MAX,
                time_ms: u64::MAX,
                operation: Operation::BroadcastTransaction,
                verdict: Verdict::Mismatch,
                input: Digest(1),
                primary: side.clone(),
                secondary: Some(side),
                rechecks: u32::MAX,
                differences,
                reason: reason.map(Into::into),
            }),
        }
    }

    fn difference((path, primary, secondary): (String, String, String)) -> Difference {
        Difference {
            path,
            primary,
            secondary,
            tip: true,
        }
    }

    fn written(line: &Line) -> Comparison {
        let mut out = b"before".to_vec();
        append(&mut out, line).expect("plain data");
        assert!(
            out.len() - 6 < MAX_COMPARISON_BYTES,
            "{} bytes",
            out.len() - 6
        );
        let line = serde_json::from_slice::<Line>(&out[6..]).expect("a line");
        let Event::Comparison(comparison) = line.event else {
            unreachable!("it was one");
        };
        comparison
    }

    proptest! {
        #[test]
        fn a_mismatch_fits_whatever_is_in_it(
            texts in vec(("\\PC{0,300}|[\\x00-\\x1f]{0,300}", ".{0,300}", ".{0,300}"), 0..20),
            reason in option::of("\\PC{0,500}|[\\x00-\\x1f]{0,500}"),
        ) {
            let differences: Vec<_> = texts.into_iter().map(difference).collect();
            let count = differences.len();
            let kept = written(&mismatch(differences, reason)).differences.len();
            prop_assert!(kept <= count);
        }

        #[test]
        fn short_values_stay_as_they_are(value in "[a-zα-ω]{0,120}", path in "[a-z.]{1,40}") {
            let given = vec![difference((path, value.clone(), value))];
            prop_assert_eq!(written(&mismatch(given.clone(), None)).differences, given);
        }
    }

    #[test]
    fn a_long_value_says_how_long_it_was_however_often_it_is_shortened() {
        let mut text = "é".repeat(200);
        shorten(&mut text, 120);
        assert_eq!(text, format!("{}… (400 bytes)", "é".repeat(120)));
        shorten(&mut text, 120);
        shorten(&mut text, 2);
        assert_eq!(text, "éé… (400 bytes)");
    }

    #[test]
    fn many_long_values_get_shorter_before_any_is_left_out() {
        let long = |path: &str| difference((path.to_owned(), "a".repeat(120), "b".repeat(120)));
        let paths = [
            "txid", "wtxid", "size", "weight", "inputs", "outputs", "fee", "lock",
        ];
        let given: Vec<_> = paths.iter().map(|path| long(path)).collect();
        let comparison = written(&mismatch(given, None));
        assert_eq!(comparison.differences.len(), paths.len());
        assert_eq!(comparison.reason, None);
        let value = &comparison.differences[7].secondary;
        assert!(value.ends_with("… (120 bytes)"), "{value}");

        let given = (0..16).map(|_| long(&"[1000].outputs[10]".repeat(3)));
        let comparison = written(&mismatch(given.collect(), None));
        let kept = comparison.differences.len();
        assert!((4..16).contains(&kept), "{kept}");
        let reason = comparison.reason.unwrap_or_default();
        assert_eq!(
            reason,
            format!("{} more differences are left out", 16 - kept)
        );
    }

    #[test]
    fn secrets_are_blacked_out_in_values_and_reasons() {
        let key = "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn";
        let texts = (
            "p".to_owned(),
            format!("wif {key}"),
            "password=open".to_owned(),
        );
        let comparison = written(&mismatch(vec![difference(texts)], Some(format!("<{key}>"))));
        let found = &comparison.differences[0];
        assert_eq!(found.primary, "wif [redacted]");
        assert_eq!(found.secondary, "password=[redacted]");
        assert_eq!(comparison.reason.as_deref(), Some("<[redacted]>"));
    }
}
