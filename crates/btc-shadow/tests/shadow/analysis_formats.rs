//! Every format of an assessment, over runs that are good, thin and hostile.

use btc_iface::Operation;
use btc_shadow::analysis::{Analysis, Assessment, Format, Gate, render_html};
use btc_shadow::compare::Verdict::{Inconclusive, Mismatch};
use btc_shadow::record::{Comparison, Event, Fallback, Line, Rollout};

use crate::samples::{BEGIN_MS, difference, evidence, line, start};

/// What a log may hold to become markup, a command, or another cell.
const HOSTILE: &str = "<script>alert(1)</script>\"'&|`*[x](y)\n\r\u{1b}[31m\u{0}\u{202e},;=1+1";

fn assess(lines: impl IntoIterator<Item = Line>) -> Assessment {
    let mut analysis = Analysis::default();
    for line in lines {
        analysis.add(line);
    }
    analysis.add_text(HOSTILE, 3, b"nonsense <b>\n");
    Gate::default().judge(analysis.finish())
}

fn hostile(one: &mut Comparison) {
    if one.sequence.is_multiple_of(50) {
        one.verdict = Mismatch;
        let mut found = difference(&format!("outputs[0].{HOSTILE}"));
        HOSTILE.clone_into(&mut found.primary);
        found.secondary = HOSTILE.repeat(50);
        one.differences = vec![found];
    } else if one.sequence % 50 == 1 {
        one.verdict = Inconclusive;
        one.reason = Some(HOSTILE.into());
    }
}

fn samples() -> Vec<Assessment> {
    let mut lines = evidence(1, HOSTILE, |_| 120, hostile);
    lines.push(line(
        "1",
        Event::Rollout(Rollout {
            time_ms: BEGIN_MS,
            from_percent: 25,
            to_percent: 0,
            is_automatic: true,
            reason: HOSTILE.to_owned(),
        }),
    ));
    lines.push(line(
        "1",
        Event::Fallback(Fallback {
            time_ms: BEGIN_MS,
            operation: Operation::GetBlock,
            failed: btc_iface::BitcoinImplementationType::Rust,
            error: btc_iface::ErrorKind::Timeout,
            is_answered: true,
        }),
    ));
    vec![
        assess([]),
        assess([line("1", start(true))]),
        assess(evidence(1, "0.1.0", |_| 1_500, |_| {})),
        assess(lines),
    ]
}

/// Checks that tags nest and attributes are quoted, and gives the names of all tags.
fn tags(markup: &str) -> Vec<String> {
    const VOID: [&str; 2] = ["meta", "br"];
    let mut open: Vec<String> = Vec::new();
    let mut names = Vec::new();
    let mut rest = markup;
    while let Some((before, after)) = rest.split_once('<') {
        assert!(!before.contains('>'), "{before}");
        let (tag, after) = after.split_once('>').expect("a tag ends");
        rest = after;
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "{open:?}");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap_or_default().to_owned();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        names.push(name.clone());
        if name == "style" {
            rest = rest.split_once("</style>").expect("a style ends").1;
        } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
            open.push(name);
        }
    }
    assert_eq!(open, [""; 0]);
    names
}

#[test]
fn the_table_says_the_decision_first_and_what_is_missing_last() {
    for assessment in samples() {
        let table = Format::Table.render(&assessment);
        let word = assessment.judgement.decision.as_str();
        assert!(table.starts_with(word), "{table}");
        assert!(table.contains("\ncriteria not met\n"));
        assert!(
            table.chars().all(|c| c == '\n' || !c.is_control()),
            "{table:?}"
        );
        let mut lines = table.lines();
        assert!(lines.all(|line| !line.contains('\u{202e}')));
    }
}

#[test]
fn columns_fit_a_terminal_and_sentences_stay_whole() {
    let mut analysis = Analysis::default();
    for line in evidence(1, "0.1.0", |_| 1_500, |_| {}) {
        analysis.add(line);
    }
    let table = Format::Table.render(&Gate::default().judge(analysis.finish()));
    let is_column = |line: &&str| line.split("  ").filter(|cell| !cell.is_empty()).count() > 3;
    let columns = table.lines().filter(is_column);
    let widest = columns.map(|line| line.chars().count()).max();
    assert!(widest > Some(40) && widest <= Some(80), "{table}");
    let sentence = "  hold  get_transaction: 1,500 of 50,750 distinct inputs";
    assert!(table.lines().any(|line| line == sentence), "{table}");
}

