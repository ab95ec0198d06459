//! `View`: a soak as it goes, live on a terminal and as a line now and then elsewhere.

use std::cell::Cell;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use btc::shadow::compare::Verdict;
use btc::shadow::{Counts, Status};
use btc::{BitcoinImplementationType, Operation};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::mover::Moved;
use crate::amount::grouped;
use crate::load::Extent;
use crate::output::note;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// What there is to be seen.
pub(super) struct Sight {
    pub(super) stage: &'static str,
    pub(super) done: u64,
    pub(super) held: u64,
    pub(super) elapsed: Duration,
    pub(super) counts: Counts,
    pub(super) status: Option<Status>,
    pub(super) moved: Moved,
    pub(super) rss_bytes: Option<u64>,
}

/// Shows one direction of a soak on standard error.
pub(super) struct View {
    primary: BitcoinImplementationType,
    extent: Extent,
    live: Option<Live>,
    last_line: Cell<Instant>,
}

struct Live {
    all: MultiProgress,
    bar: ProgressBar,
    operations: Vec<(Operation, ProgressBar)>,
    state: ProgressBar,
    chain: ProgressBar,
}

impl View {
    pub(super) fn new(primary: BitcoinImplementationType, extent: Extent) -> Self {
        Self {
            primary,
            extent,
            live: stderr().is_terminal().then(|| Live::new(extent)),
            last_line: Cell::new(Instant::now()),
        }
    }

    pub(super) fn show(&self, sight: &Sight) {
        if let Some(live) = &self.live {
            live.show(self.primary, self.extent, sight);
        } else if self.last_line.get().elapsed() >= LINE_EVERY {
            self.last_line.set(Instant::now());
            note(line(self.primary, sight));
        }
    }

    /// Takes it off the terminal.
    pub(super) fn end(&self) {
        if let Some(live) = &self.live {
            // What cannot be cleared stays, which is no harm.
            let _ = live.all.clear();
        }
    }
}

impl Live {
    fn new(extent: Extent) -> Self {
        let all = MultiProgress::new();
        let steps = match extent {
            Extent::Calls(calls) => calls,
            Extent::For(limit) => limit.as_secs(),
        };
        let bar = all.add(ProgressBar::new(steps));
        let template = "{msg:<34} [{bar:32}] {percent:>3} %";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        let row = || {
            let row = all.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("  {msg}") {
                row.set_style(style);
            }
            row
        };
        let operations = Operation::CALLS.map(|operation| (operation, row()));
        let (state, chain) = (row(), row());
        Self {
            operations: operations.into(),
            state,
            chain,
            bar,
            all,
        }
    }

    fn show(&self, primary: BitcoinImplementationType, extent: Extent, sight: &Sight) {
        self.bar.set_position(match extent {
            Extent::Calls(_) => sight.done,
            Extent::For(_) => sight.elapsed.as_secs(),
        });
        self.bar.set_message(format!(
            "{primary} first, {}: {} calls, {}/s",
            sight.stage,
            grouped(sight.done),
            rate(sight)
        ));
        for (operation, row) in &self.operations {
            row.set_message(operation_row(*operation, &sight.counts));
        }
        self.state.set_message(state(sight));
        self.chain.set_message(chain(&sight.moved));
    }
}

/// How one operation is doing.
fn operation_row(operation: Operation, counts: &Counts) -> String {
    let offered = counts.offered.get(&operation).copied().unwrap_or(0);
    let of = |verdict| {
        let verdicts = counts.verdicts.get(&operation);
        verdicts
            .and_then(|it| it.get(&verdict))
            .copied()
            .unwrap_or(0)
    };
    format!(
        "{:<22} {:>9} calls  {} mismatches  {} recovered  {} inconclusive",
        operation.as_str(),
        grouped(offered),
        grouped(of(Verdict::Mismatch)),
        grouped(of(Verdict::Recovered)),
        grouped(of(Verdict::Inconclusive)),
    )
}

/// The queue, the breaker and the memory.
fn state(sight: &Sight) -> String {
    let queue = sight.status.map_or_else(
        || "in line".to_owned(),
        |status| {
            format!(
                "queue {}, waiting {}, breaker {}, held back {}",
                grouped(status.queued as u64),
                grouped(status.waiting as u64),
                if status.is_breaker_open {
                    "OPEN"
                } else {
                    "closed"
                },
                grouped(sight.held),
            )
        },
    );
    let dropped = sight.counts.total(Verdict::Dropped);
    let memory = sight.rss_bytes.map_or_else(
        || "unknown".to_owned(),
        |bytes| format!("{} MiB", bytes >> 20),
    );
    format!("{queue}, dropped {}, memory {memory}", grouped(dropped))
}

fn chain(moved: &Moved) -> String {
    format!(
        "height {}, {} reorganisations, {} payments, {} replacements, {} evictions",
        grouped(moved.height.into()),
        moved.reorganisations,
        moved.payments,
        moved.replacements,
        moved.evictions
    )
}

/// All of it in one line.
fn line(primary: BitcoinImplementationType, sight: &Sight) -> String {
    format!(
        "{primary} first, {}: {} calls, {}/s, {} mismatches, {} inconclusive; {}; {}",
        sight.stage,
        grouped(sight.done),
        rate(sight),
        grouped(sight.counts.total(Verdict::Mismatch)),
        grouped(sight.counts.total(Verdict::Inconclusive)),
        state(sight),
        chain(&sight.moved)
    )
}

fn rate(sight: &Sight) -> u64 {
    let millis = u64::try_from(sight.elapsed.as_millis()).unwrap_or(u64::MAX);
    sight.done.saturating_mul(1000) / millis.max(1)
}
