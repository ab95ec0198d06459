//! What `btc replay` prints: the progress, and at the end what was found.

use std::path::Path;
use std::time::{Duration, Instant};

use btc::shadow::analysis::{Report, render_table};
use btc::shadow::compare::Verdict;
use btc::shadow::replay::{BadLine, Input, Moment, ReplayLog, State, Tally};
use btc::{ErrorKind, Operation};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::exit::Code;
use crate::output::{Output, fields};
use crate::verbs::Done;

/// What is printed at the end.
#[derive(Serialize)]
struct Outcome<'o> {
    #[serde(flatten)]
    report: &'o Report,
    replay: &'o Tally,
    log: &'o Path,
    state: Option<&'o Path>,
}

/// Prints what was found. Only a replay that compared everything, and found no difference, is a
/// success.
pub(super) fn conclude(
    output: Output,
    state: &State,
    log: &ReplayLog,
    path: Option<&Path>,
) -> Done {
    let report = log.analyze(&mut |_| {})?.finish();
    let tally = &state.tally;
    let outcome = Outcome {
        report: &report,
        replay: tally,
        log: &state.log.path,
        state: path,
    };
    output.show(&outcome, || {
        let mut rows = vec![
            ("calls", format!("{} made of {}", tally.calls, what(state))),
            ("log", state.log.path.display().to_string()),
        ];
        rows.extend(path.map(|path| ("state", path.display().to_string())));
        rows.extend(remarks(tally));
        let bad = bad_lines(&tally.first_bad_lines, tally.bad_lines);
        format!("{}\n{}{bad}", render_table(&report), fields(&rows))
    })?;
    let is_clean = tally.is_clean() && report.compared > 0 && report.mismatches == 0;
    Ok(if is_clean { Code::Ok } else { Code::Failed })
}

/// What the calls were made of: lines of files, or blocks.
fn what(state: &State) -> String {
    let read = state.tally.read;
    let (one, many) = match state.input {
        Input::Blocks(_) => ("block", "blocks"),
        Input::Files(_) => ("line", "lines"),
    };
    format!("{read} {}", if read == 1 { one } else { many })
}

/// What a reader should know beside the report.
fn remarks(tally: &Tally) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    for (operation, count) in &tally.skipped {
        let why = match operation {
            Operation::BroadcastTransaction => "a broadcast is never made again",
            _ => "it has an effect; --effects makes it on regtest",
        };
        rows.push(("not made", format!("{count} {operation}: {why}")));
    }
    if tally.retries > 0 {
        rows.push((
            "made again",
            format!("{}, as the primary was away", tally.retries),
        ));
    }
    if tally.uncompared() > 0 {
        rows.push(("not compared", tally.uncompared().to_string()));
    }
    if tally.lost_calls > 0 {
        rows.push((
            "lost before",
            format!("{}, by the recorder", tally.lost_calls),
        ));
    }
    for (kind, count) in &tally.unread {
        let hint = match kind {
            ErrorKind::NotFound => "; the node needs -txindex and all blocks, or --transactions 0",
            _ => "",
        };
        rows.push(("not read", format!("{count}: {kind}{hint}")));
    }
    rows
}

/// The first lines that could not be read, and how many there are.
pub(crate) fn bad_lines(first: &[BadLine], count: u64) -> String {
    let mut text: String = first
        .iter()
        .map(|bad| format!("{}:{}: {}\n", bad.file, bad.line, bad.what))
        .collect();
    let more = count.saturating_sub(first.len() as u64);
    if more > 0 {
        text.push_str(&more.to_string());
        text.push_str(" more lines cannot be read\n");
    }
    if count > 0 {
        text += "`btc record --import` writes a log without the lines that cannot be read\n";
    }
    text
}

/// The progress on standard error, hidden where it is not a terminal.
pub(super) struct Bar {
    drawn: ProgressBar,
    started: Instant,
    calls_before: Option<u64>,
}

impl Bar {
    pub(super) fn new(total: Option<u64>) -> Self {
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template = "{spinner} {msg:<46} [{bar:24}] {human_pos}/{human_len} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self {
            drawn: bar,
            started: Instant::now(),
            calls_before: None,
        }
    }

    pub(super) fn show(&mut self, moment: &Moment) {
        let calls = moment.tally.calls;
        let before = *self.calls_before.get_or_insert(calls);
        let millis = self.started.elapsed().as_millis().max(1);
        let rate = u128::from(calls - before) * 1000 / millis;
        self.drawn.set_position(moment.done);
        let mismatches = moment.tally.of(Verdict::Mismatch);
        let plural = if mismatches == 1 { "" } else { "es" };
        let message = format!("{calls} calls, {rate}/s, {mismatches} mismatch{plural}");
        self.drawn.set_message(message);
    }

    pub(super) fn clear(&self) {
        self.drawn.finish_and_clear();
    }
}
