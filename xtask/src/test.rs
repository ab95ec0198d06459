//! `cargo xtask test`: every check that a change must pass, in the order in which they fail soonest.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::error::{Error, Result};
use crate::flags::{Purpose, TestFlags};
use crate::process::Output;
use crate::session::Session;
use crate::setup::advisories;
use crate::setup::browser;
use crate::terminal::{answer, bold, duration, green, red, yellow};
use crate::workspace::Workspace;
use crate::{
    downstream, fuzz, lints, matrix, mutants, packages, page, phase, simulate, suite, tidy,
};

/// A check: its name, and the work, which returns a few words about what was done.
struct Step {
    name: String,
    hint: Option<&'static str>,
    /// Why it cannot be run on this machine.
    obstacle: Option<&'static str>,
    work: Work,
}

type Work = Box<dyn Fn(&Session<'_>) -> Result<String>>;

/// How a step ended.
enum Outcome {
    Passed(String),
    Failed(String),
    /// It cannot be run on this machine, for a reason that the summary gives.
    Skipped(&'static str),
    NotRun,
}

struct Row {
    name: String,
    time: Duration,
    outcome: Outcome,
}

pub(crate) fn run(workspace: &Workspace, flags: &TestFlags) -> Result<()> {
    let output = if flags.json {
        Output::Stderr
    } else {
        Output::Stdout
    };
    let start = Instant::now();
    let session = Session::open(workspace, Purpose::Test, flags.yes)?.with_output(output);
    let setup = Row {
        name: "setup".to_owned(),
        time: start.elapsed(),
        outcome: Outcome::Passed("ready".to_owned()),
    };
    let mut rows = vec![setup];
    for step in steps(workspace, flags.strict)? {
        let failed = rows
            .iter()
            .any(|row| matches!(row.outcome, Outcome::Failed(_)));
        let skip = failed && !flags.keep_going;
        rows.push(if skip {
            not_run(step, Outcome::NotRun)
        } else if let Some(why) = step.obstacle {
            not_run(step, Outcome::Skipped(why))
        } else {
            run_step(&session, step)
        });
    }
    session.say(&table(&rows, start.elapsed()));
    for line in left_out(&rows) {
        session.say(&line);
    }
    if flags.json {
        answer(&as_json(&rows, start.elapsed()).to_string());
    }
    let failed: Vec<_> = rows
        .iter()
        .filter(|row| matches!(row.outcome, Outcome::Failed(_)))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = failed.iter().map(|row| row.name.as_str()).collect();
    Err(Error::new(format!(
        "failed: {}; its output is above the table",
        names.join(", ")
    )))
}

fn steps(workspace: &Workspace, is_strict: bool) -> Result<Vec<Step>> {
    let denies = lints::are_errors(is_strict);
    let mut steps = vec![
        cargo("format", "fmt --all --check").with_hint("`cargo fmt --all` repairs it"),
        Step::new("tidy", |session| {
            tidy::check(session.workspace, session.output)
        }),
        cargo(
            "clippy",
            if denies {
                "clippy --workspace --all-targets --all-features -- --deny warnings"
            } else {
                "clippy --workspace --all-targets --all-features"
            },
        ),
        Step::new("documentation", move |session| {
            // The program `btc` would write its pages over those of the library `btc`.
            let words = "doc --workspace --exclude btc-migration-cli --no-deps --all-features";
            let mut cargo = session.cargo(words)?;
            if denies {
                cargo.env("RUSTDOCFLAGS", "-D warnings");
            }
            session.run(&mut cargo)?;
            Ok("clean".to_owned())
        }),
        cargo(
            "licences and sources",
            "deny --all-features --locked check --hide-inclusion-graph licenses bans sources",
        )
        .with_hint("deny.toml says what may come in"),
        cargo(
            "advisories",
            "deny --all-features --locked check --disable-fetch --hide-inclusion-graph advisories",
        )
        .with_obstacle((!advisories::are_here()).then_some(advisories::MISSING)),
        Step::new("unit tests", |session| {
            let mut cargo = session.cargo("test --workspace --exclude btc-tests --all-features")?;
            Ok(suite::run(session, &mut cargo)?.summary())
        }),
    ];
    let phases = phase::in_suites(workspace)?;
    if phases.is_empty() {
        return Err(Error::new(
            "tests/Cargo.toml has no suite of any phase; there would be nothing to test",
        ));
    }
    steps.extend(phases.into_iter().map(|number| {
        Step::new(&format!("phase {number}"), move |session| {
            Ok(phase::run_suite(session, number, &[])?.summary())
        })
    }));
    steps.extend([
        Step::new("mutants", |session| mutants::run_suite(session, &[])),
        Step::new("simulation", simulate::run_suite)
            .with_hint("docs/simulate.md says how to read it; a seed replays alone"),
        Step::new("pages", |session| {
            Ok(page::run_suite(session, &[])?.summary())
        })
        .with_obstacle(browser::find().is_none().then_some(page::MISSING))
        .with_hint("the pages and screenshots are in target/page"),
        Step::new("python tests", |session| {
            Ok(suite::run(session, &mut session.python("pytest --color=no")?)?.summary())
        }),
        python(
            "python lint",
            "ruff check --config pyproject.toml . ../../btc-regtest/python",
        ),
        python(
            "python format",
            "ruff format --check --config pyproject.toml . ../../btc-regtest/python",
        )
        .with_hint("`.venv/bin/ruff format crates/btc-python/python` repairs it"),
        python("python types", "mypy --strict"),
    ]);
    if workspace.has("fuzz/Cargo.toml") {
        // Outside the workspace, so neither `--all` nor `--workspace` reaches it.
        steps.push(
            cargo("fuzz format", "fmt --manifest-path fuzz/Cargo.toml --check")
                .with_hint("`cargo fmt --manifest-path fuzz/Cargo.toml` repairs it"),
        );
        steps.push(Step::new("fuzz targets", |session| {
            session.run(&mut fuzz::check(session)?)?;
            Ok("compiled".to_owned())
        }));
    }
    steps.push(Step::new("programs downstream", downstream::check));
    steps.push(
        Step::new("packages", packages::check)
            .with_hint("docs/adr/0013-published-names.md says which crates are published"),
    );
    steps.push(
        Step::new("feature matrix", matrix::check_pairs)
            .with_hint("`cargo xtask matrix` compiles and tests every combination"),
    );
    if is_strict {
        steps.push(Step::new("feature lints", matrix::lint));
    }
    Ok(steps)
}

impl Step {
    fn new(name: &str, work: impl Fn(&Session<'_>) -> Result<String> + 'static) -> Self {
        Self {
            name: name.to_owned(),
            hint: None,
            obstacle: None,
            work: Box::new(work),
        }
    }

    /// What to do when it fails, where the output does not say so.
    fn with_hint(self, hint: &'static str) -> Self {
        Self {
            hint: Some(hint),
            ..self
        }
    }

    fn with_obstacle(self, obstacle: Option<&'static str>) -> Self {
        Self { obstacle, ..self }
    }
}

fn cargo(name: &str, words: &'static str) -> Step {
    Step::new(name, |session| {
        session.run(&mut session.cargo(words)?)?;
        Ok("clean".to_owned())
    })
}

fn python(name: &str, words: &'static str) -> Step {
    Step::new(name, |session| {
        session.run(&mut session.python(words)?)?;
        Ok("clean".to_owned())
    })
}

fn run_step(session: &Session<'_>, step: Step) -> Row {
    session.say(&format!("\n{}", bold(&format!("== {}", step.name))));
    let start = Instant::now();
    let done = (step.work)(session);
    let time = start.elapsed();
    let (word, outcome) = match done {
        Ok(words) => (green("ok"), Outcome::Passed(words)),
        Err(error) => {
            let hint = step.hint.map(|hint| format!("; {hint}"));
            let text = format!("{error}{}", hint.unwrap_or_default());
            session.say(&text);
            (red("FAILED"), Outcome::Failed(text))
        }
    };
    session.say(&format!("== {}: {word} in {}", step.name, duration(time)));
    Row {
        name: step.name,
        time,
        outcome,
    }
}

fn not_run(step: Step, outcome: Outcome) -> Row {
    Row {
        name: step.name,
        time: Duration::ZERO,
        outcome,
    }
}

fn table(rows: &[Row], total: Duration) -> String {
    let width = rows
        .iter()
        .map(|row| row.name.len())
        .max()
        .unwrap_or(0)
        .max("total".len());
    let mut lines = vec![String::new(), bold("Summary")];
    for row in rows {
        // The colour comes after the padding: its codes have no width.
        let (word, words) = match &row.outcome {
            Outcome::Passed(words) => (green("ok     "), words.as_str()),
            Outcome::Failed(error) => (red("FAILED "), error.lines().next().unwrap_or("")),
            Outcome::Skipped(why) => (yellow("skipped"), *why),
            Outcome::NotRun => (yellow("not run"), ""),
        };
        let time = if matches!(row.outcome, Outcome::NotRun | Outcome::Skipped(_)) {
            String::new()
        } else {
            duration(row.time)
        };
        lines.push(
            format!("  {:<width$}  {time:>12}  {word}  {words}", row.name)
                .trim_end()
                .to_owned(),
        );
    }
    lines.push(format!("  {:<width$}  {:>12}", "total", duration(total)));
    lines.join("\n")
}

/// What this machine could not try, in the last lines: who reads only these must not take it for
/// tried.
fn left_out(rows: &[Row]) -> Vec<String> {
    let words = |row: &Row| match &row.outcome {
        Outcome::Skipped(why) => Some((*why).to_owned()),
        Outcome::Passed(words) if words.contains(suite::LEFT_OUT) => Some(words.clone()),
        _ => None,
    };
    let rows = rows.iter().filter_map(|row| Some((row, words(row)?)));
    rows.map(|(row, why)| format!("not tried here: {}: {why}", row.name))
        .collect()
}

fn as_json(rows: &[Row], total: Duration) -> serde_json::Value {
    let steps: Vec<_> = rows
        .iter()
        .map(|row| {
            let (result, detail) = match &row.outcome {
                Outcome::Passed(words) => ("ok", words.as_str()),
                Outcome::Failed(error) => ("failed", error.as_str()),
                Outcome::Skipped(why) => ("skipped", *why),
                Outcome::NotRun => ("not run", ""),
            };
            json!({ "step": row.name, "result": result, "seconds": row.time.as_secs_f64(), "detail": detail })
        })
        .collect();
    let is_ok = rows
        .iter()
        .all(|row| matches!(row.outcome, Outcome::Passed(_) | Outcome::Skipped(_)));
    json!({ "ok": is_ok, "seconds": total.as_secs_f64(), "steps": steps })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Outcome, Row, as_json, left_out, table};

    fn rows() -> Vec<Row> {
        let row = |name: &str, outcome| Row {
            name: name.to_owned(),
            time: Duration::from_secs(12),
            outcome,
        };
        vec![
            row("format", Outcome::Passed("clean".to_owned())),
            row("tidy", Outcome::Failed("2 findings".to_owned())),
            row("clippy", Outcome::NotRun),
            row("pages", Outcome::Skipped("no browser")),
        ]
    }

    #[test]
    fn the_table_shows_every_step() {
        let table = table(&rows(), Duration::from_secs(24));
        let lines: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(lines[0], "  format          12 s  ok       clean");
        assert_eq!(lines[1], "  tidy            12 s  FAILED   2 findings");
        assert_eq!(lines[2], "  clippy                not run");
        assert_eq!(lines[3], "  pages                 skipped  no browser");
        assert_eq!(lines[4], "  total           24 s");
    }

    #[test]
    fn the_last_lines_name_what_was_not_tried() {
        let mut rows = rows();
        assert_eq!(left_out(&rows), ["not tried here: pages: no browser"]);
        rows[0].outcome = Outcome::Passed("3 passed, 1 ignored (no disk)".to_owned());
        assert_eq!(
            left_out(&rows)[0],
            "not tried here: format: 3 passed, 1 ignored (no disk)"
        );
    }

    #[test]
    fn the_json_says_what_failed() {
        let json = as_json(&rows(), Duration::from_secs(24));
        assert_eq!(json["ok"], false);
        assert_eq!(json["steps"][1]["result"], "failed");
        assert_eq!(json["steps"][2]["result"], "not run");
        assert_eq!(json["steps"][3]["detail"], "no browser");
    }
}
