//! The report as people read it, and as JSON.

use btc_shadow::analysis::{Analysis, render_table};
use btc_shadow::compare::Verdict::{Inconclusive, Match, Mismatch, Skipped};
use btc_shadow::record::Event;

use crate::samples::{comparison, line, start, totals};

fn table(events: impl IntoIterator<Item = Event>) -> String {
    let mut analysis = Analysis::default();
    for event in events {
        analysis.add(line("a", event));
    }
    render_table(&analysis.finish())
}

#[test]
fn the_conclusion_comes_first() {
    let first = |events: Vec<Event>| {
        let table = table(events);
        table.lines().next().unwrap_or_default().to_owned()
    };
    let nothing = first(Vec::new());
    assert!(nothing.starts_with("NOTHING "), "{nothing}");
    let agree = first(vec![start(false), totals(5, &[(Match, 5)])]);
    assert_eq!(
        agree,
        "AGREE     5 calls compared, no difference (compatibility 100.0000 %)"
    );
    let differ = first(vec![start(false), totals(3, &[(Match, 2), (Mismatch, 1)])]);
    assert_eq!(
        differ,
        "DIFFER    1 of 3 compared calls differ (compatibility 66.6666 %)"
    );
}

#[test]
fn a_share_just_below_the_whole_is_not_shown_as_the_whole() {
    let counts = totals(99_999_999, &[(Match, 99_999_998), (Mismatch, 1)]);
    let table = table([start(false), counts]);
    assert!(table.contains("99.9999 %"), "{table}");
    assert!(!table.contains("100.0000 %"), "{table}");
}

#[test]
fn a_field_that_differs_is_shown_with_both_values() {
    let table = table([start(true), comparison(1, Mismatch)]);
    for shown in [
        "get_block_height height in 1 places",
        "primary   1\n",
        "secondary 2\n",
        "problems in the log: 1",
        "has no totals",
    ] {
        assert!(table.contains(shown), "{shown} in\n{table}");
    }
}

#[test]
fn what_was_not_compared_is_listed_with_the_reason() {
    let because = |sequence, verdict, reason: &'static str| {
        let mut event = comparison(sequence, verdict);
        if let Event::Comparison(comparison) = &mut event {
            comparison.reason = Some(reason.into());
        }
        event
    };
    let table = table([
        start(true),
        because(1, Skipped, "unsupported by the secondary"),
        because(2, Skipped, "unsupported by the secondary"),
        because(3, Inconclusive, "no answer\nAGREE"),
        totals(3, &[(Skipped, 2), (Inconclusive, 1)]),
    ]);
    let (_, listed) = table.split_once("\nnot compared\n").expect("a list");
    assert_eq!(
        listed,
        "  get_block_height inconclusive 1 time: no answer\u{fffd}AGREE\n  \
         get_block_height skipped 2 times: unsupported by the secondary\n"
    );
}

#[test]
fn text_from_a_log_cannot_command_the_terminal_or_break_a_line() {
    let mut event = comparison(1, Mismatch);
    if let Event::Comparison(comparison) = &mut event {
        comparison.differences[0].path = "height\u{1b}[2J".to_owned();
        comparison.differences[0].primary = "1\nAGREE     everything".to_owned();
        comparison.differences[0].secondary = "2\u{7}\u{9b}31m".to_owned();
    }
    let mut analysis = Analysis::default();
    analysis.add(line("ac", start(true)));
    analysis.add(line("ac", event));
    let hostile = br#"{"version":2,"run":"0000000a","kind":"\u001b[31m\n"}"#;
    analysis.add_text("log\u{1b}", 3, &[hostile.as_slice(), b"\n"].concat());
    let table = render_table(&analysis.finish());
    assert!(
        table.chars().all(|c| c == '\n' || !c.is_control()),
        "{table:?}"
    );
    let mut lines = table.lines();
    assert!(lines.all(|line| !line.starts_with("AGREE")), "{table}");
}

#[test]
fn a_report_is_plain_data() {
    let mut analysis = Analysis::default();
    analysis.add(line("a", comparison(1, Mismatch)));
    let json = serde_json::to_value(analysis.finish()).expect("plain data");
    assert_eq!(json["conclusion"], "differ");
    assert_eq!(json["operations"][0]["operation"], "get_block_height");
    assert_eq!(json["operations"][0]["paths"][0]["sample"]["primary"], "1");
}
