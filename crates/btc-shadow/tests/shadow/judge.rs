//! The verdict on two answers, for every pair of what each can be.

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};
use btc_shadow::compare::{Difference, Height, Verdict, judge};

/// Nothing stands for an answer.
type Outcome = Option<ErrorKind>;

fn outcomes() -> impl Iterator<Item = Outcome> {
    std::iter::once(None).chain(ErrorKind::ALL.into_iter().map(Some))
}

fn answer(outcome: Outcome, text: &str) -> BitcoinResult<Height> {
    match outcome {
        None => Ok(Height(7)),
        Some(kind) => Err(BitcoinError::new(kind, Operation::GetBlockHeight, text)),
    }
}

#[test]
fn every_pair_of_outcomes_has_its_verdict() {
    use ErrorKind::{NotFound, Timeout, Unavailable, Unsupported};
    let mut seen = 0;
    for primary in outcomes() {
        for secondary in outcomes() {
            let never_arrived = [primary, secondary]
                .iter()
                .any(|outcome| matches!(outcome, Some(Unavailable | Timeout)));
            let expected = if secondary == Some(Unsupported) {
                Verdict::Skipped
            } else if never_arrived {
                Verdict::Inconclusive
            } else if primary == secondary {
                Verdict::Match
            } else {
                Verdict::Mismatch
            };
            let name = |outcome: Outcome| outcome.map_or("ok", ErrorKind::as_str).to_owned();
            let differences = match expected {
                Verdict::Mismatch => vec![Difference {
                    path: "error.kind".to_owned(),
                    primary: name(primary),
                    secondary: name(secondary),
                    // What one side has and the other has not yet may be on its way.
                    tip: matches!(
                        (primary, secondary),
                        (None, Some(NotFound)) | (Some(NotFound), None)
                    ),
                }],
                _ => Vec::new(),
            };
            assert_eq!(
                judge(&answer(primary, "one text"), &answer(secondary, "another")),
                (expected, differences),
                "{primary:?} beside {secondary:?}"
            );
            seen += 1;
        }
    }
    assert_eq!(seen, 11 * 11);
}

#[test]
fn answers_are_compared_by_value() {
    let (verdict, differences) = judge(&Ok(Height(7)), &Ok(Height(8)));
    assert_eq!(verdict, Verdict::Mismatch);
    assert_eq!(
        differences,
        [Difference {
            path: "height".to_owned(),
            primary: "7".to_owned(),
            secondary: "8".to_owned(),
            tip: true,
        }]
    );
}

#[test]
fn verdicts_have_these_names() {
    let names = [
        "match",
        "recovered",
        "mismatch",
        "inconclusive",
        "skipped",
        "dropped",
    ];
    assert_eq!(Verdict::ALL.map(Verdict::as_str), names);
    for verdict in Verdict::ALL {
        let json = serde_json::to_string(&verdict).expect("a unit variant");
        assert_eq!(json, format!("\"{}\"", verdict.as_str()));
    }
}