#[test]
fn the_page_says_what_to_do_next_and_what_is_off_by_how_much() {
    let assess =
        |change: fn(&mut Comparison)| render_html(&assess(evidence(1, "0.1.0", |_| 200, change)));
    let hold = assess(|_| {});
    assert!(hold.contains("What to do next") && hold.contains("btc analyze"));
    assert!(hold.contains("none seen"), "no money is at risk");
    let no = assess(|one| {
        if one.sequence == 5 {
            one.verdict = Mismatch;
            one.differences = vec![difference("outputs[0].value_sat")];
        }
    });
    assert!(no.contains("PRIMARY_IMPL=python") && no.contains("<b>1 satoshi</b>"));
    assert!(no.contains("the amount of an output, in satoshis"));
}

#[test]
fn json_holds_the_judgement_and_the_report_side_by_side() {
    for assessment in samples() {
        let json: serde_json::Value =
            serde_json::from_str(&Format::Json.render(&assessment)).expect("JSON");
        let word = assessment.judgement.decision.as_str().to_lowercase();
        assert_eq!(json["judgement"]["decision"], word);
        assert_eq!(json["judgement"]["gate"]["p99_ratio"], 1.1);
        assert_eq!(json["compared"], assessment.report.compared);
        let operations = json["operations"].as_array().expect("a list");
        assert_eq!(operations.len(), assessment.report.operations.len());
    }
}

#[test]
fn every_line_of_csv_has_as_many_columns_and_names_stay_unique() {
    for assessment in samples() {
        let csv = Format::Csv.render(&assessment);
        assert!(csv.ends_with("\r\n"));
        let lines: Vec<_> = csv.trim_end().split("\r\n").collect();
        assert_eq!(lines.len(), 1 + assessment.report.operations.len());
        let head: Vec<_> = lines[0].split(',').collect();
        let names: std::collections::BTreeSet<_> = head.iter().collect();
        assert_eq!(names.len(), head.len());
        for line in &lines {
            assert_eq!(line.split(',').count(), head.len(), "{line}");
            assert!(line.chars().all(|c| c.is_ascii_graphic()), "{line:?}");
        }
    }
}

#[test]
fn junit_is_well_formed_and_has_a_case_for_each_criterion() {
    for assessment in samples() {
        let xml = Format::Junit.render(&assessment);
        let tags = tags(&xml);
        let count = |name: &str| tags.iter().filter(|tag| *tag == name).count();
        assert_eq!(count("testcase"), assessment.judgement.criteria.len());
        assert_eq!(count("failure"), assessment.judgement.unmet().count());
        assert!(xml.chars().all(|c| c == '\n' || !c.is_control()));
    }
}

#[test]
fn markdown_has_tables_of_equal_rows_and_no_markup_from_the_log() {
    for assessment in samples() {
        let markdown = Format::Markdown.render(&assessment);
        assert!(markdown.starts_with("# "));
        assert!(!markdown.contains("<script"), "{markdown}");
        let mut columns = None;
        for line in markdown.lines() {
            let unescaped = line.replace("\\|", "");
            let cells = unescaped
                .starts_with('|')
                .then(|| unescaped.matches('|').count());
            if let (Some(before), Some(now)) = (columns, cells) {
                assert_eq!(before, now, "{line}");
            }
            columns = cells;
        }
    }
}

#[test]
fn the_page_stands_alone_and_takes_no_markup_from_the_log() {
    for assessment in samples() {
        let page = render_html(&assessment);
        assert!(page.starts_with("<!doctype html>"));
        let tags = tags(&page);
        for never in ["script", "link", "img", "iframe", "b>", "object", "a"] {
            assert!(!tags.iter().any(|tag| tag == never), "{never}");
        }
        for elsewhere in [
            "http:",
            "https:",
            "src=",
            "url(",
            "@import",
            "onload",
            "javascript:",
        ] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
        assert!(page.contains("prefers-color-scheme:dark"));
        assert!(page.contains(&format!(
            ">{}</div>",
            assessment.judgement.decision.as_str()
        )));
        assert!(page.len() < 400_000, "{}", page.len());
        assert!(page.chars().all(|c| c == '\n' || !c.is_control()));
    }
}

#[test]
fn the_page_draws_every_operation_and_each_timeline() {
    let page = render_html(&samples()[3]);
    for operation in Operation::CALLS {
        assert!(page.contains(&format!("aria-label=\"durations of {operation}\"")));
    }
    for picture in ["verdicts over time", "memory over time"] {
        assert!(
            page.contains(&format!("aria-label=\"{picture}\"")),
            "{picture}"
        );
    }
    assert!(page.contains("class=\"heat\""));
    assert!(
        !page.contains("NaN") && !page.contains("inf"),
        "a number is missing"
    );
}
