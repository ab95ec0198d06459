//! The HTML report in a real browser: it opens offline, is readable at a glance, and nothing is cut or pale.

mod browser;
mod logs;
mod png;
mod view;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use btc_tests::{Outcome, Program, Suite};

use crate::browser::{Browser, Failure};
use crate::view::{Seen, VIEWS};

fn main() -> ExitCode {
    let mut suite = Suite::default();
    suite.add("thin_evidence_is_a_hold_and_enough_for_less", soaked);
    suite.add("enough_evidence_is_a_go", || {
        judged("go", 0, &logs::evidence(None))
    });
    suite.add("one_satoshi_is_a_no", || {
        judged("no", 1, &logs::evidence(Some(88_888)))
    });
    suite.add("a_planted_fault_is_a_no", planted);
    suite.add("an_empty_log_is_a_hold", || judged("empty", 2, ""));
    suite.add("a_page_with_faults_is_found_out", faulty);
    suite.run()
}

/// A real run with few calls: too little for the limits there are, and enough for small ones.
fn soaked() -> Outcome {
    let run = Program::new("--private shadow soak --seed 5 --ops 400 --log soak.log").run();
    let run = run.code(0);
    let log = run.folder.path().join("soak.log");
    let gate = run.folder.path().join("gate.toml");
    fs::write(&gate, SMALL_GATE)?;
    let gate = gate.display().to_string();
    let hold = page("hold", 2, &log, &[])?;
    let go = page("go-small", 0, &log, &["--gate", &gate])?;
    look(&[("hold", "HOLD", &hold), ("go-small", "GO", &go)])
}

/// Limits that a soak of seconds can meet. Durations are not limited: a busy machine decides them.
const SMALL_GATE: &str = "inconclusive_percent = 100.0\nerror_rate_difference_percent = 100.0\n\
    dropped_percent = 100.0\np50_ratio = 1e6\np99_ratio = 1e6\nlatency_calls = 1\n\
    memory_readings = 0\nmemory_growth_percent = 1e6\n\
    [operations.get_transaction]\ndistinct_inputs = 30\nmismatch_bound = 0.5\nagreed_errors = 0\n\
    [operations.get_block]\nis_required = false\n[operations.get_balance]\nis_required = false\n\
    [operations.estimate_fee]\nis_required = false\n\
    [operations.get_block_height]\nis_required = false\n\
    [operations.generate_address]\nis_required = false\n\
    [operations.create_transaction]\nis_required = false\n\
    [operations.broadcast_transaction]\nis_required = false\n";

/// A real run in which Python adds a satoshi to each transaction.
fn planted() -> Outcome {
    let run = Program::new("--private shadow soak --seed 6 --ops 120 --no-alone --log soak.log")
        .env("PYTHON_BACKEND", "btc_legacy.mutants.reads:OffByOneSat")
        .run()
        .code(1);
    let page = page("no-planted", 1, &run.folder.path().join("soak.log"), &[])?;
    look(&[("no-planted", "NO", &page)])
}

/// A log that is written down here, and its page.
fn judged(name: &str, code: i32, log: &str) -> Outcome {
    let path = folder()?.join(format!("{name}.log"));
    fs::write(&path, log)?;
    let page = page(name, code, &path, &[])?;
    fs::remove_file(path)?;
    let word = match code {
        0 => "GO",
        1 => "NO",
        _ => "HOLD",
    };
    look(&[(name, word, &page)])
}

/// Makes the page of a log with `btc analyze`, whose exit code says the verdict.
fn page(name: &str, code: i32, log: &Path, arguments: &[&str]) -> Result<PathBuf, Failure> {
    let page = folder()?.join(format!("{name}.html"));
    let (log, to) = (log.display().to_string(), page.display().to_string());
    let arguments = [&["analyze", &log, "--html", &to], arguments].concat();
    Program::with(&arguments).run().code(code);
    Ok(page)
}

/// Opens pages in every view, each with its name and its verdict; what is wrong in any of them fails.
fn look(pages: &[(&str, &str, &Path)]) -> Outcome {
    let mut browser = Browser::start()?;
    let mut wrong = Vec::new();
    for (name, word, page) in pages {
        for view in VIEWS {
            let seen = Seen::of(&mut browser, view, page)?;
            let at = format!("{name}-{}.png", view.name);
            fs::write(folder()?.join(&at), &seen.png)?;
            let findings = seen.findings(view, word);
            wrong.extend(findings.map(|finding| format!("{at}: {finding}")));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let found = wrong.join("\n  ");
    Err(format!("in {}:\n  {found}", folder()?.display()).into())
}

/// The checks can fail: each of these faults is found.
fn faulty() -> Outcome {
    let page = folder()?.join("faulty.html");
    fs::write(&page, include_str!("faulty.html"))?;
    let mut browser = Browser::start()?;
    let view = VIEWS[0];
    let seen = Seen::of(&mut browser, view, &page)?;
    let found: Vec<_> = seen.findings(view, "GO").collect();
    for fault in [
        "asked for http://",
        "refers to http://",
        "console: ",
        "scrolls sideways",
        "is cut",
        "contrast ",
        "has no size",
        "overlap",
        "too small",
        "not in the first screen",
    ] {
        let is_found = found.iter().any(|finding| finding.contains(fault));
        assert!(is_found, "nothing says `{fault}`: {found:#?}");
    }
    let blank = folder()?.join("blank.html");
    fs::write(&blank, "<!doctype html><title>blank</title>")?;
    let seen = Seen::of(&mut browser, view, &blank)?;
    let mut found = seen.findings(view, "GO");
    assert!(found.any(|finding| finding.contains("blank")));
    Ok(())
}

/// Where pages and screenshots stay, to be looked at.
fn folder() -> Result<PathBuf, Failure> {
    let test = std::env::current_exe()?;
    // This is target/<profile>/deps/<name>.
    let target = test.ancestors().nth(3).ok_or("this is not in target/")?;
    let folder = target.join("page");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
