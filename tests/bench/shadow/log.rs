//! How fast lines are written to the log, and read.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use btc::shadow::analysis::Analysis;
use btc::shadow::record::{Event, Line};
use btc::shadow::sink::{FileSink, MemorySink, Sink};
use btc::shadow::{Policy, Shadow};
use btc::{BitcoinImplementationType, BitcoinInterface};

use super::side::Side;
use super::{a_second, rotation};
use crate::Outcome;
use crate::measure::Effort;
use crate::report::{Figure, Results};

/// Lines written a second, and read.
pub(super) fn figures(effort: &Effort, results: &mut Results) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log");
    let sink = FileSink::with(&path, rotation())?;
    let lines = lines();
    let started = Instant::now();
    for number in 0..effort.lines {
        while sink.write(&lines[number % lines.len()]).is_err() {
            thread::yield_now();
        }
    }
    if !sink.flush(Duration::from_mins(1)) || sink.lost_lines() > 0 {
        return Err("the log lost lines".into());
    }
    let rate = a_second(effort.lines, started.elapsed());
    drop(sink);
    results.tell(Figure {
        work: format!("lines written to the log, {} matches", effort.lines),
        measured: format!("{:.2} M a second", rate / 1e6),
        reach: "≥ 1 M a second",
        is_reached: rate >= 1e6,
    });
    analysis(&path, effort.lines, results)
}

/// Lines read a second, against a tool that only finds their ends, and one that reads them.
fn analysis(path: &Path, lines: usize, results: &mut Results) -> Outcome<()> {
    let started = Instant::now();
    let mut analysis = Analysis::default();
    analysis.read_file(path, &mut |_| {})?;
    let took = started.elapsed();
    black_box(analysis.finish());
    let rate = a_second(lines, took);
    let wc = timed(Command::new("wc").arg("-l").arg(path))?;
    let times = took.as_secs_f64() / wc.as_secs_f64();
    let jq = match timed(Command::new("jq").args(["-n", VERDICTS]).arg(path)) {
        Ok(jq) => format!(
            "{:.0} times faster than a count of the verdicts by `jq`",
            jq.as_secs_f64() / took.as_secs_f64()
        ),
        Err(error) => format!("not compared with `jq`: {error}"),
    };
    results.tell(Figure {
        work: format!("lines analysed, {} MiB", fs::metadata(path)?.len() >> 20),
        measured: format!(
            "{:.2} M a second, {times:.1} times as long as `wc -l`, {jq}",
            rate / 1e6
        ),
        reach: "≥ 1 M a second",
        is_reached: rate >= 1e6,
    });
    Ok(())
}

/// What an operator without `btc` would ask for.
const VERDICTS: &str = r#"reduce inputs as $line ({}; .[$line.verdict // "none"] += 1)"#;

fn timed(command: &mut Command) -> Outcome<Duration> {
    let started = Instant::now();
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() {
        Ok(started.elapsed())
    } else {
        Err(format!("{}: {status}", command.get_program().display()).into())
    }
}

/// Lines as shadow mode writes them, of many different questions.
fn lines() -> Vec<Line> {
    let sink = Arc::new(MemorySink::default());
    let shadow = Shadow::new(
        Side::new(BitcoinImplementationType::Python, false),
        Side::new(BitcoinImplementationType::Rust, false),
        Policy::default(),
        Box::new(Arc::clone(&sink)),
        true,
    );
    for number in 0..10_000 {
        black_box(shadow.get_transaction(&number.to_string()).is_ok());
    }
    drop(shadow);
    let lines = sink.lines().into_iter();
    lines
        .filter(|line| matches!(line.event, Event::Comparison(_)))
        .collect()
}
