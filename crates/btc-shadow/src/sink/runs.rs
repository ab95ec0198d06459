//! `Runs`: the runs that a log has at the moment, which each new file of it names at its top.

use super::text;
use crate::record::{Event, Line, RunId};

/// How many runs are remembered: those that began last.
const MAX_RUNS: usize = 8;

/// What a line means for those that come after it.
#[derive(Debug)]
pub(super) enum Mark {
    /// A run has begun, with this line.
    Begun(Line),
    /// A run is over: its final totals stand in the log.
    Over(RunId),
}

impl Mark {
    /// What the line means; none for one that neither begins nor ends a run.
    pub(super) fn of(line: &Line) -> Option<Self> {
        match &line.event {
            Event::Start(_) => Some(Self::Begun(line.clone())),
            Event::Totals(totals) if totals.is_final => Some(Self::Over(line.run)),
            _ => None,
        }
    }
}

/// Runs that have begun and are not over, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<Run>);

#[derive(Debug)]
struct Run {
    start: Line,
    /// The number of its file, from 1.
    part: u32,
    /// The file does not have its start yet.
    is_unnamed: bool,
}

impl Runs {
    /// Takes note of a line that is in the log.
    pub(super) fn note(&mut self, mark: Mark) {
        let Self(runs) = self;
        let (Mark::Begun(Line { run: id, .. }) | Mark::Over(id)) = &mark;
        runs.retain(|run| run.start.run != *id);
        if let Mark::Begun(start) = mark {
            runs.push(Run {
                start,
                part: 1,
                is_unnamed: false,
            });
            // Runs that never said that they were over must not fill the files.
            let surplus = runs.len().saturating_sub(MAX_RUNS);
            runs.drain(..surplus);
        }
    }

    /// Another file begins, which has none of their starts.
    pub(super) fn turn_page(&mut self) {
        for run in &mut self.0 {
            run.is_unnamed = true;
        }
    }

    /// The starts that the file does not have yet, oldest first. Where they are longer than
    /// `limit` bytes, those that began first are left out, but never the last one.
    pub(super) fn head(&self, limit: usize) -> serde_json::Result<Vec<u8>> {
        let mut head = Vec::new();
        for run in self.0.iter().rev().filter(|run| run.is_unnamed) {
            let mut start = run.start.clone();
            if let Event::Start(start) = &mut start.event {
                start.part = run.part.saturating_add(1);
            }
            let mut text = Vec::new();
            text::append(&mut text, &start)?;
            if !head.is_empty() && head.len() + text.len() > limit {
                break;
            }
            head.splice(..0, text);
        }
        Ok(head)
    }

    /// The head is in the file.
    pub(super) fn named(&mut self) {
        for run in self.0.iter_mut().filter(|run| run.is_unnamed) {
            run.is_unnamed = false;
            run.part = run.part.saturating_add(1);
        }
    }
}
