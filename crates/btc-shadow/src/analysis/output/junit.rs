//! An assessment as JUnit's XML: a test suite per operation, a test case per criterion.

use std::fmt::Write as _;

use super::super::gate::{Assessment, Criterion, Outcome};
use super::html::escape;

pub(super) fn render(assessment: &Assessment) -> String {
    let judgement = &assessment.judgement;
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        out,
        "<testsuites name=\"btc analyze: {}\" tests=\"{}\" failures=\"{}\">",
        judgement.decision.as_str(),
        judgement.criteria.len(),
        failures(judgement.criteria.iter())
    );
    let suites = judgement
        .criteria
        .chunk_by(|one, other| one.operation == other.operation);
    for suite in suites {
        let name = suite_name(&suite[0]);
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\">",
            suite.len(),
            failures(suite.iter())
        );
        for criterion in suite {
            case(&mut out, criterion);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn case(out: &mut String, criterion: &Criterion) {
    let (name, class) = (criterion.name, suite_name(criterion));
    let sentence = escape(&criterion.sentence);
    let _ = write!(out, "    <testcase classname=\"{class}\" name=\"{name}\">");
    let _ = match criterion.outcome {
        Outcome::Go => writeln!(out, "<system-out>{sentence}</system-out></testcase>"),
        Outcome::Hold => writeln!(
            out,
            "<failure type=\"hold\" message=\"{sentence}\"/></testcase>"
        ),
        Outcome::No => writeln!(
            out,
            "<failure type=\"no\" message=\"{sentence}\"/></testcase>"
        ),
    };
}

fn suite_name(criterion: &Criterion) -> &'static str {
    criterion
        .operation
        .map_or("all", |operation| operation.as_str())
}

fn failures<'c>(criteria: impl Iterator<Item = &'c Criterion>) -> usize {
    criteria
        .filter(|criterion| criterion.outcome != Outcome::Go)
        .count()
}
