//! What a soak comes to: the report, the accounts of each direction, the memory.

use std::fmt::Write as _;
use std::path::Path;

use btc::shadow::analysis::{Report, render_table};
use btc::shadow::record::Memory;
use serde::Serialize;

use super::leg::Leg;
use super::mover::Moved;
use super::{Done, analyze};
use crate::amount::grouped;
use crate::exit::Code;
use crate::output::{BAD, GOOD, Output};

/// A soak that has ended.
#[derive(Debug, Serialize)]
pub(super) struct Outcome<'a> {
    pub(super) report: Report,
    pub(super) directions: Vec<Leg>,
    /// What happened to the chain; none where it was left alone.
    pub(super) chain: Option<Moved>,
    /// The last reading of each implementation by itself.
    pub(super) alone: Vec<Memory>,
    /// Whether a signal ended it.
    pub(super) is_cut_short: bool,
    /// What failed beside the comparisons.
    pub(super) failures: Vec<String>,
    pub(super) log: &'a Path,
}

impl Outcome<'_> {
    /// Shows it. A success agrees, accounts for every call, and met no failure of its own.
    pub(super) fn show(&self, output: Output) -> Done {
        output.show(self, || self.text())?;
        let is_whole =
            self.failures.is_empty() && self.directions.iter().all(|leg| leg.books_close);
        Ok(if is_whole {
            analyze::code(&self.report)
        } else {
            Code::Failed
        })
    }

    fn text(&self) -> String {
        let mut out = render_table(&self.report);
        out.push('\n');
        // Writing to a string cannot fail, here and below.
        for leg in &self.directions {
            let _ = write!(out, "{}", accounts(leg));
        }
        if let Some(moved) = &self.chain {
            let _ = writeln!(
                out,
                "chain     {} blocks up to height {}, {} reorganisations, {} payments, \
                 {} replacements, {} evictions; {} moves refused",
                moved.blocks,
                moved.height,
                moved.reorganisations,
                moved.payments,
                moved.replacements,
                moved.evictions,
                moved.refused
            );
        }
        for memory in &self.alone {
            let _ = writeln!(
                out,
                "memory    {} by itself: {} at the end, {} at most, after {} reads",
                memory.implementation.map_or("both", |it| it.as_str()),
                mebibytes(memory.rss_bytes),
                mebibytes(memory.peak_rss_bytes),
                grouped(memory.calls)
            );
        }
        for failure in &self.failures {
            let _ = writeln!(out, "{BAD}failed{BAD:#}    {failure}");
        }
        if self.is_cut_short {
            let _ = writeln!(out, "ended     early, by a signal");
        }
        let _ = writeln!(out, "log       {}", self.log.display());
        out
    }
}

/// Every call of a direction, and what became of it.
fn accounts(leg: &Leg) -> String {
    let closing = if leg.books_close {
        format!("{GOOD}closes{GOOD:#}")
    } else {
        format!("{BAD}DOES NOT CLOSE{BAD:#}")
    };
    let rate = leg.offered.saturating_mul(1000) / leg.load_ms.max(1);
    format!(
        "{} first: {} offered = {} compared + {} skipped + {} dropped + {} inconclusive, {closing}\n\
         \x20         {} mismatches, {} recovered; {} s of calls ({} a second), {} s of comparisons \
         after them; held back {} times, {} s over all threads\n",
        leg.primary,
        grouped(leg.offered),
        grouped(leg.compared),
        grouped(leg.skipped),
        grouped(leg.dropped),
        grouped(leg.inconclusive),
        grouped(leg.mismatches),
        grouped(leg.recovered),
        seconds(leg.load_ms),
        grouped(rate),
        seconds(leg.settle_ms),
        grouped(leg.held_back),
        seconds(leg.held_back_ms)
    )
}

fn seconds(millis: u64) -> String {
    format!("{}.{}", millis / 1000, millis % 1000 / 100)
}

fn mebibytes(bytes: u64) -> String {
    let tenths = ((bytes & 0xf_ffff) * 10) >> 20;
    format!("{}.{tenths} MiB", bytes >> 20)
}
